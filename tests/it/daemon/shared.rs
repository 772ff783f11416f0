//! State that replicas share, on real Apache Kafka: the same panes, incidents and webhook as one process
//! with files, whatever happens to the replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, PARTITIONS, evaluates, evaluator, ids};
use super::harness::{DRIFTD, Daemon, refused, scores, until};
use super::receiver::Receiver;
use super::world::{Dice, MINUTE, START, train};

/// How many times the replicas are disturbed; more by `DRIFTD_TEST_SHARED_ROUNDS`.
fn rounds() -> u64 {
    std::env::var("DRIFTD_TEST_SHARED_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4)
}

fn seed() -> u64 {
    let given = std::env::var("DRIFTD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

#[test]
fn three_replicas_under_fire_count_and_decide_what_one_process_does() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("fire");
    let seed = seed();
    eprintln!("DRIFTD_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let (calm, one, fire) = (Receiver::start(), Receiver::start(), Receiver::start());
    let config =
        |n: usize| stream.shared(&format!("fire-{n}"), "all", "fire-own", &fire.url("/retrain"));
    let configs = [config(0), config(1), config(2)];
    let mut daemons: BTreeMap<usize, Daemon> =
        (0..3).map(|n| (n, Daemon::start(&configs[n]))).collect();
    let mut stopped: Option<usize> = None;
    let rounds = rounds();
    stream.minutes(4, false);
    for round in 0..rounds {
        let drifted = round * 5 >= rounds * 3;
        stream.minutes(6, drifted);
        thread::sleep(Duration::from_millis(dice.next() % 3000));
        let victim = usize::try_from(dice.next() % 3).unwrap();
        if let Some(zombie) = stopped.take() {
            // Its session is over, and others have its partitions.
            thread::sleep(Duration::from_secs(7));
            daemons[&zombie].signal("CONT");
        }
        match dice.next() % 3 {
            0 => {
                daemons.remove(&victim).unwrap().kill();
                thread::sleep(Duration::from_millis(dice.next() % 2000));
                daemons.insert(victim, Daemon::start(&configs[victim]));
            }
            1 => {
                let (status, log) = daemons.remove(&victim).unwrap().terminate();
                assert!(status.success(), "{log}");
                daemons.insert(victim, Daemon::start(&configs[victim]));
            }
            _ => {
                daemons[&victim].signal("STOP");
                stopped = Some(victim);
            }
        }
    }
    if let Some(zombie) = stopped {
        daemons[&zombie].signal("CONT");
    }
    stream.minutes(8, true);
    let end_ms = stream.now_ms() - 2 * MINUTE;

    let whole = Daemon::start(&stream.files("files", &calm.url("/retrain")));
    let expected = whole.until_end("fraud", end_ms);
    let panes = whole.panes("fraud");
    let id = calm.accepted("/retrain").id().to_owned();
    drop(whole);

    let single = Daemon::start(&stream.shared("one", "all", "one-own", &one.url("/retrain")));
    let daemons: Vec<Daemon> = daemons.into_values().collect();
    let three = evaluator(&daemons, end_ms);
    assert!(three.panes("fraud") == panes, "other panes: {}", three.log());
    assert_eq!(scores(&three.model("fraud")), scores(&expected));
    assert_eq!(fire.accepted("/retrain").id(), id);
    assert_eq!(ids(&fire), BTreeSet::from([id.clone()]));
    let incidents: Vec<Value> = three.incidents().iter().map(|i| i["id"].clone()).collect();
    assert_eq!(incidents, [json!(id)]);
    drop(daemons);

    // The members of the group that were three are gone without a word.
    let single = [single];
    let alone = evaluator(&single, end_ms);
    assert!(alone.panes("fraud") == panes, "other panes: {}", alone.log());
    assert_eq!(scores(&alone.model("fraud")), scores(&expected));
    assert_eq!(one.accepted("/retrain").id(), id);
    assert_eq!(ids(&one), BTreeSet::from([id]));
}

#[test]
fn some_only_count_and_one_decides_and_points_to_itself() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("roles");
    let webhook = Receiver::start();
    let url = webhook.url("/retrain");
    let decider = Daemon::start(&stream.shared("decider", "evaluate", "roles-own", &url));
    let counters: Vec<Daemon> = (0..2)
        .map(|n| {
            Daemon::start(&stream.shared(&format!("counter-{n}"), "ingest", "roles-own", &url))
        })
        .collect();
    stream.minutes(20, false);
    stream.minutes(12, true);
    let end_ms = stream.now_ms() - 2 * MINUTE;
    decider.until_end("fraud", end_ms);
    let whole = Daemon::start(&stream.files("files", &Receiver::start().url("/retrain")));
    let expected = whole.until_end("fraud", end_ms);
    assert_eq!(decider.panes("fraud"), whole.panes("fraud"));
    assert_eq!(scores(&decider.model("fraud")), scores(&expected));
    webhook.accepted("/retrain");
    let consumed = "driftd_records_consumed_total{topic=\"roles\"}";
    let read: f64 = counters.iter().filter_map(|counter| counter.metric(consumed)).sum();
    assert_eq!(read, (32 * stream.rate * i64::from(PARTITIONS)) as f64);
    assert_eq!(decider.metric(consumed), Some(0.0));
    for counter in &counters {
        let model = counter.until("fraud", "the evaluator's name", |model| {
            model["evaluated_by"].as_str().is_some_and(|name| !name.is_empty())
        });
        assert_eq!(model["window"]["records"], 0);
        assert!(!evaluates(counter) && !counter.log().contains("/retrain"));
        let id = decider.incidents()[0]["id"].clone();
        until("the incident", || (counter.incidents().first()?["id"] == id).then_some(()));
        assert_eq!(counter.get_public("/livez").0, 200);
    }
    assert_eq!(webhook.seen("/retrain").len(), 1);
}

#[test]
fn a_replica_that_counts_otherwise_waits_until_the_others_are_gone() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("mismatch");
    let url = Receiver::start().url("/retrain");
    let first = Daemon::start(&stream.shared("first", "all", "mismatch-own", &url));
    stream.minutes(8, false);
    first.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    stream.pane = "30s";
    let second = Daemon::start(&stream.shared("second", "all", "mismatch-own", &url));
    second.says(&["config_mismatch", "fraud", "pane"]);
    let mismatch = "driftd_config_mismatch{model=\"fraud\"}";
    assert_eq!((second.metric(mismatch), first.metric(mismatch)), (Some(1.0), Some(0.0)));
    stream.minutes(4, false);
    first.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    let records = 12 * stream.rate * i64::from(PARTITIONS);
    assert_eq!(second.metric("driftd_records_consumed_total{topic=\"mismatch\"}"), Some(0.0));
    let panes: Value = serde_json::from_str(&first.panes("fraud")).unwrap();
    let counted: i64 =
        panes["panes"].as_array().unwrap().iter().map(|p| p["records"].as_i64().unwrap()).sum();
    assert_eq!(counted, records / 12 * 10);

    // A rolling change of the configuration ends with the last replica that had the old one.
    assert!(first.terminate().0.success());
    second.says(&["a baseline is in force for all replicas"]);
    until("no mismatch", || second.metric(mismatch).filter(|&waits| waits == 0.0));
    stream.minutes(8, false);
    second.until_end("fraud", stream.now_ms() - MINUTE);
    let panes: Value = serde_json::from_str(&second.panes("fraud")).unwrap();
    let panes = panes["panes"].as_array().unwrap();
    let whole = stream.rate * i64::from(PARTITIONS) / 2;
    assert!(panes.iter().all(|pane| pane["records"] == whole), "{panes:#?}");
    assert!(panes.len() >= 10);
}

#[test]
fn topics_that_would_lose_something_are_refused_by_name() {
    let Some(cluster) = Cluster::get() else { return };
    let stream = cluster.stream("policies");
    let long = [("retention.ms", "2592000000"), ("cleanup.policy", "compact,delete")];
    cluster.kafka.create_topic("bad.specs", 1, &[("cleanup.policy", "compact")]);
    cluster.kafka.create_topic("bad.state", 3, &long);
    cluster.kafka.create_topic("bad.partials", 3, &long);
    cluster.kafka.create_topic("bad.incidents", 3, &[("cleanup.policy", "delete")]);
    let (code, err) = refused(&stream.shared("policies", "all", "bad", "http://127.0.0.1:9/"));
    assert_eq!(code, Some(78), "{err}");
    for part in ["`bad.incidents` has cleanup.policy=delete", "needs compact", "kafka-configs.sh"] {
        assert!(err.contains(part), "{err}");
    }
    assert!(!err.contains("bad.state"), "{err}");
}

#[test]
fn what_the_clock_has_closed_stays_closed_for_the_next_evaluator() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("sealed");
    stream.pane = "1s";
    let url = Receiver::start().url("/retrain");
    let first = Daemon::start(&stream.shared("first", "all", "sealed-own", &url));
    // Partition 0 ends long before the others.
    let second = |i: i64| START + i * 1000;
    for i in 0..40 {
        for partition in (0..PARTITIONS).filter(|&p| p > 0 || i < 10) {
            (0..10).for_each(|n| stream.send(partition, second(i) + n * 100, false));
        }
    }
    stream.flush();
    // The last records are at 39.9 s, lateness is a second.
    first.until_end("fraud", second(38));
    let panes = first.panes("fraud");
    first.kill();
    // What comes now for the sealed panes comes too late.
    (10..30).for_each(|i| stream.send(0, second(i), false));
    stream.flush();
    let next = [Daemon::start(&stream.shared("next", "all", "sealed-own", &url))];
    let next = evaluator(&next, second(38));
    assert_eq!(next.panes("fraud"), panes);
    let consumed = "driftd_records_consumed_total{topic=\"sealed\"}";
    until("the late ones", || next.metric(consumed).filter(|n| *n >= 20.0));
    assert_eq!(next.panes("fraud"), panes);
}

