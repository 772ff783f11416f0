//! The words every stage shares: a feature, its role and kind, and a column of its live values.

use std::fmt::Write as _;

use arrow::array::ArrayRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a column of the record is to the model.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An input of the model.
    #[default]
    Feature,
    /// What the model answered.
    Prediction,
    /// How sure the model was.
    Confidence,
    /// What was true, known later.
    Label,
    /// How long the model took.
    Latency,
}

impl Role {
    /// What comes out of the model: each has a test of its own, where one is asked for.
    pub const OUTPUTS: [Role; 2] = [Role::Prediction, Role::Confidence];

    /// Also the name that a column, and a key of a record, has by itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Feature => "feature",
            Role::Prediction => "prediction",
            Role::Confidence => "confidence",
            Role::Label => "label",
            Role::Latency => "latency",
        }
    }
}

/// How a feature's values are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Into cells between edges.
    Numeric,
    /// Into one cell per category.
    Categorical,
}

/// One feature as decoders and counters see it; its index in the model's list is its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: String,
    pub role: Role,
    pub kind: Kind,
    /// The reference has two values, `true` and `false` or 1 and 0: live booleans and 1/0 are the same.
    pub boolean: bool,
}

/// Why a row has no value that could be counted, where the array alone (a null) does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The record has no such key.
    Missing,
    /// A value of a type that the feature cannot have, such as `"12"` for a number.
    TypeError,
}

/// The values of one feature in one batch of rows.
///
/// Numeric features hold a `Float64Array` (or any Arrow number), categorical ones a `StringArray`
/// (or dictionary, or boolean). A null without an entry in `absent` was an explicit null.
#[derive(Clone, Debug)]
pub struct Column {
    pub array: ArrayRef,
    /// `(row, why)`, ascending by row; those rows are null in `array`.
    pub absent: Vec<(u32, Absent)>,
}

/// Appends the canonical string of a finite number: whole numbers without a point, `-0` as `0`,
/// others as the shortest decimal that reads back as the same double.
pub fn canonical_number(number: f64, out: &mut String) {
    // Beyond 10^21 every zero would be written out.
    let written = if number == 0.0 {
        out.push('0');
        Ok(())
    } else if number.abs() < 1e21 && number.abs() >= 1e-7 {
        write!(out, "{number}")
    } else {
        write!(out, "{number:e}")
    };
    written.expect("a String takes every write");
}

/// Appends the canonical string of a whole number.
pub fn canonical_integer(number: impl Into<i128>, out: &mut String) {
    write!(out, "{}", number.into()).expect("a String takes every write");
}

/// How booleans are written as categories.
pub fn canonical_boolean(boolean: bool) -> &'static str {
    if boolean { "true" } else { "false" }
}
