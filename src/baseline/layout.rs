//! Which columns of a file are features, of what kind and role, and which one is the time.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::baseline::{Convention, FeatureOverride, Ignored, Overrides, Unusable};
use crate::feature::{Kind, Role};

/// What is written in place of a name where no column says when a row happened.
pub const NO_TIME_COLUMN: &str = "none";
/// Names under which a column of any type is taken for the row's time, most telling first.
const TIME_NAMES: [&str; 8] = [
    "event_time",
    "event_timestamp",
    "timestamp",
    "ts",
    "event_ts",
    "datetime",
    "created_at",
    "event_date",
];
/// Names that decide only between columns whose type is a date or time already.
const WEAK_TIME_NAMES: [&str; 2] = ["time", "date"];
/// The name of the prediction column when the configuration names none.
const PREDICTION: &str = "prediction";

/// The schema of a file, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Source {
    /// Top-level columns in the file's order.
    pub columns: Vec<(String, DataType)>,
    /// Columns that pandas wrote as its index, from the file's `pandas` metadata.
    pub pandas_index: BTreeSet<String>,
}

/// What will be done with every column.
#[derive(Clone, Debug)]
pub struct Layout {
    pub columns: Vec<Planned>,
    pub ignored: Vec<Ignored>,
    pub time_column: Option<String>,
}

/// A column that is a feature, before its values are looked at.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Position among the file's top-level columns.
    pub index: usize,
    pub name: String,
    pub role: Role,
    pub kind: Kind,
    pub data_type: DataType,
    /// The configuration named the kind, so that identifiers count as categories.
    pub declared: bool,
    /// Known from the type alone: the column need not be read.
    pub unusable: Option<Unusable>,
    /// Whose conventions its scores will follow: cells get the edges for it.
    pub convention: Convention,
    /// Closed ranges of values whose ends are to be edges of cells.
    pub ranges: Vec<[Option<f64>; 2]>,
}

/// The columns do not fit the configuration, or each other.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum LayoutError {
    #[error("no column `{column}`, which the configuration names{hint}")]
    UnknownColumn { column: String, hint: String },
    #[error(
        "column `{column}` is declared {declared} but holds {column_type}; \
         remove its `kind` or name another column"
    )]
    WrongKind { column: String, declared: String, column_type: String },
    #[error("column `{column}` appears twice; write the file again with distinct names")]
    DuplicateColumn { column: String },
    #[error(
        "the profile has its times from {built}, and `time_column` names `{column}`; build it again from \
         the data with `driftd baseline build --time-column {column}`"
    )]
    OtherTime { column: String, built: String },
    #[error(
        "`{column}` was counted for profile {built}, and its cells cannot give the numbers of \
         {wanted}; build the baseline's profile again from the data with `--profile {wanted}`"
    )]
    WrongConvention { column: String, built: String, wanted: String },
}

impl LayoutError {
    pub fn column(&self) -> &str {
        match self {
            LayoutError::UnknownColumn { column, .. }
            | LayoutError::WrongKind { column, .. }
            | LayoutError::DuplicateColumn { column }
            | LayoutError::OtherTime { column, .. }
            | LayoutError::WrongConvention { column, .. } => column,
        }
    }
}

impl Layout {
    /// Decides from names, types and configuration; no value is looked at.
    pub fn new(source: &Source, overrides: &Overrides) -> Result<Self, LayoutError> {
        check_names(source, overrides)?;
        let time_column = match overrides.time_column.as_deref() {
            Some(NO_TIME_COLUMN) => None,
            Some(wanted) => Some(wanted.to_owned()),
            None => find_time(source, overrides),
        };
        let mut layout = Layout { columns: Vec::new(), ignored: Vec::new(), time_column };
        for (index, (name, data_type)) in source.columns.iter().enumerate() {
            if let Some(reason) = ignored_because(name, source, overrides) {
                layout.ignored.push(Ignored { column: name.clone(), reason: reason.to_owned() });
                continue;
            }
            let is_time = layout.time_column.as_deref() == Some(name);
            layout.columns.push(plan(index, name, data_type, overrides, is_time)?);
        }
        Ok(layout)
    }
}

/// The role of a column: what the configuration says, else by name.
pub(super) fn role_of(name: &str, overrides: &Overrides) -> Role {
    let declared = overrides.features.get(name).and_then(|o| o.role);
    declared.unwrap_or_else(|| match overrides.prediction.as_deref() {
        Some(prediction) if prediction == name => Role::Prediction,
        None if name == PREDICTION => Role::Prediction,
        _ if is_confidence(name, overrides) => Role::Confidence,
        Some(_) | None => Role::Feature,
    })
}

