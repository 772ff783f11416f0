//! The story from first trigger to new baseline.

use serde::{Deserialize, Serialize};

use crate::compare::Statistic;
use crate::decide::announcement::Kind;
use crate::decide::policy::Level;
use crate::decide::view::{FeatureVerdict, Verdict};
use crate::decide::worst::ranked;

/// Features that an incident holds with all their numbers: a record of the log has to fit into one message
/// of Kafka.
const FEATURES: usize = 200;

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
    /// What was to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Kind>,
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
    /// The features over their threshold, worst first; of very many the worst.
    pub features: Vec<FeatureVerdict>,
    /// How many more there were.
    #[serde(default)]
    pub more_features: usize,
}

impl Evidence {
    /// The features that are at `warning` or above, the worst first, as many as are kept, and how many more
    /// there are.
    pub fn worst_features(
        verdicts: &[FeatureVerdict],
        thresholds: &[(Statistic, Level, f64)],
    ) -> (Vec<FeatureVerdict>, usize) {
        let mut place = vec![usize::MAX; verdicts.len()];
        for (rank, worst) in ranked(verdicts, thresholds).into_iter().enumerate() {
            place[worst.at] = rank;
        }
        let is_over =
            |at: &usize| matches!(verdicts[*at].verdict, Verdict::Warning | Verdict::Drifted);
        let mut over: Vec<usize> = (0..verdicts.len()).filter(is_over).collect();
        over.sort_by_key(|&at| (verdicts[at].verdict != Verdict::Drifted, place[at]));
        let kept = over.iter().take(FEATURES).map(|&at| verdicts[at].clone()).collect();
        (kept, over.len().saturating_sub(FEATURES))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decide::policy::default_thresholds;
    use crate::decide::view::VerdictScore;
    use crate::feature::{Kind as FeatureKind, Role};

    fn verdict(at: usize, verdict: Verdict, psi: f64) -> FeatureVerdict {
        let score = VerdictScore {
            value: psi,
            noise_floor: Some(0.01),
            p_value: Some(1e-9),
            threshold: Some(0.1),
        };
        let scores = Statistic::ALL.map(|statistic| (statistic, score));
        FeatureVerdict {
            feature: format!("feature_{at}_{}", "x".repeat(200)),
            kind: FeatureKind::Numeric,
            role: Role::Feature,
            verdict,
            reference_count: 20_000,
            live_count: 1_000,
            scores: BTreeMap::from(scores),
            reason: None,
            records_needed: None,
            onset: None,
            season: None,
        }
    }

    #[test]
    fn of_thousands_of_drifted_features_the_worst_are_kept_and_the_others_counted() {
        let mut verdicts: Vec<_> =
            (0..5_000).map(|at| verdict(at, Verdict::Drifted, 0.3 + 0.001 * at as f64)).collect();
        verdicts.insert(0, verdict(9_000, Verdict::Warning, 0.15));
        verdicts.insert(0, verdict(9_001, Verdict::Stable, 0.01));
        let (kept, more) = Evidence::worst_features(&verdicts, &default_thresholds());
        assert_eq!((kept.len(), more), (200, 4_801));
        assert!(kept[0].feature.starts_with("feature_4999_"), "{}", kept[0].feature);
        assert!(kept[199].feature.starts_with("feature_4800_"), "{}", kept[199].feature);
        // A record of the log of which Kafka takes 8 MiB.
        let bytes = serde_json::to_vec(&kept).unwrap().len();
        assert!(bytes < 1 << 20, "{bytes}");
        let (kept, more) = Evidence::worst_features(&verdicts[..3], &default_thresholds());
        let names: Vec<&str> = kept.iter().map(|f| &f.feature[..12]).collect();
        assert_eq!((names, more), (vec!["feature_0_xx", "feature_9000"], 0));
    }
}
