//! What of a partition's state can't be read is neither taken for none nor written over.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::baseline::Baseline;
use crate::codec::write_frame;
use crate::config;
use crate::kafka;
use crate::kafka::mock::MockBroker;
use crate::kafka::producer::{Outgoing, Producer};
use crate::store::kafka::Newest;
use crate::store::kafka::record::{Body, Owner, Record, State};
use crate::store::{FileStore, KafkaStore, Topics};

const CONFIG: &str = r#"
kafka: {brokers: "localhost:9092"}
models:
  - name: fraud
    topic: inferences
    start: latest
    drift_config: {reference_dataset: /reference.parquet}
"#;

fn spec() -> Spec {
    let model = config::parse(CONFIG, &|_| None).unwrap().config.models[0].clone();
    Spec { policy: model.policy(), trigger: None, people: Vec::new(), url: None, model }
}

fn watched(spec: &Spec) -> Watched {
    Watched::new(spec, Arc::new(Baseline::of(Vec::new())), i64::MIN)
}

fn partition(n: i32) -> TopicPartition {
    TopicPartition::new("inferences", n)
}

/// A process that finds a state of partition 0, counted up to an offset.
fn desk_with(dir: &Path, next_offset: i64) -> Desk {
    let spec = spec();
    let watched = watched(&spec);
    let store = Arc::new(Store::File(Box::new(FileStore::open(dir).unwrap())));
    let state = PartitionState::new(&watched.rules, next_offset);
    let states = vec![snapshot::encode("fraud", &state)];
    store.save_partition(&partition(0), snapshot::VERSION, states).unwrap();
    Desk::new(Arc::new(vec![spec]), store, Metrics::new(), vec![Some(watched)])
}

fn snapshot_of(dir: &Path) -> PathBuf {
    let mut files = fs::read_dir(dir.join("partitions")).unwrap();
    files.next().unwrap().unwrap().path()
}

/// Time between attempts is over.
fn later(desk: &Desk) {
    desk.unreadable().clear();
}

#[test]
fn a_state_that_cannot_be_read_is_asked_for_again_and_not_counted_anew() {
    let dir = TempDir::new().unwrap();
    let desk = desk_with(dir.path(), 77);
    let (file, aside) = (snapshot_of(dir.path()), dir.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(desk.starts(&partition(0)), None);
    // Nor does anybody know where an added partition begins, or how far the model has come.
    assert_eq!(desk.starts(&partition(1)), None);
    assert!(matches!(desk.furthest(0), Err(store::Error::Io { .. })));
    assert!(matches!(desk.take_states(&partition(0)), Err(store::Error::Io { .. })));
    fs::remove_dir(&file).unwrap();
    fs::rename(&aside, &file).unwrap();
    assert_eq!(desk.starts(&partition(0)), None, "not at every turn");
    later(&desk);
    let starts = desk.starts(&partition(0)).unwrap();
    assert!(matches!(starts[..], [Start::Offset(77, _)]), "{starts:?}");
    assert!(matches!(desk.starts(&partition(1)).unwrap()[..], [Start::Time(_)]));
    // It is read once: what goes wrong from here on does not matter.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(desk.take_states(&partition(0)).unwrap()[&0].next_offset, 77);
}

#[test]
fn a_state_of_a_newer_layout_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let desk = desk_with(dir.path(), 77);
    let mut frame = Vec::new();
    write_frame(&mut frame, 1, 99, b"of a newer release");
    fs::write(snapshot_of(dir.path()), frame).unwrap();
    assert_eq!(desk.starts(&partition(0)), Some(vec![Start::Latest]));
    let refused = desk.take_states(&partition(0));
    assert!(matches!(refused, Err(store::Error::NewerVersion { .. })), "{refused:?}");
}

/// The states of partitions in topics, written by two other processes.
struct Shared {
    broker: MockBroker,
    producer: Producer,
    rules: Arc<crate::window::Rules>,
}

