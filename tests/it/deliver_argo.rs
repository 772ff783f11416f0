//! Triggers against Argo's own code, with the manifests of `deploy/`.

use std::fs;

use driftd::decide::{Delivery, RunState};
use driftd::deliver::{Event, Outcome, Preset, Trigger};
use driftd::setting::Secret;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::deliver::{Outbox, allowing_http, results, trigger_of};
use crate::servers::Argo;

fn events(argo: &Argo, path: &str) -> Trigger {
    events_at(&format!("http://{}", argo.address()), argo, path)
}

fn events_at(url: &str, argo: &Argo, path: &str) -> Trigger {
    Trigger {
        token: Some(Secret::new(argo.token())),
        timeout: "30s".parse().unwrap(),
        ..allowing_http(format!("{url}/api/v1/events/{path}"))
    }
}

/// The outcomes of a trigger that is sent by somebody who has never heard of it before.
async fn sent(trigger: &Trigger, id: &str) -> Vec<Outcome> {
    let mut outbox = Outbox::for_trigger(trigger);
    outbox.send(trigger_of(id, "fraud"));
    results(&outbox.until_final().await)
}

/// Why a trigger is not taken until somebody has seen to it.
async fn refusal(trigger: &Trigger) -> String {
    let mut outbox = Outbox::for_trigger(trigger);
    outbox.send(trigger_of("refused", "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::SlowRetry, "{}", told.detail);
    told.detail
}

/// A trigger about a model that no manifest waits for.
fn of_another_model() -> Delivery {
    let mut delivery = trigger_of("other", "fraud");
    "churn".clone_into(&mut delivery.announcement.data.model);
    delivery
}

fn names(argo: &Argo) -> Vec<Value> {
    argo.workflows().iter().map(|seen| seen["workflow"]["metadata"]["name"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn argo_workflows_answers_as_the_preset_expects() {
    let Some(argo) = Argo::start() else { return };
    let trigger = events(&argo, "ml/driftd");
    // An earlier life of ours has sent it, and did not hear of the answer.
    assert_eq!(sent(&trigger, "one").await, [Outcome::Accepted]);
    assert_eq!(sent(&trigger, "one").await, [Outcome::AlreadyThere]);
    assert_eq!(names(&argo), ["retrain-fraud-one"]);
    // Other models are no business of the binding, and a 200 does not say so.
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(of_another_model());
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
    assert_eq!(names(&argo).len(), 1);
    // A workflow that Kubernetes does not take is a 500 like any other.
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(trigger_of("Not a name", "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::Retry, "{}", told.detail);
    assert!(told.detail.contains("its workflow was not created"), "{}", told.detail);

    let unnamed = Trigger { token: None, ..trigger.clone() };
    assert!(refusal(&unnamed).await.contains("Argo saw no bearer token"));
    let elsewhere = refusal(&events(&argo, "other/driftd")).await;
    assert!(elsewhere.contains("cannot list resource"), "{elsewhere}");
    assert!(elsewhere.contains("Role needs: list workfloweventbindings"), "{elsewhere}");
}

/// The token in the file is another one by the time of the next attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_of_argo_is_read_anew() {
    let Some(argo) = Argo::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, argo.token()).unwrap();
    argo.renew_tokens();
    let trigger =
        Trigger { token: None, token_file: Some(file.clone()), ..events(&argo, "ml/driftd") };
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(trigger_of("one", "fraud"));
    let told = outbox.outcome().await;
    assert_eq!((told.result, told.status), (Outcome::SlowRetry, Some(401)), "{}", told.detail);
    assert!(told.detail.contains("is read again at every attempt"), "{}", told.detail);
    fs::write(&file, argo.token()).unwrap();
    let told = outbox.until_final().await;
    assert_eq!(told.last().unwrap().result, Outcome::Accepted);
    assert_eq!(names(&argo), ["retrain-fraud-one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_no_binding_of_argo_takes_is_missed() {
    let Some(argo) = Argo::start() else { return };
    let trigger = Trigger { confirm: Some(true), ..events(&argo, "ml/nobody") };
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(trigger_of("one", "fraud"));
    let mut taken = None;
    loop {
        let event = tokio::time::timeout(std::time::Duration::from_secs(60), outbox.events.recv());
        match event.await.expect("news in time").expect("the deliverer runs") {
            Event::Attempting { ack, .. } => ack.send(Some(Instant::now())).unwrap(),
            Event::Outcome { result, status, .. } => taken = Some((result, status)),
            Event::Run { state, .. } => {
                assert_eq!(state, RunState::Missing);
                break;
            }
        }
    }
    assert_eq!(taken, Some((Outcome::Accepted, Some(200))), "Argo takes it all the same");
    assert!(argo.workflows().is_empty());
}

/// As Argo is installed: TLS with a certificate that it has made for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn argo_is_believed_by_its_own_certificate() {
    let Some(argo) = Argo::start() else { return };
    let trigger = Trigger {
        allow_http: false,
        ca_file: Some(argo.certificate()),
        ..events_at(&argo.secure_url(), &argo, "ml/driftd")
    };
    assert_eq!(sent(&trigger, "one").await, [Outcome::Accepted]);
    assert_eq!(names(&argo), ["retrain-fraud-one"]);
    let mut outbox = Outbox::for_trigger(&Trigger { ca_file: None, ..trigger });
    outbox.send(trigger_of("two", "fraud"));
    let told = outbox.outcome().await;
    assert!(told.detail.contains("`ca_file` must hold"), "{}", told.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_source_of_argo_events_takes_an_event_and_its_sensor_submits_it_once() {
    let Some(argo) = Argo::start() else { return };
    let source = |path: &str| Trigger {
        preset: Some(Preset::ArgoEvents),
        token: Some(Secret::new("only-for-this-test")),
        ..allowing_http(format!("http://{}{path}", argo.source()))
    };
    let trigger = source("/driftd");
    for _ in 0..2 {
        // The source does not know its own events again; the name of the workflow does.
        assert_eq!(sent(&trigger, "one").await, [Outcome::Accepted]);
    }
    let seen = argo.workflows();
    assert_eq!((seen.len(), &seen[0]["fault"]), (1, &json!("")), "{seen:#?}");
    assert_eq!(seen[0]["workflow"]["metadata"]["name"], "retrain-fraud-one");
    let given = |name, value| json!({"name": name, "value": value});
    let parameters = [
        given("model", "fraud"),
        given("from", "2026-01-01T00:00:00Z"),
        given("to", "2026-01-02T00:00:00Z"),
    ];
    assert_eq!(seen[0]["workflow"]["spec"]["arguments"]["parameters"], json!(parameters));
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(of_another_model());
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
    assert_eq!(argo.workflows().len(), 1, "the sensor waits for one model");

    assert!(refusal(&source("/other")).await.contains("404"));
}
