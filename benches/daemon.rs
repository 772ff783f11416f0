//! Reading a topic raw, and the daemon inside this process, both timed from their first records on.

use std::env;
use std::thread;
use std::time::Duration;

use driftd::config::Config;
use driftd::deliver::Schedule;
use driftd::fetch::WorkerCommand;
use driftd::pipeline;
use driftd::source::Event;
use driftd::source::Start;
use driftd::source::kafka::KafkaSource;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::brokers::{RECORDS, TOPIC};
use crate::cpu;

/// Starting, joining the group and reading everything takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked at how far the daemon is.
const LOOK: Duration = Duration::from_millis(2);
/// The thread, or several, that read and count.
const INGEST: &str = "ingest";

/// What reading the topic took, from the first batch on.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// All threads of this process, ns a record.
    pub(crate) process: f64,
    /// The threads that take the records, ns a record.
    pub(crate) thread: f64,
}

impl Run {
    /// How many CPUs this process kept busy.
    pub(crate) fn busy(&self) -> f64 {
        self.per_second * self.process / 1e9
    }
}

/// Where a run stands.
#[derive(Clone, Copy)]
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

/// Reads the topic and drops what comes.
pub(crate) fn read(config: &Config) -> Run {
    const NAME: &str = "raw";
    let kafka = config.kafka.clone();
    let reading = move || {
        let starts = Box::new(|_: &_| Some(vec![Start::Earliest]));
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

/// Runs the daemon until it has counted the whole topic, and stops it.
pub(crate) fn count(config: Config) -> Run {
    let runtime = runtime();
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let (ready, addresses) = oneshot::channel();
        let daemon = tokio::spawn(run(config, stop.clone(), move |addresses| {
            ready.send(addresses).ok();
        }));
        let addresses: pipeline::Addresses = addresses.await.expect("the daemon starts");
        let url = format!("http://{}/metrics", addresses.public);
        let run =
            tokio::time::timeout(PATIENCE, follow(&url)).await.expect("all is counted in time");
        stop.cancel();
        daemon.await.expect("the daemon does not panic").expect("the daemon ends well");
        run
    })
}

/// As many threads as `driftd run` has.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().expect("a runtime starts")
}

pub(crate) async fn run(
    config: Config,
    stop: CancellationToken,
    ready: impl FnOnce(pipeline::Addresses),
) -> anyhow::Result<()> {
    let program = env::current_exe().expect("this program has a path");
    let options = pipeline::Options {
        worker: WorkerCommand::of(program),
        schedule: Schedule::default(),
        shown: String::new(),
        file: None,
        warnings: 0,
    };
    pipeline::run(config, options, stop, ready).await
}

/// Waits until all is counted. Asking for metrics takes time from the daemon, so it is only asked
/// when its threads have come to rest; it was done when they did.
async fn follow(url: &str) -> Run {
    let client = reqwest::Client::new();
    let first = loop {
        let records = total(&metrics(&client, url).await, "driftd_records_consumed_total");
        if records > 0 {
            break Mark::now(records, INGEST);
        }
        tokio::time::sleep(LOOK).await;
    };
    let mut busy = Mark::now(0, INGEST);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = Mark::now(0, INGEST);
        // A tenth of the time is less than any reading takes.
        if now.thread - busy.thread > 0.1 * (now.at - busy.at).as_secs_f64() {
            busy = now;
        } else if now.at - busy.at > 10 * LOOK {
            let text = metrics(&client, url).await;
            let records = total(&text, "driftd_records_consumed_total");
            if records == RECORDS {
                for wrong in ["driftd_records_rejected_total", "driftd_records_late_total"] {
                    assert_eq!(total(&text, wrong), 0, "{wrong}");
                }
                return first.until(&Mark { records, ..busy });
            }
            busy = now;
        }
    }
}

async fn metrics(client: &reqwest::Client, url: &str) -> String {
    let answer = client.get(url).send().await.expect("the daemon answers");
    answer.text().await.expect("the daemon answers")
}

/// Sum of a counter over its labels.
pub(crate) fn total(text: &str, name: &str) -> u64 {
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
