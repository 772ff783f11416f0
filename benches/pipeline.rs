//! Records from Kafka to counts by the path of `driftd run`, over raw batch consumption of the same
//! topic, in one run. The broker is librdkafka's mock cluster in a process of its own.
//!
//! Raw is our own source with its batches dropped: what reading the topic costs at least.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::env;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use driftd::config;
use driftd::config::Config;
use driftd::deliver::Schedule;
use driftd::fetch::WorkerCommand;
use driftd::kafka::mock::MockBroker;
use driftd::kafka::mock::Producer;
use driftd::pipeline;
use driftd::source::Event;
use driftd::source::Start;
use driftd::source::kafka::KafkaSource;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod cpu;
mod payments;

const TOPIC: &str = "payments";
/// The mock cluster keeps 5 MiB of a partition.
const PARTITIONS: i32 = 64;
const PER_PARTITION: u32 = 6_000;
const RECORDS: u64 = PARTITIONS as u64 * PER_PARTITION as u64;
const ROUNDS: usize = 5;
/// Starting, joining the group and reading everything takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the daemon is asked how far it is.
const ASK: Duration = Duration::from_millis(10);
/// Arguments by which this program is started as one of its helpers.
const BROKER: &str = "broker";
const WORKER: &str = "baseline-worker";

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some(BROKER) => broker(),
        Some(WORKER) => return driftd::fetch::worker_main(),
        Some(_) | None => compare(),
    }
    ExitCode::SUCCESS
}

/// Fills a topic, tells where it is and how many bytes it has, and serves it until nobody listens.
fn broker() {
    let broker = MockBroker::start().expect("the mock cluster starts");
    broker.create_topic(TOPIC, PARTITIONS).expect("the topic is new");
    let producer = Producer::connect(&broker.bootstrap_servers()).expect("the broker is there");
    let mut payments = payments::Payments::new(1);
    let mut bytes = 0;
    // Partition by partition, so that batches are large: a fetch gets one batch of each partition
    // from the mock cluster, but whole megabytes from a broker.
    for partition in 0..PARTITIONS {
        for i in 0..PER_PARTITION {
            let (event_ms, payload) = payments.record(i, PER_PARTITION);
            bytes += payload.len();
            let at = event_ms + 200;
            let sent = producer.produce(TOPIC, partition, None, at, Some(payload.as_bytes()));
            sent.expect("the record is queued");
        }
    }
    producer.flush(PATIENCE).expect("every record is written");
    println!("{} {bytes}", broker.bootstrap_servers());
    let mut end = String::new();
    std::io::stdin().read_line(&mut end).expect("standard input is a pipe");
}

/// The other process, ended with this one.
struct Broker {
    process: Child,
    servers: String,
    bytes: u64,
}

impl Broker {
    fn start() -> Self {
        let program = env::current_exe().expect("this program has a path");
        let mut process = Command::new(program)
            .arg(BROKER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let output = process.stdout.take().expect("it is a pipe");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("the broker tells where it is");
        let (servers, bytes) = line.trim().split_once(' ').expect("two words");
        let (servers, bytes) = (servers.to_owned(), bytes.parse().expect("a number"));
        Self { process, servers, bytes }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}

/// What reading the topic took, from the first batch on.
#[derive(Clone, Copy)]
struct Run {
    per_second: f64,
    /// All threads of this process, ns a record.
    process: f64,
    /// The thread that takes the records, ns a record.
    thread: f64,
}

/// Where a run stands.
struct Mark {
    records: u64,
    at: Instant,
    process: f64,
    thread: f64,
}

impl Mark {
    fn now(records: u64, thread: &str) -> Self {
        let (process, thread) = (cpu::process_seconds(), cpu::thread_seconds(thread));
        Self { records, at: Instant::now(), process, thread }
    }

    fn until(&self, end: &Mark) -> Run {
        let records = (end.records - self.records) as f64;
        Run {
            per_second: records / (end.at - self.at).as_secs_f64(),
            process: (end.process - self.process) * 1e9 / records,
            thread: (end.thread - self.thread) * 1e9 / records,
        }
    }
}

fn compare() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let reference = folder.path().join("reference.parquet");
    payments::write_reference(&reference);
    let broker = Broker::start();
    println!(
        "{RECORDS} records of {} bytes, {} features",
        broker.bytes / RECORDS,
        payments::FEATURES
    );
    println!("round   raw/s   cpu ns (thread)   driftd/s   cpu ns (thread)   driftd / raw");
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let config = |group: &str| {
            let state = folder.path().join(format!("{group}-{round}"));
            fs::create_dir(&state).expect("the folder is new");
            configuration(&broker.servers, &format!("{group}-{round}"), &reference, &state)
        };
        raw.push(read(&config("raw")));
        ours.push(count(config("driftd")));
        show(&round.to_string(), raw[round], ours[round]);
    }
    show("best", best(&raw), best(&ours));
}

