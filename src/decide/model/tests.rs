//! When a model acts, and what holds it back.

use std::collections::BTreeMap;

use super::*;
use crate::compare::Statistic;
use crate::decide::incident::CloseReason;
use crate::decide::incident::Evidence;
use crate::decide::incident::Incident;
use crate::decide::incident::IncidentState;
use crate::decide::policy::Rule;
use crate::decide::policy::default_thresholds;
use crate::decide::record::Record;
use crate::decide::view::VerdictScore;
use crate::decide::worst::ranked;
use crate::feature::Kind;
use crate::feature::Role;
use crate::window::ClosedPane;
use crate::window::Pane;

const PANE: i64 = 300_000;
const WINDOW: usize = 24;
const RECORDS: u64 = 50;

fn policy() -> Policy {
    Policy {
        psi_tolerance: 0.01,
        thresholds: default_thresholds(),
        window_panes: WINDOW,
        pane_ms: PANE,
        max_age_panes: 2 * WINDOW,
        min_records: 200,
        max_reject_ratio: 0.05,
        min_features: 1,
        min_share: 0.0,
        output_p_values: BTreeMap::new(),
        max_retrains: 2,
        retrain_period_ms: 1000 * PANE,
        design_effect: None,
        rule: Rule::default(),
        importance: BTreeMap::new(),
        log_panes_allowed: 9.0,
        expire_after_ms: 10_000 * PANE,
        dry_run: false,
        has_trigger: true,
    }
}

/// A model, its window and its log, going from pane to pane.
struct Run {
    policy: Policy,
    ring: Ring,
    ledger: Ledger,
    state: ModelState,
    unreadable: bool,
    pane: Pane,
    complete: bool,
    panes: i64,
}

impl Run {
    fn new(policy: Policy) -> Self {
        let ring = Ring::new(vec![], PANE, WINDOW, policy.max_age_panes, policy.min_records);
        let pane = Pane { records: RECORDS, ..Pane::empty(0, &[]) };
        Self {
            policy,
            ring,
            ledger: Ledger::default(),
            state: ModelState::default(),
            unreadable: false,
            pane,
            complete: true,
            panes: 0,
        }
    }

    /// One that has been healthy for a whole window.
    fn settled(policy: Policy) -> Self {
        let mut run = Self::new(policy);
        for _ in 0..WINDOW {
            run.pane(&[0.02, 0.0]);
        }
        run
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            policy: &self.policy,
            sequential: None,
            ring: &self.ring,
            ledger: &self.ledger,
            model: "fraud",
            pane_end_ms: self.panes * PANE,
            unreadable_incidents: self.unreadable,
            tested: Vec::new(),
        }
    }

    fn pane(&mut self, psi: &[f64]) -> Decision {
        self.pane.start_ms = self.panes * PANE;
        self.panes += 1;
        self.ring.push(ClosedPane::new(&self.pane, self.complete)).unwrap();
        let mut verdicts = verdicts(psi);
        let mut state = self.state.clone();
        let decision = state.decide(&mut verdicts, &[], &self.situation());
        self.state = state;
        decision
    }

    /// Drifted for so long that the retrain level is on.
    fn drifted(&mut self) -> Decision {
        self.pane(&[0.5, 0.0]);
        self.pane(&[0.5, 0.0]);
        self.pane(&[0.5, 0.0])
    }

    fn log(&mut self, ordinal: u64, event_ms: i64, closed_ms: Option<i64>) {
        let id = format!("incident-{ordinal}");
        let incident = Incident {
            id: id.clone(),
            model: "fraud".to_owned(),
            ordinal,
            state: IncidentState::Triggered,
            opened: String::new(),
            onset: None,
            closed: None,
            closed_as: None,
            attempts: Vec::new(),
            run: None,
            evidence: Evidence {
                baseline_digest: String::new(),
                window_start: String::new(),
                window_end: String::new(),
                records: 0,
                explanation: String::new(),
                features: Vec::new(),
                more_features: 0,
            },
        };
        let delivery = serde_json::json!({
            "id": id, "target": "retraining_trigger", "model": "fraud", "kind": "trigger",
            "audience": "ml", "announcement": {
                "type": "driftd.drift.detected", "id": id, "timestamp": "",
                "data": {"model": "fraud", "summary": "", "verdict": "drifted", "top_features": [],
                    "baseline": {"source": "", "digest": "", "rows": 1},
                    "window": {"start": "", "end": "", "records": 1}},
            },
        });
        self.ledger.apply(&Record::Opened {
            incident: Box::new(incident),
            digest: String::new(),
            event_ms,
            at_ms: 0,
            held: false,
            deliveries: vec![serde_json::from_value(delivery).unwrap()],
        });
        if let Some(event_ms) = closed_ms {
            let by = "a test".to_owned();
            let closed_as = CloseReason::Dismissed;
            self.ledger.apply(&Record::Closed { incident: id, closed_as, event_ms, at_ms: 0, by });
        }
    }
}

