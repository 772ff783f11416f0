//! A baseline as JSON and back, checked, and the digest of what it makes counting do.

use std::collections::BTreeSet;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::baseline::cap;
use crate::baseline::cap::CapError;
use crate::baseline::layout::{check_configured, is_confidence, role_of};
use crate::baseline::{
    Baseline, Convention, FORMAT, FeatureBaseline, Ignored, LayoutError, Overrides, Unusable,
};
use crate::feature::Kind;
use crate::histogram::{Bins, CategoricalCells, Cells, NumericCells, Storage};

/// Why a file is no profile that can be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    #[error(
        "not a baseline profile: {0}; data are Parquet files, and profiles are what `driftd baseline build` \
         writes of them"
    )]
    Json(#[from] serde_json::Error),
    #[error(
        "the profile has format {found}, this driftd reads up to {FORMAT}; \
         use the driftd that built it, or build it again"
    )]
    Newer { found: u32 },
    #[error("the profile is damaged: feature `{feature}`: {fault}")]
    Feature { feature: String, fault: &'static str },
    #[error(transparent)]
    Cap(#[from] CapError),
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Baseline {
    /// The profile as JSON; `from_json` gives back the same, bit for bit.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a baseline has string keys and finite numbers only")
    }

    /// Reads what `to_json` wrote; everything that counting relies on is checked.
    pub fn from_json(json: &[u8]) -> Result<Self, ProfileError> {
        let Version { format } = serde_json::from_slice(json)?;
        if format > FORMAT {
            return Err(ProfileError::Newer { found: format });
        }
        let baseline: Self = serde_json::from_slice(json)?;
        baseline.check()?;
        Ok(baseline)
    }

    /// SHA-256 (hex) over all that decides what a live value is counted as: names, kinds and cells
    /// of the usable features, in order. Equal digests: counts may be added.
    pub fn rules_digest(&self) -> String {
        let mut rules = Rules(Sha256::new());
        let is_counted =
            |f: &&FeatureBaseline| matches!(f.unusable, None | Some(Unusable::NoReference));
        for feature in self.features.iter().filter(is_counted) {
            rules.text(&feature.name);
            match &feature.cells {
                Cells::Numeric(cells) => rules.numeric(cells),
                Cells::Categorical(cells) => rules.categorical(cells),
            }
        }
        rules.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Applies the configuration to a baseline that was built without it: roles, ignored columns.
    /// A kind can't be changed without the data.
    pub fn configure(&mut self, overrides: &Overrides) -> Result<(), LayoutError> {
        let names: Vec<&str> = self.features.iter().map(|f| f.name.as_str()).collect();
        check_configured(&names, overrides)?;
        self.configure_time(overrides)?;
        for feature in &mut self.features {
            let declared = overrides.features.get(&feature.name).copied().unwrap_or_default();
            if declared.kind.is_some_and(|kind| kind != feature.kind) {
                return Err(LayoutError::WrongKind {
                    column: feature.name.clone(),
                    declared: kind_name(declared.kind.unwrap_or(feature.kind)).to_owned(),
                    column_type: format!("a {} profile", kind_name(feature.kind)),
                });
            }
            if let Some(wanted) = overrides.convention.filter(|&c| c != feature.convention) {
                convert(feature, wanted)?;
            }
            // What the profile was built with stands unless the configuration speaks.
            let spoken = declared.role.is_some() || overrides.prediction.is_some();
            if spoken || is_confidence(&feature.name, overrides) {
                feature.role = role_of(&feature.name, overrides);
            }
        }
        let (ignored, kept) = std::mem::take(&mut self.features)
            .into_iter()
            .partition(|feature| overrides.ignore.contains(&feature.name));
        self.features = kept;
        self.ignored.extend(Vec::into_iter(ignored).map(|feature: FeatureBaseline| Ignored {
            column: feature.name,
            reason: "ignored by the configuration".to_owned(),
        }));
        Ok(())
    }

    fn check(&self) -> Result<(), ProfileError> {
        cap::check_names(self.features.iter().map(|feature| feature.name.as_str()))?;
        let mut names = BTreeSet::new();
        for feature in &self.features {
            let damaged = |fault| ProfileError::Feature { feature: feature.name.clone(), fault };
            if !names.insert(&feature.name) {
                return Err(damaged("appears twice"));
            }
            cap::check_cells(feature)?;
            check_feature(feature, self.rows).map_err(damaged)?;
        }
        Ok(())
    }
}

/// Categories are counted alike for everybody; numbers into cells with edges of their own.
fn convert(feature: &mut FeatureBaseline, wanted: Convention) -> Result<(), LayoutError> {
    if feature.unusable.is_none() && feature.kind == Kind::Numeric {
        return Err(LayoutError::WrongConvention {
            column: feature.name.clone(),
            built: feature.convention.as_str().to_owned(),
            wanted: wanted.as_str().to_owned(),
        });
    }
    feature.convention = wanted;
    Ok(())
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Numeric => "numeric",
        Kind::Categorical => "categorical",
    }
}

fn check_feature(feature: &FeatureBaseline, rows: u64) -> Result<(), &'static str> {
    match (&feature.cells, feature.kind, feature.unusable) {
        (Cells::Numeric(cells), Kind::Numeric, _) => check_numeric(cells)?,
        (Cells::Categorical(cells), Kind::Categorical, _)
        | (Cells::Categorical(cells), Kind::Numeric, Some(_)) => check_categorical(cells)?,
        (Cells::Categorical(_), Kind::Numeric, None)
        | (Cells::Numeric(_), Kind::Categorical, _) => {
            return Err("its cells are of another kind");
        }
    }
    let cells = feature.cells.len();
    check_bins(&feature.bins, cells)?;
    let counts = &feature.reference;
    if counts.cells.len() != cells {
        return Err("as many counts as cells are needed");
    }
    let parts = counts.cells.iter().copied().chain([
        counts.missing,
        counts.null,
        counts.nan,
        counts.pos_inf,
        counts.neg_inf,
        counts.type_error,
        counts.unseen,
    ]);
    let records = parts.into_iter().try_fold(0u64, u64::checked_add);
    // A column that cannot be used was not counted.
    let expected = if feature.unusable.is_some() { 0 } else { rows };
    if records != Some(expected) {
        return Err("its counts do not add up to the rows");
    }
    if feature.unusable.is_none() && counts.cells.iter().all(|&count| count == 0) {
        return Err("it has no values but is not marked unusable");
    }
    if feature.sample.is_some_and(|sample| sample > rows) {
        return Err("its sample is larger than the whole");
    }
    if feature.design_effect.as_ref().is_some_and(|effect| !effect.is_sound()) {
        return Err("its design effect is not finite and at least 1");
    }
    if let Some(season) = &feature.season {
        season.check(&feature.reference)?;
    }
    let finite = |x: Option<f64>| x.is_none_or(f64::is_finite);
    if !finite(feature.mean) || !finite(feature.sd) {
        return Err("its mean or deviation is not finite");
    }
    Ok(())
}

