//! The prediction of a running model: tested once a window, and people are told when it drifts.

use tracing::info;

use crate::baseline::Unusable;
use crate::decide::Kind;
use crate::decide::effects;
use crate::decide::gates::is_complete;
use crate::decide::ledger::incident_id;
use crate::decide::prediction;
use crate::decide::prediction::FirstWindow;
use crate::decide::prediction::PredictionDrift;
use crate::feature::Role;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::model::ModelEvaluator;

impl ModelEvaluator {
    /// Tests the prediction where a window for it ends: a whole and complete one, and no fault of it. The
    /// first one of a prediction that the baseline has not is kept, to compare later ones with.
    pub(super) fn test_prediction(&mut self, end_ms: i64) -> Option<PredictionDrift> {
        let policy = &self.spec.policy;
        if !prediction::is_due(policy, end_ms) || !is_complete(&self.ring, policy) {
            return None;
        }
        let window_ms = i64::try_from(policy.window_panes).unwrap_or(i64::MAX / 2) * policy.pane_ms;
        // A thin window reaches back into the one before.
        if self.ring.span_ms() != Some((end_ms - window_ms, end_ms)) {
            return None;
        }
        let features = &self.watched.as_ref()?.baseline.features;
        let at = features.iter().position(|feature| feature.role == Role::Prediction)?;
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
            return prediction::test(feature, sides, policy, (phi, end_ms));
        }
        if let Some(first) = &self.state.first_predictions {
            let referenced = first.referenced(feature);
            let sides = (&referenced.reference, &*live);
            let tested = prediction::test(&referenced, sides, policy, (phi, end_ms))?;
            return Some(PredictionDrift { reference_end_ms: Some(first.end_ms), ..tested });
        }
        if live.in_cells() >= policy.min_records {
            let first = FirstWindow { end_ms, counts: live.cells.clone() };
            info!(
                model = self.spec.name(),
                records = live.in_cells(),
                "the baseline has no prediction: this window is what later ones are compared with"
            );
            self.state.first_predictions = Some(first);
        }
        None
    }
}

impl Evaluate {
    /// Tells the people of the model that its answers have drifted; nothing is retrained by it.
    pub(super) fn tell_prediction(&mut self, model: usize, summary: &str, at: (i64, i64)) {
        if !self.models[model].is_caught_up() {
            return;
        }
        let name = self.specs[model].name();
        let id = incident_id(name, "prediction", at.0.cast_unsigned());
        let about = (Kind::Warning, format!("{id}.prediction"), None);
        self.notify(model, about, (format!("{name}: {summary}"), "warning"), at);
    }

    /// People who were told of a warning are told that it is over.
    pub(super) fn tell_recovered(&mut self, model: usize, explanation: &str, at: (i64, i64)) {
        let (spec, state) = (&self.specs[model], &self.models[model].state);
        let drifts = state.prediction.as_ref().is_some_and(|last| last.drifted);
        let name = spec.name().to_owned();
        for (what, over) in [("warning", !state.warned), ("prediction", !drifts)] {
            let began = self.log.ledger().told(&format!("driftd/{name}/{what}"));
            let Some(began) = began.filter(|_| over && self.models[model].is_caught_up()) else {
                continue;
            };
            let about = (Kind::Recovered, format!("{began}.over"), None);
            let summary = format!("{name}: the {what} is over: {explanation}");
            self.notify(model, about, (summary, "healthy"), at);
            return;
        }
    }
}