fn verdicts(psi: &[f64]) -> Vec<FeatureVerdict> {
    let score = |value| VerdictScore {
        value,
        noise_floor: Some(0.05),
        p_value: None,
        threshold: Some(0.1),
    };
    let verdict = |(i, &value): (usize, &f64)| FeatureVerdict {
        feature: format!("x{i}"),
        kind: Kind::Numeric,
        role: Role::Feature,
        verdict: Verdict::Stable,
        reference_count: 20_000,
        live_count: 2_000,
        scores: BTreeMap::from([(Statistic::Psi, score(value))]),
        reason: None,
        records_needed: None,
        onset: None,
        season: None,
    };
    psi.iter().enumerate().map(verdict).collect()
}

#[test]
fn a_rate_that_noise_explains_is_not_the_worst() {
    let mut all = verdicts(&[0.06, 0.0]);
    let rate = |value, p_value| VerdictScore {
        value,
        noise_floor: None,
        p_value: Some(p_value),
        threshold: Some(0.01),
    };
    all[1].scores.insert(Statistic::Missing, rate(0.0, 1.0));
    let worst = |all: &[FeatureVerdict]| {
        let worst = &ranked(all, &default_thresholds())[0];
        (worst.feature.to_owned(), worst.statistic)
    };
    assert_eq!(worst(&all), ("x0".to_owned(), Statistic::Psi));
    // Nearer to its line than any other score, and noise all the same.
    all[1].scores.insert(Statistic::Missing, rate(0.009, 0.2));
    assert_eq!(worst(&all), ("x0".to_owned(), Statistic::Psi));
    all[1].scores.insert(Statistic::Missing, rate(0.009, 1e-9));
    assert_eq!(worst(&all), ("x1".to_owned(), Statistic::Missing));
}

#[test]
fn quiet_data_never_fires() {
    let mut run = Run::new(policy());
    for i in 0..200 {
        let decision = run.pane(&[0.01 + 0.03 * f64::from(i % 3), 0.0]);
        assert!(!decision.trigger && !decision.warn && decision.cleared, "{decision:?}");
        assert!(decision.suppressed_by.is_empty());
        let settled = usize::try_from(i).unwrap() + 1 >= WINDOW;
        let expected = if settled { DriftState::Healthy } else { DriftState::Settling };
        assert_eq!(decision.drift, expected);
    }
}

#[test]
fn two_panes_over_the_line_are_chance_and_three_of_five_are_drift() {
    let mut run = Run::settled(policy());
    let fired: Vec<bool> = [0.5, 0.0, 0.0, 0.5, 0.0, 0.0, 0.5, 0.0, 0.5, 0.5]
        .into_iter()
        .map(|psi| run.pane(&[psi, 0.0]).trigger)
        .collect();
    assert_eq!(fired[..9], [false; 9]);
    assert!(fired[9]);
}

#[test]
fn a_trigger_explains_itself_with_its_numbers() {
    let decision = Run::settled(policy()).drifted();
    assert!(decision.trigger && decision.drift == DriftState::Drifted && !decision.cleared);
    assert!(decision.suppressed_by.is_empty());
    for part in ["x0 psi is 0.5000", "retrain 0.2", "noise floor 0.0500", "3 of the last 5 panes"] {
        assert!(decision.explanation.contains(part), "{part}: {}", decision.explanation);
    }
    assert!(decision.explanation.contains(&format!("over {} records", RECORDS * WINDOW as u64)));
}

#[test]
fn an_unfull_window_does_not_act() {
    let mut run = Run::new(policy());
    for _ in 0..WINDOW - 1 {
        let decision = run.pane(&[0.5, 0.0]);
        assert!(!decision.trigger && !decision.warn);
        assert_eq!(decision.drift, DriftState::Settling);
    }
    let held = run.state.review(&mut verdicts(&[0.5, 0.0]), &run.situation()).suppressed_by;
    assert_eq!(held, [Suppression::Settling, Suppression::IncompleteWindow]);
    assert!(run.pane(&[0.5, 0.0]).trigger);
}

/// What holds a drift back that would trigger otherwise.
fn held(change: impl FnOnce(&mut Run)) -> Vec<Suppression> {
    let mut run = Run::settled(policy());
    change(&mut run);
    let decision = run.drifted();
    assert_eq!(decision.trigger, decision.suppressed_by.is_empty());
    assert_eq!(decision.drift, DriftState::Drifted);
    for why in &decision.suppressed_by {
        assert!(decision.explanation.contains(why.as_str()), "{}", decision.explanation);
    }
    decision.suppressed_by
}

