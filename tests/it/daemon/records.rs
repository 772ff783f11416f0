//! Records as they come: unusable ones of every kind, and those of several models on one topic.

use serde_json::json;

use super::harness::Daemon;
use super::receiver::Receiver;
use super::world::{MINUTE, PARTITIONS, RATE, START, TOPIC, World, trigger};

const DAY: i64 = 24 * 3_600_000;

#[test]
fn an_unusable_record_of_any_kind_is_counted_and_stops_nothing() {
    let mut world = World::new();
    let model = world
        .model("fraud", "")
        .replace("    start: earliest\n", "    start: earliest\n    max_record_bytes: 1KiB\n")
        .replace("fields: {", "fields: {features: /features, ");
    let daemon = Daemon::start(&world.write_config("state", "one", &model));
    world.minutes(4, false);
    let now = world.now_ms();
    let good = |ts: i64| json!({"ts": ts, "features": {"amount": 50.0, "country": "DE"}});
    world.send_bytes(0, now, None);
    world.send_bytes(0, now, Some(b""));
    world.send_bytes(0, now, Some(&[b' '; 2000]));
    world.send_bytes(0, now, Some(b"{\"ts\": 1, \"features\": {\"amount\": 1"));
    world.send_bytes(0, now, Some(b"\xef\xbb\xbf{}"));
    let deep = format!("{{\"ts\": {now}, \"more\": {}{}}}", "[".repeat(200), "]".repeat(200));
    world.send_bytes(0, now, Some(deep.as_bytes()));
    world.send(0, now, &json!({"ts": now, "features": "none"}));
    world.send(0, now, &json!({"ts": "yesterday", "features": {"amount": 1}}));
    world.send(0, now, &json!({"features": {"amount": 1}}));
    let future = now + 6 * MINUTE;
    let no_double = json!({"amount": 9_007_199_254_740_993i64, "country": "DE"});
    world.send(0, now, &json!({"ts": future, "features": no_double}));
    world.send(0, now + 30 * DAY, &good(now + 30 * DAY));
    world.minutes(4, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    for (reason, n) in [
        ("null_value", 1.0),
        ("empty", 1.0),
        ("too_large", 1.0),
        ("malformed", 2.0),
        ("too_deep", 1.0),
        ("no_features", 1.0),
        ("bad_time", 2.0),
        ("future", 1.0),
        ("time_jump", 1.0),
        ("internal", 0.0),
    ] {
        let labels = format!("topic=\"{TOPIC}\",model=\"fraud\",reason=\"{reason}\"");
        let found = daemon.metric(&format!("driftd_records_rejected_total{{{labels}}}"));
        assert_eq!(found, Some(n), "{reason}");
    }
    let told = |name: &str| daemon.metric(&format!("{name}{{topic=\"{TOPIC}\",model=\"fraud\"}}"));
    assert_eq!(told("driftd_imprecise_numbers_total"), Some(1.0));
    let looked_up = told("driftd_keys_looked_up_total").unwrap();
    // Fewer than one a record: only what comes anew to the decoder is looked for.
    assert!((1.0..480.0).contains(&looked_up), "{looked_up}");
    let panes: serde_json::Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    let records = panes["panes"].as_array().unwrap().iter().map(|p| p["records"].clone());
    let whole = RATE * i64::from(PARTITIONS);
    assert!(records.clone().all(|n| n == whole), "{:?}", records.collect::<Vec<_>>());
    assert!(!daemon.log().contains("yesterday"), "payload in the log");
}

#[test]
fn too_many_unusable_records_bar_the_trigger() {
    let mut world = World::new();
    let webhook = Receiver::start();
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(15, false);
    for _ in 0..10 {
        world.minutes(1, true);
        for i in 0..RATE / 5 {
            world.send_bytes(i32::try_from(i % 2).unwrap(), world.now_ms(), Some(b"{"));
        }
    }
    world.minutes(1, true);
    let model = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!((&model["drift"], &model["quality"]), (&json!("drifted"), &json!("fault")));
    assert_eq!(model["suppressed_by"], json!(["rejects"]), "{model:#}");
    let explanation = model["explanation"].as_str().unwrap();
    assert!(explanation.contains("held back by rejects"), "{explanation}");
    assert!(daemon.incidents().is_empty());
    assert!(webhook.seen("/retrain").is_empty());
}

#[test]
fn models_share_a_topic_by_name_or_by_a_value() {
    let world = World::new();
    let with = |name: &str, field: &str| {
        let whole = "fields: {event_time: {pointer: /ts, unit: ms}";
        world.model(name, "").replace(whole, &format!("{whole}, {field}"))
    };
    let models = [
        with("fraud", "model: /model"),
        with("churn", "model: /model"),
        with("third", "where: {pointer: /tenant/id, equals: 3}"),
        with("nobody", "where: {pointer: /tenant/id, equals: none}"),
    ];
    let daemon = Daemon::start(&world.write_config("state", "one", &models.concat()));
    let mut sent = [0u64; 3];
    for i in 0..1200 {
        let ts = START + i * 500;
        let model = if i % 3 == 0 { "fraud" } else { "churn" };
        let tenant = i % 4;
        sent[0] += u64::from(ts < START + 8 * MINUTE && model == "fraud");
        sent[1] += u64::from(ts < START + 8 * MINUTE && model == "churn");
        sent[2] += u64::from(ts < START + 8 * MINUTE && tenant == 3);
        let features = json!({"amount": 50.0, "country": "DE"});
        let tenant = if i % 8 == 3 { json!("3") } else { json!(tenant) };
        let record =
            json!({"ts": ts, "model": model, "tenant": {"id": tenant}, "features": features});
        world.send(i32::try_from(i % 5 % 2).unwrap(), ts, &record);
    }
    world.flush();
    for (name, records) in ["fraud", "churn", "third"].iter().zip(sent) {
        let model = daemon.until_end(name, START + 8 * MINUTE);
        assert_eq!(model["window"]["records"], records, "{name}");
    }
    assert_eq!(daemon.model("nobody")["window"]["records"], 0);
    assert!(daemon.incidents().is_empty());
}
