//! The real binary against a mock cluster: from records to a verdict to one webhook, and back.

mod bad_input;
mod canary;
mod clock;
mod cluster;
mod consumers;
mod crash;
mod dead_letters;
mod deadly;
mod deadly_shared;
mod disk;
mod faults;
mod failover;
mod flood;
mod golden;
mod harness;
mod kills;
mod lag;
mod loops;
mod members;
mod page;
mod pipelines;
mod receiver;
mod records;
mod retention;
mod same;
mod shared;
mod stops;
mod takeover;
mod webhooks;
mod world;

use std::fs;
use std::process::Command;

use harness::{DRIFTD, Daemon, until};
use receiver::Receiver;
use serde_json::json;
use standardwebhooks::Webhook;
use world::{KEY, MINUTE, PARTITIONS, RATE, START, World, train, trigger};

#[test]
fn a_drift_triggers_one_webhook_and_a_new_baseline_ends_it() {
    let mut world = World::new();
    let (webhook, slack) = (Receiver::start(), Receiver::start());
    let more = "        include_drift_report: true\n        notification_channel: \"slack://ml\"\n";
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), more))
        + &format!(
            "notifiers:\n  slack: {{webhook_url: \"{}\", allow_http: true}}\n",
            slack.url("/slack")
        );
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(20, false);
    let healthy = daemon.until("fraud", "health", |m| m["drift"] == "healthy");
    assert_eq!((&healthy["incident"], &healthy["quality"]), (&json!("none"), &json!("ok")));

    world.minutes(10, true);
    let drifted = daemon.until("fraud", "an accepted trigger", |m| m["incident"] == "accepted");
    assert_eq!(drifted["drift"], "drifted");
    let id = drifted["incident_id"].as_str().unwrap();
    let seen = webhook.accepted("/retrain");
    assert_eq!(seen.id(), id);
    verify(&seen);
    let body = seen.json();
    assert_eq!(body["type"], "driftd.drift.detected");
    assert_eq!(body["id"], id);
    let data = &body["data"];
    assert_eq!((&data["model"], &data["verdict"]), (&json!("fraud"), &json!("drifted")));
    assert_eq!(data["baseline"]["digest"], drifted["baseline"]["digest"]);
    assert_eq!(data["baseline"]["rows"], 20_000);
    assert_eq!(data["window"]["records"], 10 * RATE * i64::from(PARTITIONS));
    assert_eq!(data["training_window"]["to"], data["window"]["end"]);
    let top = &data["top_features"][0];
    assert_eq!((&top["feature"], &top["statistic"]), (&json!("amount"), &json!("psi")));
    assert_eq!((&top["threshold"], &top["span"]), (&json!(0.2), &json!("onset")));
    assert_eq!(data["training_window"]["from"], data["onset"]);
    assert!(top["score"].as_f64().unwrap() > 0.2, "{top}");
    assert_eq!(data["report"]["model"], "fraud");
    assert_eq!(data["report"]["features"].as_array().unwrap().len(), 2);

    let told = slack.accepted("/slack").json().to_string();
    assert!(told.contains("fraud"), "{told}");
    until("a message about the trigger", || {
        let messages = slack.seen("/slack");
        messages.iter().any(|m| String::from_utf8_lossy(&m.body).contains(id)).then_some(())
    });

    train(&world.reference(), true);
    let adopted = daemon.until("fraud", "the new baseline", |m| {
        m["baseline"]["digest"] != drifted["baseline"]["digest"]
    });
    assert_eq!(adopted["incident"], "none");
    assert_eq!(adopted["baseline"]["trained"]["by"], "modified");
    let incident = &daemon.incidents()[0];
    assert_eq!((&incident["state"], &incident["as"]), (&json!("closed"), &json!("replaced")));
    assert_eq!(
        incident["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["target"] == "retraining_trigger/fraud")
            .count(),
        1
    );
    until("a message about the end", || {
        let messages = slack.seen("/slack");
        messages.iter().any(|m| String::from_utf8_lossy(&m.body).contains("replaced")).then_some(())
    });

    world.minutes(15, true);
    daemon.until("fraud", "health with the new baseline", |m| m["drift"] == "healthy");
    assert_eq!(webhook.seen("/retrain").len(), 1);
    assert_eq!(daemon.incidents().len(), 1);
}

