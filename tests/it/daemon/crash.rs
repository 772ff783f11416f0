//! Killed, stopped, damaged: what comes back is what a run without any of it has.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use driftd::offsets::TopicPartition;
use driftd::store::FileStore;
use serde_json::{Value, json};

use super::harness::{Daemon, refused, scores, until};
use super::receiver::Receiver;
use super::world::{Dice, MINUTE, PARTITIONS, RATE, START, TOPIC, World, train, trigger};

/// What must be equal, whatever happened on the way.
fn story(daemon: &Daemon) -> (String, Vec<[Value; 5]>) {
    let told = |incident: &Value| {
        ["id", "model", "opened", "onset", "evidence"].map(|key| incident[key].clone())
    };
    (daemon.panes("fraud"), daemon.incidents().iter().map(told).collect())
}

/// Waits for another baseline than the one of `before`; right after a start none is known.
fn until_replaced(daemon: &Daemon, before: &Value) {
    daemon.until("fraud", "the new baseline", |m| {
        let digest = &m["baseline"]["digest"];
        digest.is_string() && *digest != before["baseline"]["digest"]
    });
}

#[test]
fn killed_at_any_moment_it_counts_and_decides_as_if_it_never_was() {
    let seed = std::env::var("DRIFTD_TEST_SEED").map_or_else(
        |_| u64::from(std::process::id()),
        |seed| seed.parse().expect("DRIFTD_TEST_SEED is a number"),
    );
    println!("DRIFTD_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut world = World::new();
    let webhook = Receiver::start();
    webhook.answer(500);
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    // A group of its own each time: the broker would keep a killed member's place for six seconds.
    let mut lives = 0;
    let mut live = |world: &World| {
        lives += 1;
        Daemon::start(&world.write_config("state", &format!("life-{lives}"), &models))
    };
    let mut turn = 0i64;
    for life in 0..10 {
        let daemon = live(&world);
        if life == 6 {
            webhook.answer(202);
        }
        // Two partitions in turns: the moment finds one of them ahead, or neither.
        for _ in 0..1 + dice.next() % 8 {
            world.minute_of(i32::try_from(turn % 2).unwrap(), life >= 4);
            world.flush();
            world.minute += turn % 2;
            turn += 1;
            thread::sleep(Duration::from_millis(dice.next() % 250));
        }
        daemon.kill();
    }
    if turn % 2 == 1 {
        world.minute_of(1, true);
        world.minute += 1;
    }
    world.minutes(20, true);
    let end_ms = world.now_ms() - 2 * MINUTE;
    let killed = live(&world);
    let model = killed.until_end("fraud", end_ms);
    let seen = webhook.accepted("/retrain");
    killed.until("fraud", "the acceptance", |m| m["incident"] == "accepted");

    let calm = Receiver::start();
    let models = world.model("fraud", &trigger(&calm.url("/retrain"), ""));
    let whole = Daemon::start(&world.write_config("other", "whole", &models));
    let expected = whole.until_end("fraud", end_ms);
    assert_eq!(story(&killed), story(&whole), "seed {seed}");
    assert_eq!(scores(&model), scores(&expected), "seed {seed}");
    assert_eq!(model["drift"], expected["drift"], "seed {seed}");
    assert_eq!(calm.accepted("/retrain").id(), seen.id(), "seed {seed}");
    let ids = webhook.seen("/retrain");
    assert!(ids.iter().all(|other| other.id() == seen.id()), "seed {seed}");
    assert_eq!(ids.iter().filter(|seen| seen.status < 300).count(), 1, "seed {seed}");
}

/// A daemon whose one incident has just been accepted, ten minutes into a drift; its models and what it
/// says of them.
fn accepted(world: &mut World, webhook: &Receiver) -> (String, Daemon, Value) {
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(20, false);
    daemon.until("fraud", "health", |m| m["drift"] == "healthy");
    world.minutes(10, true);
    let drifted = daemon.until("fraud", "the acceptance", |m| m["incident"] == "accepted");
    (models, daemon, drifted)
}

#[test]
fn killed_while_a_new_baseline_is_taken_up_it_loses_nothing_and_ends_the_incident_once() {
    let (mut world, webhook) = (World::new(), Receiver::start());
    let (models, daemon, drifted) = accepted(&mut world, &webhook);
    // One partition is ahead, and the moments are around the change.
    world.minute_of(0, true);
    world.flush();
    train(&world.reference(), true);
    thread::sleep(Duration::from_millis(200));
    daemon.kill();
    let mut dice = Dice::new(3);
    for life in 0..5 {
        let daemon = Daemon::start(&world.write_config("state", &format!("life-{life}"), &models));
        thread::sleep(Duration::from_millis(dice.next() % 700));
        daemon.kill();
    }
    let daemon = Daemon::start(&world.write_config("state", "last", &models));
    until_replaced(&daemon, &drifted);
    world.minute_of(1, true);
    world.minute += 1;
    world.minutes(15, true);
    let model = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!(model["drift"], "healthy");
    let incidents = daemon.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    assert_eq!(incidents[0]["as"], "replaced");
    let panes: Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    let panes = panes["panes"].as_array().unwrap();
    assert!(panes.iter().all(|pane| pane["records"] == 2 * RATE), "{panes:#?}");
    assert_eq!(webhook.seen("/retrain").len(), 1);
    // What it took is told by the log, however often the process has died.
    let took = |m: &Value| {
        ["time_to_detect", "time_to_recover", "retraining_cycle"].map(|k| m["operation"][k].clone())
    };
    assert!(took(&model).iter().all(|one| one["count"] == 1), "{model:#}");
    daemon.kill();
    let daemon = Daemon::start(&world.write_config("state", "after", &models));
    let after = daemon.until("fraud", "the baseline", |m| m["baseline"]["digest"].is_string());
    assert_eq!(took(&after), took(&model));
    assert_eq!(after["operation"]["runs"], model["operation"]["runs"]);
    assert_eq!(after["operation"]["runs"]["accepted"], 1);
    let cycles = "driftd_retraining_cycle_seconds_count{model=\"fraud\"} 1\n";
    assert!(daemon.get_public("/metrics").1.contains(cycles));
}

#[test]
fn a_baseline_that_comes_before_any_partition_judges_nothing_that_was_decided() {
    let (mut world, webhook) = (World::new(), Receiver::start());
    let (models, daemon, drifted) = accepted(&mut world, &webhook);
    daemon.kill();
    train(&world.reference(), true);

    // No broker is there, so what has been read is known from the state alone.
    let path = world.write_config("state", "alone", &models);
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace(&world.broker.bootstrap_servers(), "127.0.0.1:9")).unwrap();
    let daemon = Daemon::start(&path);
    until_replaced(&daemon, &drifted);
    daemon.kill();

    let daemon = Daemon::start(&world.write_config("state", "last", &models));
    world.minutes(15, true);
    let model = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!(model["drift"], "healthy");
    let incidents = daemon.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    let panes: Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    let panes = panes["panes"].as_array().unwrap();
    let begun = panes[0]["start"].as_i64().unwrap();
    assert!(begun >= START + 22 * MINUTE, "what opened the incident is judged again: {begun}");
    assert!(panes.iter().all(|pane| pane["records"] == 2 * RATE), "{panes:#?}");
}