/// How sure the model was, by the column's name: only where it is asked for, for it may be an input.
pub(super) fn is_confidence(name: &str, overrides: &Overrides) -> bool {
    let is_one = |over: &FeatureOverride| over.role == Some(Role::Confidence);
    overrides.watch_confidence
        && name == Role::Confidence.as_str()
        && !overrides.features.values().any(is_one)
}

/// Fails if the configuration names a column that is not among `names`.
pub(super) fn check_configured(names: &[&str], overrides: &Overrides) -> Result<(), LayoutError> {
    for wanted in overrides.features.keys().chain(&overrides.prediction) {
        check_known(names, wanted)?;
    }
    Ok(())
}

fn check_known(names: &[&str], wanted: &str) -> Result<(), LayoutError> {
    if names.contains(&wanted) {
        return Ok(());
    }
    let near = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, wanted), name))
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
        .min();
    let hint = match near {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None => format!("; it has: {}", names[..names.len().min(8)].join(", ")),
    };
    Err(LayoutError::UnknownColumn { column: wanted.to_owned(), hint })
}

fn check_names(source: &Source, overrides: &Overrides) -> Result<(), LayoutError> {
    let mut seen = BTreeSet::new();
    for (name, _) in &source.columns {
        if !seen.insert(name) {
            return Err(LayoutError::DuplicateColumn { column: name.clone() });
        }
    }
    let names: Vec<&str> = source.columns.iter().map(|(name, _)| name.as_str()).collect();
    let time_column = overrides.time_column.as_deref().filter(|wanted| *wanted != NO_TIME_COLUMN);
    time_column.map_or(Ok(()), |wanted| check_known(&names, wanted))?;
    check_configured(&names, overrides)
}

fn ignored_because(name: &str, source: &Source, overrides: &Overrides) -> Option<&'static str> {
    if overrides.ignore.contains(name) {
        return Some("ignored by the configuration");
    }
    if overrides.features.contains_key(name) {
        return None;
    }
    let is_index = name.starts_with("__index_level_") || source.pandas_index.contains(name);
    is_index.then_some("pandas' index, not a feature")
}

fn plan(
    index: usize,
    name: &str,
    data_type: &DataType,
    overrides: &Overrides,
    is_time: bool,
) -> Result<Planned, LayoutError> {
    let configured = overrides.features.get(name).copied().unwrap_or_default();
    let (kind, unusable) = kind_of(name, data_type, configured, is_time)?;
    Ok(Planned {
        index,
        name: name.to_owned(),
        role: role_of(name, overrides),
        kind,
        data_type: data_type.clone(),
        declared: configured.kind.is_some(),
        unusable,
        convention: overrides.convention.unwrap_or_default(),
        ranges: overrides.ranges.get(name).cloned().unwrap_or_default(),
    })
}

fn kind_of(
    name: &str,
    data_type: &DataType,
    configured: FeatureOverride,
    is_time: bool,
) -> Result<(Kind, Option<Unusable>), LayoutError> {
    let natural = Class::of(data_type);
    let wrong = |declared: &str| LayoutError::WrongKind {
        column: name.to_owned(),
        declared: declared.to_owned(),
        column_type: data_type.to_string(),
    };
    match (natural, configured.kind) {
        (Class::Number, None) if is_time => Ok((Kind::Numeric, Some(Unusable::Time))),
        (Class::Text, None) if is_time => Ok((Kind::Categorical, Some(Unusable::Time))),
        (Class::Number, kind) => Ok((kind.unwrap_or(Kind::Numeric), None)),
        (Class::NumberDictionary, kind) => Ok((kind.unwrap_or(Kind::Categorical), None)),
        (Class::Boolean, kind) => Ok((kind.unwrap_or(Kind::Categorical), None)),
        (Class::Text, None | Some(Kind::Categorical)) => Ok((Kind::Categorical, None)),
        (Class::Null, kind) => Ok((kind.unwrap_or(Kind::Categorical), Some(Unusable::AllNull))),
        (Class::Time, None) => Ok((Kind::Categorical, Some(Unusable::Time))),
        (Class::Other, None) => Ok((Kind::Categorical, Some(Unusable::UnsupportedType))),
        (Class::Text | Class::Time | Class::Other, Some(Kind::Numeric)) => Err(wrong("numeric")),
        (Class::Time | Class::Other, Some(Kind::Categorical)) => Err(wrong("categorical")),
    }
}

