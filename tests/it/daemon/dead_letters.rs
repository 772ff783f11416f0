//! Records that could not be used, copied to a topic of their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use super::harness::{Daemon, until};
use super::world::{MINUTE, PARTITIONS, RATE, START, TOPIC, World};

const LETTERS: &str = "dead-letters";

/// A dead letter: its headers, each with its last value, its key and its bytes.
type Letter = (BTreeMap<String, Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

fn with_letters(world: &World, models: &str, more: &str) -> PathBuf {
    world.broker.create_topic(LETTERS, 1).unwrap();
    let path = world.write_config("state", "one", models);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\ndead_letter: {{topic: {LETTERS}{more}}}\n")).unwrap();
    path
}

/// Everything on the dead-letter topic, once it is `n` letters.
fn letters(world: &World, n: usize) -> Vec<Letter> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", world.broker.bootstrap_servers())
        .set("group.id", "reader")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[LETTERS]).unwrap();
    let mut found = Vec::new();
    until(&format!("{n} dead letters"), || {
        while let Some(message) = consumer.poll(std::time::Duration::from_millis(50)) {
            let Ok(message) = message else { continue };
            let headers = message.headers().unwrap().iter();
            let headers = headers.map(|h| (h.key.to_owned(), h.value.unwrap_or(b"null").to_vec()));
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            found.push((headers.collect(), owned(message.key()), owned(message.payload())));
        }
        (found.len() >= n).then_some(())
    });
    found
}

#[test]
fn a_bad_record_is_copied_whole_with_why_and_where_from() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let daemon = Daemon::start(&with_letters(&world, &models, ""));
    world.minutes(4, false);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", world.broker.bootstrap_servers())
        .create()
        .unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some(b"\xff\x00\x01".as_slice()) })
        .insert(Header::<&[u8]> { key: "nothing", value: None });
    let (bad, offset) = (b"{\"ts\": \xfe not json".as_slice(), 4 * RATE);
    let record = BaseRecord::to(TOPIC).partition(1).key(b"key\x00".as_slice()).payload(bad);
    producer.send(record.timestamp(world.now_ms()).headers(headers)).unwrap();
    producer.flush(std::time::Duration::from_secs(30)).unwrap();
    world.send_bytes(0, world.now_ms(), None);
    // Well formed, and not of this time.
    let late = world.now_ms() + 60 * MINUTE;
    world.send(0, world.now_ms(), &json!({"ts": late, "features": {"amount": 1.0}}));
    world.minutes(4, false);

    let mut letters = letters(&world, 3);
    letters.sort_by_key(|(headers, _, _)| headers["driftd.reason"].clone());
    let text = |headers: &BTreeMap<String, Vec<u8>>, name: &str| {
        String::from_utf8(headers[name].clone()).unwrap()
    };
    let reasons: Vec<_> = letters.iter().map(|l| text(&l.0, "driftd.reason")).collect();
    assert_eq!(reasons, ["future", "malformed", "null_value"]);
    let (headers, key, payload) = &letters[1];
    assert_eq!(payload.as_deref(), Some(bad));
    assert_eq!(key.as_deref(), Some(b"key\x00".as_slice()));
    assert_eq!(
        (&headers["trace"][..], &headers["nothing"][..]),
        (&b"\xff\x00\x01"[..], &b"null"[..])
    );
    for (name, value) in [
        ("driftd.model", "fraud".to_owned()),
        ("driftd.topic", TOPIC.to_owned()),
        ("driftd.partition", "1".to_owned()),
        ("driftd.offset", offset.to_string()),
        ("driftd.time", (START + 4 * MINUTE).to_string()),
        ("driftd.version", env!("CARGO_PKG_VERSION").to_owned()),
    ] {
        assert_eq!(text(headers, name), value, "{name}");
    }
    assert_eq!((&letters[2].1, &letters[2].2), (&None, &None), "a tombstone stays one");
    assert!(String::from_utf8_lossy(letters[0].2.as_deref().unwrap()).contains("amount"));
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!(daemon.metric("driftd_dead_letters_total{fate=\"written\"}"), Some(3.0));
    assert_eq!(daemon.metric("driftd_dead_letters_total{fate=\"dropped\"}"), Some(0.0));
}

#[test]
fn dead_letters_without_room_are_counted_and_hold_nothing_up() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let daemon = Daemon::start(&with_letters(&world, &models, ", buffer: 2KiB"));
    world.minutes(4, false);
    let big = format!("{{\"x\": \"{}", "y".repeat(4096));
    for _ in 0..500 {
        world.send_bytes(0, world.now_ms(), Some(big.as_bytes()));
    }
    world.minutes(4, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!(daemon.metric("driftd_dead_letters_total{fate=\"dropped\"}"), Some(500.0));
    assert_eq!(daemon.metric("driftd_dead_letters_total{fate=\"written\"}"), Some(0.0));
    let labels = format!("topic=\"{TOPIC}\",model=\"fraud\",reason=\"malformed\"");
    let rejected = daemon.metric(&format!("driftd_records_rejected_total{{{labels}}}"));
    assert_eq!(rejected, Some(500.0));
    let panes: serde_json::Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    let whole = RATE * i64::from(PARTITIONS);
    assert!(panes["panes"].as_array().unwrap().iter().all(|p| p["records"] == whole), "{panes:#}");
    daemon.says(&["dead letters are lost; counting goes on"]);
}
