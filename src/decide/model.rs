//! One model's decision at the close of one pane: levels, gates, and a sentence that explains them.

use std::collections::BTreeMap;

use crate::baseline::design_effect::Effects;
use crate::decide::check::Checks;
use crate::decide::fault::Faults;
use crate::decide::gates::due_since;
use crate::decide::gates::gates;
use crate::decide::gates::watched;
use crate::decide::ledger::Ledger;
use crate::decide::output::{Output, OutputDrift};
use crate::decide::policy::Level;
use crate::decide::policy::Policy;
use crate::decide::rule::FeatureLevels;
use crate::decide::sequential::Finding;
use crate::decide::sequential::Sequential;
use crate::decide::sequential::SequentialState;
use crate::decide::sequential::push_levels;
use crate::decide::view::DriftState;
use crate::decide::view::FeatureVerdict;
use crate::decide::view::Onset;
use crate::decide::view::Suppression;
use crate::decide::view::Verdict;
use crate::feature::Role;
use crate::histogram::Counts;
use crate::window::Ring;

mod explain;
mod stored;

use explain::{Judged, left_out};

/// What a model remembers from pane to pane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelState {
    pub levels: Vec<FeatureLevels>,
    /// What is wrong with the feed; a faulty feature decides nothing.
    pub faults: Faults,
    /// End of the last pane that was decided.
    pub decided_end_ms: Option<i64>,
    /// Drift is at `warning` or above.
    pub warned: bool,
    /// End of the pane since which it is; `None` in a state of a release that did not know.
    pub warned_since_ms: Option<i64>,
    /// Design effects that live panes have shown, where neither the configuration nor the baseline tells.
    pub learnt_effects: Option<Vec<Effects>>,
    /// The tests of what comes out of the model.
    pub outputs: BTreeMap<Role, Output>,
    /// What the sequential test remembers, where it decides.
    pub sequential: Option<SequentialState>,
    /// What is known of the checks; it decides nothing.
    pub checks: Checks,
}

/// What one pane's decision came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub drift: DriftState,
    /// A trigger is due and nothing holds it back.
    pub trigger: bool,
    /// Drift has cleared on every feature.
    pub cleared: bool,
    /// Over `warning` for the first time since it was last healthy.
    pub warn: bool,
    pub suppressed_by: Vec<Suppression>,
    pub explanation: String,
    /// Outputs that have drifted, and had not at the test before: what people are told.
    pub outputs: Vec<(Role, String)>,
}

/// What else bears on the decision.
pub struct Situation<'a> {
    pub policy: &'a Policy,
    /// The sequential test, once the design effects are known; until then rule `window` decides.
    pub sequential: Option<&'a Sequential>,
    pub ring: &'a Ring,
    pub ledger: &'a Ledger,
    pub model: &'a str,
    pub pane_end_ms: i64,
    /// Incident records exist that this binary cannot read.
    pub unreadable_incidents: bool,
    /// Tests of what comes out of the model, where a window for them ended with this pane.
    pub tested: Vec<OutputDrift>,
}

impl ModelState {
    /// Takes in tests of outputs; the sentences that people are told of those that have drifted and had not
    /// at the test before.
    fn take_outputs(&mut self, tested: &[OutputDrift]) -> Vec<(Role, String)> {
        let mut news = Vec::new();
        for tested in tested {
            let output = self.outputs.entry(tested.role).or_default();
            let before = output.last.as_ref().is_some_and(|before| before.drifted);
            if tested.drifted && !before {
                news.push((tested.role, tested.sentence()));
            }
            output.last = Some(tested.clone());
        }
        news
    }

    /// Outputs that had drifted at their last test.
    pub fn drifted_outputs(&self) -> impl Iterator<Item = &OutputDrift> {
        let last = self.outputs.values().filter_map(|output| output.last.as_ref());
        last.filter(|last| last.drifted)
    }