/// What a type is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Number,
    /// A dictionary of numbers: pandas' category of ints.
    NumberDictionary,
    Boolean,
    Text,
    Time,
    Null,
    Other,
}

impl Class {
    pub(super) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Dictionary(_, values) => match Class::of(values) {
                Class::Number => Class::NumberDictionary,
                class => class,
            },
            DataType::Boolean => Class::Boolean,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Class::Text,
            DataType::Null => Class::Null,
            DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Duration(_) => Class::Time,
            numeric if numeric.is_numeric() => Class::Number,
            _ => Class::Other,
        }
    }
}

/// The column of the most telling name, whatever its type; else the only date or time stamp, and among several
/// of these one of a weaker name. What is something else to the model is not when a row happened, and what is
/// ignored is that only where nothing else is and its name tells.
fn find_time(source: &Source, overrides: &Overrides) -> Option<String> {
    let is_moment = |data_type: &DataType| {
        matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
    };
    let may_tell = |(name, data_type): &&(String, DataType)| {
        let is_plain = role_of(name, overrides) == Role::Feature;
        let tells = matches!(Class::of(data_type), Class::Number | Class::Text);
        is_plain && !overrides.features.contains_key(name) && (tells || is_moment(data_type))
    };
    let (ignored, others): (Vec<_>, Vec<_>) = source
        .columns
        .iter()
        .filter(may_tell)
        .partition(|(name, _)| overrides.ignore.contains(name));
    let moments: Vec<_> = others.iter().filter(|(_, t)| is_moment(t)).copied().collect();
    let by_type = || match moments.as_slice() {
        [(only, _)] => Some(only.clone()),
        several => most_telling(several, &WEAK_TIME_NAMES),
    };
    most_telling(&others, &TIME_NAMES)
        .or_else(by_type)
        .or_else(|| most_telling(&ignored, &TIME_NAMES))
}