fn show(round: &str, raw: Run, ours: Run) {
    println!(
        "{round:5} {:7.0}   {:6.0} ({:6.0})    {:7.0}    {:6.0} ({:6.0})     {:6.2}",
        raw.per_second,
        raw.process,
        raw.thread,
        ours.per_second,
        ours.process,
        ours.thread,
        ours.per_second / raw.per_second
    );
}

/// The best of each number.
fn best(runs: &[Run]) -> Run {
    let least = |of: fn(&Run) -> f64| runs.iter().map(of).fold(f64::INFINITY, f64::min);
    let per_second = runs.iter().map(|run| run.per_second).fold(0.0, f64::max);
    Run { per_second, process: least(|run| run.process), thread: least(|run| run.thread) }
}

fn configuration(brokers: &str, group: &str, reference: &Path, state: &Path) -> Config {
    let text = format!(
        r#"kafka:
  brokers: "{brokers}"
  group: {group}
  options: {{session.timeout.ms: 6000}}
models:
  - name: fraud
    topic: {TOPIC}
    fields: {{event_time: {{pointer: /ts, unit: ms}}}}
    start: earliest
    drift_config:
      reference_dataset: "{}"
      thresholds: {{psi_alert: 0.1, psi_retrain: 0.2}}
state: {{dir: "{}"}}
http: {{public: "127.0.0.1:0", admin: "127.0.0.1:0"}}
"#,
        reference.display(),
        state.display(),
    );
    config::parse(&text, &|_| None).expect("this configuration is valid").config
}

/// Reads the topic and drops what comes.
fn read(config: &Config) -> Run {
    const NAME: &str = "raw";
    let kafka = config.kafka.clone();
    let reading = move || {
        let starts = Box::new(|_: &_| vec![Start::Earliest]);
        let mut source =
            KafkaSource::connect(&kafka, &[TOPIC.to_owned()], starts).expect("the broker is there");
        let until = Instant::now() + PATIENCE;
        let mut records = 0;
        let mut first = None;
        while records < RECORDS {
            assert!(Instant::now() < until, "raw reading stopped at {records}");
            if let Event::Batch(batch) = source.next(Duration::from_millis(100)) {
                records += batch.len() as u64;
                drop(batch);
                first.get_or_insert_with(|| Mark::now(records, NAME));
            }
        }
        let run = first.expect("there are records").until(&Mark::now(records, NAME));
        source.close(Duration::from_secs(5)).expect("the group lets it go");
        run
    };
    let thread = thread::Builder::new().name(NAME.to_owned()).spawn(reading);
    thread.expect("a thread starts").join().expect("reading succeeds")
}

/// Runs the daemon until it has counted the whole topic.
fn count(config: Config) -> Run {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let program = env::current_exe().expect("this program has a path");
        let options =
            pipeline::Options { worker: WorkerCommand::of(program), schedule: Schedule::default() };
        let stop = CancellationToken::new();
        let (ready, addresses) = oneshot::channel();
        let daemon = tokio::spawn(pipeline::run(config, options, stop.clone(), move |addresses| {
            ready.send(addresses).ok();
        }));
        let addresses = addresses.await.expect("the daemon starts");
        let url = format!("http://{}/metrics", addresses.public);
        let run =
            tokio::time::timeout(PATIENCE, follow(&url)).await.expect("all is counted in time");
        stop.cancel();
        daemon.await.expect("the daemon does not panic").expect("the daemon ends well");
        run
    })
}

/// Asks the daemon's own metrics how far it is.
async fn follow(url: &str) -> Run {
    const NAME: &str = "ingest";
    let client = reqwest::Client::new();
    let mut first = None;
    loop {
        let answer = client.get(url).send().await.expect("the daemon answers");
        let text = answer.text().await.expect("the daemon answers");
        let records = total(&text, "driftd_records_consumed_total");
        if records > 0 {
            let now = Mark::now(records, NAME);
            if records == RECORDS {
                for wrong in ["driftd_records_rejected_total", "driftd_records_late_total"] {
                    assert_eq!(total(&text, wrong), 0, "{wrong}");
                }
                return first.unwrap_or(Mark { records: 0, ..now }).until(&now);
            }
            first.get_or_insert(now);
        }
        tokio::time::sleep(ASK).await;
    }
}

/// Sum of a counter over its labels.
fn total(text: &str, name: &str) -> u64 {
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