    /// Decides the pane that has just entered the ring. `verdicts` are the window's, one per feature
    /// of the baseline; their verdict becomes the level that holds over panes. `pane` is what the pane
    /// itself counted, `None` where nothing can be learnt from it.
    pub fn decide(
        &mut self,
        verdicts: &mut [FeatureVerdict],
        pane: &[Option<&Counts>],
        at: &Situation<'_>,
    ) -> Decision {
        self.levels.resize(verdicts.len(), FeatureLevels::default());
        self.take_out(verdicts, at.policy);
        if let Some(rule) = at.sequential {
            let state = self.sequential.get_or_insert_with(|| rule.start());
            rule.push(state, pane, at.pane_end_ms - at.policy.pane_ms);
        }
        let finding = self.find(verdicts, at);
        for (feature, (levels, verdict)) in self.levels.iter_mut().zip(verdicts.iter()).enumerate()
        {
            let doubtful = self.faults.doubts(feature, verdict.onset.as_ref());
            let matters = at.policy.importance(&verdict.feature) > 0.0;
            match (&finding, &verdict.onset) {
                _ if doubtful || !matters => {}
                (Some(_), Some(onset)) => {
                    push_levels(levels, verdict, onset, at.policy, at.ring.records());
                }
                (Some(_), None) => {}
                (None, _) => levels.push(verdict, at.policy, at.ring.records()),
            }
        }
        self.decided_end_ms = Some(at.pane_end_ms);
        let outputs = self.take_outputs(&at.tested);
        let decision = Decision { outputs, ..self.judge(verdicts, finding.as_ref(), at) };
        if at.ring.is_full() || decision.drift >= DriftState::Warning {
            let before = std::mem::replace(&mut self.warned, decision.drift >= DriftState::Warning);
            let since = if before { self.warned_since_ms } else { Some(at.pane_end_ms) };
            self.warned_since_ms = since.filter(|_| self.warned);
        }
        if let (true, Some(rule), Some(state)) =
            (has_triggered(&decision, at), at.sequential, &mut self.sequential)
        {
            rule.reset(state);
        }
        decision
    }

    /// What the sequential test knows after the last pane; every feature's part is put into its verdict.
    fn find(&self, verdicts: &mut [FeatureVerdict], at: &Situation<'_>) -> Option<Finding> {
        let (rule, state) = (at.sequential?, self.sequential.as_ref()?);
        let counts = |verdict: &FeatureVerdict| (verdict.reference_count, verdict.live_count);
        let window: Vec<(u64, u64)> = verdicts.iter().map(counts).collect();
        let finding = rule.find(state, &window, at.policy, at.pane_end_ms);
        for (verdict, onset) in verdicts.iter_mut().zip(&finding.onsets) {
            verdict.onset = onset.clone();
        }
        Some(finding)
    }

    /// What was decided of the last pane, for a process that has only just read this state: nothing
    /// in it is due again.
    pub fn review(&self, verdicts: &mut [FeatureVerdict], at: &Situation<'_>) -> Decision {
        let mut state = self.clone();
        state.take_out(verdicts, at.policy);
        let finding = state.find(verdicts, at);
        Decision { trigger: false, warn: false, ..state.judge(verdicts, finding.as_ref(), at) }
    }

    /// Levels of features that have been taken out of the decision, since the last pane perhaps, end here.
    fn take_out(&mut self, verdicts: &[FeatureVerdict], policy: &Policy) {
        for (levels, verdict) in self.levels.iter_mut().zip(verdicts) {
            if policy.importance(&verdict.feature) <= 0.0 {
                *levels = FeatureLevels::default();
            }
        }
    }

