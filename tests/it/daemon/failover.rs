//! Replicas that take over from each other, on real Apache Kafka: what one has begun to tell the other ends,
//! and what neither reads any more holds nothing back.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::cluster::{Cluster, PARTITIONS, Stream, evaluates, evaluator};
use super::harness::{Daemon, until};
use super::receiver::Receiver;
use super::world::MINUTE;

const RUNS: &str = "/api/v2/dags/retrain/dagRuns";

/// One replica, and a Slack that only it speaks to. Its alerts have its name.
struct Replica<'a> {
    name: &'static str,
    config: PathBuf,
    alertmanager: &'a Receiver,
    slack: Receiver,
}

/// A replica whose trigger starts runs in an Airflow, and is asked after them.
fn replica<'a>(
    stream: &Stream,
    name: &'static str,
    (airflow, alertmanager): (&Receiver, &'a Receiver),
) -> Replica<'a> {
    let slack = Receiver::start();
    slack.answer_json(200, &json!({"ok": true, "channel": "C024BE91L", "ts": "1700000000.000100"}));
    let config = stream.shared(name, "all", "failover-own", &airflow.url(""));
    let text = fs::read_to_string(&config).unwrap();
    // One partition of the partials: who has come later has none, until the first is gone.
    let text = text.replace("partitions: 3", "partitions: 1");
    let preset = "retraining_trigger: {preset: airflow3, with: {dag_id: retrain}, \
                  notification_channel: \"slack://ml\", ";
    let text = text.replace("retraining_trigger: {", preset).replace("secret:", "token:");
    let notifiers = format!(
        "notifiers:\n  slack: {{token: xoxb-1, api: \"{}\", allow_http: true}}\n  \
         alertmanager: {{urls: [\"{}\"], labels: {{replica: {name}}}, allow_http: true}}\n",
        slack.url("/api"),
        alertmanager.url("")
    );
    fs::write(&config, text + &notifiers).unwrap();
    Replica { name, config, alertmanager, slack }
}

impl Replica<'_> {
    /// When alerts of a retraining end, as it has told Alertmanager, and when each began.
    fn alerts(&self) -> Vec<(String, String)> {
        let sent = self.alertmanager.seen("/api/v2/alerts");
        let alerts = sent.iter().flat_map(|seen| seen.json().as_array().unwrap().clone());
        let of = |alert: &Value| {
            let labels = &alert["labels"];
            labels["alertname"] == "DriftdRetraining" && labels["replica"] == self.name
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let times = |alert: Value| (text(&alert["endsAt"]), text(&alert["startsAt"]));
        alerts.filter(of).map(times).collect()
    }

    fn messages(&self) -> Vec<Value> {
        self.slack.seen("/api/chat.postMessage").iter().map(|seen| seen.json()).collect()
    }
}

#[test]
fn who_takes_over_follows_the_run_keeps_the_alert_and_finds_the_thread() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("failover");
    let (airflow, alertmanager) = (Receiver::start(), Receiver::start());
    airflow.answer_json(200, &json!({"state": "running"}));
    let replica = |name| replica(&stream, name, (&airflow, &alertmanager));
    let (first, second) = (replica("a"), replica("b"));
    let owner = Daemon::start(&first.config);
    stream.minutes(14, false);
    stream.minutes(8, true);
    let id = owner.until("fraud", "a run", |model| model["incident"] == "retraining");
    let id = id["incident_id"].as_str().unwrap().to_owned();
    until("the alert", || (!first.alerts().is_empty()).then_some(()));
    until("the message", || (!first.messages().is_empty()).then_some(()));
    let told = |incident: &Value| {
        let attempts = incident["attempts"].as_array().unwrap();
        let ok = |to: &str| {
            let to = |a: &&Value| a["target"].as_str().unwrap().starts_with(to) && a["ok"] == true;
            attempts.iter().find(to).is_some()
        };
        ok("slack/") && ok("alertmanager/")
    };
    until("their acceptance", || told(&owner.incidents()[0]).then_some(()));

    // One that stands by knows of it, and leaves it to the other.
    let next = Daemon::start(&second.config);
    until("the incident", || (next.incidents().first()?["state"] == "retraining").then_some(()));
    stream.minutes(1, true);
    owner.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    assert!(evaluates(&owner) && !evaluates(&next));
    assert_eq!(second.alerts().len() + second.slack.all().len(), 0, "{}", next.log());

    owner.kill();
    until("the alert from the other", || (!second.alerts().is_empty()).then_some(()));
    let kept = second.alerts().remove(0);
    assert!(first.alerts().iter().any(|(_, began)| *began == kept.1), "another alert: {kept:?}");
    assert!(kept.0 > first.alerts()[0].0, "it ends later than it would have: {kept:?}");
    airflow.answer_json(200, &json!({"state": "failed"}));
    let closed = |incident: &Value| incident["as"] == "rejected" && incident["id"] == *id;
    until("the end of the run", || closed(&next.incidents()[0]).then_some(()));
    let resolved = until("the end of the alert", || {
        let alerts = second.alerts();
        (alerts.last()?.0 < alerts.first()?.0).then(|| alerts.last().cloned())
    });
    assert!(resolved.is_some());
    let end = until("the end in Slack", || {
        second.messages().into_iter().find(|m| m["text"].as_str().unwrap().contains("closed"))
    });
    assert_eq!(end["thread_ts"], "1700000000.000100", "{end:#}");
    let posts = airflow.seen(RUNS).into_iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 1, "one retraining");
}

#[test]
fn a_model_that_goes_over_to_another_topic_is_counted_there_alone() {
    let Some(cluster) = Cluster::get() else { return };
    let (mut old, mut new) = (cluster.stream("topic-v1"), cluster.stream("topic-v2"));
    let url = Receiver::start().url("/retrain");
    let config = |stream: &Stream, name: &str| {
        let path = stream.shared(name, "all", "topic-own", &url);
        let text = fs::read_to_string(&path).unwrap();
        // One group, as in a rolling change.
        fs::write(&path, text.replace(&format!("group: {}-", stream.topic), "group: ")).unwrap();
        path
    };
    let first = Daemon::start(&config(&old, "old"));
    old.minutes(12, false);
    first.until_end("fraud", old.now_ms() - 2 * MINUTE);
    let second = Daemon::start(&config(&new, "new"));
    second.says(&["config_mismatch", "fraud", "its topic is topic-v1 there and topic-v2 here"]);
    (new.minute, new.rate) = (old.minute, 10);
    new.minutes(4, false);
    old.minutes(2, false);
    first.until_end("fraud", old.now_ms() - 2 * MINUTE);

    assert!(first.terminate().0.success());
    second.says(&["a baseline is in force for all replicas"]);
    new.minutes(10, false);
    let daemons = [second];
    let panes = evaluator(&daemons, new.now_ms() - 2 * MINUTE).panes("fraud");
    let panes: Value = serde_json::from_str(&panes).unwrap();
    let panes = panes["panes"].as_array().unwrap();
    let whole = new.rate * i64::from(PARTITIONS);
    assert!(panes.iter().all(|pane| pane["records"] == whole), "{panes:#?}");
    assert!(panes.len() >= 8);
}