/// By the other side's own library.
fn verify(seen: &receiver::Seen) {
    let mut headers = http_headers();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, seen.headers[name].parse().unwrap());
    }
    Webhook::new(KEY).unwrap().verify(&seen.body, &headers).unwrap();
}

fn http_headers() -> reqwest::header::HeaderMap {
    reqwest::header::HeaderMap::new()
}

#[test]
fn a_dry_run_decides_and_records_and_sends_nothing_and_bars_nothing_when_it_is_over() {
    let mut world = World::new();
    let (webhook, slack) = (Receiver::start(), Receiver::start());
    let more = "        dry_run: true\n        notification_channel: \"slack://ml\"\n";
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), more))
        + &format!(
            "notifiers:\n  slack: {{webhook_url: \"{}\", allow_http: true}}\n",
            slack.url("/slack")
        );
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(20, false);
    daemon.until("fraud", "health", |m| m["drift"] == "healthy");
    world.minutes(12, true);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let model = daemon.model("fraud");
    assert_eq!(model["drift"], "drifted");
    let incidents = daemon.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0]["attempts"], json!([]));
    assert!(incidents[0]["evidence"]["explanation"].as_str().unwrap().contains("amount psi"));
    let (status, log) = daemon.terminate();
    assert!(status.success(), "{log}");
    assert_eq!(webhook.all().len() + slack.all().len(), 0, "{log}");
    let explanation = model["explanation"].as_str().unwrap();
    let unsent = ["dry run: ", " messages not sent, last to slack/ml: fraud has drifted"];
    assert!(unsent.iter().all(|part| explanation.contains(part)), "{explanation}");
    for target in ["retraining_trigger/fraud", "slack/ml"] {
        let said =
            log.lines().find(|l| l.contains("not sent: it is a dry run") && l.contains(target));
        assert!(said.is_some_and(|line| line.contains("fraud has drifted")), "{target}: {log}");
    }

    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(8, true);
    let sent = webhook.accepted("/retrain");
    // What the API tells is published a moment after it was decided.
    let told = until("both incidents", || Some(daemon.incidents()).filter(|told| told.len() == 2));
    assert_eq!((&told[0]["id"], &told[1]["as"]), (&json!(sent.id()), &json!("dismissed")));
}

#[test]
fn the_block_that_teams_already_write_works() {
    let mut world = World::new();
    let (argo, slack) = (Receiver::start(), Receiver::start());
    let path = "/api/v1/events/default/mlops-retrain";
    let token = world.path("token");
    fs::write(&token, "let-me-in\n").unwrap();
    let text = format!(
        r#"
kafka: {{brokers: "{brokers}"}}
topic: {topic}
start: earliest
drift_config:
  monitoring_window_hours: 24
  reference_dataset: "{reference}"
  thresholds:
    psi_alert: 0.1        # raise an alert
    psi_retrain: 0.2      # trigger the retraining pipeline
    prediction_drift_p_value: 0.05
  retraining_trigger:
    webhook: "{argo}"
    include_drift_report: true
    notification_channel: "slack://ml-ops-alerts"
    allow_http: true
notifiers: {{slack: {{webhook_url: "{slack}", allow_http: true}}}}
state: {{dir: "{state}"}}
http: {{public: "127.0.0.1:0", admin: "127.0.0.1:0"}}
"#,
        brokers = world.broker.bootstrap_servers(),
        topic = world::TOPIC,
        reference = world.reference().display(),
        argo = argo.url(path),
        slack = slack.url("/slack"),
        state = world.path("state").display(),
    );
    let config = world.path("driftd.yaml");
    fs::write(&config, text).unwrap();
    // Six records an hour and partition would be too thin for this window: one in ten seconds.
    for i in 0..42 * 360 {
        let ts = START + i * 10_000;
        let features = world.dice.features(i >= 26 * 360);
        for partition in 0..PARTITIONS {
            world.send(partition, ts, &json!({"features": features}));
        }
    }
    world.flush();
    let token = token.to_str().unwrap();
    let daemon = Daemon::start_with(&config, &[("DRIFTD_WEBHOOK_TOKEN_FILE", token)]);
    let model = daemon.until(world::TOPIC, "an accepted trigger", |m| m["incident"] == "accepted");
    let seen = argo.accepted(path);
    assert_eq!(seen.headers["authorization"], "Bearer let-me-in");
    let body = String::from_utf8_lossy(&seen.body);
    assert!(body.contains(model["incident_id"].as_str().unwrap()), "{body}");
    let told = slack.accepted("/slack").json().to_string();
    assert!(told.contains(world::TOPIC), "{told}");
    assert_eq!(argo.seen(path).len(), 1);
}

