//! When a model was trained, as far as its baseline tells.

use serde::{Deserialize, Serialize};

/// When, and what says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trained {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    pub by: TrainedBy,
}

/// What tells when a model was trained; the first of these that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainedBy {
    /// The model registry's time of the version.
    Registry,
    /// The end of the baseline's time column: a copy of the data does not change it.
    TimeColumn,
    /// When the newest file of the baseline was written.
    Modified,
}

impl TrainedBy {
    /// For people: completes "trained 2026-01-31, by ...".
    pub fn describe(self) -> &'static str {
        match self {
            TrainedBy::Registry => "its registry",
            TrainedBy::TimeColumn => "the end of its time column",
            TrainedBy::Modified => "the time of its file",
        }
    }
}
