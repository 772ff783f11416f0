//! The log moves under a daemon that was away: what is gone is counted to the record, shown, and starts
//! no retraining.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
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
