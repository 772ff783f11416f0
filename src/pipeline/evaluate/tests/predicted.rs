//! The prediction of a running model, event by event.

use super::*;

/// People are told of the prediction so often.
fn predictions_told(fed: &Fed) -> usize {
    let ledger = fed.evaluate.log.ledger();
    ledger.pending().iter().filter(|o| o.delivery.id.ends_with(".prediction")).count()
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
    let first = fed.tick().models[0].prediction.clone().unwrap();
    assert!(!first.drifted && first.end_ms == START + 10 * PANE, "{first:?}");
    fed.panes(9, true);
    assert_eq!(fed.tick().models[0].prediction, Some(first));
    assert_eq!(predictions_told(&fed), 0);
    fed.panes(1, true);
    let view = fed.tick();
    let second = view.models[0].prediction.clone().unwrap();
    assert!(second.drifted && second.records == 10 * RECORDS, "{second:?}");
    assert!(view.models[0].explanation.contains("the prediction amount has drifted: ks 0.4"));
    assert_eq!((predictions_told(&fed), fed.incident()), (1, None));
    fed.panes(4, true);
    drop(fed);

    let mut fed = Fed::start_by(spec, dir.path(), 24, 0);
    let view = fed.tick();
    assert_eq!(view.models[0].prediction, Some(second));
    assert!(view.models[0].explanation.contains("the prediction amount has drifted"));
    fed.panes(6, true);
    let third = fed.tick().models[0].prediction.clone().unwrap();
    assert!(third.drifted && third.end_ms == START + 30 * PANE, "{third:?}");
    assert_eq!(predictions_told(&fed), 1);
    fed.panes(10, false);
    let view = fed.tick();
    assert!(!view.models[0].prediction.as_ref().unwrap().drifted);
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
    assert_eq!(fed.tick().models[0].prediction, None);
    let first = fed.evaluate.models[0].state.first_predictions.clone().unwrap();
    assert_eq!(first.end_ms, START + 10 * PANE);
    fed.panes(10, false);
    let second = fed.tick().models[0].prediction.clone().unwrap();
    assert!(!second.drifted && second.reference_end_ms == Some(first.end_ms), "{second:?}");
    fed.panes(3, true);
    drop(fed);

    let mut fed = Fed::start_by(spec, dir.path(), 23, 0);
    assert_eq!(fed.evaluate.models[0].state.first_predictions, Some(first.clone()));
    fed.panes(7, true);
    let view = fed.tick();
    let third = view.models[0].prediction.clone().unwrap();
    assert!(third.drifted && third.feature == "prediction", "{third:?}");
    let explanation = &view.models[0].explanation;
    assert!(explanation.contains("compared with its first window, to 2026-01-01T00:10:00Z"));
    assert_eq!(predictions_told(&fed), 1);
    let shown = view.models[0].features.iter().find(|f| f.feature == "prediction").unwrap();
    assert!(shown.reason.as_ref().unwrap().contains("first full window"), "{shown:?}");
}
