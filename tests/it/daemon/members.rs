//! Partitions that go to another member of the group and come back.

use std::fs;

use serde_json::Value;

use super::harness::{Daemon, until};
use super::world::{MINUTE, PARTITIONS, RATE, TOPIC, World};

#[test]
fn a_member_that_no_broker_answers_shows_that_it_has_no_partition() {
    let world = World::new();
    let path = world.write_config("state", "alone", &world.model("fraud", ""));
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace(&world.broker.bootstrap_servers(), "127.0.0.1:9")).unwrap();
    let daemon = Daemon::start(&path);
    let gauge = format!("driftd_consumer_assigned_partitions{{topic=\"{TOPIC}\"}}");
    assert_eq!(until("its partitions", || daemon.metric(&gauge)), 0.0);
}

#[test]
fn no_pane_closes_without_the_partitions_that_another_member_has() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let first = Daemon::start(&world.write_config("first", "shared", &models));
    world.minutes(6, false);
    let before = world.now_ms() - 2 * MINUTE;
    first.until_end("fraud", before);
    let second = Daemon::start(&world.write_config("second", "shared", &models));
    first.says(&["partition given up"]);
    first.says(&["not every partition of the topic is ours", "fraud"]);
    second.says(&["not every partition of the topic is ours", "fraud"]);

    world.minutes(6, false);
    let consumed = format!("driftd_records_consumed_total{{topic=\"{TOPIC}\"}}");
    let all = (RATE * i64::from(PARTITIONS) * 6) as f64;
    let half = all / 2.0;
    until("its share of the records", || first.metric(&consumed).filter(|n| *n >= all + half));
    // Both have their half of panes that have ended, and neither shows it as the whole.
    until("its share of the records", || second.metric(&consumed).filter(|n| *n >= all));
    first.until_end("fraud", before);
    assert_eq!(second.model("fraud")["window"]["records"], 0);

    assert!(second.terminate().0.success());
    let end_ms = world.now_ms() - 2 * MINUTE;
    first.until_end("fraud", end_ms);
    let panes: Value = serde_json::from_str(&first.panes("fraud")).unwrap();
    let panes = panes["panes"].as_array().unwrap();
    assert_eq!(panes.len(), 10);
    assert!(panes.iter().all(|pane| pane["records"] == 2 * RATE), "{panes:#?}");
}
