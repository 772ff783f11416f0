//! A broken feed is told from drift: it starts no retraining, is named, and hides no real drift.

use std::fs;

use serde_json::{Value, json};

use super::harness::{Daemon, until};
use super::receiver::Receiver;
use super::world::{MINUTE, PARTITIONS, RATE, World, trigger};

/// What is done to a record's features.
type Spoil = fn(&mut Value);

/// Minutes of records that are spoilt before they are sent.
fn minutes(world: &mut World, minutes: i64, drifted: bool, spoil: Spoil) {
    for _ in 0..minutes {
        minute(world, drifted, (spoil, spoil));
    }
    world.flush();
}

/// A minute whose two halves are not the same.
fn minute(world: &mut World, drifted: bool, (first, second): (Spoil, Spoil)) {
    for i in 0..RATE {
        let spoil = if i < RATE / 2 { first } else { second };
        for partition in 0..PARTITIONS {
            let ts = world.now_ms() + i * MINUTE / RATE;
            let mut features = world.dice.features(drifted);
            spoil(&mut features);
            world.send(partition, ts, &json!({"ts": ts, "features": features}));
        }
    }
    world.minute += 1;
}

fn clean(_: &mut Value) {}

fn no_country(features: &mut Value) {
    features["country"] = Value::Null;
}

fn cents(features: &mut Value) {
    features["amount"] = json!(features["amount"].as_f64().unwrap() * 100.0);
}

fn text(features: &mut Value) {
    features["amount"] = json!(format!("EUR {}", features["amount"]));
}

fn renamed(features: &mut Value) {
    let amount = features.as_object_mut().unwrap().remove("amount").unwrap();
    features["value"] = amount;
}

fn stuck(features: &mut Value) {
    features["amount"] = json!(52.5);
}

fn spelt_otherwise(features: &mut Value) {
    let country = features["country"].as_str().unwrap().to_lowercase();
    features["country"] = json!(country);
}

/// The settled end of what has been sent: its last pane is still open.
fn decided(daemon: &Daemon, world: &World) -> Value {
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE)
}

fn verdict<'a>(model: &'a Value, feature: &str) -> &'a Value {
    let features = model["features"].as_array().unwrap();
    features.iter().find(|f| f["feature"] == feature).unwrap()
}

fn config(world: &World, webhook: &Receiver, slack: &Receiver) -> String {
    let more = "        notification_channel: \"slack://ml\"\n";
    world.model("fraud", &trigger(&webhook.url("/retrain"), more))
        + &format!(
            "notifiers:\n  slack: {{webhook_url: \"{}\", allow_http: true}}\n",
            slack.url("/slack")
        )
}

fn told(slack: &Receiver, parts: &[&str]) {
    until(&format!("a message with {parts:?}"), || {
        let messages = slack.seen("/slack");
        let bodies = messages.iter().map(|m| String::from_utf8_lossy(&m.body).into_owned());
        bodies.into_iter().find(|body| parts.iter().all(|part| body.contains(part)))
    });
}

