//! What readers see: one view, published whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::decide::DriftState;
use crate::decide::ModelView;
use crate::decide::Quality;
use crate::decide::Suppression;
use crate::decide::View;
use crate::decide::gates::is_complete;
use crate::decide::view::WindowView;
use crate::deliver::Reader;
use crate::kafka::producer::RECORD_MAX;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::evaluate::quality::nothing_matches;
use crate::pipeline::evaluate::quality::quality;
use crate::report::api;

impl Evaluate {
    /// Publishes a new view if anything has changed.
    pub(super) fn publish(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let models = (0..self.models.len()).map(|model| Arc::new(self.model_view(model))).collect();
        let incidents = self.log.ledger().incidents();
        self.view.send_replace(Arc::new(View { models, incidents }));
        self.report_deliveries();
        for (spec, evaluator) in self.specs.iter().zip(&self.models) {
            let frontier = evaluator.merge.sources().filter_map(|p| p.frontier_ms).min();
            if let Some(frontier) = frontier {
                let watermark = frontier + spec.model.lateness.as_ms();
                self.metrics.event_watermark(spec.name(), watermark);
            }
        }
    }

    /// Messages that wait, by target.
    fn report_deliveries(&self) {
        let mut waiting: BTreeMap<String, (usize, i64)> = BTreeMap::new();
        for spec in self.specs.iter() {
            let targets = spec.trigger.iter().cloned();
            let people = spec.people.iter().map(Reader::name);
            targets.chain(people).for_each(|t| {
                waiting.insert(t, (0, i64::MAX));
            });
        }
        let pending = self.log.ledger().pending().into_iter();
        for outgoing in pending.filter(|o| self.sends(&o.delivery.model)) {
            let slot = waiting.entry(outgoing.delivery.target_name()).or_insert((0, i64::MAX));
            *slot = (slot.0 + 1, slot.1.min(outgoing.queued_at_ms));
        }
        for (target, (length, oldest)) in waiting {
            self.metrics.pending(&target, length, (length > 0).then_some(oldest));
        }
    }

    fn model_view(&self, model: usize) -> ModelView {
        let (spec, evaluator) = (&self.specs[model], &self.models[model]);
        let open = self.log.ledger().open(spec.name());
        let decision = evaluator.decision.as_ref();
        let quality = quality(evaluator);
        let drift = match (&evaluator.watched, decision) {
            (None, _) => DriftState::NoBaseline,
            (Some(_), None) => DriftState::Settling,
            (Some(_), Some(decision)) => decision.drift,
        };
        let (start_ms, end_ms) = evaluator.ring.span_ms().unwrap_or_default();
        let held = decision.map(|d| d.suppressed_by.clone()).unwrap_or_default();
        let lag = evaluator.lag.filter(|_| open.is_some_and(|entry| entry.held));
        let mut features = evaluator.verdicts.clone();
        if evaluator.stale {
            // Old numbers of a silent stream are not passed off as present ones.
            features.iter_mut().for_each(|verdict| verdict.scores.clear());
        }
        ModelView {
            elsewhere: self.elsewhere(spec.name()),
            model: spec.name().to_owned(),
            topic: spec.model.topic.clone(),
            drift,
            quality,
            incident: open.map(|entry| entry.incident.state),
            incident_id: open.map(|entry| entry.incident.id.clone()),
            window: WindowView {
                start_ms,
                end_ms,
                records: evaluator.ring.records(),
                complete: is_complete(&evaluator.ring, &spec.policy),
            },
            features,
            faults: evaluator.faults(),
            checks: evaluator.checks(),
            suppressed_by: held.into_iter().chain(lag.map(|_| Suppression::Lag)).collect(),
            explanation: shown(explained(evaluator, quality), evaluator),
            outputs: evaluator.state.outputs.values().filter_map(|o| o.last.clone()).collect(),
            baseline: evaluator.watched.as_ref().map(|w| w.baseline.clone()),
            baseline_loaded_ms: evaluator.loaded_ms,
            live: evaluator.ring.live().to_vec(),
            rest: evaluator.rest(),
            references: evaluator.references.clone(),
            panes: Arc::new(evaluator.ring.panes()),
            pane_ms: spec.policy.pane_ms,
            history: Arc::new(evaluator.history.clone()),
            thresholds: spec.policy.thresholds.clone(),
            min_records: spec.policy.min_records,
            evaluated_ms: evaluator.state.decided_end_ms,
            triggers: self.log.ledger().opened(spec.name()),
            figures: self.log.ledger().figures(spec.name()),
            suppressed: evaluator.suppressed.clone(),
        }
    }

    /// The whole report of a model, as the API gives it, where a record of the log can hold it.
    pub(super) fn report(&self, model: usize) -> Value {
        let report = serde_json::to_value(api::model(&self.model_view(model)))
            .expect("a report is plain data with finite numbers");
        match self.store.kafka() {
            Some(_) => fitting(report, RECORD_MAX / 2),
            None => report,
        }
    }
}

/// The report, or why it is not here, if it is longer than `most` bytes.
fn fitting(report: Value, most: usize) -> Value {
    let bytes = report.to_string().len();
    if bytes <= most {
        return report;
    }
    let why = format!("left out: it is {bytes} bytes, and the log takes {most}; see report_url");
    json!({ "truncated": why })
}

/// With what a dry run keeps to itself.
fn shown(explanation: String, evaluator: &ModelEvaluator) -> String {
    match evaluator.unsent.sentence() {
        Some(unsent) => format!("{explanation}; {unsent}"),
        None => explanation,
    }
}

/// Why it did or did not act, and what that waits for.
fn explained(evaluator: &ModelEvaluator, quality: Quality) -> String {
    if quality == Quality::Misconfigured {
        return nothing_matches(evaluator);
    }
    match (&evaluator.decision, &evaluator.lag, evaluator.owned) {
        (Some(decision), None, _) => decision.explanation.clone(),
        (Some(decision), Some(lag), _) => format!("{}; {}", decision.explanation, lag.sentence()),
        (None, Some(lag), _) => lag.sentence(),
        (None, None, true) => "nothing has been evaluated yet".to_owned(),
        (None, None, false) => "another replica evaluates this model".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_the_log_cannot_hold_says_so_and_holds_up_nothing() {
        let report = json!({"features": ["x".repeat(1_000)]});
        assert_eq!(fitting(report.clone(), 2_000), report);
        let short = fitting(report, 1_000);
        let said = short["truncated"].as_str().unwrap();
        assert!(said.starts_with("left out: it is 1017 bytes, and the log takes 1000"), "{said}");
    }
}
