//! What people are told of a retraining and of troubles, from their beginning to their end.

use super::*;
use crate::decide::RunState;
use crate::decide::record::{DeliveryResult, Record};
use crate::deliver::Notifiers;
use crate::deliver::Outcome;

const NOTIFIERS: &str = r#"{
    "slack": {"token": "xoxb-1"},
    "pagerduty": {"key": "k", "audience": "sre"},
    "opsgenie": {"key": "k", "audience": "ml"}
}"#;

/// A drifted model whose people are on a Slack with a token, PagerDuty (sre) and Opsgenie (ml).
fn drifted(dir: &Path) -> (Fed, String) {
    let notifiers: Notifiers = serde_json::from_str(NOTIFIERS).unwrap();
    let spec = Spec { people: notifiers.readers(Some("ops")), ..spec() };
    let mut fed = Fed::start_by(spec, dir, 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    let id = fed.evaluate.log.ledger().open("fraud").unwrap().incident.id.clone();
    (fed, id)
}

/// What each target is told: kinds and verdicts, in order.
fn told(fed: &Fed, target: &str) -> Vec<(Told, String)> {
    let pending = fed.evaluate.log.ledger().pending();
    let of = pending.iter().filter(|o| o.delivery.target == target);
    of.map(|o| (o.delivery.kind, o.delivery.announcement.data.verdict.clone())).collect()
}

fn outcome(fed: &mut Fed, id: &str, result: Outcome) {
    let event = deliver::Event::Outcome {
        id: id.to_owned(),
        target: "retraining_trigger/fraud".to_owned(),
        n: 1,
        at_ms: 5,
        status: None,
        result,
        detail: "so it was".to_owned(),
        reference: Some("run-1".to_owned()),
        next_attempt_ms: None,
        elapsed: Duration::ZERO,
    };
    fed.now_ms += 1;
    fed.evaluate.apply(Event::Delivery(event), (Instant::now(), fed.now_ms));
}

fn run(fed: &mut Fed, id: &str, state: RunState, word: &str) {
    fed.now_ms += 1;
    let now_ms = fed.now_ms;
    let event = deliver::Event::Run {
        id: id.to_owned(),
        target: "retraining_trigger/fraud".to_owned(),
        state,
        word: word.to_owned(),
        page: Some("https://pipeline.example/run-1".to_owned()),
        run: "run-1".to_owned(),
        at_ms: now_ms,
    };
    fed.evaluate.apply(Event::Delivery(event), (Instant::now(), now_ms));
}

fn pairs(all: &[(Told, &str)]) -> Vec<(Told, String)> {
    all.iter().map(|(kind, verdict)| (*kind, (*verdict).to_owned())).collect()
}

fn metric(fed: &mut Fed, state: &str) -> bool {
    fed.evaluate.dirty = true;
    fed.evaluate.publish();
    let view = fed.evaluate.view.borrow().clone();
    let text = fed.evaluate.metrics.render(&view, &Default::default(), 0);
    let series = format!("driftd_retraining_runs_total{{model=\"fraud\",state=\"{state}\"}} 1");
    text.contains(&series)
}

#[tokio::test]
async fn a_retraining_is_accepted_confirmed_and_ended_by_its_failure() {
    let dir = TempDir::new().unwrap();
    let (mut fed, id) = drifted(dir.path());
    outcome(&mut fed, &id, Outcome::Accepted);
    assert_eq!(fed.incident().unwrap().0, IncidentState::Accepted);
    run(&mut fed, &id, RunState::Running, "queued");
    assert_eq!(fed.incident().unwrap().0, IncidentState::Retraining);
    run(&mut fed, &id, RunState::Running, "queued");
    run(&mut fed, &id, RunState::Failed, "failed");
    assert_eq!(fed.incident(), closed(CloseReason::Rejected));
    let ending = "the retraining was rejected";
    let (began, accepted) = ((Told::Triggered, "drifted"), (Told::Progress, "accepted"));
    let ended = (Told::Closed, ending);
    let slack = pairs(&[began, accepted, (Told::Progress, "confirmed"), ended]);
    let opsgenie = pairs(&[began, accepted, ended]);
    let warned = |told: Vec<(Told, String)>| {
        let of =
            told.into_iter().filter(|(kind, _)| !matches!(kind, Told::Warning | Told::Recovered));
        of.collect::<Vec<_>>()
    };
    assert_eq!(warned(told(&fed, "slack")), slack);
    assert_eq!(warned(told(&fed, "opsgenie")), opsgenie);
    assert_eq!(told(&fed, "pagerduty"), []);
    for state in ["accepted", "confirmed", "failed"] {
        assert!(metric(&mut fed, state), "{state}");
    }
    let incident = fed.evaluate.log.ledger().incidents().remove(0);
    let last = incident.run.unwrap();
    assert_eq!((last.state, last.word.as_str()), (RunState::Failed, "failed"));
    let pending = fed.evaluate.log.ledger().pending();
    let close = pending.iter().find(|o| o.delivery.kind == Told::Closed).unwrap();
    let summary = &close.delivery.announcement.data.summary;
    assert!(
        summary.ends_with("the run failed (failed): https://pipeline.example/run-1"),
        "{summary}"
    );
}

#[tokio::test]
async fn a_run_is_known_after_a_restart_and_asked_after_until_the_incident_is_closed() {
    let dir = TempDir::new().unwrap();
    let (mut fed, id) = drifted(dir.path());
    outcome(&mut fed, &id, Outcome::Accepted);
    run(&mut fed, &id, RunState::Succeeded, "success");
    drop(fed);
    let store = Store::File(Box::new(FileStore::open(dir.path()).unwrap()));
    let log = IncidentLog::open(Arc::new(store)).unwrap();
    let taken = log.ledger().taken();
    let trigger = taken.iter().find(|o| o.delivery.kind == Told::Trigger).unwrap();
    assert_eq!((trigger.reference.as_deref(), trigger.taken_at_ms), (Some("run-1"), Some(5)));
    let incident = &log.ledger().open("fraud").unwrap().incident;
    assert_eq!(incident.state, IncidentState::Retraining, "it waits for the new baseline");
    assert_eq!(incident.run.as_ref().unwrap().state, RunState::Succeeded);
}

#[tokio::test]
async fn a_trigger_that_needed_a_person_is_told_and_told_to_be_over() {
    let dir = TempDir::new().unwrap();
    let (mut fed, id) = drifted(dir.path());
    outcome(&mut fed, &id, Outcome::SlowRetry);
    assert_eq!(told(&fed, "pagerduty"), pairs(&[(Told::DeliveryFailed, "delivery_failed")]));
    outcome(&mut fed, &id, Outcome::Accepted);
    let both = [(Told::DeliveryFailed, "delivery_failed"), (Told::DeliveryFailed, "ok")];
    assert_eq!(told(&fed, "pagerduty"), pairs(&both));
    run(&mut fed, &id, RunState::Missing, "");
    let missing = [both[0], both[1], (Told::DeliveryFailed, "missing")];
    assert_eq!(told(&fed, "pagerduty"), pairs(&missing));
    assert_eq!(fed.incident().unwrap().0, IncidentState::Accepted);
    assert!(metric(&mut fed, "missing"));
}

#[tokio::test]
async fn a_warning_that_is_over_is_told() {
    let dir = TempDir::new().unwrap();
    let notifiers: Notifiers = serde_json::from_str(NOTIFIERS).unwrap();
    let config =
        CONFIG.replace("design_effect: 1", "design_effect: 1\n      thresholds: {psi_retrain: 40}");
    let spec = Spec { people: notifiers.readers(Some("ops")), ..spec_of(&config) };
    let mut fed = Fed::start_by(spec, dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    assert_eq!(fed.incident(), None);
    assert_eq!(told(&fed, "opsgenie"), pairs(&[(Told::Warning, "warning")]));
    fed.panes(40, false);
    let both = [(Told::Warning, "warning"), (Told::Recovered, "healthy")];
    assert_eq!(told(&fed, "opsgenie"), pairs(&both));
    let stories: Vec<_> = fed.evaluate.log.ledger().pending();
    let keys: Vec<_> = stories.iter().map(|o| o.delivery.story().unwrap().0).collect();
    assert!(keys.iter().all(|key| key == "driftd/fraud/warning"), "{keys:?}");
}

#[test]
fn every_outcome_of_a_trigger_is_kept_with_what_the_target_calls_it() {
    let written = r#"{"record":"outcome","delivery":"i","target":"t","n":1,"at_ms":5,"status":200,
                      "result":"accepted","detail":""}"#;
    let Record::Outcome { reference, result, .. } = serde_json::from_str(written).unwrap() else {
        panic!("an outcome")
    };
    assert_eq!(
        (reference, result),
        (None, DeliveryResult::Accepted),
        "as releases before wrote it"
    );
}
