//! Brokers with a topic full of payments: librdkafka's mock cluster in a process of its own, and
//! Apache Kafka where `tests/servers/kafka.sh` is installed.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use driftd::kafka::mock::MockBroker;
use driftd::kafka::mock::Producer;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use tempfile::TempDir;

use crate::payments::Payments;

pub(crate) const TOPIC: &str = "payments";
/// Records of both topics together; each partition has the same share.
pub(crate) const RECORDS: u64 = 384_000;
/// The mock cluster keeps 5 MiB of a partition.
const MOCK_PARTITIONS: i32 = 64;
const KAFKA_PARTITIONS: i32 = 8;
/// Records of a partition that come later, on demand.
pub(crate) const LATER: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(120);

/// Fills a topic; how many bytes its payloads have.
fn fill(brokers: &str, partitions: i32) -> usize {
    let producer = Producer::connect(brokers).expect("the broker is there");
    let share = u32::try_from(RECORDS).expect("it is small") / partitions.cast_unsigned();
    let mut payments = Payments::new(1);
    let mut bytes = 0;
    // Partition by partition, so that batches are large: a fetch gets one batch of each partition
    // from the mock cluster, but whole megabytes from a broker.
    for partition in 0..partitions {
        for i in 0..share {
            let (event_ms, payload) = payments.record(i, share);
            bytes += payload.len();
            let sent =
                producer.produce(TOPIC, partition, None, event_ms + 200, Some(payload.as_bytes()));
            sent.expect("the record is queued");
        }
    }
    producer.flush(PATIENCE).expect("every record is written");
    bytes
}

/// The other process: fills the mock cluster, says where it is and how many bytes it has, appends a
/// few records to each partition for every line on standard input, and ends with that.
pub(crate) fn serve() {
    let broker = MockBroker::start().expect("the mock cluster starts");
    broker.create_topic(TOPIC, MOCK_PARTITIONS).expect("the topic is new");
    let servers = broker.bootstrap_servers();
    println!("{servers} {}", fill(&servers, MOCK_PARTITIONS));
    let producer = Producer::connect(&servers).expect("the broker is there");
    let mut payments = Payments::new(3);
    for line in std::io::stdin().lines() {
        line.expect("standard input is a pipe");
        for partition in 0..MOCK_PARTITIONS {
            for _ in 0..LATER {
                // The last of the time that the others span.
                let (event_ms, payload) = payments.record(1, 1);
                let sent = producer.produce(
                    TOPIC,
                    partition,
                    None,
                    event_ms + 200,
                    Some(payload.as_bytes()),
                );
                sent.expect("the record is queued");
            }
        }
        producer.flush(PATIENCE).expect("every record is written");
        println!("more");
    }
}

/// The mock cluster, ended with this value.
pub(crate) struct Mock {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub(crate) servers: String,
    pub(crate) bytes: u64,
}

impl Mock {
    /// Starts this program with `argument`, by which it is to call `serve`.
    pub(crate) fn start(argument: &str) -> Self {
        let mut process = Command::new(env::current_exe().expect("this program has a path"))
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let requests = process.stdin.take();
        let output = process.stdout.take().expect("it is a pipe");
        let mut answers = BufReader::new(output);
        let mut line = String::new();
        answers.read_line(&mut line).expect("the broker tells where it is");
        let (servers, bytes) = line.trim().split_once(' ').expect("two words");
        let (servers, bytes) = (servers.to_owned(), bytes.parse().expect("a number"));
        Self { process, requests, answers, servers, bytes }
    }

    /// Appends `LATER` records to each partition.
    pub(crate) fn append(&mut self) {
        let requests = self.requests.as_mut().expect("it is there until the end");
        writeln!(requests).expect("the broker listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the broker answers");
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.requests.take());
        self.process.wait().ok();
    }
}

/// One node of Apache Kafka.
pub(crate) struct Kafka {
    folder: TempDir,
    pub(crate) servers: String,
}

impl Kafka {
    /// `None`, and a line that says so, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if !script("installed", folder.path()).status.success() {
            eprintln!("no Apache Kafka: run tests/servers/kafka.sh install first");
            return None;
        }
        let started = script("start", folder.path());
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let servers = String::from_utf8_lossy(&started.stdout).trim().to_owned();
        let kafka = Self { folder, servers };
        kafka.create();
        fill(&kafka.servers, KAFKA_PARTITIONS);
        Some(kafka)
    }

    fn create(&self) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.servers).create().expect("a client");
        let topic = NewTopic::new(TOPIC, KAFKA_PARTITIONS, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let options = AdminOptions::new();
        let created = runtime.expect("a runtime").block_on(admin.create_topics([&topic], &options));
        assert!(created.expect("the broker answers").iter().all(Result::is_ok));
    }

    pub(crate) fn process(&self) -> u32 {
        let id = std::fs::read_to_string(self.folder.path().join("pid")).expect("it runs");
        id.trim().parse().expect("a number")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        script("stop", self.folder.path());
    }
}

fn script(verb: &str, folder: &Path) -> Output {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/servers/kafka.sh");
    let mut command = Command::new(path);
    command.arg(verb).env("DRIFTD_SERVER_OWNER", std::process::id().to_string());
    if verb != "installed" {
        command.arg(folder);
    }
    command.stdin(Stdio::null()).output().expect("the script starts")
}