impl Shared {
    fn start() -> Self {
        let broker = MockBroker::start().unwrap();
        for (topic, partitions) in [("specs", 1), ("state", 1), ("partials", 1), ("incidents", 1)] {
            broker.create_topic(&format!("own.{topic}"), partitions).unwrap();
        }
        let producer = Producer::open(&kafka::Config::new([broker.bootstrap_servers()])).unwrap();
        Self { broker, producer, rules: watched(&spec()).rules }
    }

    async fn desk(&self) -> Desk {
        let topics = Topics { prefix: "own".to_owned(), partitions: 1, create: false };
        let config = store::Config { topics, ..store::Config::default() };
        let brokers = kafka::Config::new([self.broker.bootstrap_servers()]);
        let newest = Newest { state: snapshot::VERSION, test: 1 };
        let opened = KafkaStore::open(&config, &brokers, Duration::ZERO, Owner::default(), newest);
        let store = Arc::new(Store::Kafka(Box::new(opened.await.unwrap())));
        let spec = spec();
        let watched = watched(&spec);
        Desk::new(Arc::new(vec![spec]), store, Metrics::new(), vec![Some(watched)])
    }

    /// The record of a process: a state of partition `n`, counted up to an offset.
    fn record(&self, writer: u64, n: i32, next_offset: i64, version: u8) -> Record {
        let state = PartitionState::new(&self.rules, next_offset);
        let state = snapshot::encode("fraud", &state);
        let body = Body::State(State {
            partition: partition(n),
            model: state.model,
            rules: state.rules,
            epoch: 0,
            next_offset,
            version,
            state: state.state,
        });
        Record { writer, body }
    }

    fn write(&self, record: &Record, value: Vec<u8>) {
        let (topic, key) = ("own.state".to_owned(), record.key(0).into_bytes());
        self.producer.write(&[Outgoing { topic, partition: 0, key, value }]).unwrap();
    }
}

/// With its last byte spoilt.
fn damaged(record: &Record) -> Vec<u8> {
    let mut bytes = record.encode();
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

#[tokio::test]
async fn a_shared_state_that_is_damaged_is_counted_on_from_another_or_from_what_the_log_holds() {
    let shared = Shared::start();
    let (good, further) = (shared.record(1, 0, 70, 1), shared.record(2, 0, 90, 1));
    shared.write(&good, good.encode());
    shared.write(&further, damaged(&further));
    let only = shared.record(2, 1, 90, 1);
    shared.write(&only, damaged(&only));
    let desk = shared.desk().await;
    let starts = desk.starts(&partition(0)).unwrap();
    assert!(matches!(starts[..], [Start::Offset(70, _)]), "{starts:?}");
    assert!(!desk.is_lost(&partition(0), 0));
    // `start: latest` would leave out what nobody knows to be counted.
    assert_eq!(desk.starts(&partition(1)), Some(vec![Start::Earliest]));
    assert!(desk.is_lost(&partition(1), 0));
    assert!(desk.take_states(&partition(1)).unwrap().is_empty());
    // One that was never counted is no lost one.
    assert!(matches!(desk.starts(&partition(2)).unwrap()[..], [Start::Time(_)]));
    assert!(!desk.is_lost(&partition(2), 0));
}

#[tokio::test]
async fn a_shared_state_of_a_newer_release_is_refused_by_name_and_can_be_taken_away() {
    let shared = Shared::start();
    let (good, newer) = (shared.record(1, 0, 70, 1), shared.record(2, 0, 90, 2));
    shared.write(&good, good.encode());
    shared.write(&newer, newer.encode());
    let other = shared.record(1, 1, 50, 1);
    shared.write(&other, other.encode());
    let desk = shared.desk().await;
    assert_eq!(desk.starts(&partition(0)), Some(vec![Start::Latest]));
    let refused = desk.take_states(&partition(0)).unwrap_err();
    let said = refused.to_string();
    for part in ["offset 1 of own.state partition 0", &newer.key(0), "version 2", "tombstone"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(refused.is_newer());
    let starts = desk.starts(&partition(1)).unwrap();
    assert!(matches!(starts[..], [Start::Offset(50, _)]), "another partition is: {starts:?}");
}
