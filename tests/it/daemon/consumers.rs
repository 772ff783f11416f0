//! Several threads of one process share the partitions, and count what one thread counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::harness::{Daemon, scores, until};
use super::world::{MINUTE, PARTITIONS, RATE, TOPIC, World, train};

/// A configuration whose process reads with two consumers.
fn two(world: &World, state: &str, group: &str, models: &str) -> PathBuf {
    let path = world.write_config(state, group, models);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("  options:", "  consumers: 2\n  options:")).unwrap();
    path
}

/// Waits until each of the two has one of the two partitions.
fn shared(daemon: &Daemon) {
    until("a partition for each", || {
        let log = daemon.log();
        let mut holders = BTreeMap::new();
        for line in log.lines() {
            let Some(partition) = (0..PARTITIONS).find(|n| line.contains(&format!("{TOPIC}-{n} ")))
            else {
                continue;
            };
            let consumer = line.split("consumer=").nth(1);
            if line.contains("partition taken") {
                holders.insert(partition, consumer.unwrap().to_owned());
            } else if line.contains("partition given up") {
                let holder = holders.remove(&partition);
                assert_eq!(holder.as_deref(), consumer, "only its holder gives it up: {log}");
            }
        }
        let both: BTreeSet<&String> = holders.values().collect();
        (both.len() == 2).then_some(())
    });
    let gauge = format!("driftd_consumer_assigned_partitions{{topic=\"{TOPIC}\"}}");
    until("two partitions", || daemon.metric(&gauge).filter(|n| *n == f64::from(PARTITIONS)));
}

#[test]
fn two_consumers_count_what_one_counts_killed_or_not() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    for life in 0..4 {
        let daemon = Daemon::start(&two(&world, "state", &format!("life-{life}"), &models));
        world.minutes(3, false);
        if life % 2 == 0 {
            shared(&daemon);
        }
        thread::sleep(Duration::from_millis(300 * life));
        daemon.kill();
    }
    let daemon = Daemon::start(&two(&world, "state", "stopped", &models));
    shared(&daemon);
    world.minutes(3, false);
    let (status, log) = daemon.terminate();
    assert!(status.success() && log.contains("stopped in_time=true"), "{log}");

    // Everything was in the snapshots of both: nothing is read again.
    let daemon = Daemon::start(&two(&world, "state", "last", &models));
    for partition in 0..PARTITIONS {
        let line = daemon.says(&["partition taken", &format!("{TOPIC}-{partition} ")]);
        assert!(!line.contains("starts=[0]"), "{line}");
    }
    shared(&daemon);
    world.minutes(6, true);
    let end_ms = world.now_ms() - 2 * MINUTE;
    let model = daemon.until_end("fraud", end_ms);
    let whole = Daemon::start(&world.write_config("other", "whole", &models));
    let expected = whole.until_end("fraud", end_ms);
    assert_eq!(daemon.panes("fraud"), whole.panes("fraud"));
    assert_eq!(scores(&model), scores(&expected));
    assert_eq!(daemon.get_public("/livez").0, 200);
}

#[test]
fn two_consumers_take_up_a_baseline_together() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let daemon = Daemon::start(&two(&world, "state", "one", &models));
    shared(&daemon);
    world.minutes(6, false);
    // One of them is ahead, so the other would begin with an earlier pane.
    for _ in 0..3 {
        world.minute_of(0, false);
        world.minute += 1;
    }
    world.flush();
    let consumed = format!("driftd_records_consumed_total{{topic=\"{TOPIC}\"}}");
    let all = (15 * RATE) as f64;
    until("all records", || daemon.metric(&consumed).filter(|n| *n == all));
    let before = daemon.model("fraud");
    train(&world.reference(), true);
    let changed = |m: &Value| m["baseline"]["digest"] != before["baseline"]["digest"];
    daemon.until("fraud", "the new baseline", changed);
    world.minutes(12, true);
    let end_ms = world.now_ms() - 2 * MINUTE;
    let model = daemon.until_end("fraud", end_ms);
    assert_eq!(model["drift"], "healthy");
    let panes: Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    let panes = panes["panes"].as_array().unwrap();
    // From the pane behind the one that was furthest, in both.
    assert_eq!(panes.len(), 10, "{panes:#?}");
    assert!(panes.iter().all(|pane| pane["records"] == 2 * RATE), "{panes:#?}");
}