    fn judge(
        &self,
        verdicts: &mut [FeatureVerdict],
        finding: Option<&Finding>,
        at: &Situation<'_>,
    ) -> Decision {
        for (levels, verdict) in self.levels.iter().zip(verdicts.iter_mut()) {
            verdict.verdict = held_verdict(levels.highest(), verdict.verdict);
        }
        let enough = at.policy.features_needed(watched(verdicts));
        let drift = self.drift(finding, enough, at);
        let mut suppressed_by = Vec::new();
        let asking = self.due(verdicts, finding.is_some());
        let due = asking >= enough;
        if due {
            suppressed_by = gates(at, due_since(verdicts, at));
        }
        // What would be due if a broken feed were believed is held back by that, too.
        let disbelieved = self.over(Level::Retrain) + self.faults.disbelieved();
        if due && self.faults.bars() || !due && self.faults.any() && disbelieved >= enough {
            suppressed_by.push(Suppression::Fault);
        }
        let warn = drift >= DriftState::Warning && !self.warned;
        let trigger = due && suppressed_by.is_empty();
        // A dry run decides and records; what it holds back is the sending.
        if due && at.policy.dry_run {
            suppressed_by.push(Suppression::DryRun);
        }
        let judged = Judged { finding, drift, enough, due: asking, suppressed_by: &suppressed_by };
        let mut explanation = self.explain(verdicts, at, &judged);
        explanation.push_str(&left_out(verdicts));
        let of_feed = self.faults.fault_of_feed(at.pane_end_ms).filter(|fault| !fault.accepted);
        if let Some(fault) = of_feed {
            explanation.push_str(&format!("; {}", fault.sentence));
        }
        for output in self.drifted_outputs() {
            explanation.push_str(&format!("; {}", output.sentence()));
        }
        // A level that a fault has put aside is not cleared by it.
        let cleared = self.levels.iter().all(|l| l.highest() < Some(Level::Retrain));
        let outputs = Vec::new();
        Decision { drift, trigger, cleared, warn, suppressed_by, explanation, outputs }
    }

    /// How many features are at a level or above it, faulty ones not counted.
    fn over(&self, level: Level) -> usize {
        let levels = self.levels.iter().enumerate();
        levels.filter(|(at, l)| l.highest() >= Some(level) && !self.faults.is_faulty(*at)).count()
    }

    /// How many features ask for a retraining. A level outlives the evidence that has led to a trigger, as
    /// the window does that it is read from; where evidence decides, it has to be there anew.
    fn due(&self, verdicts: &[FeatureVerdict], by_evidence: bool) -> usize {
        let is_real = |verdict: &FeatureVerdict| verdict.onset.as_ref().is_some_and(Onset::is_real);
        let sides = self.levels.iter().zip(verdicts).enumerate();
        sides
            .filter(|(at, (levels, verdict))| {
                levels.highest() >= Some(Level::Retrain)
                    && !self.faults.is_faulty(*at)
                    && (!by_evidence || is_real(verdict))
            })
            .count()
    }

    fn drift(&self, finding: Option<&Finding>, enough: usize, at: &Situation<'_>) -> DriftState {
        let settled = at.ring.is_full();
        if !settled && finding.is_none() {
            DriftState::Settling
        } else if self.over(Level::Retrain) >= enough {
            DriftState::Drifted
        } else if self.over(Level::Warning) >= enough {
            DriftState::Warning
        } else if self.over(Level::Notice) > 0 || finding.is_some_and(Finding::is_real) {
            DriftState::Notice
        } else if settled {
            DriftState::Healthy
        } else {
            DriftState::Settling
        }
    }
}

/// The level that holds, else what this pane alone says.
fn held_verdict(level: Option<Level>, now: Verdict) -> Verdict {
    match (level, now) {
        (_, Verdict::Unusable | Verdict::AbsentInLive | Verdict::Fault) => now,
        (Some(Level::Retrain), _) => Verdict::Drifted,
        (Some(Level::Warning), _) => Verdict::Warning,
        (Some(Level::Notice), _) => Verdict::Notice,
        (None, Verdict::InsufficientSamples) => now,
        (None, Verdict::Stable | Verdict::Notice | Verdict::Warning | Verdict::Drifted) => {
            Verdict::Stable
        }
    }
}

/// Whether this pane has triggered, now or before a crash that lost what was decided but not its record:
/// either way its evidence is used up.
fn has_triggered(decision: &Decision, at: &Situation<'_>) -> bool {
    decision.trigger || at.ledger.was_opened_at(at.model, at.pane_end_ms)
}

#[cfg(test)]
mod tests;