/// Runs a command of the program; what it printed.
fn driftd(args: &[&str]) -> String {
    let output = Command::new(DRIFTD).args(args).env_remove("RUST_LOG").output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out.into_owned() + &err
}

#[test]
fn state_moves_from_files_to_topics_and_back() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("moved");
    let webhook = Receiver::start();
    let url = webhook.url("/retrain");
    let (files, topics) =
        (stream.files("files", &url), stream.shared("topics", "all", "moved-own", &url));
    let file = cluster.dir.path().join("moved.state");
    let paths = [&files, &topics, &file].map(|path| path.to_str().unwrap().to_owned());
    let [files_config, topics_config, export] = &paths;

    let daemon = Daemon::start(&files);
    stream.minutes(20, false);
    stream.minutes(10, true);
    daemon.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    let id = webhook.accepted("/retrain").id().to_owned();
    daemon.until("fraud", "the acceptance", |model| model["incident"] == "accepted");
    let before = daemon.panes("fraud");
    assert!(daemon.terminate().0.success());

    assert!(driftd(&["topics", "create", "-c", topics_config]).contains("made moved-own.partials"));
    assert!(driftd(&["topics", "create", "-c", topics_config]).contains("all topics are there"));
    driftd(&["state", "export", "-c", files_config, export]);
    assert!(driftd(&["state", "import", "-c", topics_config, export]).contains("imported"));
    let again =
        Command::new(DRIFTD).args(["state", "import", "-c", topics_config, export]).output();
    let again = again.unwrap();
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && told.contains("have a state of fraud already"), "{told}");

    let daemons = [Daemon::start(&topics)];
    let daemon = evaluator(&daemons, stream.now_ms() - 2 * MINUTE);
    assert_eq!(daemon.panes("fraud"), before);
    stream.minutes(5, true);
    let daemon = evaluator(&daemons, stream.now_ms() - 2 * MINUTE);
    let later = daemon.panes("fraud");
    let incidents: Vec<Value> = daemon.incidents().iter().map(|i| i["id"].clone()).collect();
    assert_eq!(incidents, [json!(id)]);
    let consumed = daemon.metric("driftd_records_consumed_total{topic=\"moved\"}");
    assert_eq!(
        consumed,
        Some((5 * stream.rate * i64::from(PARTITIONS)) as f64),
        "nothing is read again"
    );
    let [daemon] = daemons;
    assert!(daemon.terminate().0.success());

    // And back, into a directory that is empty.
    fs::remove_dir_all(cluster.dir.path().join("moved-files")).unwrap();
    driftd(&["state", "export", "-c", topics_config, export]);
    driftd(&["state", "import", "-c", files_config, export]);
    let daemon = Daemon::start(&files);
    daemon.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    assert_eq!(daemon.panes("fraud"), later);
    stream.minutes(3, true);
    daemon.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    assert_eq!(daemon.incidents().len(), 1);
    assert_eq!(ids(&webhook), BTreeSet::from([id]));
}

