//! Pipelines of the real code at the other end: a drift starts one run, whose end is heard of, although an
//! answer is lost and tokens expire meanwhile.

use std::fs;

use serde_json::{Value, json};

use super::harness::{Daemon, until};
use super::world::{World, train};
use crate::deliver::{Outbox, allowing_http, trigger_of};
use crate::servers::{Airflow, Argo, Lakefs, Relay};
use driftd::deliver::{Outcome, Preset, Trigger};
use driftd::setting::Secret;

/// A daemon whose model `fraud` has drifted, and has had its trigger accepted; with its incident.
fn accepted(world: &mut World, trigger: &str) -> (Daemon, Value) {
    let block = format!("      retraining_trigger:\n{trigger}        allow_http: true\n");
    let daemon = Daemon::start(&world.write_config("state", "one", &world.model("fraud", &block)));
    world.minutes(20, false);
    daemon.until("fraud", "health", |m| m["drift"] == "healthy");
    world.minutes(10, true);
    daemon.until("fraud", "an accepted trigger", |m| m["incident"] == "accepted");
    let incident = daemon.incidents().remove(0);
    (daemon, incident)
}

fn until_run(daemon: &Daemon, state: &str) -> Value {
    until(&format!("a run that is {state}"), || {
        let run = daemon.incidents()[0]["run"].clone();
        (run["state"] == state).then_some(run)
    })
}

/// Whether the attempts to trigger did it, and what they were answered, in order.
fn results(incident: &Value) -> Vec<Value> {
    let attempts = incident["attempts"].as_array().unwrap();
    let triggers = attempts.iter().filter(|a| a["target"] == "retraining_trigger/fraud");
    triggers.map(|attempt| json!([attempt["ok"], attempt["status"]])).collect()
}