#[test]
fn what_has_been_decided_is_shown_again_after_a_restart() {
    let mut world = World::new();
    let webhook = Receiver::start();
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(20, false);
    daemon.until("fraud", "health", |m| m["drift"] == "healthy");
    world.minutes(10, true);
    let end_ms = world.now_ms() - 2 * MINUTE;
    daemon.until_end("fraud", end_ms);
    let before = daemon.until("fraud", "the acceptance", |m| m["incident"] == "accepted");
    daemon.kill();
    let daemon = Daemon::start(&world.write_config("state", "two", &models));
    let after = daemon.until_end("fraud", end_ms);
    for key in ["drift", "incident", "incident_id", "window", "evaluated", "explanation"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(scores(&after), scores(&before));
    assert_eq!(webhook.seen("/retrain").len(), 1);
}

#[test]
fn a_partition_that_is_ahead_waits_for_the_others_after_a_restart_too() {
    let world = World::new();
    let models = world.model("fraud", "");
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    let mut dice = Dice::new(1);
    let mut go = |world: &World, partition: i32, minutes: std::ops::Range<i64>| {
        for i in minutes.start * RATE..minutes.end * RATE {
            let ts = START + i * MINUTE / RATE;
            let features = dice.features(false);
            world.send(partition, ts, &json!({"ts": ts, "features": features}));
        }
        world.flush();
    };
    go(&world, 0, 0..12);
    go(&world, 1, 0..6);
    daemon.until_end("fraud", START + 4 * MINUTE);
    // The panes that only one partition has are stored, and so is how far it has come.
    let written = || daemon.metric("driftd_partials_published_total{model=\"fraud\"}");
    until("what is closed to be stored", || written().filter(|n| *n >= 14.0));
    let (status, log) = daemon.terminate();
    assert!(status.success(), "{log}");

    let daemon = Daemon::start(&world.write_config("state", "two", &models));
    for partition in 0..PARTITIONS {
        daemon.says(&["partition taken", &format!("{TOPIC}-{partition} ")]);
    }
    go(&world, 1, 6..12);
    daemon.until_end("fraud", START + 10 * MINUTE);
    let panes: Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    let records: Vec<_> =
        panes["panes"].as_array().unwrap().iter().map(|p| p["records"].as_i64()).collect();
    assert_eq!(records, [Some(2 * RATE); 10]);
}

#[test]
fn an_ordinary_stop_leaves_nothing_to_read_again() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(15, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let consumed = |daemon: &Daemon| {
        daemon.metric(&format!("driftd_records_consumed_total{{topic=\"{TOPIC}\"}}"))
    };
    let of = |minutes: i64| Some((minutes * RATE * i64::from(PARTITIONS)) as f64);
    // The window ends before the last records have come.
    until("all records to be read", || (consumed(&daemon) == of(15)).then_some(()));
    let panes = daemon.panes("fraud");
    let (status, log) = daemon.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped in_time=true"), "{log}");

    // The same group: it has been left, so nobody waits for the member that was.
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    let end = 15 * RATE;
    for partition in 0..PARTITIONS {
        let line = daemon.says(&["partition taken", &format!("{TOPIC}-{partition} ")]);
        assert!(line.contains(&format!("starts=[{end}]")), "{line}");
        assert!(line.contains(&format!("high={end}")), "{line}");
    }
    assert_eq!(daemon.panes("fraud"), panes);
    world.minutes(3, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!(consumed(&daemon), of(3));
}

#[test]
fn a_state_that_is_in_use_is_not_touched() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(1, false);
    let (code, err) = refused(&world.write_config("state", "two", &models));
    assert_ne!(code, Some(0));
    assert!(err.contains("is in use by another driftd"), "{err}");
    assert!(err.contains(world.path("state").to_str().unwrap()), "{err}");
    assert_eq!(daemon.get_public("/livez").0, 200);
}

/// The two generations of a partition's snapshot, the newer one first.
fn generations(state: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(state.join("partitions")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut found: Vec<PathBuf> =
        paths.filter(|path| path.to_str().unwrap().contains(&format!("{TOPIC}-0"))).collect();
    found.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    found.reverse();
    found
}

#[test]
fn a_damaged_snapshot_is_replaced_by_the_one_before_it() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    // Snapshots are only written at the end: the older generation is really older.
    let config = world.write_config("state", "one", &models);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("snapshot_interval: 1s", "snapshot_interval: 1h")).unwrap();
    for _ in 0..2 {
        let daemon = Daemon::start(&config);
        world.minutes(6, false);
        daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
        assert!(daemon.terminate().0.success());
    }
    let newest = &generations(&world.path("state"))[0];
    let mut bytes = fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(newest, bytes).unwrap();

    let daemon = Daemon::start(&config);
    let line = daemon.says(&["partition taken", &format!("{TOPIC}-0 ")]);
    assert!(line.contains(&format!("starts=[{}]", 6 * RATE)), "{line}");
    daemon.says(&["a snapshot is damaged"]);
    world.minutes(6, false);
    let end_ms = world.now_ms() - 2 * MINUTE;
    daemon.until_end("fraud", end_ms);
    let rejected = daemon.metric("driftd_state_rejected_total{kind=\"snapshot\"}");
    assert!(rejected.is_some_and(|n| n >= 1.0), "{rejected:?}");
    let whole = Daemon::start(&world.write_config("other", "whole", &models));
    whole.until_end("fraud", end_ms);
    assert_eq!(daemon.panes("fraud"), whole.panes("fraud"));
}

#[test]
fn a_state_of_a_newer_release_is_named() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let config = world.write_config("state", "one", &models);
    let daemon = Daemon::start(&config);
    world.minutes(1, false);
    until("records", || {
        daemon.metric(&format!("driftd_records_consumed_total{{topic=\"{TOPIC}\"}}"))
    });
    assert!(daemon.terminate().0.success());
    let store = FileStore::open(world.path("state")).unwrap();
    store.save_partition(&TopicPartition::new(TOPIC, 0), 99, b"from the future").unwrap();
    drop(store);
    let daemon = Daemon::start(&config);
    let line = daemon.says(&["was written by a newer driftd"]);
    assert!(line.contains("format 99") && line.contains(&format!("{TOPIC}-0")), "{line}");
}