fn most_telling(columns: &[&(String, DataType)], names: &[&str]) -> Option<String> {
    let rank = |column: &str| names.iter().position(|name| name.eq_ignore_ascii_case(column));
    let ranked = columns.iter().filter_map(|(column, _)| Some((rank(column)?, column)));
    ranked.min().map(|(_, column)| column.clone())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn source(columns: &[(&str, DataType)]) -> Source {
        Source {
            columns: columns.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect(),
            pandas_index: BTreeSet::new(),
        }
    }

    fn stamp() -> DataType {
        DataType::Timestamp(TimeUnit::Nanosecond, None)
    }

    fn overrides(json: &str) -> Overrides {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_only_time_stamp_is_the_time_whatever_its_name() {
        let layout = Layout::new(
            &source(&[("x", DataType::Float64), ("when", stamp()), ("time", DataType::Int64)]),
            &Overrides::default(),
        )
        .unwrap();
        assert_eq!(layout.time_column.as_deref(), Some("when"));
        assert_eq!(layout.columns[1].unusable, Some(Unusable::Time));
        assert_eq!(layout.columns[2].unusable, None, "`time` alone is no proof");
    }

    #[test]
    fn among_several_time_stamps_the_name_decides() {
        let columns = [("seen", stamp()), ("date", DataType::Date32), ("TS", stamp())];
        let layout = Layout::new(&source(&columns), &Overrides::default()).unwrap();
        assert_eq!(layout.time_column.as_deref(), Some("TS"));
    }

    #[test]
    fn an_integer_named_ts_is_the_time_unless_declared_a_feature() {
        let columns = source(&[("ts", DataType::Int64)]);
        let layout = Layout::new(&columns, &Overrides::default()).unwrap();
        assert_eq!(layout.columns[0].unusable, Some(Unusable::Time));
        let declared = overrides(r#"{"features":{"ts":{"kind":"numeric"}}}"#);
        let layout = Layout::new(&columns, &declared).unwrap();
        assert_eq!((layout.columns[0].unusable, layout.time_column), (None, None));
    }

    #[test]
    fn a_telling_name_of_any_type_goes_before_the_only_date() {
        let columns = source(&[
            ("event_time", DataType::Int64),
            ("birth_date", DataType::Date32),
            ("x", DataType::Float64),
        ]);
        let time = |json: &str| Layout::new(&columns, &overrides(json)).unwrap().time_column;
        let (event, birth) = (Some("event_time".to_owned()), Some("birth_date".to_owned()));
        assert_eq!(time("{}"), event);
        assert_eq!(time(r#"{"features": {"event_time": {"kind": "numeric"}}}"#), birth);
        // What is no feature may be the time all the same, but only if it says so.
        assert_eq!(time(r#"{"ignore": ["birth_date"]}"#), event);
        assert_eq!(time(r#"{"ignore": ["event_time", "birth_date"]}"#), event);
        assert_eq!(time(r#"{"ignore": ["event_time"]}"#), birth);
        let lone = source(&[("birth_date", DataType::Date32), ("x", DataType::Float64)]);
        let of_lone = |json: &str| Layout::new(&lone, &overrides(json)).unwrap().time_column;
        assert_eq!(of_lone("{}"), birth);
        assert_eq!(of_lone(r#"{"ignore": ["birth_date"]}"#), None);
        assert_eq!(of_lone(r#"{"features": {"birth_date": {"role": "label"}}}"#), None);
    }

    #[test]
    fn the_configured_column_is_the_time_and_none_is_none() {
        let columns = source(&[("ts", stamp()), ("when", DataType::Int64)]);
        let layout = |json: &str| Layout::new(&columns, &overrides(json));
        let when = layout(r#"{"time_column": "when", "ignore": ["when"]}"#).unwrap();
        assert_eq!(when.time_column.as_deref(), Some("when"));
        let none = layout(r#"{"time_column": "none"}"#).unwrap();
        assert_eq!((none.time_column, none.columns[1].unusable), (None, None));
        assert_eq!(none.columns[0].unusable, Some(Unusable::Time), "a date is no feature");
        let error = layout(r#"{"time_column": "whne"}"#).unwrap_err().to_string();
        assert!(error.contains("no column `whne`") && error.contains("did you mean `when`?"));
    }

    #[test]
    fn pandas_index_is_ignored_and_said() {
        let mut file = source(&[("__index_level_0__", DataType::Int64), ("row", DataType::Int64)]);
        file.pandas_index.insert("row".to_owned());
        let layout = Layout::new(&file, &Overrides::default()).unwrap();
        assert!(layout.columns.is_empty());
        assert_eq!(layout.ignored.len(), 2);
    }

    #[test]
    fn a_column_named_confidence_is_one_only_where_that_is_watched() {
        let columns = source(&[("confidence", DataType::Float64), ("sure", DataType::Float64)]);
        let roles = |json| {
            let layout = Layout::new(&columns, &overrides(json)).unwrap();
            layout.columns.iter().map(|column| column.role).collect::<Vec<_>>()
        };
        let (feature, confidence) = (Role::Feature, Role::Confidence);
        assert_eq!(roles("{}"), [feature, feature]);
        assert_eq!(roles(r#"{"watch_confidence":true}"#), [confidence, feature]);
        let other = r#"{"watch_confidence":true,"features":{"sure":{"role":"confidence"}}}"#;
        assert_eq!(roles(other), [feature, confidence]);
    }

    #[test]
    fn the_prediction_has_its_role_by_name_or_by_configuration() {
        let columns = source(&[("prediction", DataType::Float64), ("score", DataType::Float64)]);
        let roles = |o: &Overrides| {
            Layout::new(&columns, o).unwrap().columns.iter().map(|c| c.role).collect::<Vec<_>>()
        };
        assert_eq!(roles(&Overrides::default()), [Role::Prediction, Role::Feature]);
        assert_eq!(
            roles(&overrides(r#"{"prediction":"score"}"#)),
            [Role::Feature, Role::Prediction]
        );
    }

    #[test]
    fn a_configured_column_that_is_not_there_gets_a_suggestion() {
        let columns = source(&[("amount", DataType::Float64)]);
        let error = Layout::new(&columns, &overrides(r#"{"features":{"amuont":{}}}"#)).unwrap_err();
        assert!(error.to_string().contains("did you mean `amount`?"), "{error}");
        let error = Layout::new(&columns, &overrides(r#"{"prediction":"zzz"}"#)).unwrap_err();
        assert!(error.to_string().contains("it has: amount"), "{error}");
    }

    #[test]
    fn text_declared_numeric_is_refused_with_its_type() {
        let columns = source(&[("city", DataType::Utf8)]);
        let declared = overrides(r#"{"features":{"city":{"kind":"numeric"}}}"#);
        let error = Layout::new(&columns, &declared).unwrap_err();
        assert!(error.to_string().contains("`city` is declared numeric but holds Utf8"), "{error}");
    }

    #[test]
    fn a_name_that_appears_twice_is_refused() {
        let columns = source(&[("x", DataType::Utf8), ("x", DataType::Int8)]);
        let error = Layout::new(&columns, &Overrides::default()).unwrap_err();
        assert_eq!(error, LayoutError::DuplicateColumn { column: "x".to_owned() });
    }
}
