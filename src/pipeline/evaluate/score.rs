//! The window of a model against its reference: every feature's scores and verdict.

use std::borrow::Cow;

use crate::baseline::Baseline;
use crate::baseline::FeatureBaseline;
use crate::compare::FLOOR_ALPHA;
use crate::decide::Verdict;
use crate::decide::effects;
use crate::decide::rule;
use crate::decide::verdict::VerdictRule;
use crate::decide::verdict::verdict_against;
use crate::histogram::Counts;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::setting::season::Calendar;

impl ModelEvaluator {
    /// Compares the window with the reference.
    pub(crate) fn score(&mut self) {
        let Some(watched) = self.watched.clone() else { return };
        let policy = &self.spec.policy.clone();
        let window_ms = i64::try_from(policy.window_panes).unwrap_or(i64::MAX / 2) * policy.pane_ms;
        // Rule `window` asks nothing but the floor, so its floor is far out.
        let alpha = if self.sequential.is_some() { FLOOR_ALPHA } else { rule::ALPHA };
        let learnt = self.state.learnt_effects.clone().unwrap_or_default();
        let rule = |at: usize, feature: &FeatureBaseline| VerdictRule {
            thresholds: &policy.thresholds,
            design_effect: effects::of_window(feature, policy, learnt.get(at), window_ms),
            min_records: policy.min_records,
            alpha,
            tolerance: policy.psi_tolerance,
        };
        self.score_trusted(&watched.baseline, &rule);
    }

    /// Compares what can be trusted of the window with the reference; a faulty feature's verdict is its
    /// fault.
    fn score_trusted<'a>(
        &mut self,
        baseline: &Baseline,
        rule: &impl Fn(usize, &FeatureBaseline) -> VerdictRule<'a>,
    ) {
        let mut disbelieved = 0;
        let sides = baseline.features.iter().zip(self.ring.live()).enumerate();
        let now_ms = self.ring.span_ms().map_or(0, |(_, end)| end);
        let mut verdicts = Vec::with_capacity(baseline.features.len());
        let mut references = Vec::with_capacity(baseline.features.len());
        for (at, (feature, live)) in sides {
            let rule = rule(at, feature);
            let rest = self.withheld.rest(at, live);
            let mixture = self.reference(at, feature);
            let reference = mixture.as_ref().unwrap_or(&feature.reference);
            let mut judged = verdict_against(feature, reference, &rest, &rule);
            judged.season = self.slots(feature).map(|(calendar, _)| calendar.to_string());
            let few = rest.records() < rule.min_records && rest.records() < live.records();
            if few {
                // The window holds enough, what is left of it doesn't: nothing is decided by it.
                judged.scores.clear();
            }
            let fault = self.state.faults.fault(at, &feature.name, now_ms);
            if let Some(fault) = fault.filter(|fault| !fault.accepted) {
                let believed = verdict_against(feature, reference, live, &rule).verdict;
                disbelieved += usize::from(believed == Verdict::Drifted);
                judged.verdict = Verdict::Fault;
                judged.reason = Some(fault.sentence);
                judged.records_needed = None;
            }
            verdicts.push(judged);
            references.push(mixture);
        }
        self.state.faults.disbelieve(disbelieved);
        self.verdicts = verdicts;
        self.references = references;
    }

    /// What is left of each feature's window where panes are withheld: what its scores rest on.
    pub(super) fn rest(&self) -> Vec<Option<Counts>> {
        let all = self.ring.live().iter().enumerate();
        all.map(|(at, live)| match self.withheld.rest(at, live) {
            Cow::Owned(rest) => Some(rest),
            Cow::Borrowed(_) => None,
        })
        .collect()
    }

    /// What the window of a feature with a season is compared with: the mixture of its slots, by the records
    /// that came in each and are not withheld.
    fn reference(&self, at: usize, feature: &FeatureBaseline) -> Option<Counts> {
        let (calendar, slots) = self.slots(feature)?;
        let mut records = slots.to_vec();
        for pane in self.withheld.panes(at) {
            let slot = &mut records[calendar.slot(pane.start_ms)];
            *slot = slot.saturating_sub(pane.records);
        }
        feature.mixture(&records)
    }

    /// The calendar of a feature's season, and the window's records by its slots.
    fn slots(&self, feature: &FeatureBaseline) -> Option<(&Calendar, &[u64])> {
        let season = feature.season.as_ref().filter(|season| season.is_used())?;
        self.ring.slots(season.cycle)
    }
}
