//! From sample records and a baseline's columns to where things are; a function of its arguments.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::baseline::Baseline;
use crate::cli::init::outputs;
use crate::cli::init::outputs::Outputs;
use crate::decode::TimeUnit;
use crate::feature::Role;

/// How deep in a record is looked.
const DEPTH: usize = 4;
/// Years 2000 to 2100, in seconds: what a number must be, in its unit, to be a time.
const SECONDS: std::ops::Range<f64> = 946_684_800.0..4_102_444_800.0;
const UNITS: [(TimeUnit, f64); 4] =
    [(TimeUnit::S, 1.0), (TimeUnit::Ms, 1e3), (TimeUnit::Us, 1e6), (TimeUnit::Ns, 1e9)];
const TIME_WORDS: [&str; 6] = ["ts", "time", "timestamp", "date", "datetime", "at"];
const MODEL_WORDS: [&str; 4] = ["model", "model_name", "model_id", "modelname"];

/// Rows, features, names and whether there are none: a `Place` without what was found there.
type Key = (Option<String>, String, Option<String>, bool);

/// One record of the sample.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) value: Value,
    /// Its Kafka time stamp, ms since the epoch, if there is one.
    pub(super) kafka_ms: Option<i64>,
}

/// Where the values of the features are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Array of rows, if a message carries several.
    pub(super) rows: Option<String>,
    /// Object or array of values, from the row or the record; empty for the row or record itself.
    pub(super) features: String,
    /// Pointer to the names of an array's values.
    pub(super) names: Option<String>,
    /// The values are an array without names: the columns' own order is taken.
    pub(super) unnamed: bool,
    /// Columns of the baseline that were found there.
    pub(super) found: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct EventTime {
    pub(super) pointer: String,
    pub(super) unit: TimeUnit,
    /// Text without an offset: the zone has to be said.
    pub(super) naive: bool,
    pub(super) example: String,
}

/// What the records look like, as far as they tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Proposal {
    pub(super) records: usize,
    pub(super) place: Place,
    pub(super) outputs: Outputs,
    pub(super) event_time: Option<EventTime>,
    /// Pointer to the model's name, and the names that were seen.
    pub(super) model: Option<(String, Vec<String>)>,
    /// Keys beside the features that match no column.
    pub(super) unmatched_keys: Vec<String>,
    /// Columns that no record carries.
    pub(super) unseen_columns: Vec<String>,
}

/// Looks at `records`; those that are no objects are passed over.
pub(super) fn infer(records: &[Record], baseline: &Baseline) -> Proposal {
    let columns: Vec<&str> = baseline.features.iter().map(|f| f.name.as_str()).collect();
    let records: Vec<&Record> = records.iter().filter(|record| record.value.is_object()).collect();
    let place = find_features(&records, &columns);
    let scalars = scalars(&records, &place);
    let event_time = find_time(&records, &scalars, &place);
    let outputs = outputs::find(&records, &scalars, &place, baseline);
    let model = find_model(&scalars);
    let is_output = |name: &str| {
        let role = baseline.features.iter().find(|feature| feature.name == name).map(|f| f.role);
        let is_answer = outputs.prediction.is_some() && role == Some(Role::Prediction);
        is_answer || outputs.names().any(|output| output == name)
    };
    let unseen = columns.iter().filter(|name| !place.found.contains(**name) && !is_output(name));
    let explained = [
        event_time.as_ref().map(|time| time.pointer.as_str()),
        outputs.prediction.as_deref(),
        outputs.confidence.as_deref(),
        model.as_ref().map(|(pointer, _)| pointer.as_str()),
        place.names.as_deref(),
    ];
    let unmatched = feature_keys(&records, &place).into_iter().filter(|key| {
        let pointer = format!("{}/{}", place.features, escape(key));
        !columns.contains(&key.as_str()) && !explained.contains(&Some(pointer.as_str()))
    });
    Proposal {
        records: records.len(),
        unseen_columns: unseen.map(|name| (*name).to_owned()).collect(),
        unmatched_keys: unmatched.collect(),
        outputs,
        event_time,
        model,
        place,
    }
}

