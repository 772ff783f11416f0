//! The result of `compare`: one word, and every feature's verdict.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::baseline::Baseline;
use crate::compare::Statistic;
use crate::decide::DriftState;
use crate::decide::FeatureVerdict;
use crate::decide::Level;
use crate::decide::ModelView;
use crate::decide::Quality;
use crate::decide::Verdict;
use crate::decide::check::{CheckState, CheckView};
use crate::decide::ledger::Figures;
use crate::decide::view::WindowView;
use crate::histogram::Counts;

mod checks;

pub use checks::judged;

/// `{"verdict":"stable|violated|drifted","features":[...],"checks":[...]}`, features in the order of the
/// reference; `checks` only where some were asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub verdict: Outcome,
    pub features: Vec<FeatureVerdict>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Stable,
    /// No feature is, but a check is violated.
    Violated,
    /// Some feature is at the level that fails, or above.
    Drifted,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Stable => "stable",
            Outcome::Violated => "violated",
            Outcome::Drifted => "drifted",
        }
    }
}

impl Comparison {
    /// Drifted from `fail_on` upwards.
    pub fn new(features: Vec<FeatureVerdict>, fail_on: Level) -> Self {
        let drifted = features.iter().any(|feature| reaches(feature.verdict, fail_on));
        let verdict = if drifted { Outcome::Drifted } else { Outcome::Stable };
        Self { verdict, features, checks: Vec::new() }
    }

    /// With the checks that were asked of the live side: of severity `warning` or `critical`, one that is
    /// violated fails the comparison whatever its level is.
    pub fn with_checks(self, checks: Vec<CheckView>) -> Self {
        let fails = checks.iter().any(|check| is_violated(check) && check.severity.is_told());
        let verdict = match self.verdict {
            Outcome::Stable if fails => Outcome::Violated,
            found => found,
        };
        Self { verdict, checks, ..self }
    }

    /// The same as a model whose window is all of the live side, for the page.
    pub fn as_view(
        &self,
        reference: Baseline,
        live: Vec<Counts>,
        lines: &[(Statistic, Level, f64)],
        source: &str,
    ) -> ModelView {
        let records = live.iter().map(Counts::records).max().unwrap_or(0);
        let over = self.features.iter().filter(|f| reaches(f.verdict, Level::Warning)).count();
        let watched = self.features.iter().filter(|f| f.verdict != Verdict::Unusable).count();
        let explanation = format!(
            "{over} of {watched} features are over a line{}: {records} records of {source} against {} rows of {}",
            self.checked(),
            reference.rows,
            reference.source
        );
        let drift = match self.verdict {
            Outcome::Stable | Outcome::Violated => DriftState::Healthy,
            Outcome::Drifted => DriftState::Drifted,
        };
        ModelView {
            model: source.to_owned(),
            elsewhere: None,
            topic: String::new(),
            drift,
            quality: Quality::Ok,
            incident: None,
            incident_id: None,
            window: WindowView { records, complete: true, ..WindowView::default() },
            rest: Vec::new(),
            references: vec![None; live.len()],
            features: self.features.clone(),
            faults: Vec::new(),
            suppressed_by: Vec::new(),
            explanation,
            checks: self.checks.clone(),
            outputs: Vec::new(),
            baseline: Some(Arc::new(reference)),
            baseline_loaded_ms: None,
            live,
            panes: Arc::default(),
            pane_ms: 0,
            history: Arc::default(),
            thresholds: lines.to_vec(),
            min_records: 0,
            evaluated_ms: None,
            triggers: 0,
            figures: Figures::default(),
            suppressed: BTreeMap::new(),
        }
    }

