//! Batches that end whoever reads them, where the state is in topics of real Apache Kafka: each replica is
//! ended three times at most, and what one has passed over is passed over for all.

use std::path::PathBuf;
use std::sync::Arc;

use super::cluster::{Cluster, PARTITIONS, Stream, evaluator};
use super::deadly::{bomb, limited};
use super::harness::{Daemon, until};
use super::receiver::Receiver;
use super::world::{Dice, MINUTE};

/// In one batch: 256 MiB, which no limit of these replicas has room for; the broker takes it in snappy, too.
const RECORDS: usize = 32;
const FOUND: &str = "these records end every process that reads them";

/// A topic that takes the largest of the batches.
fn stream(cluster: &Arc<Cluster>, topic: &'static str, named: bool) -> Stream {
    let large = [("retention.ms", "-1"), ("max.message.bytes", "40000000")];
    cluster.kafka.create_topic(topic, PARTITIONS, &large);
    let options = "session.timeout.ms: 6000, heartbeat.interval.ms: 500";
    let (cluster, dice) = (cluster.clone(), Dice::new(7));
    Stream { cluster, topic, dice, minute: 0, rate: 20, pane: "1m", options, named }
}

/// A replica with a directory of its own beside the state in topics.
fn replica(stream: &Stream, name: &str, webhook: &Receiver) -> PathBuf {
    let dir = stream.cluster.dir.path().join(format!("{}-{name}", stream.topic));
    let topics = format!("topics: {{prefix: {}-own, partitions: 3}}", stream.topic);
    let state = format!("backend: kafka, dir: \"{}\", {topics}", dir.display());
    stream.config((name, "own"), "all", &state, &webhook.url("/retrain"))
}

fn lost(daemon: &Daemon, topic: &str) -> f64 {
    let series = format!("driftd_records_lost_total{{topic=\"{topic}\",cause=\"deadly_batch\"}}");
    daemon.metric(&series).unwrap_or(0.0)
}

/// Every pane has every record, and none is triggered from although the world has changed.
fn assert_all_counted(stream: &Stream, daemon: &Daemon, webhook: &Receiver) {
    let panes: serde_json::Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    let panes = panes["panes"].as_array().unwrap();
    assert!(panes.len() > 20, "{}", panes.len());
    for pane in panes {
        assert_eq!(pane["records"], stream.rate * i64::from(PARTITIONS), "{pane:#}");
    }
    let model = daemon.model("fraud");
    assert_eq!(model["window"]["complete"], false, "{model:#}");
    assert!(daemon.incidents().is_empty() && webhook.seen("/retrain").is_empty());
}

#[test]
fn with_state_in_topics_deadly_batches_of_every_kind_are_passed_over_at_the_fourth_start() {
    let Some(cluster) = Cluster::get() else { return };
    let (mut stream, webhook) = (stream(&cluster, "bombs", true), Receiver::start());
    let config = replica(&stream, "one", &webhook);
    stream.minutes(20, false);
    let mut daemon = Daemon::start_by(&mut limited(&config));
    daemon.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    let brokers = cluster.kafka.brokers();
    let kinds = [(0, "gzip"), (5, "lz4"), (7, "snappy")];
    for (partition, kind) in kinds {
        bomb(brokers, stream.topic, partition, kind, RECORDS);
    }
    stream.minutes(6, true);
    for life in 1..=3 {
        let said = daemon.dies();
        assert!(!said.contains(FOUND), "{said}");
        daemon = Daemon::begin_by(&mut limited(&config));
        daemon.says(&[&format!("deaths={life}")]);
    }
    daemon.wait_until_started();
    daemon.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    let from = 20 * stream.rate;
    for (partition, _) in kinds {
        let to = from + i64::try_from(RECORDS).unwrap();
        daemon.says(&[FOUND, &format!("partition=bombs-{partition} from={from} to={to}")]);
    }
    assert_eq!(lost(&daemon, stream.topic), (kinds.len() * RECORDS) as f64);
    assert_all_counted(&stream, &daemon, &webhook);

    // Another replica, that knows of no end, goes on where this one was.
    daemon.kill();
    let other = Daemon::start_by(&mut limited(&replica(&stream, "other", &webhook)));
    stream.minutes(4, true);
    other.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    assert_eq!(lost(&other, stream.topic), 0.0);
    assert_all_counted(&stream, &other, &webhook);
}

#[test]
fn two_replicas_are_not_ended_one_after_the_other_for_ever() {
    let Some(cluster) = Cluster::get() else { return };
    let (mut stream, webhook) = (stream(&cluster, "chain", false), Receiver::start());
    let configs = ["one", "two"].map(|name| replica(&stream, name, &webhook));
    stream.minutes(20, false);
    let mut daemons = configs.each_ref().map(|config| Daemon::start_by(&mut limited(config)));
    evaluator(&daemons, stream.now_ms() - 2 * MINUTE);
    bomb(cluster.kafka.brokers(), stream.topic, 3, "gzip", RECORDS);
    stream.minutes(6, true);
    // The partition goes to whoever is left. Then each is started again, as by whatever watches over it.
    until("the end of both", || daemons.iter_mut().all(Daemon::has_ended).then_some(()));
    let mut ends = [0; 2];
    until("somebody passes it over", || {
        for (n, daemon) in daemons.iter_mut().enumerate() {
            if daemon.has_ended() {
                ends[n] += 1;
                assert!(ends[n] <= 3, "{ends:?}\n{}", daemon.log());
                *daemon = Daemon::begin_by(&mut limited(&configs[n]));
            }
        }
        daemons.iter().any(|daemon| daemon.log().contains(FOUND)).then_some(())
    });
    println!("ends: {ends:?}");
    daemons.iter_mut().for_each(Daemon::wait_until_started);
    let last = evaluator(&daemons, stream.now_ms() - 2 * MINUTE);
    assert_all_counted(&stream, last, &webhook);
    let lost: f64 = daemons.iter().map(|daemon| lost(daemon, stream.topic)).sum();
    assert_eq!(lost, RECORDS as f64);
    let [one, two] = daemons;
    one.kill();
    // The one that is left takes all over.
    stream.minutes(4, true);
    two.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    assert_all_counted(&stream, &two, &webhook);
}