/// A step of a JSON pointer.
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The place with the most columns; the shallower and simpler of two equal ones.
fn find_features(records: &[&Record], columns: &[&str]) -> Place {
    let mut votes: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
    let mut support: BTreeMap<Key, usize> = BTreeMap::new();
    for record in records {
        for place in places(&record.value, columns) {
            let key = (place.rows, place.features, place.names, place.unnamed);
            *support.entry(key.clone()).or_default() += place.found.len();
            votes.entry(key).or_default().extend(place.found);
        }
    }
    let depth =
        |key: &Key| key.1.matches('/').count() + key.0.as_deref().map_or(0, |rows| 1 + rows.len());
    let best = support.iter().max_by(|(a, count_a), (b, count_b)| {
        // Values without names only if nothing has a name.
        (!a.3, count_a).cmp(&(!b.3, count_b)).then_with(|| depth(b).cmp(&depth(a)))
    });
    let Some((key, _)) = best else { return Place::default() };
    let (rows, features, names, unnamed) = key.clone();
    Place { rows, features, names, unnamed, found: votes.remove(key).unwrap_or_default() }
}

/// Every place of one record that could hold the features.
fn places(record: &Value, columns: &[&str]) -> Vec<Place> {
    let mut found = Vec::new();
    let mut name_arrays = Vec::new();
    visit(record, "", 0, &mut |pointer, value| {
        if let Some(names) = strings(value).filter(|names| known(names, columns).len() > 1) {
            name_arrays.push((pointer.to_owned(), names));
        }
    });
    visit(record, "", 0, &mut |pointer, value| match value {
        Value::Object(_) => found.extend(object(None, pointer, value, columns)),
        Value::Array(items) => {
            let rows = Some(pointer.to_owned());
            match items.first() {
                Some(Value::Object(_)) => visit(&items[0], "", DEPTH - 2, &mut |inner, value| {
                    found.extend(object(rows.clone(), inner, value, columns));
                }),
                Some(Value::Array(row)) => {
                    found.extend(array(rows, "", row, &name_arrays, columns));
                }
                Some(_) => found.extend(array(None, pointer, items, &name_arrays, columns)),
                None => {}
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    });
    found
}

fn object(rows: Option<String>, pointer: &str, value: &Value, columns: &[&str]) -> Option<Place> {
    let keys = value.as_object()?.keys().map(String::as_str);
    let found: BTreeSet<String> =
        keys.filter(|key| columns.contains(key)).map(str::to_owned).collect();
    let features = pointer.to_owned();
    (!found.is_empty()).then(|| Place { rows, features, found, ..Place::default() })
}

fn array(
    rows: Option<String>,
    pointer: &str,
    items: &[Value],
    names: &[(String, Vec<String>)],
    columns: &[&str],
) -> Option<Place> {
    let features = pointer.to_owned();
    if let Some((at, names)) = names.iter().find(|(_, names)| names.len() == items.len()) {
        if at == pointer {
            return None;
        }
        let found = known(names, columns);
        return Some(Place { rows, features, names: Some(at.clone()), unnamed: false, found });
    }
    // As many numbers as columns, in the columns' order: a guess, and marked as one.
    let numbers = items.iter().all(|item| item.is_number() || item.is_null());
    let found = || columns.iter().map(|name| (*name).to_owned()).collect();
    (numbers && items.len() == columns.len() && items.len() > 1).then(|| Place {
        rows,
        features,
        names: None,
        unnamed: true,
        found: found(),
    })
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn known(names: &[String], columns: &[&str]) -> BTreeSet<String> {
    names.iter().filter(|name| columns.contains(&name.as_str())).cloned().collect()
}

fn visit(value: &Value, pointer: &str, depth: usize, with: &mut dyn FnMut(&str, &Value)) {
    with(pointer, value);
    let Value::Object(map) = value else { return };
    if depth < DEPTH {
        for (key, value) in map {
            visit(value, &format!("{pointer}/{}", escape(key)), depth + 1, with);
        }
    }
}

/// Scalars of all records by pointer, those among the features left out unless they are the record.
pub(super) fn scalars<'a>(
    records: &[&'a Record],
    place: &Place,
) -> BTreeMap<String, Vec<&'a Value>> {
    let mut all: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for record in records {
        let mut stack = vec![(String::new(), &record.value, 0)];
        while let Some((pointer, value, depth)) = stack.pop() {
            match value {
                Value::Object(map) if depth < DEPTH => {
                    let inside = !place.features.is_empty()
                        && place.rows.is_none()
                        && pointer == place.features;
                    if !inside {
                        stack.extend(map.iter().map(|(key, value)| {
                            (format!("{pointer}/{}", escape(key)), value, depth + 1)
                        }));
                    }
                }
                Value::String(_) | Value::Number(_) => all.entry(pointer).or_default().push(value),
                Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Null => {}
            }
        }
    }
    all
}

/// The name at the end of a pointer, in small letters.
pub(super) fn last(pointer: &str) -> String {
    pointer.rsplit('/').next().unwrap_or_default().to_lowercase()
}

/// The scalar that is a time in every record; a name that says so first, then the one nearest to
/// the Kafka time stamps.
fn find_time(
    records: &[&Record],
    scalars: &BTreeMap<String, Vec<&Value>>,
    place: &Place,
) -> Option<EventTime> {
    let kafka = records.iter().find_map(|record| record.kafka_ms);
    let mut best: Option<((bool, f64), EventTime)> = None;
    for (pointer, values) in scalars.iter().filter(|(_, values)| values.len() == records.len()) {
        let name = last(pointer);
        let named = name.split(['_', '-', '.']).any(|word| TIME_WORDS.contains(&word))
            || name.ends_with("time")
            || name.ends_with("timestamp");
        let is_feature = place.features.is_empty() && place.found.contains(&name);
        let Some((unit, naive, first_ms)) = time_unit(values) else { continue };
        // A number without a telling name may be anything.
        if !named && (is_feature || values[0].is_number()) {
            continue;
        }
        let off = kafka.map_or(0.0, |kafka| (first_ms - kafka as f64).abs());
        let rank = (!named, off);
        if best.as_ref().is_none_or(|(other, _)| rank < *other) {
            let example = values[0].as_str().map_or_else(|| values[0].to_string(), str::to_owned);
            best = Some((rank, EventTime { pointer: pointer.clone(), unit, naive, example }));
        }
    }
    best.map(|(_, time)| time)
}

/// The one unit in which all values are times, whether they lack an offset, and the first in ms.
fn time_unit(values: &[&Value]) -> Option<(TimeUnit, bool, f64)> {
    if let Some(first) = values.first()?.as_str() {
        let zoned =
            values.iter().all(|v| v.as_str().is_some_and(|t| t.parse::<Timestamp>().is_ok()));
        if zoned {
            let ms = first.parse::<Timestamp>().ok()?.as_millisecond();
            return Some((TimeUnit::Rfc3339, false, ms as f64));
        }
        let civil = |text: &str| text.parse::<jiff::civil::DateTime>().ok();
        let naive =
            values.iter().all(|v| v.as_str().is_some_and(|t| t.len() >= 19 && civil(t).is_some()));
        let at = civil(first)?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        return naive.then(|| (TimeUnit::Rfc3339, true, at.timestamp().as_millisecond() as f64));
    }
    UNITS.into_iter().find_map(|(unit, per_second)| {
        let fits = |value: &&Value| {
            value.as_f64().is_some_and(|number| SECONDS.contains(&(number / per_second)))
        };
        let first = values.first()?.as_f64()?;
        values.iter().all(fits).then(|| (unit, false, first / per_second * 1e3))
    })
}

fn find_model(scalars: &BTreeMap<String, Vec<&Value>>) -> Option<(String, Vec<String>)> {
    let named = |pointer: &str| MODEL_WORDS.contains(&last(pointer).as_str());
    let (pointer, values) = scalars
        .iter()
        .find(|(pointer, values)| named(pointer) && values.iter().all(|v| v.is_string()))?;
    let names: BTreeSet<&str> = values.iter().filter_map(|value| value.as_str()).collect();
    Some((pointer.clone(), names.into_iter().map(str::to_owned).collect()))
}

/// Keys of the object that holds the features, over all records.
fn feature_keys(records: &[&Record], place: &Place) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for record in records {
        let base = match &place.rows {
            Some(rows) => record.value.pointer(rows).and_then(|rows| rows.get(0)),
            None => Some(&record.value),
        };
        let object = base.and_then(|base| base.pointer(&place.features)).and_then(Value::as_object);
        let scalar = |value: &Value| !value.is_object() && !value.is_array();
        let entries = object.into_iter().flatten().filter(|(_, value)| scalar(value));
        keys.extend(entries.map(|(key, _)| key.clone()));
    }
    keys
}
