//! The outputs of a running model, event by event.

use super::*;
use crate::decide::output::{FirstWindow, OutputDrift};
use crate::feature::Role;

/// People are told of the prediction so often.
fn predictions_told(fed: &Fed) -> usize {
    let ledger = fed.evaluate.log.ledger();
    ledger.pending().iter().filter(|o| o.delivery.id.ends_with(".prediction")).count()
}

/// What the last test of the prediction said.
fn last(view: &View) -> Option<OutputDrift> {
    view.models[0].output(Role::Prediction).cloned()
}

/// The first window of the prediction.
fn kept(fed: &Fed) -> Option<FirstWindow> {
    let output = fed.evaluate.models[0].state.outputs.get(&Role::Prediction);
    output.and_then(|output| output.first.clone())
}

#[tokio::test]
async fn a_prediction_that_drifts_is_told_once_a_restart_included_and_retrains_nothing() {
    let dir = TempDir::new().unwrap();
    let lines = "design_effect: 1\n      thresholds: {psi_alert: 50, psi_retrain: 60, \
                 prediction_drift_p_value: 0.05}";
    let spec = spec_of(
        &CONFIG
            .replace("design_effect: 1", lines)
            .replace("    pane: 1m", "    pane: 1m\n    features: {amount: {role: prediction}}"),
    );
    let mut fed = Fed::start_by(spec.clone(), dir.path(), 0, 0);
    // The window for the test ends every ten minutes, not at every pane.
    fed.panes(10, false);
    let first = last(&fed.tick()).unwrap();
    assert!(!first.drifted && first.end_ms == START + 10 * PANE, "{first:?}");
    fed.panes(9, true);
    assert_eq!(last(&fed.tick()), Some(first));
    assert_eq!(predictions_told(&fed), 0);
    fed.panes(1, true);
    let view = fed.tick();
    let second = last(&view).unwrap();
    assert!(second.drifted && second.records == 10 * RECORDS, "{second:?}");
    assert!(view.models[0].explanation.contains("the prediction amount has drifted: ks 0.4"));
    assert_eq!((predictions_told(&fed), fed.incident()), (1, None));
    fed.panes(4, true);
    drop(fed);

    let mut fed = Fed::start_by(spec, dir.path(), 24, 0);
    let view = fed.tick();
    assert_eq!(last(&view), Some(second));
    assert!(view.models[0].explanation.contains("the prediction amount has drifted"));
    fed.panes(6, true);
    let third = last(&fed.tick()).unwrap();
    assert!(third.drifted && third.end_ms == START + 30 * PANE, "{third:?}");
    assert_eq!(predictions_told(&fed), 1);
    fed.panes(10, false);
    let view = fed.tick();
    assert!(!last(&view).unwrap().drifted);
    assert!(!view.models[0].explanation.contains("prediction"), "{}", view.models[0].explanation);
    fed.panes(10, true);
    assert_eq!(predictions_told(&fed), 2);
}

#[tokio::test]
async fn a_prediction_that_the_baseline_lacks_is_compared_with_its_first_window() {
    let dir = TempDir::new().unwrap();
    let lines = "design_effect: 1\n      thresholds: {psi_alert: 50, psi_retrain: 60, \
                 prediction_drift_p_value: 0.05}";
    let spec = spec_of(&CONFIG.replace("design_effect: 1", lines));
    let mut fed = Fed::start_by(spec.clone(), dir.path(), 0, 0);
    fed.panes(10, false);
    // The first window is what the others are compared with; it says nothing itself.
    assert_eq!(last(&fed.tick()), None);
    let first = kept(&fed).unwrap();
    assert_eq!(first.end_ms, START + 10 * PANE);
    fed.panes(10, false);
    let second = last(&fed.tick()).unwrap();
    assert!(!second.drifted && second.reference_end_ms == Some(first.end_ms), "{second:?}");
    fed.panes(3, true);
    drop(fed);

    let mut fed = Fed::start_by(spec, dir.path(), 23, 0);
    assert_eq!(kept(&fed), Some(first.clone()));
    fed.panes(7, true);
    let view = fed.tick();
    let third = last(&view).unwrap();
    assert!(third.drifted && third.feature == "prediction", "{third:?}");
    let explanation = &view.models[0].explanation;
    assert!(explanation.contains("compared with its first window, to 2026-01-01T00:10:00Z"));
    assert_eq!(predictions_told(&fed), 1);
    let shown = view.models[0].features.iter().find(|f| f.feature == "prediction").unwrap();
    assert!(shown.reason.as_ref().unwrap().contains("first full window"), "{shown:?}");
}

#[tokio::test]
async fn a_confidence_has_a_line_and_a_story_of_its_own_and_outlives_a_restart() {
    let dir = TempDir::new().unwrap();
    let lines = "design_effect: 1\n      thresholds: {psi_alert: 50, psi_retrain: 60, \
                 confidence_drift_p_value: 0.01}";
    let spec = spec_of(
        &CONFIG
            .replace("design_effect: 1", lines)
            .replace("    pane: 1m", "    pane: 1m\n    features: {amount: {role: confidence}}"),
    );
    let stories = |fed: &Fed, kind| {
        let pending = fed.evaluate.log.ledger().pending();
        let of = pending.iter().filter(|o| o.delivery.kind == kind);
        of.map(|o| o.delivery.story().unwrap().0).collect::<Vec<_>>()
    };
    let mut fed = Fed::start_by(spec.clone(), dir.path(), 0, 0);
    fed.panes(10, false);
    fed.panes(10, true);
    let view = fed.tick();
    let confidence = view.models[0].output(Role::Confidence).cloned().unwrap();
    assert!(confidence.drifted && confidence.feature == "amount", "{confidence:?}");
    assert!((confidence.threshold - 0.01).abs() < 1e-12);
    assert_eq!((last(&view), fed.incident()), (None, None));
    let explanation = &view.models[0].explanation;
    assert!(explanation.contains("the confidence amount has drifted: ks 0.4"), "{explanation}");
    assert_eq!(stories(&fed, Told::Warning), ["driftd/fraud/confidence"]);
    let text = fed.evaluate.metrics.render(&view, &Default::default(), 1000);
    let of = "{model=\"fraud\",feature=\"amount\"}";
    assert!(text.contains(&format!("driftd_confidence_drift_detected{of} 1")), "{text}");
    assert!(!text.contains("driftd_prediction_drift_detected{"));
    drop(fed);

    let mut fed = Fed::start_by(spec, dir.path(), 20, 0);
    assert_eq!(fed.tick().models[0].output(Role::Confidence), Some(&confidence));
    fed.panes(20, false);
    assert!(!fed.tick().models[0].output(Role::Confidence).unwrap().drifted);
    assert_eq!(stories(&fed, Told::Recovered), ["driftd/fraud/confidence"]);
}
