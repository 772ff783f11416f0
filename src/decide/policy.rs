//! What the user asked for: thresholds by level, and the gates before a trigger.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::baseline::Convention;
use crate::compare::Statistic;

/// How far a score has gone.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Real, but under the user's lines.
    Notice,
    /// Over `psi_alert`.
    Warning,
    /// Over `psi_retrain`.
    Retrain,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Retrain => "retrain",
        }
    }
}

/// How scores become levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Real by the evidence since every possible beginning, and large by the line; rule `window` as long
    /// as the design effects are unknown.
    #[default]
    Sequential,
    /// Crossed in 3 of the last 5 panes of a complete window, above the noise floor.
    Window,
}

/// The policy of one model, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// `(statistic, level, threshold)`; a score is crossed above max(threshold, floor).
    pub thresholds: Vec<(Statistic, Level, f64)>,
    /// PSI that is taken for no change at all; above it, and above the floor, is a notice.
    pub psi_tolerance: f64,
    /// Panes of the window.
    pub window_panes: usize,
    pub pane_ms: i64,
    /// A window below `min_records` reaches back by whole panes, at most this many panes in all.
    pub max_age_panes: usize,
    pub min_records: u64,
    /// Rejects / (rejects + records) of the last hour above which nothing triggers.
    pub max_reject_ratio: f64,
    /// Features that must have crossed together.
    pub min_features: usize,
    /// At most so many triggers in `retrain_period_ms` of event time.
    pub max_retrains: u32,
    pub retrain_period_ms: i64,
    /// How much more the counts vary than independent records would; `None`: uncalibrated, 4 is
    /// taken for the floor.
    pub design_effect: Option<f64>,
    pub rule: Rule,
    /// What features matter, by name; 1 for those that are not named.
    pub importance: BTreeMap<String, f64>,
    /// `ln` of the panes in which one false retrain is tolerated.
    pub log_panes_allowed: f64,
    pub expire_after_ms: i64,
    pub dry_run: bool,
    /// A retraining trigger is configured.
    pub has_trigger: bool,
}

impl Policy {
    /// What a feature matters beside the others; 0 takes it out of the decision.
    pub fn importance(&self, feature: &str) -> f64 {
        self.importance.get(feature).copied().unwrap_or(1.0)
    }
}

/// PSI up to which a change is harmless, unless the configuration says otherwise.
pub const DEFAULT_PSI_TOLERANCE: f64 = 0.01;
/// Records that a decision needs, unless the configuration says otherwise.
pub const DEFAULT_MIN_RECORDS: u64 = 200;

/// `lines` with those of a peer's own defaults for statistics that have none. Evidently's are 0.1 for
/// the two tests that it takes by itself above 1,000 reference values, and for PSI, where driftd's
/// own is the same.
pub fn with_lines_of(
    convention: Convention,
    mut lines: Vec<(Statistic, Level, f64)>,
) -> Vec<(Statistic, Level, f64)> {
    let more: &[Statistic] = match convention {
        Convention::Driftd => &[],
        Convention::Evidently => &[Statistic::JsDistance, Statistic::Wasserstein],
    };
    for &statistic in more {
        if lines.iter().all(|line| line.0 != statistic) {
            lines.push((statistic, Level::Warning, 0.1));
        }
    }
    lines
}

/// Thresholds of a policy that names none: PSI at the customary 0.1 and 0.2; values outside of what
/// the reference knows above what is expected of it; missing values and wrong types, which are
/// faults and never retrain.
pub fn default_thresholds() -> Vec<(Statistic, Level, f64)> {
    vec![
        (Statistic::Psi, Level::Warning, 0.1),
        (Statistic::Psi, Level::Retrain, 0.2),
        (Statistic::Unseen, Level::Warning, 0.01),
        (Statistic::Unseen, Level::Retrain, 0.05),
        (Statistic::OutOfRange, Level::Warning, 0.01),
        (Statistic::OutOfRange, Level::Retrain, 0.05),
        (Statistic::Missing, Level::Warning, 0.01),
        (Statistic::TypeError, Level::Warning, 0.01),
    ]
}