#[test]
fn each_kind_of_fault_in_a_clean_stream_is_named_and_starts_no_retraining() {
    let mut world = World::new();
    let (webhook, slack) = (Receiver::start(), Receiver::start());
    let models = config(&world, &webhook, &slack);
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    minutes(&mut world, 20, false, clean);
    let settled = decided(&daemon, &world);
    assert_eq!((&settled["drift"], &settled["quality"]), (&json!("healthy"), &json!("ok")));
    assert_eq!(settled["faults"], json!([]));
    let story: [(&str, &str, Spoil, &str); 6] = [
        ("null_surge", "country", no_country, "missing, null"),
        ("unit_change", "amount", cents, "x100"),
        ("type_change", "amount", text, "wrong type"),
        ("schema_change", "amount", renamed, "new since then: `value`"),
        ("constant", "amount", stuck, "52.5"),
        ("unseen_surge", "country", spelt_otherwise, "never saw"),
    ];
    for (kind, feature, spoil, words) in story {
        // It begins and ends in the middle of a pane.
        minute(&mut world, false, (clean, spoil));
        minutes(&mut world, 8, false, spoil);
        let model = decided(&daemon, &world);
        let found = verdict(&model, feature);
        assert_eq!(found["verdict"], "fault", "{kind}: {model:#}");
        assert!(found["reason"].as_str().unwrap().contains(words), "{kind}: {found}");
        let faults = model["faults"].as_array().unwrap();
        assert_eq!(faults.len(), 1, "{kind}: {faults:#?}");
        assert_eq!((&faults[0]["kind"], &faults[0]["feature"]), (&json!(kind), &json!(feature)));
        assert_eq!(
            (&faults[0]["audience"], &faults[0]["accepted"]),
            (&json!("sre"), &json!(false))
        );
        assert_eq!(model["quality"], "fault", "{kind}");
        assert_ne!(model["drift"], "drifted", "{kind}: {model:#}");
        let labels = format!("model=\"fraud\",feature=\"{feature}\",kind=\"{kind}\"");
        assert_eq!(daemon.metric(&format!("driftd_feature_fault{{{labels}}}")), Some(1.0));
        assert_eq!(daemon.metric("driftd_model_faulty_features{model=\"fraud\"}"), Some(1.0));
        daemon.says(&["fault: the feature decides nothing", kind, feature]);
        told(&slack, &["Data quality", words, feature]);

        minute(&mut world, false, (spoil, clean));
        minutes(&mut world, 15, false, clean);
        let model = decided(&daemon, &world);
        assert_eq!(
            (&model["drift"], &model["quality"]),
            (&json!("healthy"), &json!("ok")),
            "{kind}"
        );
        assert_eq!(model["faults"], json!([]), "{kind}");
        assert_eq!(verdict(&model, feature)["verdict"], "stable", "{kind}: {model:#}");
        told(&slack, &["over: ", kind, feature]);
    }
    assert!(daemon.incidents().is_empty(), "{:#?}", daemon.incidents());
    assert!(webhook.seen("/retrain").is_empty());
    assert_eq!(daemon.metric("driftd_model_faulty_features{model=\"fraud\"}"), Some(0.0));
}

#[test]
fn records_that_come_twice_are_a_fault_of_the_feed_and_no_drift() {
    let mut world = World::new();
    let (webhook, slack) = (Receiver::start(), Receiver::start());
    let models = config(&world, &webhook, &slack);
    let config = world.write_config("state", "one", &models);
    let daemon = Daemon::start(&config);
    // A record a minute tells for a day that no two are alike.
    for _ in 0..24 * 60 {
        for partition in 0..PARTITIONS {
            let (ts, features) = (world.now_ms(), world.dice.features(false));
            world.send(partition, ts, &json!({"ts": ts, "features": features}));
        }
        world.minute += 1;
    }
    minutes(&mut world, 10, false, clean);
    decided(&daemon, &world);
    assert_eq!(daemon.metric("driftd_duplicate_ratio{model=\"fraud\"}"), Some(0.0));
    // A producer sends one part of the records five times: to the counts, the world has changed.
    let dear_again = |world: &mut World| {
        for i in 0..RATE {
            for partition in 0..PARTITIONS {
                let ts = world.now_ms() + i * MINUTE / RATE;
                let features = world.dice.features(false);
                let dear = features["amount"].as_f64().unwrap() > 55.0;
                for _ in 0..if dear { 5 } else { 1 } {
                    world.send(partition, ts, &json!({"ts": ts, "features": features}));
                }
            }
        }
        world.minute += 1;
        world.flush();
    };
    (0..5).for_each(|_| dear_again(&mut world));
    let model = decided(&daemon, &world);
    assert_eq!(model["quality"], "fault", "{model:#}");
    let faults = model["faults"].as_array().unwrap();
    assert_eq!((faults.len(), &faults[0]["kind"]), (1, &json!("duplicates")), "{faults:#?}");
    assert_eq!((&faults[0]["audience"], faults[0].get("feature")), (&json!("sre"), None));
    assert!(faults[0]["evidence"]["share"].as_f64().unwrap() > 0.4, "{faults:#?}");
    assert!(model["explanation"].as_str().unwrap().contains("had come before"), "{model:#}");
    assert!(daemon.metric("driftd_duplicate_ratio{model=\"fraud\"}").unwrap() > 0.2);
    daemon.says(&["fault of the whole feed", "duplicates"]);
    told(&slack, &["Data quality", "had come before, byte for byte"]);
    // What is remembered of the records outlives the process.
    let (status, log) = daemon.terminate();
    assert!(status.success(), "{log}");
    let daemon = Daemon::start(&config);
    assert_eq!(decided(&daemon, &world)["faults"], model["faults"]);
    (0..5).for_each(|_| dear_again(&mut world));
    minutes(&mut world, 15, false, clean);
    let model = decided(&daemon, &world);
    assert_eq!(
        (&model["quality"], &model["drift"]),
        (&json!("ok"), &json!("healthy")),
        "{model:#}"
    );
    told(&slack, &["over: duplicates of the feed"]);
    assert!(daemon.incidents().is_empty() && webhook.seen("/retrain").is_empty());
}

