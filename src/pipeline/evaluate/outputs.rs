//! The outputs of a running model: tested once a window.

use tracing::info;

use crate::baseline::Unusable;
use crate::decide::effects;
use crate::decide::gates::is_complete;
use crate::decide::output;
use crate::decide::output::FirstWindow;
use crate::decide::output::OutputDrift;
use crate::feature::Role;
use crate::pipeline::evaluate::model::ModelEvaluator;

impl ModelEvaluator {
    /// Tests what comes out of the model where a window for it ends: a whole and complete one.
    pub(super) fn test_outputs(&mut self, end_ms: i64) -> Vec<OutputDrift> {
        let policy = &self.spec.policy;
        if !output::is_due(policy, end_ms) || !is_complete(&self.ring, policy) {
            return Vec::new();
        }
        let window_ms = i64::try_from(policy.window_panes).unwrap_or(i64::MAX / 2) * policy.pane_ms;
        // A thin window reaches back into the one before.
        if self.ring.span_ms() != Some((end_ms - window_ms, end_ms)) {
            return Vec::new();
        }
        let asked: Vec<Role> = policy.output_p_values.keys().copied().collect();
        asked.into_iter().filter_map(|role| self.test_output(role, end_ms, window_ms)).collect()
    }

    /// Tests an output without a fault. The first window of one that the baseline has not is kept, to compare
    /// later ones with.
    fn test_output(&mut self, role: Role, end_ms: i64, window_ms: i64) -> Option<OutputDrift> {
        let policy = &self.spec.policy;
        let features = &self.watched.as_ref()?.baseline.features;
        let at = features.iter().position(|feature| feature.role == role)?;
        if self.state.faults.is_faulty(at) {
            return None;
        }
        let feature = &features[at];
        let learnt = self.state.learnt_effects.as_ref().and_then(|all| all.get(at));
        let learnt = learnt.filter(|_| feature.unusable.is_none());
        let phi = effects::of_window(feature, policy, learnt, window_ms);
        let live = self.withheld.rest(at, &self.ring.live()[at]);
        if feature.unusable != Some(Unusable::NoReference) {
            let mixture = self.references.get(at).and_then(Option::as_ref);
            let sides = (mixture.unwrap_or(&feature.reference), &*live);
            return output::test(feature, sides, policy, (phi, end_ms));
        }
        if let Some(first) = self.state.outputs.get(&role).and_then(|output| output.first.as_ref())
        {
            let referenced = first.referenced(feature);
            let sides = (&referenced.reference, &*live);
            let tested = output::test(&referenced, sides, policy, (phi, end_ms))?;
            return Some(OutputDrift { reference_end_ms: Some(first.end_ms), ..tested });
        }
        if live.in_cells() >= policy.min_records {
            let first = FirstWindow { end_ms, counts: live.cells.clone() };
            info!(
                model = self.spec.name(),
                output = role.as_str(),
                records = live.in_cells(),
                "the baseline has none: this window is what later ones are compared with"
            );
            self.state.outputs.entry(role).or_default().first = Some(first);
        }
        None
    }
}
