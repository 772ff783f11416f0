//! Records that are gone, or that nobody can decompress: they are counted to the record, shown, and
//! start no retraining.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use super::harness::Daemon;
use super::receiver::Receiver;
use super::world::{MINUTE, RATE, TOPIC, World, trigger};

/// First and next-to-be-written offset, asked by another client.
fn ends(world: &World, partition: i32) -> (i64, i64) {
    let brokers = world.broker.bootstrap_servers();
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(30)).unwrap()
}

/// A minute of partition 0 so large that the mock cluster, which keeps 5 MiB, drops older ones.
fn heavy_minute(world: &mut World) {
    let padding = "x".repeat(20_000);
    for i in 0..RATE {
        let ts = world.now_ms() + i * MINUTE / RATE;
        let features = world.dice.features(true);
        world.send(0, ts, &json!({"ts": ts, "features": features, "padding": padding}));
        let features = world.dice.features(true);
        world.send(1, ts, &json!({"ts": ts, "features": features}));
    }
    world.minute += 1;
    world.flush();
}

#[test]
fn what_retention_took_is_counted_to_the_record_and_starts_no_retraining() {
    let (mut world, webhook) = (World::new(), Receiver::start());
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(20, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert!(daemon.terminate().0.success());
    let (_, stopped_at) = ends(&world, 0);
    (0..10).for_each(|_| heavy_minute(&mut world));
    let (low, _) = ends(&world, 0);
    assert!(low > stopped_at, "the mock cluster has dropped something: {low}");

    let daemon = Daemon::start(&world.write_config("state", "two", &models));
    let model = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let lost = format!("driftd_records_lost_total{{topic=\"{TOPIC}\",cause=\"retention\"}}");
    assert_eq!(daemon.metric(&lost), Some((low - stopped_at) as f64));
    let line = daemon.says(&["records are gone from the log"]);
    assert!(line.contains(&format!("from={stopped_at} to={low}")), "{line}");
    assert_eq!(model["window"]["complete"], false);
    assert_eq!(model["quality"], "incomplete", "{model:#}");
    assert!(daemon.incidents().is_empty() && webhook.seen("/retrain").is_empty());

    // Once the window has only whole panes, the drift that is there is told.
    world.minutes(25, true);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    daemon.until("fraud", "the acceptance", |m| m["incident"] == "accepted");
    assert_eq!(daemon.model("fraud")["window"]["complete"], true);
    assert_eq!(daemon.metric(&lost), Some((low - stopped_at) as f64));
}

/// So many records in one batch that is small as it lies in the log and larger decompressed than a
/// consumer allows.
fn bomb(world: &World, partition: i32, records: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", world.broker.bootstrap_servers())
        .set("compression.type", "zstd")
        .set("message.max.bytes", "200000000")
        .set("batch.size", "200000000")
        .set("linger.ms", "500")
        .create()
        .unwrap();
    let zeros = vec![b' '; 8 << 20];
    for _ in 0..records {
        let record = BaseRecord::<(), _>::to(TOPIC).partition(partition).payload(&zeros);
        producer.send(record.timestamp(world.now_ms())).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_batch_that_cannot_be_decompressed_is_a_hole_that_is_counted_and_passed_over() {
    let (mut world, webhook) = (World::new(), Receiver::start());
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(20, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let memory = || daemon.metric("process_resident_memory_bytes").unwrap() / f64::from(1 << 20);
    let before = memory();
    let (_, from) = ends(&world, 1);
    bomb(&world, 1, 5);
    let (_, to) = ends(&world, 1);
    assert_eq!(to - from, 5);
    world.minutes(10, true);
    let model = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let lost =
        format!("driftd_records_lost_total{{topic=\"{TOPIC}\",cause=\"undecodable_batch\"}}");
    assert_eq!(daemon.metric(&lost), Some(5.0));
    let line = daemon.says(&["records are gone from the log"]);
    assert!(line.contains(&format!("from={from} to={to}")), "{line}");
    assert_eq!(model["window"]["complete"], false, "{model:#}");
    assert!(daemon.incidents().is_empty() && webhook.seen("/retrain").is_empty());
    let after = memory();
    println!("{before} MiB before 40 MiB in one batch, {after} after");
    assert!(after < before + 40.0, "{before} {after}");
    // The other partition was not held up, and both are read on.
    world.minutes(15, true);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    daemon.until("fraud", "the acceptance", |m| m["incident"] == "accepted");
}
