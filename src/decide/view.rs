//! What evaluation publishes for all readers: metrics, the API, the page and reports read only this.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::compare::Statistic;
use crate::decide::check::CheckView;
use crate::decide::fault::Fault;
use crate::decide::history::History;
use crate::decide::incident::{Incident, IncidentState};
use crate::decide::ledger::Figures;
use crate::decide::output::OutputDrift;
use crate::decide::policy::Level;
use crate::decide::time::as_rfc3339;
use crate::feature::{Kind, Role};
use crate::histogram::Counts;
use crate::window::ClosedPane;

/// Everything that readers see, published as one `Arc` after each evaluation.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// In the order of the configuration.
    pub models: Vec<Arc<ModelView>>,
    /// Open and recently closed incidents, newest first.
    pub incidents: Vec<Incident>,
}

/// One model as of its last evaluation.
#[derive(Clone, Debug)]
pub struct ModelView {
    pub model: String,
    /// Where the model is evaluated, if not in this process; empty when that is not known.
    pub elsewhere: Option<String>,
    pub topic: String,
    pub drift: DriftState,
    pub quality: Quality,
    pub incident: Option<IncidentState>,
    pub incident_id: Option<String>,
    pub window: WindowView,
    pub features: Vec<FeatureVerdict>,
    /// What is wrong with the feed at present, the whole feed first.
    pub faults: Vec<Fault>,
    /// What was asked of live values, in the order of the configuration.
    pub checks: Vec<CheckView>,
    /// What holds a trigger back at present; empty when nothing would trigger, or nothing stops it.
    pub suppressed_by: Vec<Suppression>,
    /// One sentence: why it did or did not act, with its numbers.
    pub explanation: String,
    /// What the last tests of the model's outputs said.
    pub outputs: Vec<OutputDrift>,
    /// `None` until a baseline has been read.
    pub baseline: Option<Arc<Baseline>>,
    /// When that baseline was taken up, ms since the epoch.
    pub baseline_loaded_ms: Option<i64>,
    /// Live counts of the window, one per feature of the baseline, in its order.
    pub live: Vec<Counts>,
    /// What is left of them where panes are withheld because of a fault: what scores rest on. `None` is all.
    pub rest: Vec<Option<Counts>>,
    /// What each feature of a season is compared with, in the same order; `None` is all of its reference.
    pub references: Vec<Option<Counts>>,
    /// Closed panes that are kept, oldest first, without gaps.
    pub panes: Arc<Vec<Arc<ClosedPane>>>,
    pub pane_ms: i64,
    /// Scores, evidence and states over the time that is kept.
    pub history: Arc<History>,
    /// Thresholds in force: `(statistic, level, threshold)`.
    pub thresholds: Vec<(Statistic, Level, f64)>,
    pub min_records: u64,
    /// End of the last pane that was evaluated, ms since the epoch.
    pub evaluated_ms: Option<i64>,
    /// Incidents ever opened, by the log.
    pub triggers: u64,
    /// How they went, by the log.
    pub figures: Figures,
    /// Panes at which a due trigger was held back, by reason, since the process started.
    pub suppressed: BTreeMap<Suppression, u64>,
}

impl ModelView {
    /// The drift rate: the share of the features that are watched at `warning` or above. Absent while
    /// scores are.
    pub fn drift_ratio(&self) -> Option<f64> {
        if self.quality == Quality::Stale {
            return None;
        }
        let is_watched =
            |v: &&FeatureVerdict| !matches!(v.verdict, Verdict::Unusable | Verdict::AbsentInLive);
        let watched = self.features.iter().filter(is_watched);
        let is_over = |v: &FeatureVerdict| matches!(v.verdict, Verdict::Warning | Verdict::Drifted);
        let (over, all) =
            watched.fold((0, 0), |(over, all), v| (over + u32::from(is_over(v)), all + 1_u32));
        (all > 0).then(|| f64::from(over) / f64::from(all))
    }

    /// Live counts of a feature that its scores rest on.
    pub fn scored(&self, feature: usize) -> Option<&Counts> {
        self.rest.get(feature).and_then(Option::as_ref).or_else(|| self.live.get(feature))
    }

    /// Who evaluates it, where that is not this process.
    pub fn evaluated_by(&self) -> Option<&str> {
        let elsewhere = self.elsewhere.as_deref();
        elsewhere.map(|at| if at.is_empty() { "another replica" } else { at })
    }

