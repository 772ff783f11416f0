//! What the user asked for: thresholds by level, and the gates before a trigger.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::baseline::Convention;
use crate::compare::Statistic;
use crate::feature::Role;

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
    /// The p-value below which the drift of one of the model's outputs warns, of those that are tested.
    pub output_p_values: BTreeMap<Role, f64>,
    /// Panes of the window.
    pub window_panes: usize,
    pub pane_ms: i64,
    /// A window below `min_records` reaches back by whole panes, at most this many panes in all.
    pub max_age_panes: usize,
    pub min_records: u64,
    /// Rejects / (rejects + records) of the last hour above which nothing triggers.
    pub max_reject_ratio: f64,
    /// Features that must have crossed together, and the share of the watched ones that must.
    pub min_features: usize,
    pub min_share: f64,
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

    /// How many of `watched` features must have crossed together: `min_features`, or `min_share` of them,
    /// whichever is more; never less than one.
    pub fn features_needed(&self, watched: usize) -> usize {
        let share = whole_up(self.min_share * watched as f64 - ROUNDING);
        self.min_features.max(share).max(1)
    }
}

/// What a product of a share and a count may be off by: 0.07 of 100 is not more than 7.
const ROUNDING: f64 = 1e-9;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of features")]
fn whole_up(features: f64) -> usize {
    features.ceil() as usize
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every default, and panes of an hour.
    pub(crate) fn policy() -> Policy {
        Policy {
            thresholds: default_thresholds(),
            psi_tolerance: DEFAULT_PSI_TOLERANCE,
            output_p_values: BTreeMap::new(),
            window_panes: 24,
            pane_ms: 3_600_000,
            max_age_panes: 7 * 24,
            min_records: DEFAULT_MIN_RECORDS,
            max_reject_ratio: 0.05,
            min_features: 1,
            min_share: 0.0,
            max_retrains: 2,
            retrain_period_ms: 7 * 86_400_000,
            design_effect: None,
            rule: Rule::default(),
            importance: BTreeMap::new(),
            log_panes_allowed: 6.0,
            expire_after_ms: 14 * 86_400_000,
            dry_run: false,
            has_trigger: true,
        }
    }

    #[test]
    fn a_share_of_the_features_is_rounded_up_and_one_is_the_least() {
        let needed = |min_features, min_share, watched| {
            Policy { min_features, min_share, ..policy() }.features_needed(watched)
        };
        assert_eq!(needed(1, 0.0, 40), 1);
        assert_eq!(needed(1, 0.1, 41), 5);
        assert_eq!(needed(3, 0.05, 40), 3);
        assert_eq!(needed(0, 0.0, 0), 1);
        assert_eq!(needed(1, 1.0, 7), 7);
    }

    #[test]
    fn a_share_that_is_a_whole_number_of_features_asks_for_no_more() {
        // Products of doubles that come out just above the whole number.
        let product = 0.07 * 100.0;
        assert!(product > 7.0);
        for hundredths in 1..=100 {
            let policy = Policy { min_share: hundredths as f64 / 100.0, ..policy() };
            assert_eq!(policy.features_needed(100), hundredths, "0.{hundredths:02} of 100");
        }
        // One more than a whole number is one more.
        assert_eq!(Policy { min_share: 0.0701, ..policy() }.features_needed(100), 8);
    }
}
