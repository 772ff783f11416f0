//! State that replicas share: the same panes, incidents and webhooks as one process with files.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Daemon, scores, until};
use super::receiver::Receiver;
use super::world::{MINUTE, PARTITIONS, TOPIC, World, trigger};

/// The topics that replicas share, as `driftd topics create` would make them.
fn topics(world: &World) {
    for (what, partitions) in [("specs", 1), ("state", 4), ("partials", 4), ("incidents", 4)] {
        world.broker.create_topic(&format!("own.{what}"), partitions).unwrap();
    }
}

/// A configuration whose state is in topics.
fn shared(world: &World, name: &str, role: &str, models: &str) -> PathBuf {
    let path = world.write_config("unused", "shared", models);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("state: {").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let state =
        "state: {backend: kafka, snapshot_interval: 1s, topics: {prefix: own, partitions: 4}}";
    let path = world.path(&format!("{name}.yaml"));
    fs::write(&path, format!("{before}{state}\nrole: {role}\n{after}")).unwrap();
    path
}

/// Which of the daemons evaluates the model, once one does.
fn evaluator<'a>(daemons: &[&'a Daemon]) -> &'a Daemon {
    until("an evaluator", || {
        let is = |d: &&&Daemon| d.metric("driftd_model_evaluated{model=\"fraud\"}") == Some(1.0);
        daemons.iter().find(is).copied()
    })
}

#[test]
fn state_in_topics_counts_what_files_count_killed_or_not() {
    let mut world = World::new();
    topics(&world);
    let webhook = Receiver::start();
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    for _ in 0..3 {
        let daemon = Daemon::start(&shared(&world, "one", "all", &models));
        daemon.says(&["partition taken"]);
        world.minutes(7, false);
        until("some records", || {
            daemon.metric(&format!("driftd_records_consumed_total{{topic=\"{TOPIC}\"}}"))
        });
        daemon.kill();
    }
    world.minutes(12, true);
    let daemon = Daemon::start(&shared(&world, "one", "all", &models));
    let end_ms = world.now_ms() - 2 * MINUTE;
    let model = daemon.until_end("fraud", end_ms);
    let whole = Daemon::start(&world.write_config("files", "files", &world.model("fraud", "")));
    let expected = whole.until_end("fraud", end_ms);
    assert_eq!(daemon.panes("fraud"), whole.panes("fraud"));
    assert_eq!(scores(&model), scores(&expected));
    assert_eq!(webhook.accepted("/retrain").id(), daemon.incidents()[0]["id"]);
    assert_eq!(daemon.incidents().len(), 1);
    let (status, log) = daemon.terminate();
    assert!(status.success() && log.contains("stopped in_time=true"), "{log}");
    assert_eq!(webhook.seen("/retrain").len(), 1);
    let _ = (PARTITIONS, Value::Null);
    let _ = evaluator;
}
