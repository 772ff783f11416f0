//! What a JSON value is as a feature, as a category and as a time.

use driftd::decode::TimeUnit;
use driftd::feature::{Feature, Kind, canonical_boolean, canonical_number};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::json_tree::{Number, Tree};

/// Doubles hold every integer up to here.
const EXACT: i128 = 1 << 53;

/// A feature's value in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Missing,
    Null,
    TypeError,
    Number(f64),
    Text(String),
}

/// A value as one of `feature`, and whether it is an integer that a double may not hold.
pub fn cell(feature: &Feature, value: &Tree) -> (Cell, bool) {
    let cell = match (feature.kind, value) {
        (_, Tree::Null) => Cell::Null,
        (Kind::Numeric, Tree::Number(number)) => {
            return (Cell::Number(number.value()), is_imprecise(number));
        }
        (Kind::Numeric, Tree::Bool(value)) if feature.boolean => {
            Cell::Number(if *value { 1.0 } else { 0.0 })
        }
        // What pandas, too, calls missing.
        (Kind::Categorical, Tree::Number(number)) if number.0 == "NaN" => Cell::Null,
        (Kind::Categorical, value) => canonical(value).map_or(Cell::TypeError, Cell::Text),
        (Kind::Numeric, _) => Cell::TypeError,
    };
    (cell, false)
}

/// The canonical string of a scalar: `3`, `3.0`, `30e-1` and `"3"` are one.
pub fn canonical(value: &Tree) -> Option<String> {
    match value {
        Tree::Text(text) => Some(text.clone()),
        Tree::Bool(value) => Some(canonical_boolean(*value).to_owned()),
        Tree::Number(number) => match integer(number) {
            Some(integer) => Some(integer.to_string()),
            None => Some(number.value()).filter(|value| value.is_finite()).map(|value| {
                let mut text = String::new();
                canonical_number(value, &mut text);
                text
            }),
        },
        Tree::Null | Tree::Array(_) | Tree::Object(_) => None,
    }
}

/// What is written as an integer, while it fits 64 bits. Below -2^63 19 digits are still exact,
/// where serde_json makes a double of them: a category keeps its digits.
pub fn integer(number: &Number) -> Option<i128> {
    let digits = number.0.trim_start_matches('-').len();
    match () {
        () if number.is_word() || !number.is_whole() => None,
        () if digits <= 19 => number.0.parse().ok(),
        () => number.0.parse::<u64>().ok().map(i128::from),
    }
}

fn is_imprecise(number: &Number) -> bool {
    // Beyond 128 bits it does not parse.
    number.is_whole() && !number.0.parse::<i128>().is_ok_and(|n| n.abs() <= EXACT)
}

pub fn imprecise_integers(tree: &Tree) -> u64 {
    match tree {
        Tree::Number(number) => u64::from(is_imprecise(number)),
        Tree::Array(items) => items.iter().map(imprecise_integers).sum(),
        Tree::Object(entries) => entries.iter().map(|(_, value)| imprecise_integers(value)).sum(),
        Tree::Null | Tree::Bool(_) | Tree::Text(_) => 0,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, and is checked after")]
pub fn from_float(number: f64, unit: TimeUnit) -> Option<i128> {
    let ms = match unit {
        TimeUnit::S => number * 1e3,
        TimeUnit::Ms => number,
        TimeUnit::Us => number / 1e3,
        TimeUnit::Ns => number / 1e6,
        TimeUnit::Rfc3339 => return None,
    };
    Some(ms.floor() as i128)
}

pub fn from_text(text: &str, zone: Option<&TimeZone>) -> Option<i128> {
    let timestamp = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| zone?.to_timestamp(text.parse::<DateTime>().ok()?).ok())?;
    Some(timestamp.as_millisecond().into())
}
