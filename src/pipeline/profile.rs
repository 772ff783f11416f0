//! The baseline in force, as it is kept in the state: a restart counts by it without the training data.

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::baseline::Overrides;
use crate::config::Model;
use crate::pipeline::spec::Watched;

/// The highest version of what is stored: that of a baseline with a season, which older programs would
/// compare with all of it.
pub(super) const VERSION: u8 = 2;

/// The lowest version that tells all of a baseline.
pub(super) fn version(baseline: &Baseline) -> u8 {
    u8::try_from(baseline.format).map_or(VERSION, |format| format.clamp(1, VERSION))
}

#[derive(Serialize)]
struct Written<'a> {
    active_from_ms: i64,
    settings: String,
    topic: &'a str,
    configured: &'a str,
    place: Option<&'a str>,
    baseline: &'a Baseline,
}

/// What `encode` wrote.
#[derive(Deserialize)]
pub(super) struct Kept {
    /// Event time from which it is counted by.
    pub active_from_ms: i64,
    /// The settings of its features that it was built with.
    pub settings: String,
    /// The topic that was counted; an earlier release did not say it.
    #[serde(default)]
    pub topic: Option<String>,
    /// The place that was configured then.
    pub configured: String,
    /// Where it came from, if a command named another place.
    pub place: Option<String>,
    pub baseline: Baseline,
}

pub(super) fn encode(model: &Model, watched: &Watched) -> Vec<u8> {
    let written = Written {
        active_from_ms: watched.rules.active_from_ms,
        settings: settings(&model.overrides()),
        topic: &model.topic,
        configured: &model.drift_config.reference_dataset,
        place: watched.place.as_deref(),
        baseline: &watched.baseline,
    };
    serde_json::to_vec(&written).expect("a baseline holds finite numbers and strings")
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
