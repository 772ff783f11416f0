//! Records from Kafka to counts by the path of `driftd run`, over raw batch consumption of the same
//! topic and beside a peer in Python, in one run; and how long a start takes until records count.
//!
//! Raw is our own source with its batches dropped: what reading the topic costs at least.
#![expect(
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a benchmark prints its result, and ends where it can't go on"
)]

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use driftd::config;
use driftd::config::Config;
use serde_json::Value;

mod affinity;
mod brokers;
mod counted;
mod cpu;
mod daemon;
mod payments;
mod peer;
mod start;
mod table;

use brokers::{Kafka, Mock, RECORDS, TOPIC};
use counted::Counted;
use daemon::Run;
use peer::Peer;

const MODEL: &str = "fraud";
const ROUNDS: usize = 5;
/// CPUs that raw reading keeps busy if it is what limits itself.
const ENOUGH: f64 = 0.8;
/// Arguments by which this program is started as one of its helpers.
const BROKER: &str = "broker";
const DAEMON: &str = "daemon";
const WORKER: &str = "baseline-worker";

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some(BROKER) => brokers::serve(),
        Some(DAEMON) => start::serve(),
        Some(WORKER) => return driftd::fetch::worker_main(),
        Some(_) | None => compare(),
    }
    ExitCode::SUCCESS
}

fn compare() {
    let bench = Bench::new();
    let mut mock = Mock::start(BROKER);
    println!(
        "{RECORDS} records of {} bytes, {} features",
        mock.bytes / RECORDS,
        payments::FEATURES
    );
    // One part alone: `cargo bench --bench pipeline -- start`.
    let only = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("mock") {
        bench.broker("mock", &mock.servers, mock.process());
    }
    if wanted("peer") {
        bench.peer(&mock.servers);
    }
    if wanted("start") {
        start::measure(&bench, &mut mock);
    }
    drop(mock);
    if !wanted("kafka") {
        return;
    }
    if let Some(kafka) = Kafka::start() {
        bench.broker("kafka", &kafka.servers, kafka.process());
    }
}

/// Where the states lie, and what the model was trained on.
struct Bench {
    folder: tempfile::TempDir,
    reference: PathBuf,
}

