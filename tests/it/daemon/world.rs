//! What surrounds a daemon: a mock cluster, training data, and records of a world that can change.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use driftd::dice;
use driftd::kafka::mock::{MockBroker, Producer};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(super) const TOPIC: &str = "inferences";
pub(super) const PARTITIONS: i32 = 2;
pub(super) const MINUTE: i64 = 60_000;
/// 2026-01-01T00:00:00Z.
pub(super) const START: i64 = 1_767_225_600_000;
/// Records in a minute of event time, in each partition.
pub(super) const RATE: i64 = 60;
pub(super) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATIENCE: Duration = Duration::from_secs(30);

/// The same world at every run.
pub(super) struct Dice(dice::Dice);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(dice::Dice::new(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.draw()
    }

    /// An amount and a country; where the world has changed, amounts are larger.
    fn values(&mut self, drifted: bool) -> (f64, &'static str) {
        let amount = 50.0 + 10.0 * self.0.bell() + if drifted { 12.0 } else { 0.0 };
        let country = ["DE", "FR", "NL"][self.0.below(3)];
        ((amount * 100.0).round() / 100.0, country)
    }

    pub(super) fn features(&mut self, drifted: bool) -> Value {
        let (amount, country) = self.values(drifted);
        json!({"amount": amount, "country": country})
    }
}

/// Writes training data of a world as it is or as it will be; a reader never sees half of it.
pub(super) fn train(path: &Path, drifted: bool) {
    let mut dice = Dice::new(if drifted { 2 } else { 1 });
    let rows: Vec<_> = (0..20_000).map(|_| dice.values(drifted)).collect();
    let amounts: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.0)));
    let countries: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1)));
    let batch = RecordBatch::try_from_iter([("amount", amounts), ("country", countries)]).unwrap();
    let unfinished = path.with_extension("unfinished");
    let mut writer =
        ArrowWriter::try_new(File::create(&unfinished).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    fs::rename(unfinished, path).unwrap();
}

/// A cluster with one topic, a folder, and event time that has come to `minute`.
pub(super) struct World {
    pub(super) broker: MockBroker,
    pub(super) producer: Producer,
    pub(super) dir: TempDir,
    pub(super) dice: Dice,
    pub(super) minute: i64,
}

impl World {
    /// The training data is there, the topic is empty.
    pub(super) fn new() -> Self {
        let broker = MockBroker::start().unwrap();
        broker.create_topic(TOPIC, PARTITIONS).unwrap();
        let producer = Producer::connect(&broker.bootstrap_servers()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let world = Self { broker, producer, dir, dice: Dice::new(7), minute: 0 };
        train(&world.reference(), false);
        world
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn reference(&self) -> PathBuf {
        self.path("reference.parquet")
    }

    pub(super) fn now_ms(&self) -> i64 {
        START + self.minute * MINUTE
    }

    /// Event time goes on by whole minutes, in every partition.
    pub(super) fn minutes(&mut self, minutes: i64, drifted: bool) {
        for _ in 0..minutes {
            (0..PARTITIONS).for_each(|partition| self.minute_of(partition, drifted));
            self.minute += 1;
        }
        self.flush();
    }

    /// The present minute of one partition.
    pub(super) fn minute_of(&mut self, partition: i32, drifted: bool) {
        for i in 0..RATE {
            let ts = self.now_ms() + i * MINUTE / RATE;
            let features = self.dice.features(drifted);
            self.send(partition, ts, &json!({"ts": ts, "features": features}));
        }
    }

    pub(super) fn send(&self, partition: i32, ts: i64, record: &Value) {
        self.send_bytes(partition, ts, Some(record.to_string().as_bytes()));
    }

    pub(super) fn send_bytes(&self, partition: i32, ts: i64, payload: Option<&[u8]>) {
        self.producer.produce(TOPIC, partition, None, ts, payload).unwrap();
    }

    pub(super) fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
    }

    /// A model of ten panes of a minute; `more` goes into its `drift_config`.
    pub(super) fn model(&self, name: &str, more: &str) -> String {
        format!(
            r#"  - name: {name}
    topic: {TOPIC}
    start: earliest
    pane: 1m
    lateness: 1m
    fields: {{event_time: {{pointer: /ts, unit: ms}}}}
    drift_config:
      window: 10m
      max_age: 6h
      design_effect: 1
      reference_dataset: "{}"
{more}"#,
            self.reference().display()
        )
    }

    /// A whole configuration, written into the folder. The state is the one called `state`; members
    /// of one `group` wait for each other's end.
    pub(super) fn write_config(&self, state: &str, group: &str, models: &str) -> PathBuf {
        let text = format!(
            r#"kafka:
  brokers: "{}"
  group: {group}
  options: {{session.timeout.ms: 6000, heartbeat.interval.ms: 500}}
state: {{dir: "{}", snapshot_interval: 1s}}
http: {{public: "127.0.0.1:0", admin: "127.0.0.1:0"}}
models:
{models}"#,
            self.broker.bootstrap_servers(),
            self.path(state).display()
        );
        let path = self.path(&format!("{group}.yaml"));
        fs::write(&path, text).unwrap();
        path
    }
}

/// The trigger block of a model.
pub(super) fn trigger(webhook: &str, more: &str) -> String {
    format!(
        r#"      retraining_trigger:
        webhook: "{webhook}"
        allow_http: true
        secret: "{KEY}"
{more}"#
    )
}