#[test]
fn a_new_baseline_is_taken_up_by_all_replicas_from_one_pane_on() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("retrained");
    let webhook = Receiver::start();
    let reference = cluster.dir.path().join("retrained.parquet");
    train(&reference, false);
    let configs: Vec<PathBuf> = (0..2)
        .map(|n| {
            let name = format!("replica-{n}");
            let path = stream.shared(&name, "all", "retrained-own", &webhook.url("/retrain"));
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("reference.parquet", "retrained.parquet")).unwrap();
            path
        })
        .collect();
    let daemons = [Daemon::start(&configs[0]), Daemon::start(&configs[1])];
    stream.minutes(14, false);
    stream.minutes(8, true);
    let end_ms = stream.now_ms() - 2 * MINUTE;
    let old = evaluator(&daemons, end_ms).model("fraud")["baseline"]["digest"].clone();
    let id = webhook.accepted("/retrain").id().to_owned();
    train(&reference, true);
    until("the new baseline", || {
        let found = daemons.iter().find(|d| evaluates(d))?.model("fraud");
        (found["baseline"]["digest"] != old).then_some(())
    });
    stream.minutes(14, true);
    let end_ms = stream.now_ms() - 2 * MINUTE;
    let model = evaluator(&daemons, end_ms).model("fraud");
    assert_eq!((&model["drift"], &model["incident"]), (&json!("healthy"), &json!("none")));
    assert_eq!(model["operation"]["retraining_cycle"]["count"], 1, "{model:#}");
    let panes: Value = serde_json::from_str(&evaluator(&daemons, end_ms).panes("fraud")).unwrap();
    let panes = panes["panes"].as_array().unwrap();
    let whole = stream.rate * i64::from(PARTITIONS);
    assert!(panes.len() >= 11 && panes.iter().all(|p| p["records"] == whole), "{panes:#?}");
    for daemon in &daemons {
        let replaced = |incident: &Value| incident["as"] == "replaced" && incident["id"] == id;
        until("the end of the incident", || {
            let incidents = daemon.incidents();
            (incidents.len() == 1 && replaced(&incidents[0])).then_some(())
        });
    }
    assert_eq!(ids(&webhook), BTreeSet::from([id]));
}