fn check_numeric(cells: &NumericCells) -> Result<(), &'static str> {
    if !cells.edges.iter().all(|edge| edge.is_finite()) {
        return Err("an edge is not finite");
    }
    if !cells.edges.is_sorted_by(|a, b| a < b) {
        return Err("edges do not ascend");
    }
    if !(cells.lowest.is_finite() && cells.highest.is_finite() && cells.lowest <= cells.highest) {
        return Err("its range is empty or not finite");
    }
    let scale = cells.scale;
    if !(scale.center.is_finite() && scale.unit.is_finite() && scale.unit > 0.0) {
        return Err("its scale is not finite and positive");
    }
    Ok(())
}

fn check_categorical(cells: &CategoricalCells) -> Result<(), &'static str> {
    if cells.categories.iter().collect::<BTreeSet<_>>().len() != cells.categories.len() {
        return Err("a category appears twice");
    }
    if !cells.rest.is_sorted_by(|a, b| a < b) {
        return Err("the hashes of its rest do not ascend");
    }
    Ok(())
}

fn check_bins(bins: &Bins, cells: usize) -> Result<(), &'static str> {
    let within = bins.starts.last().is_some_and(|&last| (last as usize) < cells);
    if bins.starts.first() != Some(&0) || !within || !bins.starts.is_sorted_by(|a, b| a < b) {
        return Err("bins are not unions of neighbouring cells");
    }
    Ok(())
}