    /// What the last test of an output said.
    pub fn output(&self, role: Role) -> Option<&OutputDrift> {
        self.outputs.iter().find(|last| last.role == role)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowView {
    /// Event time, ms since the epoch, `[start, end)`.
    pub start_ms: i64,
    pub end_ms: i64,
    pub records: u64,
    pub complete: bool,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DriftState {
    #[default]
    NoBaseline,
    /// The window is not yet full.
    Settling,
    Healthy,
    Notice,
    Warning,
    Drifted,
}

impl DriftState {
    pub const ALL: [DriftState; 6] = [
        DriftState::NoBaseline,
        DriftState::Settling,
        DriftState::Healthy,
        DriftState::Notice,
        DriftState::Warning,
        DriftState::Drifted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            DriftState::NoBaseline => "no_baseline",
            DriftState::Settling => "settling",
            DriftState::Healthy => "healthy",
            DriftState::Notice => "notice",
            DriftState::Warning => "warning",
            DriftState::Drifted => "drifted",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    #[default]
    Ok,
    /// Too many rejects, or a feature whose values can't be trusted.
    Fault,
    /// No record for three panes of wall clock.
    Stale,
    /// Panes are missing from the window.
    Incomplete,
    /// No configured feature matches what the records carry.
    Misconfigured,
}

impl Quality {
    pub fn as_str(self) -> &'static str {
        match self {
            Quality::Ok => "ok",
            Quality::Fault => "fault",
            Quality::Stale => "stale",
            Quality::Incomplete => "incomplete",
            Quality::Misconfigured => "misconfigured",
        }
    }
}

/// A gate that keeps a crossed threshold from triggering. Closed: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    /// The window is not yet full since the start or since the last baseline.
    Settling,
    IncompleteWindow,
    MinRecords,
    /// Too many rejects in the last hour.
    Rejects,
    /// Most features are faulty, or what would trigger is a fault.
    Fault,
    /// `max_retrains` in its period is used up.
    Budget,
    IncidentOpen,
    DryRun,
    /// No retraining trigger is configured.
    NoTrigger,
    /// An incident record could not be read: a trigger could be a repeat.
    UnreadableIncidents,
    /// So much is unread that it is about the past: it is sent, or missed, when the present is reached.
    Lag,
}

impl Suppression {
    pub fn as_str(self) -> &'static str {
        match self {
            Suppression::Settling => "settling",
            Suppression::IncompleteWindow => "incomplete_window",
            Suppression::MinRecords => "min_records",
            Suppression::Rejects => "rejects",
            Suppression::Fault => "fault",
            Suppression::Budget => "budget",
            Suppression::IncidentOpen => "incident_open",
            Suppression::DryRun => "dry_run",
            Suppression::NoTrigger => "no_trigger",
            Suppression::UnreadableIncidents => "unreadable_incidents",
            Suppression::Lag => "lag",
        }
    }
}

/// One feature's verdict; this JSON is the same in the API, in reports, in `compare` and in webhooks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureVerdict {
    pub feature: String,
    pub kind: Kind,
    pub role: Role,
    pub verdict: Verdict,
    /// Reference and live values that fell in a cell: the m and n of the scores.
    pub reference_count: u64,
    pub live_count: u64,
    pub scores: BTreeMap<Statistic, VerdictScore>,
    /// Why the feature is `unusable`, or what its fault is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Records a window needs before the lowest threshold can be met at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_needed: Option<u64>,
    /// The evidence of the sequential test, where it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<Onset>,
    /// The season that it is compared within: `day, 24 slots, Europe/Berlin`. The reference is then the
    /// mixture of the slots that the window covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<String>,
}

/// What is known of one feature since the most likely beginning of a change, real or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Onset {
    /// Start of the first pane of the change, ms since the epoch; RFC 3339 in JSON.
    #[serde(rename = "since", with = "as_rfc3339")]
    pub since_ms: i64,
    pub records: u64,
    /// Natural logarithm of the evidence, and what the budget asks of this feature.
    pub log_evidence: f64,
    pub log_needed: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psi: Option<VerdictScore>,
    /// What that PSI is on average without drift, and what the window's is.
    pub psi_bias: f64,
    pub window_psi_bias: f64,
    /// Live share minus the expected one, of what is out of range or unseen, and of missing values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<(Statistic, f64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictScore {
    pub value: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// The lowest threshold that is configured for this statistic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Unusable,
    AbsentInLive,
    InsufficientSamples,
    Stable,
    Notice,
    Warning,
    Drifted,
    Fault,
}