#[test]
fn an_airflow_runs_the_dag_once_and_tells_how_it_went() {
    // Shorter than the wait before a run is asked after.
    let Some(airflow) = Airflow::start(9) else { return };
    let relay = Relay::before(airflow.address());
    relay.lose("POST", "/dagRuns", 1);
    let mut world = World::new();
    let password = world.path("password");
    fs::write(&password, Airflow::PASSWORD).unwrap();
    let trigger = format!(
        "        preset: airflow3\n        webhook: \"{}\"\n        with: {{dag_id: {}}}\n        \
         user: {}\n        token_file: \"{}\"\n        timeout: 30s\n",
        relay.url(),
        Airflow::DAG,
        Airflow::USER,
        password.display()
    );
    let (daemon, incident) = accepted(&mut world, &trigger);
    let id = incident["id"].as_str().unwrap();
    let sent = relay.asked("POST", "/dagRuns");
    // A slow machine's second attempt finds its token expired, too.
    let statuses: Vec<u16> = sent.iter().map(|e| e.status).filter(|s| *s != 401).collect();
    assert_eq!(statuses, [200, 409], "{sent:?}");
    assert_eq!(results(&incident), [json!([false, null]), json!([true, 409])], "{incident:#}");
    let runs = airflow.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((&runs[0]["dag_run_id"], &runs[0]["state"]), (&json!(id), &json!("queued")));
    assert_eq!(runs[0]["triggering_user_name"], Airflow::USER);
    let conf = &runs[0]["conf"];
    assert_eq!((&conf["event_id"], &conf["model"]), (&json!(id), &json!("fraud")));
    let window = &conf["driftd"]["training_window"];
    assert_eq!((&conf["train_from"], &conf["train_to"]), (&window["from"], &window["to"]));
    assert_eq!(conf["train_from"], conf["driftd"]["onset"]);
    assert_eq!(conf["driftd"]["top_features"][0]["feature"], "amount");

    assert_eq!(until_run(&daemon, "running")["word"], "queued");
    let asked = relay.asked("GET", id);
    assert!(asked[0].answer.contains("Token Expired"), "{asked:?}");
    assert_eq!([asked[0].status, asked[1].status], [401, 200], "{asked:?}");
    assert!(relay.asked("POST", "/auth/token").len() > 1, "it has logged in again");
    airflow.end(id, "success");
    assert_eq!(until_run(&daemon, "succeeded")["word"], "success");
    assert_eq!(
        daemon.metric("driftd_retraining_runs_total{model=\"fraud\",state=\"succeeded\"}"),
        Some(1.0)
    );
    assert_eq!(airflow.runs().len(), 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(refusals(&airflow));
}

/// What Airflow does not take, each with what to do about it.
async fn refusals(airflow: &Airflow) {
    let trigger = |user: &str, password: &str, dag: &str| Trigger {
        preset: Some(Preset::Airflow3),
        with: [("dag_id".to_owned(), dag.to_owned())].into(),
        user: Some(user.to_owned()),
        token: Some(Secret::new(password)),
        timeout: "30s".parse().unwrap(),
        ..allowing_http(format!("http://{}", airflow.address()))
    };
    let (user, password) = (Airflow::USER, Airflow::PASSWORD);
    for (trigger, word) in [
        (trigger(user, "wrong", Airflow::DAG), "logging in: 401"),
        (
            trigger(Airflow::READER, password, Airflow::DAG),
            "the user may not create runs of this DAG",
        ),
        (trigger(user, password, "nobody"), "there is no such DAG: check `with.dag_id`"),
        (
            Trigger { user: None, ..trigger(user, "no-token", Airflow::DAG) },
            "the token was not accepted",
        ),
    ] {
        let mut outbox = Outbox::for_trigger(&trigger);
        outbox.send(trigger_of("refused", "fraud"));
        let told = outbox.outcome().await;
        assert_eq!(told.result, Outcome::SlowRetry, "{}", told.detail);
        assert!(told.detail.contains(word), "{}", told.detail);
    }
}

#[test]
fn argo_runs_the_workflow_once_and_tells_how_it_went() {
    let Some(argo) = Argo::start() else { return };
    let relay = Relay::before(argo.address());
    relay.lose("POST", "/api/v1/events/", 1);
    let mut world = World::new();
    let trigger = format!(
        "        webhook: \"{}/api/v1/events/ml/driftd\"\n        token_file: \"{}\"\n        \
         confirm: true\n        timeout: 30s\n",
        relay.url(),
        argo.token_file().display()
    );
    let (daemon, incident) = accepted(&mut world, &trigger);
    let id = incident["id"].as_str().unwrap();
    let sent = relay.asked("POST", "/api/v1/events/");
    let statuses: Vec<u16> = sent.iter().map(|e| e.status).collect();
    assert_eq!(statuses, [200, 500], "{sent:?}");
    assert!(sent[1].answer.contains("already exists"), "{}", sent[1].answer);
    assert_eq!(results(&incident), [json!([false, null]), json!([true, 500])], "{incident:#}");
    let seen = argo.workflows();
    assert_eq!((seen.len(), &seen[0]["fault"]), (1, &json!("")), "{seen:#?}");
    let workflow = &seen[0]["workflow"];
    let name = format!("retrain-fraud-{id}");
    assert_eq!(workflow["metadata"]["name"], name.as_str());
    let labels = &workflow["metadata"]["labels"];
    assert_eq!(
        (&labels["driftd.io/event-id"], &labels["driftd.io/model"]),
        (&json!(id), &json!("fraud"))
    );
    assert_eq!(labels["workflows.argoproj.io/creator"], "system-serviceaccount-ml-driftd-trigger");
    let event: Value = serde_json::from_slice(&sent[0].body).unwrap();
    let window = &event["data"]["training_window"];
    let given = |name, value: &Value| json!({"name": name, "value": value});
    let parameters = [
        given("model", &json!("fraud")),
        given("from", &window["from"]),
        given("to", &window["to"]),
        given("summary", &event["data"]["summary"]),
    ];
    assert_eq!(workflow["spec"]["arguments"]["parameters"], json!(parameters));

    // Kubernetes renews the token in its file.
    argo.renew_tokens();
    until_run(&daemon, "running");
    argo.end(&name, "Succeeded");
    assert_eq!(until_run(&daemon, "succeeded")["word"], "Succeeded");
    assert!(relay.asked("GET", "/api/v1/workflows/ml").iter().all(|asked| asked.status == 200));
    assert_eq!(argo.workflows().len(), 1);
}

#[test]
fn a_commit_to_a_branch_of_lakefs_is_a_new_baseline_where_it_changes_the_data() {
    let Some(lakefs) = Lakefs::start() else { return };
    let world = World::new();
    let file = world.reference();
    let path = "fraud/reference.parquet";
    lakefs.put("main", path, &fs::read(&file).unwrap());
    let first = lakefs.commit("main");
    let location = format!("lakefs://{}/main/{path}", Lakefs::REPOSITORY);
    let model = world.model("fraud", "").replace(file.to_str().unwrap(), &location);
    let stores = format!(
        "baselines:\n  refresh_interval: 1s\n  lakefs: {{endpoint: \"{}\", allow_http: true}}\n",
        lakefs.url()
    );
    let config = world.write_config("state", "one", &(model + &stores));
    let env = [
        ("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", Lakefs::KEY),
        ("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", Lakefs::SECRET),
    ];
    let daemon = Daemon::start_with(&config, &env);
    let source = |commit: &str| format!("{location} (commit {commit})");
    let before = daemon.until("fraud", "a baseline", |m| m["baseline"]["digest"].is_string());
    assert_eq!(before["baseline"]["source"], source(&first).as_str());

    // Other data are committed, then those of the model.
    lakefs.put("main", "churn/reference.parquet", b"PAR1");
    lakefs.commit("main");
    train(&file, true);
    lakefs.put("main", path, &fs::read(&file).unwrap());
    let third = lakefs.commit("main");
    let after = daemon.until("fraud", "the new baseline", |m| {
        m["baseline"]["digest"] != before["baseline"]["digest"]
    });
    assert_eq!(after["baseline"]["source"], source(&third).as_str());
    assert_eq!(after["incident"], "none");
}
