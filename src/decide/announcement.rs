//! What is told to one target: a typed event, durable before it is sent, the same bytes at every attempt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::Statistic;
use crate::feature::Role;

/// One message to one target. `id` is the idempotency key: equal for every attempt, also after a crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The incident id for a trigger; `<incident id>.<kind>` (or a computed id) for a notification.
    pub id: String,
    /// Name of the configured target: `retraining_trigger` or a notifier such as `slack`.
    pub target: String,
    /// The destination within the target, such as a Slack channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    pub model: String,
    pub kind: Kind,
    pub audience: Audience,
    pub announcement: Announcement,
}

impl Delivery {
    /// The full name of its target: `retraining_trigger/<model>`, `slack/<channel>`.
    pub fn target_name(&self) -> String {
        let within = self.channel.as_deref().unwrap_or(&self.model);
        format!("{}/{within}", self.target)
    }
}

/// What a message says of something that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Begins,
    /// Somebody, here a pipeline, is at it.
    Acknowledged,
    Ends,
}

/// The verdict of a message by which a trouble is over.
pub const OVER: &str = "ok";

impl Delivery {
    /// The output of the model that a warning is about; `None`: its features.
    pub fn output(&self) -> Option<Role> {
        let is_of = |role: &Role| self.id.contains(&format!(".{}", role.as_str()));
        Role::OUTPUTS.into_iter().find(is_of)
    }

    /// Whether it is about checks, and not about a broken feed: another story with another end.
    pub fn is_of_checks(&self) -> bool {
        self.kind == Kind::DataQuality && self.id.contains(".checks")
    }

    /// Whether it is about a run that never came, and not about a trigger that nobody took.
    pub fn is_of_missing_run(&self) -> bool {
        self.kind == Kind::DeliveryFailed && self.id.contains(".missing")
    }

    /// The lasting thing that this message is about, by a name that is the same from its beginning to its
    /// end (the incident's id, or `driftd/<model>/<what>`), and what is said of it.
    pub fn story(&self) -> Option<(String, Act)> {
        let incident = self.announcement.data.incident.as_deref();
        let of_model = |what: &str| format!("driftd/{}/{what}", self.model);
        let warned = || of_model(self.output().map_or("warning", Role::as_str));
        let over = |is_over| if is_over { Act::Ends } else { Act::Begins };
        let is_over = self.announcement.data.verdict == OVER;
        match self.kind {
            Kind::Trigger => None,
            Kind::Triggered => Some((incident?.to_owned(), Act::Begins)),
            Kind::Progress => Some((incident?.to_owned(), Act::Acknowledged)),
            Kind::Closed => Some((incident?.to_owned(), Act::Ends)),
            Kind::Warning => Some((warned(), Act::Begins)),
            Kind::Recovered => Some((warned(), Act::Ends)),
            Kind::DataQuality if self.is_of_checks() => Some((of_model("checks"), over(is_over))),
            Kind::DataQuality => {
                let what = format!("data_quality/{}", self.audience.as_str());
                Some((of_model(&what), over(is_over)))
            }
            Kind::DeliveryFailed => {
                Some((format!("driftd/{}/delivery/{}", self.model, incident?), over(is_over)))
            }
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Start the retraining pipeline.
    Trigger,
    /// A score went over `warning`.
    Warning,
    /// An incident was opened and retraining was asked for.
    Triggered,
    /// What a warning was about is over.
    Recovered,
    /// The retraining goes on: accepted, begun, done.
    Progress,
    /// An incident was closed.
    Closed,
    /// A trigger could not be delivered.
    DeliveryFailed,
    /// The daemon's own plumbing, or the data, is broken.
    DataQuality,
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Drift: the people who own the model.
    Ml,
    /// The daemon's own health and broken feeds: the people who own the plumbing.
    Sre,
}

impl Audience {
    pub fn as_str(self) -> &'static str {
        match self {
            Audience::Ml => "ml",
            Audience::Sre => "sre",
        }
    }
}

/// The body of a webhook as it is sent, and the source of every rendered message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// `driftd.drift.detected`, `driftd.incident.closed`, ...
    #[serde(rename = "type")]
    pub event_type: String,
    pub id: String,
    /// RFC 3339, UTC.
    pub timestamp: String,
    pub data: Data,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Data {
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// One sentence with its numbers.
    pub summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    pub baseline: BaselineRef,
    pub window: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<String>,
    /// `drifted`, `warning`, `healthy`, or how an incident was closed.
    pub verdict: String,
    /// Worst first, at most ten.
    pub top_features: Vec<TopFeature>,
    /// How many more features are over their threshold than `top_features` shows.
    #[serde(default)]
    pub more_features: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_window: Option<TrainingWindow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_url: Option<String>,
    /// The whole report, with `include_drift_report: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BaselineRef {
    pub source: String,
    pub digest: String,
    pub rows: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub start: String,
    pub end: String,
    pub records: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingWindow {
    pub from: String,
    pub to: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopFeature {
    pub feature: String,
    pub statistic: Statistic,
    pub score: f64,
    pub threshold: f64,
    /// `window`, or `onset`.
    pub span: String,
    /// What the score is on average without drift: it is taken off before the score is held against the
    /// threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<f64>,
}