#[test]
fn every_gate_is_named_by_what_closed_it() {
    assert_eq!(held(|_| {}), []);
    assert_eq!(held(|run| run.complete = false), [Suppression::IncompleteWindow]);
    assert_eq!(held(|run| run.pane.gap = true), [Suppression::IncompleteWindow]);
    assert_eq!(held(|run| run.policy.min_records = 1_500), [Suppression::MinRecords]);
    assert_eq!(held(|run| run.pane.rejects = RECORDS / 2), [Suppression::Rejects]);
    assert_eq!(held(|run| run.policy.has_trigger = false), [Suppression::NoTrigger]);
    assert_eq!(held(|run| run.unreadable = true), [Suppression::UnreadableIncidents]);
    assert_eq!(held(|run| run.log(1, 0, None)), [Suppression::IncidentOpen]);
    let long_ago = -100 * PANE;
    assert_eq!(held(|run| run.log(1, long_ago, Some(long_ago))), []);
    assert_eq!(held(|run| run.log(1, 0, Some(20 * PANE))), [Suppression::Settling]);
    let two = |run: &mut Run| (1..3).for_each(|n| run.log(n, long_ago, Some(long_ago)));
    assert_eq!(held(two), [Suppression::Budget]);
}

#[test]
fn few_rejects_are_let_pass() {
    assert_eq!(held(|run| run.pane.rejects = RECORDS / 20), []);
}

#[test]
fn a_dry_run_decides() {
    let policy = Policy { dry_run: true, has_trigger: false, ..policy() };
    let decision = Run::settled(policy).drifted();
    assert!(decision.trigger);
    assert_eq!(decision.suppressed_by, [Suppression::DryRun]);
    assert!(decision.explanation.contains("dry_run"), "{}", decision.explanation);
}

#[test]
fn several_features_must_agree_where_that_is_asked() {
    let mut run = Run::settled(Policy { min_features: 2, ..policy() });
    assert!(!run.drifted().trigger);
    for _ in 0..2 {
        assert!(!run.pane(&[0.5, 0.5]).trigger);
    }
    assert!(run.pane(&[0.5, 0.5]).trigger);
}

#[test]
fn a_share_of_the_features_must_agree_where_that_is_asked() {
    // Three of five: half of them, rounded up.
    let mut run = Run::settled(Policy { min_share: 0.5, ..policy() });
    for _ in 0..6 {
        assert!(!run.pane(&[0.5, 0.5, 0.0, 0.0, 0.0]).trigger);
    }
    let fired: Vec<bool> = (0..3).map(|_| run.pane(&[0.5, 0.5, 0.5, 0.0, 0.0]).trigger).collect();
    assert_eq!(fired, [false, false, true]);
}

#[test]
fn a_level_stays_on_between_the_lines_and_clears_under_them() {
    let mut run = Run::settled(policy());
    run.drifted();
    for _ in 0..10 {
        assert!(!run.pane(&[0.18, 0.0]).cleared);
    }
    let cleared: Vec<bool> = (0..5).map(|_| run.pane(&[0.01, 0.0]).cleared).collect();
    assert_eq!(cleared, [false, false, false, false, true]);
}

#[test]
fn a_restart_shows_the_same_and_does_nothing_twice() {
    let mut run = Run::settled(policy());
    run.pane(&[0.5, 0.15]);
    run.pane(&[0.5, 0.15]);
    let decided = run.pane(&[0.5, 0.15]);
    let state = ModelState::decode(3, &run.state.encode(), 2).unwrap();
    assert_eq!(state, run.state);
    let mut again = verdicts(&[0.5, 0.15]);
    let shown = state.review(&mut again, &run.situation());
    assert_eq!(shown, Decision { trigger: false, warn: false, ..decided });
    assert_eq!(
        again.iter().map(|v| v.verdict).collect::<Vec<_>>(),
        [Verdict::Drifted, Verdict::Warning]
    );
}

#[cfg(test)]
mod again;
mod explained;
mod faults;
mod importance;
mod stored;
mod warned;

#[test]
fn a_level_without_evidence_of_its_own_does_not_trigger_again() {
    let mut run = Run::settled(policy());
    assert!(run.drifted().trigger);
    let judged = |log_evidence: f64| {
        let mut verdicts = verdicts(&[0.5, 0.0]);
        let onset = Onset {
            since_ms: 0,
            records: 500,
            log_evidence,
            log_needed: 9.7,
            psi: None,
            psi_bias: 0.0,
            window_psi_bias: 0.0,
            outside: None,
            missing: None,
        };
        verdicts[0].onset = Some(onset.clone());
        let onsets = vec![Some(onset), None];
        let finding = Finding { log_e: log_evidence, log_allowed: 9.0, onsets };
        run.state.judge(&mut verdicts, Some(&finding), &run.situation())
    };
    let stale = judged(4.2);
    assert_eq!((stale.drift, stale.trigger), (DriftState::Drifted, false));
    assert_eq!(stale.suppressed_by, []);
    assert!(stale.explanation.contains("no retraining is due"), "{}", stale.explanation);
    assert!(judged(9.8).trigger);
}
