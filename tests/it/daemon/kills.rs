//! Killed again and again while records come: with files and with three replicas, nothing is lost, counted
//! twice or renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::cluster::{Cluster, PARTITIONS, evaluator, ids};
use super::harness::{Daemon, scores};
use super::receiver::Receiver;
use super::world::{Dice, MINUTE, START};

/// Records in a minute of event time, in each partition.
const RATE: i64 = 250;

fn number(name: &str, otherwise: i64) -> i64 {
    env::var(name).map_or(otherwise, |n| n.parse().unwrap_or_else(|_| panic!("{name}: {n}")))
}

/// What must be equal, whatever happened on the way.
fn story(daemon: &Daemon) -> (String, Vec<[Value; 4]>, Vec<[Value; 3]>) {
    let told =
        |incident: &Value| ["id", "opened", "onset", "evidence"].map(|key| incident[key].clone());
    let incidents = daemon.incidents().iter().map(told).collect();
    (daemon.panes("fraud"), incidents, scores(&daemon.model("fraud")))
}

/// Records in all panes that are told.
fn counted(panes: &str) -> i64 {
    let panes: Value = serde_json::from_str(panes).unwrap();
    panes["panes"].as_array().unwrap().iter().map(|pane| pane["records"].as_i64().unwrap()).sum()
}

#[test]
fn killed_again_and_again_under_load_one_process_and_three_tell_what_a_calm_one_tells() {
    let Some(cluster) = Cluster::get() else { return };
    let seed = number("DRIFTD_TEST_SEED", process::id().into());
    let kills = number("DRIFTD_TEST_KILLS", 100);
    let minutes = number("DRIFTD_TEST_KILL_RECORDS", 300_000) / (RATE * i64::from(PARTITIONS));
    eprintln!("DRIFTD_TEST_SEED={seed}");
    let mut dice = Dice::new(seed.cast_unsigned());
    let mut stream = cluster.stream("kills");
    (stream.rate, stream.named) = (RATE, true);
    let (calm, one, three) = (Receiver::start(), Receiver::start(), Receiver::start());
    let mut configs = vec![stream.files("one", &one.url("/retrain"))];
    configs.extend((0..3).map(|n| {
        stream.shared(&format!("replica-{n}"), "all", "kills-own", &three.url("/retrain"))
    }));
    let mut daemons: BTreeMap<usize, Daemon> =
        configs.iter().map(|config| Daemon::start(config)).enumerate().collect();
    for kill in 1..=kills {
        while stream.minute < minutes * kill / kills {
            stream.minutes(1, 5 * stream.minute >= 3 * minutes);
        }
        thread::sleep(Duration::from_millis(dice.next() % 400));
        // The one with files as often as each of the three.
        let victim = usize::try_from(dice.next() % 4).unwrap();
        daemons.remove(&victim).unwrap().kill();
        daemons.insert(victim, Daemon::start(&configs[victim]));
    }
    stream.minutes(3, true);
    let end_ms = stream.now_ms() - 2 * MINUTE;

    let files = daemons.remove(&0).unwrap();
    let replicas: Vec<Daemon> = daemons.into_values().collect();
    files.until_end("fraud", end_ms);
    let of_files = story(&files);
    let of_three = story(evaluator(&replicas, end_ms));
    let id = one.accepted("/retrain").id().to_owned();
    three.accepted("/retrain");
    drop((files, replicas));

    let whole = Daemon::start(&stream.files("calm", &calm.url("/retrain")));
    whole.until_end("fraud", end_ms);
    let expected = story(&whole);
    let sent = (end_ms - START) / MINUTE * RATE * i64::from(PARTITIONS);
    assert_eq!(counted(&expected.0), sent);
    assert!(of_files == expected, "seed {seed}: the process with files tells another story");
    assert!(of_three == expected, "seed {seed}: the replicas tell another story");
    assert_eq!(expected.1.len(), 1);
    calm.accepted("/retrain");
    for receiver in [&calm, &one, &three] {
        assert_eq!(ids(receiver), BTreeSet::from([id.clone()]), "seed {seed}");
    }
}
