//! Real Apache Kafka, a topic of records on it, and those who read it: one process with files, or replicas
//! that share their state in topics.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use driftd::kafka::mock::Producer;
use serde_json::json;
use tempfile::TempDir;

use super::harness::{Daemon, until};
use super::receiver::Receiver;
use super::world::{Dice, KEY, MINUTE, START, train};
use crate::servers::Kafka;

pub(super) const PARTITIONS: i32 = 12;
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker, and training data; one for all tests that run at the same time.
pub(super) struct Cluster {
    pub(super) kafka: Kafka,
    pub(super) producer: Producer,
    pub(super) dir: TempDir,
}

/// One topic of records, and the configurations of those who read it.
pub(super) struct Stream {
    pub(super) cluster: Arc<Cluster>,
    pub(super) topic: &'static str,
    pub(super) dice: Dice,
    pub(super) minute: i64,
    /// Records in a minute of event time, in each partition.
    pub(super) rate: i64,
    pub(super) pane: &'static str,
    pub(super) options: &'static str,
    /// Whether a member has a name of its own in its group, by which it has its partitions again as soon as
    /// it is back.
    pub(super) named: bool,
}

impl Cluster {
    /// `None`, said aloud, where the server is not installed.
    pub(super) fn get() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Some(cluster);
        }
        let cluster = Self::start()?;
        *shared = Arc::downgrade(&cluster);
        Some(cluster)
    }

    pub(super) fn start() -> Option<Arc<Self>> {
        let kafka = Kafka::start()?;
        let producer = Producer::connect(kafka.brokers()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        train(&dir.path().join("reference.parquet"), false);
        Some(Arc::new(Self { kafka, producer, dir }))
    }

    pub(super) fn stream(self: &Arc<Self>, topic: &'static str) -> Stream {
        self.kafka.create_topic(topic, PARTITIONS, &[("retention.ms", "-1")]);
        let options = "session.timeout.ms: 6000, heartbeat.interval.ms: 500";
        let (cluster, dice) = (self.clone(), Dice::new(7));
        Stream { cluster, topic, dice, minute: 0, rate: 20, pane: "1m", options, named: false }
    }
}

impl Stream {
    pub(super) fn now_ms(&self) -> i64 {
        START + self.minute * MINUTE
    }

    /// Event time goes on by whole minutes, in every partition.
    pub(super) fn minutes(&mut self, minutes: i64, drifted: bool) {
        for _ in 0..minutes {
            for i in 0..self.rate * i64::from(PARTITIONS) {
                let ts = self.now_ms() + i * MINUTE / (self.rate * i64::from(PARTITIONS));
                let partition = i32::try_from(i).unwrap() % PARTITIONS;
                self.send(partition, ts, drifted);
            }
            self.minute += 1;
        }
        self.flush();
    }

    pub(super) fn send(&mut self, partition: i32, ts: i64, drifted: bool) {
        let record = json!({"ts": ts, "features": self.dice.features(drifted)}).to_string();
        let producer = &self.cluster.producer;
        producer.produce(self.topic, partition, None, ts, Some(record.as_bytes())).unwrap();
    }

    pub(super) fn flush(&self) {
        self.cluster.producer.flush(PATIENCE).unwrap();
    }

    /// A configuration; `state` is the rest of its block.
    pub(super) fn config(
        &self,
        (name, group): (&str, &str),
        role: &str,
        state: &str,
        webhook: &str,
    ) -> PathBuf {
        let path = self.cluster.dir.path().join(format!("{}-{name}.yaml", self.topic));
        let named = if self.named { format!(", group.instance.id: {name}") } else { String::new() };
        let text = format!(
            r#"kafka:
  brokers: "{brokers}"
  group: {topic}-{group}
  options: {{{options}{named}}}
role: {role}
state: {{snapshot_interval: 1s, {state}}}
http: {{public: "127.0.0.1:0", admin: "127.0.0.1:0"}}
models:
  - name: fraud
    topic: {topic}
    start: earliest
    pane: {pane}
    lateness: {pane}
    fields: {{event_time: {{pointer: /ts, unit: ms}}}}
    drift_config:
      window: 10m
      max_age: 6h
      design_effect: 1
      reference_dataset: "{reference}"
      retraining_trigger: {{webhook: "{webhook}", allow_http: true, secret: "{KEY}"}}
"#,
            brokers = self.cluster.kafka.brokers(),
            topic = self.topic,
            options = self.options,
            group = group,
            pane = self.pane,
            reference = self.cluster.dir.path().join("reference.parquet").display(),
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// A process by itself, whose state is the folder of its name.
    pub(super) fn files(&self, name: &str, webhook: &str) -> PathBuf {
        let dir = self.cluster.dir.path().join(format!("{}-{name}", self.topic));
        self.config((name, name), "all", &format!("dir: \"{}\"", dir.display()), webhook)
    }

    /// State in topics whose names begin with `prefix`.
    pub(super) fn shared(&self, name: &str, role: &str, prefix: &str, webhook: &str) -> PathBuf {
        let state = format!("backend: kafka, topics: {{prefix: {prefix}, partitions: 3}}");
        self.config((name, prefix), role, &state, webhook)
    }
}

/// Whether a daemon says that it evaluates the model.
pub(super) fn evaluates(daemon: &Daemon) -> bool {
    daemon.metric("driftd_model_evaluated{model=\"fraud\"}") == Some(1.0)
}

/// The one that evaluates the model up to `end_ms`.
pub(super) fn evaluator(daemons: &[Daemon], end_ms: i64) -> &Daemon {
    let end = driftd::decide::time::rfc3339(end_ms);
    until("an evaluator that has come to the end", || {
        let done = |d: &&Daemon| d.model("fraud")["window"]["end"] == end && evaluates(d);
        daemons.iter().find(done)
    })
}

pub(super) fn ids(webhook: &Receiver) -> BTreeSet<String> {
    webhook.seen("/retrain").iter().map(|seen| seen.id().to_owned()).collect()
}