/// What is measured on a broker.
struct Side {
    name: &'static str,
    cpus: Vec<usize>,
    consumers: usize,
    reach: Option<f64>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let reference = folder.path().join("reference.parquet");
        payments::write_reference(&reference);
        Self { folder, reference }
    }

    /// A configuration whose state, in a folder of its own, is called `name`, as is its group.
    fn configuration(&self, servers: &str, name: &str, consumers: usize) -> (Config, PathBuf) {
        let state = self.folder.path().join(name);
        let text = self.text(servers, name, consumers, &state);
        (config::parse(&text, &|_| None).expect("this configuration is valid").config, state)
    }

    fn text(&self, servers: &str, group: &str, consumers: usize, state: &Path) -> String {
        fs::create_dir_all(state).expect("there is room");
        // For trying librdkafka's settings: `name: value, ...`.
        let more = env::var("DRIFTD_BENCH_OPTIONS").unwrap_or_default();
        format!(
            r#"kafka:
  brokers: "{servers}"
  group: {group}
  consumers: {consumers}
  options: {{session.timeout.ms: 6000, {more}}}
models:
  - name: {MODEL}
    topic: {TOPIC}
    fields: {{event_time: {{pointer: /ts, unit: ms}}}}
    start: earliest
    drift_config:
      reference_dataset: "{}"
      thresholds: {{psi_alert: 0.1, psi_retrain: 0.2}}
state: {{dir: "{}"}}
http: {{public: "127.0.0.1:0", admin: "127.0.0.1:0"}}
"#,
            self.reference.display(),
            state.display(),
        )
    }

    /// Ours over raw: on one CPU with the broker on the other, on all of them, with two consumers.
    fn broker(&self, broker: &str, servers: &str, process: u32) {
        let all: Vec<usize> = (0..affinity::count()).collect();
        let sides = [
            Side { name: "one core", cpus: vec![0], consumers: 1, reach: Some(0.55) },
            Side { name: "all cores", cpus: all.clone(), consumers: 1, reach: Some(0.9) },
            Side { name: "two consumers", cpus: all.clone(), consumers: 2, reach: None },
        ];
        let mut expected = None;
        for Side { name, cpus, consumers, reach } in sides {
            println!("\n{broker}, {name}");
            println!("round   raw/s   cpu ns (thread)   driftd/s   cpu ns (thread)   driftd / raw");
            let apart = cpus.len() < all.len();
            affinity::pin(std::process::id(), &cpus);
            affinity::pin(process, if apart { &all[1..] } else { &all });
            let (mut raw, mut ours) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let name =
                    |side: &str| format!("{broker}-{}-{consumers}-{side}{round}", cpus.len());
                raw.push(daemon::read(&self.configuration(servers, &name("raw"), 1).0));
                let (config, state) = self.configuration(servers, &name("ours"), consumers);
                ours.push(daemon::count(config));
                let found = counted::counted(&state, MODEL, TOPIC);
                assert_eq!(found.records, RECORDS);
                let expected = expected.get_or_insert_with(|| copy(&found));
                assert_eq!(found, *expected, "every run counts the same");
                show(&round.to_string(), raw[round], ours[round]);
            }
            let busy = raw.iter().map(Run::busy).fold(0.0, f64::max);
            let (raw, ours) = (best(&raw), best(&ours));
            show("best", raw, ours);
            println!("raw kept {busy:.2} CPUs busy");
            // Where even raw reading waited for the broker, the ratio says how busy the machine was.
            let starved = busy < ENOUGH;
            let why = if starved { " (raw waited for the broker)" } else { "" };
            let what = format!("messages/s, {broker}, {name}{why}");
            let reach = reach.filter(|_| !starved);
            table::row(
                "pipeline",
                &what,
                "raw consumption",
                ours.per_second / raw.per_second,
                reach,
            );
        }
    }

    /// CPU time a record of the threads that the application itself has.
    fn peer(&self, servers: &str) {
        let (config, state) = self.configuration(servers, "peer", 1);
        daemon::count(config);
        let plan = state.join("plan.json");
        fs::write(&plan, counted::plan(&state, MODEL).to_string()).expect("there is room");
        let records = RECORDS.to_string();
        let arguments = [Path::new(servers), Path::new(TOPIC), Path::new(&records), &plan];
        let Some(mut peer) = Peer::start("pipeline.py", "fast", &arguments) else { return };
        let (mut ours, mut theirs, mut raw) = (Vec::new(), f64::INFINITY, f64::INFINITY);
        for round in 0..ROUNDS.min(3) {
            let (config, state) = self.configuration(servers, &format!("beside-{round}"), 1);
            ours.push(daemon::count(config));
            let answer = peer.turn("count");
            let found = counted::counted(&state, MODEL, TOPIC);
            assert_eq!(theirs_as_counted(&answer, &found), found, "both count the same");
            let seconds = answer["cpu_seconds"].as_f64().expect("every turn is timed");
            theirs = theirs.min(seconds * 1e9 / RECORDS as f64);
            raw = raw.min(peer.seconds("raw") * 1e9 / RECORDS as f64);
        }
        let ours = best(&ours);
        println!(
            "\nns a record: driftd {:.0}, confluent-kafka + orjson + numpy {theirs:.0} (reading only: {raw:.0})",
            ours.thread
        );
        let peer = "confluent-kafka + orjson + numpy";
        let what = "CPU a record, application threads";
        table::row("pipeline", what, peer, theirs / ours.thread, Some(10.0));
    }
}

/// What the peer counted, with the cells that it does not have: other known categories.
fn theirs_as_counted(answer: &Value, ours: &Counted) -> Counted {
    let cells = |name: &String, like: &Vec<u64>| {
        let cells = answer["counts"][name].as_array().expect("it counts every feature");
        let mut cells: Vec<u64> = cells.iter().filter_map(Value::as_u64).collect();
        cells.resize(like.len(), 0);
        (name.clone(), cells)
    };
    let cells = ours.cells.iter().map(|(name, like)| cells(name, like)).collect();
    Counted { records: RECORDS, cells }
}

fn copy(counted: &Counted) -> Counted {
    Counted { records: counted.records, cells: counted.cells.clone() }
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
