//! What a record must become, said plainly on a tree of serde_json's: no speed, no reuse.

use driftd::decode::{FeatureNames, Fields, Message, Options, Pointer, Reason, TimeUnit};
use driftd::feature::{Feature, Role};
use jiff::tz::TimeZone;

use super::json_tree::{Parsed, Tree, depth, parse};
use super::json_twice::Maybe;
use super::json_value::{
    Cell, canonical, cell, from_float, from_text, imprecise_integers, integer,
};

/// Containers may be nested this deep. serde_json follows twice as far.
const MAX_DEPTH: usize = 64;
/// The years 2000 to 9999 in ms: nothing else is a time of a record.
const TIMES: std::ops::RangeInclusive<i128> = 946_684_800_000..=253_402_300_799_999;

/// One model's configuration.
pub struct Model<'a> {
    pub name: &'a str,
    pub fields: &'a Fields,
    pub options: &'a Options,
    pub features: &'a [Feature],
}

/// What one record must become.
#[derive(Debug, Default)]
pub struct Expected {
    pub rows: Vec<Row>,
    pub rejects: Vec<Refused>,
    pub other_model: bool,
    /// A key that is looked for comes twice where it is looked for. If only other keys do, or
    /// features do that are not taken in the end, either answer is right.
    pub duplicate: Maybe,
    /// Integers beyond 2^53 that were taken, and all that the record has.
    pub imprecise: (u64, u64),
}

#[derive(Debug)]
pub struct Row {
    pub event_ms: i64,
    pub cells: Vec<Cell>,
}

#[derive(Debug)]
pub struct Refused {
    /// One of these.
    pub reasons: &'static [Reason],
    /// Which of the record's rows, where it has several.
    pub row: Option<usize>,
}

type Names = Vec<Option<usize>>;

impl Expected {
    fn refused(reasons: &'static [Reason]) -> Self {
        Self { rejects: vec![Refused { reasons, row: None }], ..Self::default() }
    }
}

