//! What a replica that takes over meets, on real Apache Kafka: requests that the one before it has begun,
//! records that it can't use, and brokers that are not there yet.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use driftd::kafka::Config;
use driftd::kafka::tail::Tail;
use driftd::store::kafka::record::{Body, Record};
use serde_json::{Value, json};

use super::cluster::{Cluster, Stream, evaluates, ids};
use super::harness::{Daemon, until};
use super::receiver::Receiver;
use super::world::MINUTE;
use crate::deliver::now_ms;

const TARGET: &str = "retraining_trigger/fraud";

/// A replica that asks patiently; one partition of the partials, so that one of two evaluates.
fn replica(stream: &Stream, name: &str, webhook: &Receiver, timeout: &str) -> PathBuf {
    let prefix = format!("{}-own", stream.topic);
    let path = stream.shared(name, "all", &prefix, &webhook.url("/retrain"));
    let text = fs::read_to_string(&path).unwrap().replace("partitions: 3", "partitions: 1");
    let text = text
        .replace("retraining_trigger: {", &format!("retraining_trigger: {{timeout: {timeout}, "));
    fs::write(&path, text).unwrap();
    path
}

/// Two replicas, the first of which has sent a trigger that is not answered yet.
fn asked(stream: &mut Stream, webhook: &Receiver, timeout: &str) -> [Daemon; 2] {
    webhook.hold(true);
    let owner = Daemon::start(&replica(stream, "first", webhook, timeout));
    stream.minutes(14, false);
    stream.minutes(8, true);
    until("the request", || (!webhook.seen("/retrain").is_empty()).then_some(()));
    let next = Daemon::start(&replica(stream, "second", webhook, timeout));
    let attempted = |incident: &Value| incident["attempts"][0]["target"] == TARGET;
    until("the attempt in the log", || next.incidents().first().filter(|i| attempted(i)).map(drop));
    [owner, next]
}

#[test]
fn an_answer_that_comes_after_the_takeover_spares_the_receiver_a_second_request() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("answered");
    let webhook = Receiver::start();
    let [owner, next] = asked(&mut stream, &webhook, "100s");
    owner.signal("STOP");
    until("the takeover", || evaluates(&next).then_some(()));
    // What the other has asked stands at the head of its queue, and everything is decided here.
    stream.minutes(1, true);
    next.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    webhook.hold(false);
    owner.signal("CONT");
    next.until("fraud", "the acceptance", |model| model["incident"] == "accepted");
    assert!(evaluates(&next), "{}", next.log());
    let attempts = next.incidents()[0]["attempts"].clone();
    assert_eq!(attempts.as_array().unwrap().len(), 1, "{attempts:#}");
    assert_eq!(attempts[0]["ok"], true);
    assert_eq!(webhook.seen("/retrain").len(), 1, "{}", next.log());
}

#[test]
fn a_request_whose_sender_has_died_is_sent_again_under_its_id() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("unanswered");
    let webhook = Receiver::start();
    let [owner, next] = asked(&mut stream, &webhook, "1s");
    owner.kill();
    webhook.hold(false);
    next.until("fraud", "the acceptance", |model| model["incident"] == "accepted");
    assert_eq!(ids(&webhook).len(), 1);
    assert!(webhook.seen("/retrain").len() > 1);
}

/// The last record of a topic that is as asked for: its partition, its key, and what it says.
fn last(stream: &Stream, topic: &str, is: impl Fn(&Body) -> bool) -> (i32, Vec<u8>, Record) {
    let mut tail = Tail::open(&Config::new([stream.cluster.kafka.brokers()]), topic, 0..1).unwrap();
    let mut found = None;
    tail.catch_up(Duration::from_secs(60), |entry| {
        let record = entry.payload.and_then(|bytes| Record::decode(bytes).ok().flatten());
        if let Some(record) = record.filter(|record| is(&record.body)) {
            found = Some((entry.partition, entry.key.unwrap().to_vec(), record));
        }
    })
    .unwrap();
    found.unwrap()
}

fn write(stream: &Stream, topic: &str, (partition, key): (i32, &[u8]), value: Option<&[u8]>) {
    stream.cluster.producer.produce(topic, partition, Some(key), now_ms(), value).unwrap();
    stream.flush();
}