#[test]
fn brokers_that_were_away_cost_nothing() {
    // A broker of its own: the others' must not go away.
    let Some(cluster) = Cluster::start() else { return };
    let mut stream = cluster.stream("away");
    let webhook = Receiver::start();
    let config =
        |n: i32| stream.shared(&format!("away-{n}"), "all", "away-own", &webhook.url("/retrain"));
    let daemons = [Daemon::start(&config(0)), Daemon::start(&config(1))];
    // A trigger is on its way that nobody has taken.
    webhook.answer(500);
    stream.minutes(14, false);
    stream.minutes(8, true);
    evaluator(&daemons, stream.now_ms() - 2 * MINUTE);
    until("an attempt", || (!webhook.seen("/retrain").is_empty()).then_some(()));
    cluster.kafka.kill9();
    // Longer than a write waits, so that some have failed.
    thread::sleep(Duration::from_secs(15));
    for daemon in &daemons {
        assert_eq!(daemon.get_public("/livez").0, 200);
    }
    cluster.kafka.restart();
    webhook.answer(202);
    stream.minutes(4, true);
    let end_ms = stream.now_ms() - 2 * MINUTE;
    let panes = evaluator(&daemons, end_ms).panes("fraud");
    let id = webhook.accepted("/retrain").id().to_owned();
    let calm = Receiver::start();
    let whole = Daemon::start(&stream.files("files", &calm.url("/retrain")));
    whole.until_end("fraud", end_ms);
    assert_eq!(panes, whole.panes("fraud"));
    assert_eq!(calm.accepted("/retrain").id(), id);
    assert_eq!(ids(&webhook), BTreeSet::from([id]));
}

#[test]
fn replicas_of_the_new_group_protocol_count_the_same() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("kip848-shared");
    stream.options = "group.protocol: consumer";
    let url = Receiver::start().url("/retrain");
    let configs = [0, 1].map(|n| stream.shared(&format!("new-{n}"), "all", "kip848-own", &url));
    let first = Daemon::start(&configs[0]);
    stream.minutes(6, false);
    first.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    let second = Daemon::start(&configs[1]);
    first.says(&["partition given up"]);
    stream.minutes(6, false);
    assert!(first.terminate().0.success());
    stream.minutes(6, false);
    let end_ms = stream.now_ms() - 2 * MINUTE;
    let daemons = [second];
    let panes = evaluator(&daemons, end_ms).panes("fraud");
    let whole = Daemon::start(&stream.files("files", &url));
    whole.until_end("fraud", end_ms);
    assert_eq!(panes, whole.panes("fraud"));
}
