//! The baseline in force, as it is kept in the state: a restart counts by it without the training data.

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::baseline::Overrides;

#[derive(Serialize)]
struct Written<'a> {
    active_from_ms: i64,
    settings: String,
    baseline: &'a Baseline,
}

/// What `encode` wrote.
#[derive(Deserialize)]
pub(super) struct Kept {
    /// Event time from which it is counted by.
    pub active_from_ms: i64,
    /// The settings of its features that it was built with.
    pub settings: String,
    pub baseline: Baseline,
}

pub(super) fn encode(baseline: &Baseline, overrides: &Overrides, active_from_ms: i64) -> Vec<u8> {
    serde_json::to_vec(&Written { active_from_ms, settings: settings(overrides), baseline })
        .expect("a baseline holds finite numbers and strings")
}

/// # Errors
/// When the JSON is not what `encode` writes: another format, or damage.
pub(super) fn decode(json: &[u8]) -> Result<Kept, serde_json::Error> {
    serde_json::from_slice(json)
}

/// What the configuration says about the columns, to compare with what a profile was built with.
pub(super) fn settings(overrides: &Overrides) -> String {
    serde_json::to_string(overrides).expect("overrides are plain names")
}