#[test]
fn a_pane_that_is_damaged_makes_the_window_incomplete_and_a_newer_state_is_refused_by_name() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("damaged");
    let webhook = Receiver::start();
    let config = replica(&stream, "one", &webhook, "30s");
    let daemon = Daemon::start(&config);
    stream.minutes(14, false);
    let end_ms = stream.now_ms() - 2 * MINUTE;
    assert_eq!(daemon.until_end("fraud", end_ms)["window"]["complete"], true);
    assert!(daemon.terminate().0.success());

    let partials = "damaged-own.partials";
    let in_window = |body: &Body| match body {
        Body::Pane(pane) => pane.record.pane_start_ms < end_ms,
        _ => false,
    };
    let (partition, key, _) = last(&stream, partials, in_window);
    write(&stream, partials, (partition, &key), Some(b"neither this nor that"));
    let daemon = Daemon::start(&config);
    let window = daemon.until_end("fraud", end_ms)["window"].clone();
    assert_eq!(window["complete"], false, "{}", daemon.log());
    let key = String::from_utf8(key).unwrap();
    daemon.says(&["a record of the partials can't be used", &key, "is damaged"]);
    let rejected = daemon.metric("driftd_state_rejected_total{kind=\"panes\"}");
    assert_eq!(rejected, Some(1.0));
    assert!(daemon.terminate().0.success());

    let (_, key, mut record) = last(&stream, partials, |body| matches!(body, Body::Test(_)));
    let Body::Test(test) = &mut record.body else { panic!("a test") };
    test.version = 99;
    write(&stream, partials, (partition, &key), Some(&record.encode()));
    let daemon = Daemon::start(&config);
    let said = daemon.says(&["the model is not evaluated", "fraud", "version 99"]);
    for part in [partials, "offset ", "partition 0", &String::from_utf8_lossy(&key), "tombstone"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!evaluates(&daemon));
    // As it says: that record is taken away.
    write(&stream, partials, (partition, &key), None);
    until("the model", || evaluates(&daemon).then_some(()));
    stream.minutes(2, false);
    daemon.until_end("fraud", stream.now_ms() - 2 * MINUTE);
}

/// Lets everybody through who comes to a door, from now on.
fn open(door: TcpListener, to: SocketAddr) {
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        // Either side may hang up.
        thread::spawn(move || io::copy(&mut from, &mut to).ok());
    };
    thread::spawn(move || {
        for stream in door.incoming().flatten() {
            let Ok(inside) = TcpStream::connect(to) else { return };
            copy(stream.try_clone().unwrap(), inside.try_clone().unwrap());
            copy(inside, stream);
        }
    });
}

/// The same configuration, with other brokers.
fn through(config: &Path, brokers: &str, door: &TcpListener) {
    let text = fs::read_to_string(config).unwrap();
    let address = door.local_addr().unwrap().to_string();
    fs::write(config, text.replace(brokers, &address)).unwrap();
}

#[test]
fn while_the_brokers_that_have_the_state_say_nothing_the_probes_answer() {
    let Some(cluster) = Cluster::get() else { return };
    let mut stream = cluster.stream("closed");
    let config = replica(&stream, "one", &Receiver::start(), "30s");
    let (brokers, door) = (cluster.kafka.brokers(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = door.local_addr().unwrap().to_string();
    through(&config, brokers, &door);
    let daemon = Daemon::listening(&config, &[]);
    assert_eq!(daemon.get_public("/livez").0, 200);
    let waits = |asked: &str, said: (u16, String)| {
        let awaited = said.1.contains("brokers") && said.1.contains(&address);
        assert!(said.0 == 503 && awaited, "{asked}: {said:?}");
    };
    waits("readyz", daemon.get_public("/readyz"));
    waits("api", daemon.get("/api/v1/models"));
    assert_eq!(daemon.get_public("/metrics").0, 200);
    // Nor does it give up when it has waited in vain.
    daemon.says(&["the state can't be reached; trying again", &address]);
    waits("readyz", daemon.get_public("/readyz"));
    open(door, brokers.parse().unwrap());
    until("a start", || (daemon.get_public("/readyz").0 == 200).then_some(()));
    stream.minutes(4, false);
    daemon.until_end("fraud", stream.now_ms() - 2 * MINUTE);
    let models = daemon.json("/api/v1/models");
    assert_eq!(models["models"][0]["model"], json!("fraud"));
}