/// Every field is written with its length or a fixed width, so that no two rules look the same.
struct Rules(Sha256);

impl Rules {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn numeric(&mut self, cells: &NumericCells) {
        self.text("numeric");
        self.number(cells.edges.len() as u64);
        let scale = [cells.lowest, cells.highest, cells.scale.center, cells.scale.unit];
        for value in cells.edges.iter().chain(&scale) {
            self.number(value.to_bits());
        }
        self.storage(cells.storage);
    }

    fn storage(&mut self, storage: Storage) {
        match storage {
            Storage::F64 => self.text("f64"),
            Storage::F32 => self.text("f32"),
            Storage::F16 => self.text("f16"),
            Storage::Decimal { scale } => self.text(&format!("decimal {scale}")),
        }
    }

    fn categorical(&mut self, cells: &CategoricalCells) {
        self.text("categorical");
        self.number(u64::from(cells.boolean));
        self.number(cells.categories.len() as u64);
        for category in &cells.categories {
            self.text(category);
        }
        self.number(cells.rest.len() as u64);
        for &hash in &cells.rest {
            self.number(hash);
        }
        // The digest of all others is that of the releases that knew nothing of it.
        if let Some(storage) = cells.numbers {
            self.text("numbers");
            self.storage(storage);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float32Array, Float64Array, StringArray};
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::*;
    use crate::baseline::{Builder, Layout, Limits, Source};

    fn baseline_of(columns: &[(&str, ArrayRef)]) -> Baseline {
        let source = Source {
            columns: columns
                .iter()
                .map(|(n, a)| ((*n).to_owned(), a.data_type().clone()))
                .collect(),
            pandas_index: BTreeSet::new(),
        };
        let layout = Layout::new(&source, &Overrides::default()).unwrap();
        let rows = columns[0].1.len() as u64;
        let feature = |planned: &crate::baseline::Planned| {
            let array = &columns[planned.index].1;
            let mut builder = Builder::new(planned.clone(), rows, Limits::default());
            builder.push(array);
            let mut counter = builder.into_counter();
            if counter.reads() {
                counter.push(array);
            }
            counter.finish()
        };
        Baseline {
            format: FORMAT,
            digest: "00".to_owned(),
            source: "test".to_owned(),
            rows,
            time_column: layout.time_column,
            ignored: layout.ignored,
            ..Baseline::of(layout.columns.iter().map(feature).collect())
        }
    }

    fn sample() -> Baseline {
        let x: ArrayRef = Arc::new((0..400).map(|i| f64::from(i).sqrt()).collect::<Float64Array>());
        let s: ArrayRef =
            Arc::new((0..400).map(|i| Some(format!("k{}", i % 9))).collect::<StringArray>());
        baseline_of(&[("x", x), ("s", s)])
    }

    proptest! {
        #[test]
        fn a_profile_comes_back_bit_for_bit(
            wide in proptest::collection::vec(any::<f64>(), 300),
            narrow in proptest::collection::vec(any::<f32>(), 300),
        ) {
            let baseline = baseline_of(&[
                ("wide", Arc::new(Float64Array::from(wide))),
                ("narrow", Arc::new(Float32Array::from(narrow))),
            ]);
            let json = baseline.to_json();
            let again = Baseline::from_json(json.as_bytes()).unwrap();
            prop_assert_eq!(&again, &baseline);
            prop_assert_eq!(again.to_json(), json);
            prop_assert_eq!(again.rules_digest(), baseline.rules_digest());
        }

        #[test]
        fn damaged_profiles_never_panic(at: prop::sample::Index, byte: u8) {
            let mut json = sample().to_json().into_bytes();
            let at = at.index(json.len());
            json[at] = byte;
            if let Ok(baseline) = Baseline::from_json(&json) {
                for feature in &baseline.features {
                    feature.bins.sum(&feature.reference.cells);
                }
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let error = Baseline::from_json(br#"{"format": 99, "cells": "quantum"}"#).unwrap_err();
        assert!(error.to_string().contains("format 99"), "{error}");
    }

    #[test]
    fn inconsistent_profiles_are_refused() {
        let refused = |change: fn(&mut Baseline)| {
            let mut baseline = sample();
            change(&mut baseline);
            Baseline::from_json(baseline.to_json().as_bytes()).unwrap_err().to_string()
        };
        assert!(refused(|b| b.features[0].reference.cells[0] += 1).contains("add up"));
        assert!(refused(|b| b.features[0].sample = Some(401)).contains("sample"));
        assert!(refused(|b| b.features[0].bins.starts.push(9999)).contains("bins"));
        assert!(refused(|b| b.features[1].name = "x".to_owned()).contains("twice"));
        assert!(refused(|b| b.features[0].kind = Kind::Categorical).contains("another kind"));
        assert!(refused(|b| b.features[0].cells = b.features[1].cells.clone()).contains("kind"));
        assert!(
            refused(|b| {
                if let Cells::Numeric(cells) = &mut b.features[0].cells {
                    cells.edges.swap(0, 1);
                }
            })
            .contains("ascend")
        );
    }

    #[test]
    fn rules_change_with_what_counting_sees_and_with_nothing_else() {
        let baseline = sample();
        let mut other = baseline.clone();
        other.digest = "ff".to_owned();
        other.features[0].role = crate::feature::Role::Prediction;
        assert_eq!(other.rules_digest(), baseline.rules_digest());
        other.features[0].name = "y".to_owned();
        assert_ne!(other.rules_digest(), baseline.rules_digest());
        let mut other = baseline.clone();
        if let Cells::Numeric(cells) = &mut other.features[0].cells {
            cells.highest = cells.highest.next_up();
        }
        assert_ne!(other.rules_digest(), baseline.rules_digest());
        let mut other = baseline.clone();
        if let Cells::Categorical(cells) = &mut other.features[1].cells {
            cells.numbers = Some(Storage::F32);
        }
        assert_ne!(other.rules_digest(), baseline.rules_digest());
        let again = Baseline::from_json(other.to_json().as_bytes()).unwrap();
        assert_eq!(again.rules_digest(), other.rules_digest());
        // What has no numbers is written as earlier releases did.
        assert!(!baseline.to_json().contains("numbers"));
    }

    #[test]
    fn configuring_a_profile_changes_roles_but_not_kinds() {
        let overrides: Overrides =
            serde_json::from_str(r#"{"prediction":"x","ignore":["s","not_there"]}"#).unwrap();
        let mut baseline = sample();
        baseline.configure(&overrides).unwrap();
        assert_eq!(baseline.features.len(), 1);
        assert_eq!(baseline.features[0].role, crate::feature::Role::Prediction);
        assert_eq!(baseline.ignored[0].column, "s");
        let kind: Overrides =
            serde_json::from_str(r#"{"features":{"x":{"kind":"categorical"}}}"#).unwrap();
        let error = sample().configure(&kind).unwrap_err();
        assert!(error.to_string().contains("declared categorical"), "{error}");
    }

    #[test]
    fn types_in_a_profile_are_named_as_people_know_them() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert_eq!(dictionary.to_string(), "Dictionary(Int32, Utf8)");
        assert_eq!(DataType::Float32.to_string(), "Float32");
    }
}