#[test]
fn a_drift_during_the_fault_of_another_feature_still_triggers() {
    let mut world = World::new();
    let (webhook, slack) = (Receiver::start(), Receiver::start());
    let models = config(&world, &webhook, &slack);
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    minutes(&mut world, 15, false, clean);
    minutes(&mut world, 4, false, no_country);
    minutes(&mut world, 10, true, no_country);
    let model = daemon.until("fraud", "an accepted trigger", |m| m["incident"] == "accepted");
    assert_eq!(verdict(&model, "country")["verdict"], "fault");
    let body = webhook.accepted("/retrain").json();
    let top = body["data"]["top_features"].as_array().unwrap();
    assert!(top.iter().all(|feature| feature["feature"] == "amount"), "{top:#?}");
    assert_eq!(webhook.seen("/retrain").len(), 1);
}

#[test]
fn a_drift_that_began_during_a_fault_is_found_after_it_and_a_restart_forgets_nothing() {
    let mut world = World::new();
    let (webhook, slack) = (Receiver::start(), Receiver::start());
    let models = config(&world, &webhook, &slack);
    let config = world.write_config("state", "one", &models);
    let daemon = Daemon::start(&config);
    minutes(&mut world, 15, false, clean);
    minutes(&mut world, 6, true, cents);
    let before = decided(&daemon, &world);
    assert_eq!(verdict(&before, "amount")["verdict"], "fault", "{before:#}");
    let (status, log) = daemon.terminate();
    assert!(status.success(), "{log}");
    let daemon = Daemon::start(&config);
    let after = decided(&daemon, &world);
    assert_eq!(after["features"], before["features"]);
    assert_eq!(after["faults"], before["faults"]);
    assert!(webhook.seen("/retrain").is_empty());
    minutes(&mut world, 10, true, clean);
    daemon.until("fraud", "an accepted trigger", |m| m["incident"] == "accepted");
    assert_eq!(webhook.seen("/retrain").len(), 1);
}