    /// `; 1 of 3 checks is violated (amount mean)`; nothing where none was asked.
    pub(super) fn checked(&self) -> String {
        let mut worst: Vec<&CheckView> = self.checks.iter().filter(|c| is_violated(c)).collect();
        worst.sort_by_key(|check| Reverse(check.severity));
        let violated: Vec<&str> = worst.into_iter().map(|check| check.check.as_str()).collect();
        let unknown = self.checks.iter().filter(|c| c.state == CheckState::Unknown).count();
        let mut text = match (self.checks.len(), violated.as_slice()) {
            (0, _) => return String::new(),
            (n, []) => format!("; 0 of {n} checks violated"),
            (n, [one]) => format!("; 1 of {n} checks violated ({one})"),
            (n, [first, rest @ ..]) => {
                format!(
                    "; {} of {n} checks violated ({first} and {} more)",
                    violated.len(),
                    rest.len()
                )
            }
        };
        if unknown > 0 {
            text.push_str(&format!(", {unknown} not measured"));
        }
        text
    }

    /// Keeps only these statistics in every feature's scores; verdicts stay.
    pub fn keep(&mut self, statistics: &[Statistic]) {
        for feature in &mut self.features {
            feature.scores.retain(|statistic, _| statistics.contains(statistic));
        }
    }

    /// Indented, one document, with a line break at its end.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("verdicts have string keys and finite numbers only") + "\n"
    }
}

pub(super) fn is_violated(check: &CheckView) -> bool {
    check.state == CheckState::Violated
}

/// Whether a feature's verdict is at `level` or above.
pub(crate) fn reaches(verdict: Verdict, level: Level) -> bool {
    let at = match verdict {
        Verdict::Drifted => Some(Level::Retrain),
        Verdict::Warning => Some(Level::Warning),
        Verdict::Notice => Some(Level::Notice),
        Verdict::Unusable
        | Verdict::AbsentInLive
        | Verdict::InsufficientSamples
        | Verdict::Stable
        | Verdict::Fault => None,
    };
    at.is_some_and(|at| at >= level)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::decide::view::VerdictScore;
    use crate::feature::Kind;
    use crate::feature::Role;

    fn feature(verdict: Verdict) -> FeatureVerdict {
        let score = VerdictScore {
            value: 0.5,
            noise_floor: Some(0.03),
            p_value: None,
            threshold: Some(0.1),
        };
        FeatureVerdict {
            feature: "amount".to_owned(),
            kind: Kind::Numeric,
            role: Role::Feature,
            verdict,
            reference_count: 1000,
            live_count: 500,
            scores: BTreeMap::from([(Statistic::Psi, score), (Statistic::LInfinity, score)]),
            reason: None,
            records_needed: None,
            onset: None,
            season: None,
        }
    }

    #[test]
    fn json_has_the_keys_of_the_contract() {
        let mut comparison = Comparison::new(vec![feature(Verdict::Drifted)], Level::Warning);
        comparison.keep(&[Statistic::Psi]);
        let json: serde_json::Value = serde_json::from_str(&comparison.to_json()).unwrap();
        let expected = json!({"verdict": "drifted", "features": [{
            "feature": "amount", "kind": "numeric", "role": "feature", "verdict": "drifted",
            "reference_count": 1000, "live_count": 500,
            "scores": {"psi": {"value": 0.5, "noise_floor": 0.03, "threshold": 0.1}},
        }]});
        assert_eq!(json, expected);
    }

    #[test]
    fn what_fails_is_the_callers_choice() {
        let outcome = |verdict, fail_on| Comparison::new(vec![feature(verdict)], fail_on).verdict;
        assert_eq!(outcome(Verdict::Warning, Level::Warning), Outcome::Drifted);
        assert_eq!(outcome(Verdict::Warning, Level::Retrain), Outcome::Stable);
        assert_eq!(outcome(Verdict::Drifted, Level::Retrain), Outcome::Drifted);
        assert_eq!(outcome(Verdict::Notice, Level::Warning), Outcome::Stable);
        assert_eq!(outcome(Verdict::InsufficientSamples, Level::Notice), Outcome::Stable);
    }
}
