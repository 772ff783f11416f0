//! The configuration of one model, compiled for the pass over a record.

use crate::feature::{Feature, Role};

use super::super::columns::Place;
use super::super::fields::{EventTime, FeatureNames, Fields, Filter, Pointer};
use super::super::names::Names;
use super::super::paths::{Paths, Targets};
use super::super::simd::{self, Simd};
use super::super::{Options, Reason};
use super::Refusal;
use super::walk::{OUTPUTS, Schema};

/// The configuration, compiled.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: Schema,
    pub(super) paths: Paths,
    /// Inside a row, if a record has several.
    pub(super) row_paths: Option<Paths>,
    pub(super) features_required: bool,
    /// Features of an array whose names are listed in the configuration.
    pub(super) listed: Option<Vec<Option<u32>>>,
    pub(super) event_time: Option<EventTime>,
    /// The model's name, if records carry it.
    pub(super) model: Option<String>,
    pub(super) filter: Option<Filter>,
    pub(super) allow_nan: bool,
    pub(super) max_record_bytes: usize,
}

impl Plan {
    pub(super) fn new(
        fields: &Fields,
        options: &Options,
        model: &str,
        features: &[Feature],
    ) -> Self {
        let numbered = || features.iter().map(|feature| feature.name.as_str()).zip(0u32..);
        let names = Names::new(numbered());
        let default = |name: &str| vec![name.to_owned()];
        let steps = |pointer: &Pointer| pointer.steps().collect::<Vec<_>>();
        let mut paths = Paths::new();
        let mut row_paths = fields.rows.is_some().then(Paths::new);
        {
            let in_row = row_paths.as_mut().unwrap_or(&mut paths);
            let nested = fields.features.as_ref().map_or_else(|| default("features"), steps);
            in_row.insert(nested.into_iter(), Targets::FEATURES);
            for (target, role) in OUTPUTS {
                let pointer = match target {
                    Targets::CONFIDENCE => fields.confidence.as_ref(),
                    _ => fields.prediction.as_ref(),
                };
                // A key that is nobody's confidence is none of ours.
                if role == Role::Prediction || features.iter().any(|f| f.role == role) {
                    let at = pointer.map_or_else(|| default(role.as_str()), steps);
                    in_row.insert(at.into_iter(), target);
                }
            }
        }
        let mut listed = None;
        match &fields.feature_names {
            Some(FeatureNames::List(list)) => {
                listed = Some(list.iter().map(|name| names.get(name.as_bytes())).collect());
            }
            Some(FeatureNames::At(pointer)) => paths.insert(pointer.steps(), Targets::NAMES),
            None => {}
        }
        let event_time = fields.event_time.as_ref().map(|time| &time.pointer);
        for (pointer, target) in [
            (event_time, Targets::TIME),
            (fields.rows.as_ref(), Targets::ROWS),
            (fields.model.as_ref(), Targets::MODEL),
            (fields.filter.as_ref().map(|filter| &filter.pointer), Targets::FILTER),
        ] {
            if let Some(pointer) = pointer {
                paths.insert(pointer.steps(), target);
            }
        }
        let of_role = |role| features.iter().zip(0u32..).find(|(f, _)| f.role == role);
        let outputs = OUTPUTS.map(|(_, role)| of_role(role).map(|(_, index)| index));
        Self {
            schema: Schema {
                names,
                features: features.to_vec(),
                places: Place::all(features),
                outputs,
                flat_unless_nested: fields.features.is_none(),
            },
            paths,
            row_paths,
            features_required: fields.features.is_some(),
            listed,
            event_time: fields.event_time.clone(),
            model: fields.model.is_some().then(|| model.to_owned()),
            filter: fields.filter.clone(),
            allow_nan: options.json.allow_nan,
            max_record_bytes: options.max_record_bytes,
        }
    }

    /// The payload as text, if it can be a record at all.
    pub(super) fn text<'a, S: Simd>(
        &self,
        simd: S,
        payload: Option<&'a [u8]>,
    ) -> Result<&'a str, Refusal> {
        let Some(payload) = payload else { return Err((Reason::NullValue, None)) };
        if payload.is_empty() {
            return Err((Reason::Empty, None));
        }
        if payload.len() > self.max_record_bytes {
            let hint = format!("{} bytes", payload.len());
            return Err((Reason::TooLarge, Some(hint.into())));
        }
        if payload.starts_with(b"\xEF\xBB\xBF") {
            return Err((Reason::Malformed, Some("byte order mark".into())));
        }
        simd::text(simd, payload).map_err(|error| {
            let hint = format!("not UTF-8 at byte {}", error.valid_up_to());
            (Reason::Malformed, Some(hint.into()))
        })
    }
}