#[test]
fn a_fault_that_a_person_accepts_is_drift_after_all() {
    let mut world = World::new();
    let (webhook, slack) = (Receiver::start(), Receiver::start());
    let token = world.path("token");
    fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    let models = config(&world, &webhook, &slack);
    let config = world.write_config("state", "one", &models);
    let with_token = format!("token_file: \"{}\", public:", token.display());
    let written = fs::read_to_string(&config).unwrap().replace("public:", &with_token);
    fs::write(&config, written).unwrap();
    let daemon = Daemon::start(&config);
    let token = token.to_str().unwrap();
    let accept = |model: &str| {
        daemon.command(&["incidents", "accept", model, "--by", "ana", "--token-file", token])
    };
    minutes(&mut world, 15, false, clean);
    decided(&daemon, &world);
    let (code, _, err) = accept("fraud");
    assert!(code == Some(1) && err.contains("has no fault"), "{code:?} {err}");
    let (code, _, err) = accept("nobody");
    assert!(code == Some(1) && err.contains("no model `nobody`"), "{code:?} {err}");

    minutes(&mut world, 8, false, cents);
    let model = decided(&daemon, &world);
    assert_eq!(model["suppressed_by"], json!(["fault"]), "{model:#}");
    assert!(model["explanation"].as_str().unwrap().contains("x100"), "{model:#}");
    let (code, _, err) = daemon.command(&["incidents", "accept", "fraud"]);
    assert!(code == Some(1) && err.contains("401"), "{code:?} {err}");
    let (code, out, err) = accept("fraud");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out, "accepted as drift of fraud: unit_change of amount\n");
    minutes(&mut world, 8, false, cents);
    let model = daemon.until("fraud", "an accepted trigger", |m| m["incident"] == "accepted");
    assert_eq!(model["faults"][0]["accepted"], true, "{model:#}");
    assert_eq!(verdict(&model, "amount")["verdict"], "drifted");
    let id = model["incident_id"].as_str().unwrap();

    let (code, out, _) = daemon.command(&["incidents"]);
    assert!(code == Some(0) && out.contains(id) && out.contains("accepted"), "{out}");
    let close = ["incidents", "close", id, "--as", "dismissed", "--token-file", token];
    let (code, out, err) = daemon.command(&close);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    until("its end in the list", || {
        let (_, out, _) = daemon.command(&["incidents", "list", "--format", "json"]);
        let listed: Value = serde_json::from_str(&out).unwrap();
        (listed["incidents"][0]["as"] == "dismissed").then_some(())
    });
    assert_eq!(daemon.command(&close).0, Some(1));
}

/// The baseline has `amount` and `country`; the records have them one level further down, among keys that
/// would do harm in a message.
#[test]
fn a_model_whose_records_have_none_of_its_features_names_the_keys_of_both() {
    let mut world = World::new();
    let slack = Receiver::start();
    let more = "      retraining_trigger:\n        webhook: \"http://127.0.0.1:9/\"\n        allow_http: true\n        notification_channel: \"slack://ml\"\n";
    let models = world.model("fraud", more)
        + &format!(
            "notifiers:\n  slack: {{webhook_url: \"{}\", allow_http: true}}\n",
            slack.url("/slack")
        );
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    let long = "k".repeat(1_000);
    for _ in 0..20 {
        for i in 0..RATE {
            let ts = world.now_ms() + i * MINUTE / RATE;
            let mut record = json!({"ts": ts, "inputs": world.dice.features(false)});
            record["<b>*bold*\n"] = json!(1);
            record[&long] = json!(1);
            (0..PARTITIONS).for_each(|partition| {
                // No two are the same, so that some are looked at.
                record["id"] = json!(format!("{partition}-{ts}"));
                world.send(partition, ts, &record);
            });
        }
        world.minute += 1;
    }
    world.flush();
    let model = daemon.until("fraud", "the state", |m| m["quality"] == "misconfigured");
    let sentence = "no feature of the baseline is in the records: it has `amount`, `country`, \
                    they have `id`, `inputs/amount`, `inputs/country`, `ts`; check `fields`";
    assert_eq!(model["explanation"], sentence, "{model:#}");
    daemon.says(&["quality=\"misconfigured\"", sentence]);
    until("a message with the keys", || {
        let messages = slack.seen("/slack");
        messages
            .iter()
            .any(|m| String::from_utf8_lossy(&m.body).contains("inputs/amount"))
            .then_some(())
    });
    let log = daemon.log();
    assert!(!log.contains("*bold*") && !log.contains(&long[..100]), "{log}");
}