#[test]
fn the_demo_tells_its_story_to_the_end() {
    let output = Command::new(DRIFTD).arg("demo").env_remove("RUST_LOG").output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let arrived = |text: &str| out.matches(text).count();
    assert_eq!(arrived("one webhook arrived"), 1, "{out}");
    assert_eq!(arrived("webhook-id: "), 1, "{out}");
    let changes: Vec<&str> = out
        .lines()
        .filter_map(|line| line.split_once("=> ")?.1.split_whitespace().nth(1))
        .collect();
    let at = |from: usize, state: &str| {
        let found = changes[from..].iter().position(|change| *change == state);
        from + found.unwrap_or_else(|| panic!("no {state} from {from} on: {changes:?}\n{out}"))
    };
    let healthy = at(0, "healthy");
    let drifted = at(healthy, "drifted");
    at(drifted, "healthy");
    the_readme_shows_such_a_run(&out);
}

/// A line of the demo without what is another in each run: numbers, ids, times, and states at some moment.
fn shape(line: &str) -> String {
    let masked = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if !core.contains(|c: char| c.is_ascii_digit()) {
            return word.to_owned();
        }
        let is_number = core.chars().all(|c| "0123456789abcdef-.:".contains(c));
        word.replace(core, &if is_number { "#".to_owned() } else { squeezed(core) })
    };
    let words: Vec<String> = line.split_whitespace().map(masked).collect();
    let states = ["settling", "healthy", "notice", "warning", "drifted"];
    let shown = words.iter().enumerate().filter(|(_, word)| *word != "=>").map(|(i, word)| {
        let before = i.checked_sub(1).map_or("", |i| words[i].as_str());
        let is_model = before == "#" && states.contains(&word.as_str());
        let is_incident = before == "incident" && words.get(i + 1).is_some_and(|id| id == "#");
        if is_model || is_incident { "STATE" } else { word.as_str() }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Each run of digits as one `#`.
fn squeezed(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

/// Every line of the sample is one that the program prints, and all are of one run.
fn the_readme_shows_such_a_run(out: &str) {
    let readme = include_str!("../../README.md");
    let (_, sample) = readme.split_once("```text\ndriftd demo: ").unwrap();
    let sample = format!("driftd demo: {}", sample.split("```").next().unwrap());
    let printed: Vec<String> = out.lines().map(shape).collect();
    let mut ids = Vec::new();
    for line in sample.lines().filter(|line| line.trim() != "..") {
        assert!(printed.contains(&shape(line)), "{line}\n{}\nis not in\n{printed:#?}", shape(line));
        let words = line.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
        ids.extend(words.filter(|word| word.len() == 36 && word.matches('-').count() == 4));
    }
    assert!(ids.len() > 2 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}
