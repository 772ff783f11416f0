//! The story from first trigger to new baseline.

use serde::{Deserialize, Serialize};

use crate::decide::view::FeatureVerdict;

/// Where an incident stands. `as_str` is what metrics and the API show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// Decided and durable; not yet accepted by the retraining pipeline.
    Triggered,
    /// The pipeline answered with success.
    Accepted,
    /// The pipeline says that the run exists.
    Retraining,
    /// Accepted long ago and no sign of a new baseline.
    Unconfirmed,
    Stuck,
    /// The trigger could not be delivered; people were told, nothing is sent again.
    DeliveryFailed,
    Closed,
}

impl IncidentState {
    pub fn as_str(self) -> &'static str {
        match self {
            IncidentState::Triggered => "triggered",
            IncidentState::Accepted => "accepted",
            IncidentState::Retraining => "retraining",
            IncidentState::Unconfirmed => "unconfirmed",
            IncidentState::Stuck => "stuck",
            IncidentState::DeliveryFailed => "delivery_failed",
            IncidentState::Closed => "closed",
        }
    }
}

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// A new baseline arrived.
    Replaced,
    /// The run failed, or its quality gate refused.
    Rejected,
    /// A person said so, or the model left the configuration.
    Dismissed,
    /// The drift was over before the daemon had caught up.
    Missed,
    /// The drift cleared before any attempt was made.
    Recovered,
    Expired,
}

/// One incident as the log tells it. Times are RFC 3339 UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: String,
    pub model: String,
    pub ordinal: u64,
    pub state: IncidentState,
    /// End of the pane that it was decided in.
    pub opened: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub closed_as: Option<CloseReason>,
    pub attempts: Vec<Attempt>,
    /// What the pipeline says of the run, where it can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    pub evidence: Evidence,
}

/// What became of a retraining run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Accepted, and the pipeline knows of no such run.
    Missing,
    Running,
    Succeeded,
    Failed,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Missing => "missing",
            RunState::Running => "running",
            RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
        }
    }

    pub fn is_final(self) -> bool {
        match self {
            RunState::Missing | RunState::Running => false,
            RunState::Succeeded | RunState::Failed => true,
        }
    }
}

/// The retraining run as the pipeline tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub state: RunState,
    /// In the pipeline's own word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub word: String,
    /// Its page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What the pipeline calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub at: String,
}

impl Run {
    pub fn sentence(&self) -> String {
        let word = if self.word.is_empty() { String::new() } else { format!(" ({})", self.word) };
        let at = self.url.as_ref().map(|url| format!(": {url}")).unwrap_or_default();
        match self.state {
            RunState::Missing => "the pipeline knows of no such run".to_owned(),
            RunState::Running => format!("the run goes on{word}{at}"),
            RunState::Succeeded => format!("the run succeeded{word}{at}"),
            RunState::Failed => format!("the run failed{word}{at}"),
        }
    }
}

/// One try to deliver to one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub target: String,
    pub n: u32,
    pub at: String,
    /// HTTP status, where there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why it was opened: the numbers as they stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub baseline_digest: String,
    pub window_start: String,
    pub window_end: String,
    pub records: u64,
    pub explanation: String,
    /// The features over their threshold, worst first.
    pub features: Vec<FeatureVerdict>,
}
