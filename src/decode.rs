//! Payload bytes to Arrow columns, and a counted reject for every record that cannot be used.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::feature::{Column, Feature};

mod columns;
pub mod fields;
pub mod fingerprint;
pub mod json;
mod names;
mod number;
mod paths;
mod scan;
mod simd;
pub mod strangers;
pub(crate) mod time;

pub use fields::{EventTime, FeatureNames, FieldFault, Fields, Filter, Pointer, Scalar, TimeUnit};
pub use json::{JsonDecoder, every_way_agrees};

use strangers::Strangers;

/// One message as the decoder sees it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub offset: i64,
    /// The record's own Kafka time stamp, ms since the epoch.
    pub timestamp_ms: i64,
    /// `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// Why a record, or one of its rows, could not be used. Closed: it is a metric label.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Tombstone.
    NullValue,
    Empty,
    TooLarge,
    /// Not JSON: truncated, trailing bytes, byte order mark, not UTF-8, NaN tokens not allowed.
    Malformed,
    TooDeep,
    /// JSON, but not an object, or no features where the configuration says.
    NoFeatures,
    /// Event time missing, unreadable or before 2000.
    BadTime,
    /// Later than its own Kafka time stamp plus five minutes.
    Future,
    /// Would move the watermark by more than seven days without support.
    TimeJump,
    /// Our own bug; must stay 0.
    Internal,
}

impl Reason {
    pub const ALL: [Reason; 10] = [
        Reason::NullValue,
        Reason::Empty,
        Reason::TooLarge,
        Reason::Malformed,
        Reason::TooDeep,
        Reason::NoFeatures,
        Reason::BadTime,
        Reason::Future,
        Reason::TimeJump,
        Reason::Internal,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NullValue => "null_value",
            Reason::Empty => "empty",
            Reason::TooLarge => "too_large",
            Reason::Malformed => "malformed",
            Reason::TooDeep => "too_deep",
            Reason::NoFeatures => "no_features",
            Reason::BadTime => "bad_time",
            Reason::Future => "future",
            Reason::TimeJump => "time_jump",
            Reason::Internal => "internal",
        }
    }
}

/// A record that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub offset: i64,
    pub reason: Reason,
    /// What a person should know beyond the reason, never payload: `looks like ms`, a byte position.
    pub hint: Option<Cow<'static, str>>,
}

/// A batch of one partition's records as columns: one column per feature, in the model's order.
/// Row `r` of every column came from the record at `offsets[r]`; rows keep the order of the log.
#[derive(Clone, Debug)]
pub struct Batch {
    pub offsets: Vec<i64>,
    /// Kafka time stamp of the row's record, ms since the epoch.
    pub kafka_ms: Vec<i64>,
    /// Event time of the row, ms since the epoch.
    pub event_ms: Vec<i64>,
    /// What the row is known by should it come again: one per row, or none where nothing is known.
    pub fingerprints: Vec<u64>,
    /// Names that some rows have and the model does not know, ascending by row; of a sample of the rows.
    pub strangers: Vec<(u32, Strangers)>,
    pub columns: Vec<Column>,
    pub rejects: Vec<Reject>,
    /// Records of this model that had a key twice; the last one was taken.
    pub duplicate_keys: u64,
    /// Records that belong to another model (`fields.model`, `where`); neither rows nor rejects.
    pub other_models: u64,
    /// Integers beyond 2^53 that became the nearest double.
    pub imprecise: u64,
    /// Keys that were looked up by name because they did not come where the object had them last
    /// time, which costs time and nothing else.
    pub looked_up: u64,
}

/// A payload format of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    #[default]
    Json,
}

/// How payloads are read, beside where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    pub json: JsonOptions,
    /// Larger records are rejected before they are read.
    pub max_record_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { json: JsonOptions::default(), max_record_bytes: 1 << 20 }
    }
}

/// What JSON may be beyond RFC 8259.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonOptions {
    /// Python's `NaN`, `Infinity` and `-Infinity` are values; otherwise a record with one is malformed.
    pub allow_nan: bool,
}

/// Payloads of one model to columns. One per consumer thread; it keeps its buffers.
#[derive(Debug)]
pub enum Decoder {
    Json(Box<JsonDecoder>),
}

impl Decoder {
    /// A decoder for the records of `model`, whose features become columns in this order.
    pub fn new(
        format: Format,
        fields: &Fields,
        options: &Options,
        model: &str,
        features: &[Feature],
    ) -> Self {
        match format {
            Format::Json => {
                Self::Json(Box::new(JsonDecoder::new(fields, options, model, features)))
            }
        }
    }

    /// Decodes the messages of one partition, in the order of the log. Every message ends as rows,
    /// as rejects or as one of `other_models`.
    pub fn decode<'a>(&mut self, messages: impl Iterator<Item = Message<'a>>) -> Batch {
        match self {
            Self::Json(decoder) => decoder.decode(messages),
        }
    }
}
