//! Warnings are told while they last, whenever they began, and never for what an incident has told.

use super::*;

const WARNING: &str = "driftd/fraud/warning";

/// A model that warns of the drift and retrains for none.
fn warns() -> Spec {
    let lines = "design_effect: 1\n      thresholds: {psi_retrain: 40}";
    spec_of(&CONFIG.replace("design_effect: 1", lines))
}

#[tokio::test]
async fn a_warning_that_began_in_the_backlog_is_told_when_the_present_is_reached() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(warns(), dir.path(), 0, 35);
    fed.panes(20, false);
    fed.panes(14, true);
    fed.tick();
    assert_eq!(fed.told(), []);
    fed.panes(1, true);
    assert_eq!(fed.verdicts(WARNING), ["warning"]);
    drop(fed);
    let mut fed = Fed::start_by(warns(), dir.path(), 35, 0);
    fed.tick();
    fed.panes(5, true);
    fed.tick();
    assert_eq!(fed.verdicts(WARNING), ["warning"]);
    fed.panes(80, false);
    assert_eq!(fed.verdicts(WARNING), ["warning", "healthy"]);
    fed.panes(10, true);
    assert_eq!(fed.verdicts(WARNING), ["warning", "healthy", "warning"]);
}

#[tokio::test]
async fn a_warning_that_began_while_nobody_looked_is_told_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(warns(), dir.path(), 0, 0);
    fed.panes(20, false);
    drop(fed);
    let mut fed = Fed::start_by(warns(), dir.path(), 20, 34);
    fed.panes(13, true);
    drop(fed);
    // What is read up to here was decided by the process before.
    let mut fed = Fed::start_by(warns(), dir.path(), 33, 33);
    fed.tick();
    assert_eq!(fed.verdicts(WARNING), ["warning"]);
}

#[tokio::test]
async fn a_warning_that_was_over_before_the_present_is_no_news() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(warns(), dir.path(), 0, 70);
    fed.panes(20, false);
    fed.panes(10, true);
    assert!(fed.evaluate.models[0].state.warned);
    fed.panes(40, false);
    fed.tick();
    assert_eq!(fed.told(), []);
}

#[tokio::test]
async fn a_warning_that_the_log_refused_is_told_later() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(warns(), dir.path(), 0, 0);
    fed.panes(20, false);
    fed.evaluate.models[0].refused = Some(Instant::now() + Duration::from_secs(3600));
    fed.panes(10, true);
    fed.tick();
    assert_eq!(fed.told(), []);
    fed.evaluate.models[0].refused = None;
    fed.tick();
    assert_eq!(fed.verdicts(WARNING), ["warning"]);
}

#[tokio::test]
async fn whoever_is_added_hears_of_the_warning_that_lasts() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(warns(), dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    assert_eq!(fed.verdicts(WARNING), ["warning"]);
    drop(fed);
    let people = ["ops", "others"].map(Reader::of_slack).to_vec();
    let mut fed = Fed::start_by(Spec { people, ..warns() }, dir.path(), 30, 0);
    fed.tick();
    fed.tick();
    let pending = fed.evaluate.log.ledger().pending();
    let to: Vec<_> = pending.iter().map(|o| (o.delivery.target_name(), &o.delivery.id)).collect();
    assert_eq!(to.len(), 2);
    assert_eq!((to[0].0.as_str(), to[1].0.as_str()), ("slack/ops", "slack/others"));
    assert_eq!(to[0].1, to[1].1, "one story");
}

#[tokio::test]
async fn what_an_incident_has_told_is_no_warning_when_a_person_dismisses_it() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 35);
    fed.panes(20, false);
    fed.panes(15, true);
    assert_eq!(fed.incident(), SENT);
    let id = fed.evaluate.log.ledger().open("fraud").unwrap().incident.id.clone();
    assert_eq!(fed.close(&id), Closing::Done);
    fed.tick();
    fed.panes(3, true);
    assert_eq!(fed.tick().models[0].drift, DriftState::Drifted);
    assert_eq!(fed.verdicts(WARNING), [""; 0]);
    assert_eq!(fed.verdicts(&id), ["drifted", "dismissed"]);
}

#[tokio::test]
async fn an_output_that_drifts_beside_an_incident_is_told_when_that_is_closed() {
    const PREDICTION: &str = "driftd/fraud/prediction";
    let dir = TempDir::new().unwrap();
    let lines = "design_effect: 1\n      thresholds: {prediction_drift_p_value: 0.05}";
    let mut fed =
        Fed::start_by(spec_of(&CONFIG.replace("design_effect: 1", lines)), dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    let view = fed.tick();
    assert!(view.models[0].outputs.iter().any(|output| output.drifted));
    assert_eq!(fed.incident(), SENT);
    assert_eq!(fed.verdicts(PREDICTION), [""; 0]);
    let id = view.models[0].incident_id.clone().unwrap();
    assert_eq!(fed.close(&id), Closing::Done);
    fed.tick();
    fed.panes(1, true);
    assert_eq!(fed.verdicts(PREDICTION), ["warning"]);
    // Asked for no more, it is over.
    let panes = fed.panes;
    drop(fed);
    let mut fed = Fed::start(dir.path(), panes, 0);
    fed.panes(1, false);
    assert_eq!(fed.verdicts(PREDICTION), ["warning", "healthy"]);
}