impl Model<'_> {
    /// `None` where the model has no say.
    pub fn expect(&self, message: &Message<'_>) -> Option<Expected> {
        let Some(payload) = message.payload else {
            return Some(Expected::refused(&[Reason::NullValue]));
        };
        if payload.is_empty() {
            return Some(Expected::refused(&[Reason::Empty]));
        }
        if payload.len() > self.options.max_record_bytes {
            return Some(Expected::refused(&[Reason::TooLarge]));
        }
        let Ok(text) = std::str::from_utf8(payload) else {
            return Some(Expected::refused(&[Reason::Malformed]));
        };
        let too_deep = depth(text) > MAX_DEPTH;
        match parse(text, self.options.json.allow_nan) {
            Parsed::Unknown => None,
            // Which fault comes first is not the model's business.
            Parsed::No if too_deep => {
                Some(Expected::refused(&[Reason::Malformed, Reason::TooDeep]))
            }
            Parsed::No => Some(Expected::refused(&[Reason::Malformed])),
            Parsed::Json(_) if too_deep => Some(Expected::refused(&[Reason::TooDeep])),
            // A known difference: where a feature is called `features`, one pass has forgotten what
            // stood before the last of several keys of that name.
            Parsed::Json(tree)
                if self.index("features").is_some() && tree.has_twice("features") =>
            {
                None
            }
            Parsed::Json(tree) => Some(self.expect_json(message, &tree)),
        }
    }

    fn expect_json(&self, message: &Message<'_>, tree: &Tree) -> Expected {
        let mut expected = Expected::default();
        if !self.is_ours(tree) {
            expected.other_model = true;
            return expected;
        }
        let refused = |expected: Expected, reasons| Expected {
            rejects: vec![Refused { reasons, row: None }],
            ..expected
        };
        let event_ms = self.event_ms(message, tree);
        expected.duplicate = self.duplicate(tree, event_ms.is_ok());
        let event_ms = match event_ms {
            Ok(event_ms) => event_ms,
            Err(reasons) => return refused(expected, reasons),
        };
        let all = imprecise_integers(tree);
        let Some(rows) = &self.fields.rows else {
            match self.names(tree).and_then(|names| self.row(tree, names.as_ref())) {
                Ok(row) => self.take(&mut expected, row, event_ms, all),
                Err(NoFeatures) => return refused(expected, &[Reason::NoFeatures]),
            }
            return expected;
        };
        let Some(Tree::Array(rows)) = tree.pointer(rows.as_str()) else {
            return refused(expected, &[Reason::NoFeatures]);
        };
        let Ok(names) = self.names(tree) else {
            return refused(expected, &[Reason::NoFeatures]);
        };
        for (index, row) in rows.iter().enumerate() {
            let cells = match (row, &names) {
                (Tree::Array(items), Some(names)) => Ok(self.positional(items, names)),
                (Tree::Object(_), _) => self.row(row, names.as_ref()),
                _ => Err(NoFeatures),
            };
            match cells {
                Ok(cells) => self.take(&mut expected, cells, event_ms, imprecise_integers(row)),
                Err(NoFeatures) => {
                    let reasons = &[Reason::NoFeatures];
                    expected.rejects.push(Refused { reasons, row: Some(index) });
                }
            }
        }
        expected
    }

    fn take(&self, expected: &mut Expected, row: Vec<(Cell, bool)>, event_ms: i64, all: u64) {
        let used = row.iter().filter(|(_, imprecise)| *imprecise).count() as u64;
        // What is the prediction and a feature by name, too, is read twice.
        let again = if self.reads_prediction_twice() { 2 } else { 1 };
        expected.imprecise.0 += used;
        expected.imprecise.1 += again * all;
        let cells = row.into_iter().map(|(cell, _)| cell).collect();
        expected.rows.push(Row { event_ms, cells });
    }

    fn reads_prediction_twice(&self) -> bool {
        let last = self.prediction().rsplit('/').next().unwrap_or_default();
        self.index(last).is_some() || last.parse::<usize>().is_ok()
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name == name)
    }

    pub fn prediction(&self) -> &str {
        self.fields.prediction.as_ref().map_or("/prediction", Pointer::as_str)
    }

    fn is_ours(&self, tree: &Tree) -> bool {
        let is = |pointer: &Pointer, wanted: &str| {
            let scalar = tree.pointer(pointer.as_str()).and_then(canonical);
            scalar.is_some_and(|scalar| scalar == wanted)
        };
        self.fields.model.as_ref().is_none_or(|pointer| is(pointer, self.name))
            && self.fields.filter.as_ref().is_none_or(|filter| {
                let equals = serde_json::to_value(&filter.equals).expect("a scalar is a string");
                is(&filter.pointer, equals.as_str().expect("a scalar is a string"))
            })
    }

    fn event_ms(&self, message: &Message<'_>, tree: &Tree) -> Result<i64, &'static [Reason]> {
        let bad: &[Reason] = &[Reason::BadTime];
        let in_time = |ms: i128| if TIMES.contains(&ms) { i64::try_from(ms).ok() } else { None };
        let Some(field) = &self.fields.event_time else {
            return in_time(message.timestamp_ms.into()).ok_or(bad);
        };
        let Some(value) = tree.pointer(field.pointer.as_str()) else {
            return Err(if tree.is_object() { bad } else { &[Reason::NoFeatures] });
        };
        let ms = match value {
            Tree::Number(number) if !number.is_word() => match integer(number) {
                Some(integer) => match field.unit {
                    TimeUnit::S => integer.checked_mul(1000),
                    TimeUnit::Ms => Some(integer),
                    TimeUnit::Us => Some(integer.div_euclid(1000)),
                    TimeUnit::Ns => Some(integer.div_euclid(1_000_000)),
                    TimeUnit::Rfc3339 => None,
                },
                None => from_float(number.value(), field.unit),
            },
            Tree::Text(text) if field.unit == TimeUnit::Rfc3339 => {
                let zone = field.time_zone.clone().map(String::from);
                let zone = zone.map(|zone| TimeZone::get(&zone).expect("checked by `Zone`"));
                from_text(text, zone.as_ref())
            }
            _ => None,
        };
        ms.and_then(in_time).ok_or(bad)
    }

    /// The names of values that come as an array, as features.
    pub fn names(&self, tree: &Tree) -> Result<Option<Names>, NoFeatures> {
        match &self.fields.feature_names {
            None => Ok(None),
            Some(FeatureNames::List(list)) => {
                Ok(Some(list.iter().map(|name| self.index(name)).collect()))
            }
            Some(FeatureNames::At(pointer)) => match tree.pointer(pointer.as_str()) {
                None => Ok(None),
                Some(Tree::Array(items)) => {
                    let name = |item: &Tree| match item {
                        Tree::Text(name) => Ok(self.index(name)),
                        _ => Err(NoFeatures),
                    };
                    items.iter().map(name).collect::<Result<_, _>>().map(Some)
                }
                Some(_) => Err(NoFeatures),
            },
        }
    }

    /// Every feature's value in a record or row, and whether it is an integer that lost digits.
    fn row(&self, tree: &Tree, names: Option<&Names>) -> Result<Vec<(Cell, bool)>, NoFeatures> {
        let declared = self.fields.features.as_ref().map(Pointer::as_str);
        let mut cells = match (tree.pointer(declared.unwrap_or("/features")), declared) {
            (Some(object @ Tree::Object(_)), _) => self.by_name(object),
            (Some(Tree::Array(items)), _) => self.positional(items, names.ok_or(NoFeatures)?),
            // A flat record may have a feature of that name.
            (Some(_), None) if self.index("features").is_some() => self.by_name(tree),
            (None, None) if tree.is_object() => self.by_name(tree),
            (Some(_) | None, _) => return Err(NoFeatures),
        };
        let feature = self.features.iter().position(|f| f.role == Role::Prediction);
        if let (Some(feature), Some(value)) = (feature, tree.pointer(self.prediction())) {
            cells[feature] = cell(&self.features[feature], value);
        }
        Ok(cells)
    }

    fn by_name(&self, object: &Tree) -> Vec<(Cell, bool)> {
        let value = |f: &Feature| match object.get(&f.name) {
            Some(value) => cell(f, value),
            None => (Cell::Missing, false),
        };
        self.features.iter().map(value).collect()
    }

    /// Of several values for one feature the last is taken.
    fn positional(&self, items: &[Tree], names: &Names) -> Vec<(Cell, bool)> {
        let mut cells = vec![(Cell::Missing, false); self.features.len()];
        for (item, feature) in items.iter().zip(names) {
            if let Some(feature) = *feature {
                cells[feature] = cell(&self.features[feature], item);
            }
        }
        cells
    }
}

/// No features where the configuration says.
pub struct NoFeatures;
