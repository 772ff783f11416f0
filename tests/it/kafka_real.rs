//! The real binary on real Apache Kafka: its counts against a count that shares no code with it, after
//! `kill -9`, a broker's absence, transactions, and under both group protocols.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::records::Records;
use crate::running::Daemon;
use crate::servers;
use crate::servers::Kafka;
use crate::servers::Prometheus;

mod anew;
mod cut;
mod moved;
mod unclean;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MINUTE_MS: i64 = 60_000;
const PANES: &str = "/api/v1/models/fraud/panes";

/// A broker, training data and its profile; one for all tests that run at the same time.
struct World {
    kafka: Kafka,
    records: Records,
    dir: TempDir,
    traffic: OnceLock<Traffic>,
}

/// The records that are counted by more than one test, and what they come to.
struct Traffic {
    topic: &'static str,
    /// What the independent count says of them all.
    summary: Value,
    /// The body of `/panes` that it expects.
    panes: String,
}

impl World {
    /// `None`, said aloud, where the servers are not installed.
    fn get() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(world) = shared.upgrade() {
            return Some(world);
        }
        let world = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&world);
        Some(world)
    }

    fn start() -> Option<Self> {
        let records = Records::new()?;
        let kafka = Kafka::start()?;
        let world =
            Self { kafka, records, dir: tempfile::tempdir().unwrap(), traffic: OnceLock::new() };
        world.records.reference(&world.path("reference.parquet"), &["--prediction"]);
        let built = Command::new(env!("CARGO_BIN_EXE_driftd"))
            .args(["baseline", "build"])
            .arg(world.path("reference.parquet"))
            .arg("-o")
            .arg(world.path("profile"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        Some(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn topic(&self, name: &str, partitions: i32) {
        self.kafka.create_topic(name, partitions, &[("retention.ms", "-1")]);
    }

    fn produce(&self, topic: &str, records: u64, options: &[&str]) -> u64 {
        let wrote = self.records.produce(self.kafka.brokers(), topic, records, options);
        wrote["records"].as_u64().unwrap()
    }

    /// The independent count of a topic: its summary, and the body of `/panes`.
    fn count(&self, topic: &str) -> (Value, String) {
        let out = self.path(&format!("{topic}.panes"));
        let options = ["--out", out.to_str().unwrap()];
        let profile = self.path("profile");
        let summary = self.records.count(self.kafka.brokers(), topic, &profile, &options);
        (summary, fs::read_to_string(out).unwrap())
    }

    /// 200,000 records in 3 partitions over 6 hours, with every kind of fault in them, and a drift
    /// after 4 hours that stays.
    fn traffic(&self) -> &Traffic {
        self.traffic.get_or_init(|| {
            let topic = "inferences";
            self.topic(topic, 3);
            self.produce(
                topic,
                200_000,
                &["--prediction", "--drift", "velocity", "--drift-after-minutes", "240"],
            );
            let (summary, panes) = self.count(topic);
            Traffic { topic, summary, panes }
        })
    }

    /// A configuration of one model, `fraud`, whose state is in a folder named `name`.
    fn config(&self, name: &str, topic: &str) -> Value {
        json!({
            "kafka": {"brokers": self.kafka.brokers(), "group": name, "options": {}},
            "models": [{
                "name": "fraud",
                "topic": topic,
                "start": "earliest",
                "fields": {"features": "/features", "event_time": {"pointer": "/ts", "unit": "ms"}},
                "drift_config": {"reference_dataset": self.path("reference.parquet"), "window": "1h"},
            }],
            "state": {"dir": self.path(name).join("state"), "snapshot_interval": "50ms"},
        })
    }

    /// As `config`, with a name: state in files, and in topics.
    fn configs(&self, topic: &str) -> [(String, Value); 2] {
        [false, true].map(|shared| {
            let name = format!("{topic}-{}", if shared { "topics" } else { "files" });
            let mut config = self.config(&name, topic);
            if shared {
                let topics = json!({"prefix": name, "partitions": 1});
                config["state"] =
                    json!({"backend": "kafka", "snapshot_interval": "1s", "topics": topics});
            }
            (name, config)
        })
    }

    fn start_daemon(&self, name: &str, config: &Value) -> Daemon {
        Daemon::start(&self.path(name), config)
    }
}

/// Waits until as many panes are closed as in `expected`, and returns all as they are served.
fn panes_like(daemon: &mut Daemon, expected: &str) -> String {
    let expected: Value = serde_json::from_str(expected).unwrap();
    let last = &expected["panes"].as_array().unwrap().last().unwrap()["start"];
    let path = format!("/api/v1/models/fraud/panes?feature=member&from={last}");
    daemon.wait("the last pane is closed", |daemon| {
        let panes = daemon.json_if_there(&path)?;
        (!panes["panes"].as_array().unwrap().is_empty()).then_some(())
    });
    daemon.get(PANES)
}

/// The counts that a daemon serves are those of the independent count, to the byte.
fn assert_counts(world: &World, daemon: &mut Daemon, topic: &str, expected: &str) {
    let panes = panes_like(daemon, expected);
    if panes != expected {
        let file = world.path(&format!("{topic}.served"));
        fs::write(&file, &panes).unwrap();
        let profile = world.path("profile");
        let told = world.records.difference(world.kafka.brokers(), topic, &profile, &file);
        let told = told.as_deref().unwrap_or("the same counts in other bytes");
        panic!("{told}\n{}", daemon.log());
    }
}

/// What the daemon's own counters say of the records that are in no pane.
fn assert_rejects(daemon: &Daemon, topic: &str, summary: &Value) {
    let labels = format!("topic=\"{topic}\"");
    let number = |value: &Value| value.as_f64().unwrap();
    assert_eq!(
        daemon.metric("driftd_records_consumed_total", &labels),
        number(&summary["records"])
    );
    assert_eq!(daemon.metric("driftd_records_late_total", &labels), number(&summary["late"]));
    assert_eq!(
        daemon.metric("driftd_duplicate_keys_total", &labels),
        number(&summary["duplicate_keys"])
    );
    let rejects = summary["rejects"].as_object().unwrap();
    for (reason, expected) in rejects {
        let label = format!("reason=\"{reason}\"");
        let found = daemon.metric("driftd_records_rejected_total", &label);
        assert_eq!(found, number(expected), "{reason}");
    }
    let all: f64 = rejects.values().map(number).sum();
    assert_eq!(daemon.metric("driftd_records_rejected_total", &labels), all, "no other reason");
}

#[test]
fn counts_equal_an_independent_count() {
    let Some(world) = World::get() else { return };
    let traffic = world.traffic();
    let mut daemon = world.start_daemon("once", &world.config("once", traffic.topic));
    assert_counts(&world, &mut daemon, traffic.topic, &traffic.panes);
    assert_rejects(&daemon, traffic.topic, &traffic.summary);
    let rejects = traffic.summary["rejects"].as_object().unwrap();
    assert!(rejects.len() >= 8 && traffic.summary["late"].as_u64() > Some(0), "{rejects:?}");
    assert!(traffic.summary["panes"].as_u64() > Some(70));
    assert!(daemon.stop(), "it ends well");
}

/// A receiver of webhooks.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Webhook>>>,
    /// While set, requests are taken and never answered.
    silent: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Webhook {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, seen: Arc::default(), silent: Arc::default() };
        let (seen, silent) = (receiver.seen.clone(), receiver.silent.clone());
        thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let Some(webhook) = read_webhook(&mut stream) else { continue };
                seen.lock().unwrap().push(webhook);
                if silent.load(Ordering::SeqCst) {
                    kept.push(stream);
                } else {
                    let answer =
                        "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    // The caller may have been killed meanwhile.
                    stream.write_all(answer.as_bytes()).ok();
                }
            }
        });
        receiver
    }

    fn seen(&self) -> Vec<Webhook> {
        self.seen.lock().unwrap().clone()
    }

    /// The block `retraining_trigger` that leads here.
    fn trigger(&self) -> Value {
        json!({"webhook": format!("http://{}/retrain", self.address), "allow_http": true, "secret": KEY})
    }
}

/// `None` when the caller went away in the middle of its request.
fn read_webhook(stream: &mut TcpStream) -> Option<Webhook> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let mut more = |bytes: &mut Vec<u8>| match stream.read(&mut buffer) {
        Ok(0) | Err(_) => None,
        Ok(n) => {
            bytes.extend_from_slice(&buffer[..n]);
            Some(())
        }
    };
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(&mut bytes)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let headers: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    while bytes.len() < end + length {
        more(&mut bytes)?;
    }
    Some(Webhook { headers, body: bytes[end..].to_vec() })
}

impl Webhook {
    /// Its id, when the signature over id, time and body is good.
    fn verified_id(&self) -> String {
        let mut headers = HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, self.headers[name].parse().unwrap());
        }
        standardwebhooks::Webhook::new(KEY).unwrap().verify(&self.body, &headers).unwrap();
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["type"], "driftd.drift.detected");
        self.headers["webhook-id"].clone()
    }
}

/// Splitmix64: moments that a seed gives again.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        limit.mul_f64(((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64)
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests' own clock")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Everything about the model that data decide, and nothing that the clock does.
fn verdict(daemon: &Daemon) -> (Value, Value) {
    let mut model = daemon.json("/api/v1/models/fraud");
    model["baseline"]["loaded"].take();
    // Counted since the start of the process.
    model["suppressed"].take();
    let mut incidents = daemon.json("/api/v1/incidents");
    for incident in incidents["incidents"].as_array_mut().unwrap() {
        incident["attempts"].take();
    }
    (model, incidents)
}

fn wait_accepted(daemon: &mut Daemon) -> String {
    daemon.wait("the incident is accepted", |daemon| {
        let incidents = daemon.json("/api/v1/incidents");
        let first = &incidents["incidents"][0];
        (first["state"] == "accepted").then(|| first["id"].as_str().unwrap().to_owned())
    })
}

#[test]
fn killed_twenty_times_counts_the_same() {
    let Some(world) = World::get() else { return };
    let traffic = world.traffic();
    let seed = std::env::var("DRIFTD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| now_ms().cast_unsigned());
    eprintln!("DRIFTD_TEST_SEED={seed}");
    let mut moments = Moments(seed);

    let receiver = Receiver::start();
    receiver.silent.store(true, Ordering::SeqCst);
    let mut config = world.config("killed", traffic.topic);
    config["models"][0]["drift_config"]["retraining_trigger"] = receiver.trigger();
    // With a name of its own a restarted member takes its partitions back at once.
    config["kafka"]["options"] = json!({"group.instance.id": "driftd-0"});
    let (mut resumed_midway, mut furthest) = (0, 0);
    let mut longest = Duration::from_millis(250);
    for kill in 0..20 {
        let mut daemon = Daemon::spawn(&world.path("killed"), &config);
        if kill % 4 == 0 {
            thread::sleep(moments.below(Duration::from_millis(600)));
        } else {
            daemon.wait_for_line("partition taken");
            thread::sleep(moments.below(longest));
        }
        daemon.kill9();
        let taken = daemon.taken();
        resumed_midway += taken.iter().filter(|t| t.low < t.start && t.start < t.high).count();
        // A slow machine counts nothing in so short a life.
        if let Some(came_to) = taken.iter().map(|t| t.start).max() {
            if came_to <= furthest {
                longest = (longest * 2).min(Duration::from_secs(8));
            }
            furthest = furthest.max(came_to);
        }
    }
    assert!(
        resumed_midway >= 5,
        "{resumed_midway} partitions were resumed midway: too few to tell"
    );

    // Once more while the webhook is on its way, so that nobody knows what became of it.
    let mut daemon = Daemon::spawn(&world.path("killed"), &config);
    daemon.wait("a webhook", |_| (!receiver.seen().is_empty()).then_some(()));
    daemon.kill9();
    receiver.silent.store(false, Ordering::SeqCst);
    let before = receiver.seen().len();
    let mut daemon = world.start_daemon("killed", &config);
    daemon.wait("the webhook again", |_| (receiver.seen().len() > before).then_some(()));
    let id = wait_accepted(&mut daemon);
    assert_counts(&world, &mut daemon, traffic.topic, &traffic.panes);
    let killed = (daemon.get(PANES), verdict(&daemon));

    let calm_receiver = Receiver::start();
    let mut config = world.config("calm", traffic.topic);
    config["models"][0]["drift_config"]["retraining_trigger"] = calm_receiver.trigger();
    let mut daemon = world.start_daemon("calm", &config);
    assert_eq!(wait_accepted(&mut daemon), id);
    panes_like(&mut daemon, &traffic.panes);
    let calm = (daemon.get(PANES), verdict(&daemon));

    assert!(killed.0 == calm.0, "the panes are not those of an uninterrupted run");
    assert_eq!(killed.1.0, calm.1.0);
    assert_eq!(killed.1.1, calm.1.1);
    assert_eq!(calm.1.1["incidents"].as_array().unwrap().len(), 1);
    for webhook in receiver.seen().iter().chain(&calm_receiver.seen()) {
        assert_eq!(webhook.verified_id(), id);
    }
    assert_eq!(calm_receiver.seen().len(), 1);
}

#[test]
fn start_window_reads_only_the_window() {
    let Some(world) = World::get() else { return };
    world.topic("windowed", 4);
    let now = now_ms();
    let produce = |records, start_ms: i64, minutes: &str, partitions: &str| {
        let start = start_ms.to_string();
        let options = ["--clean", "--no-close", "--start-ms", &start, "--span-minutes", minutes];
        world.produce("windowed", records, &[&options[..], &["--partitions", partitions]].concat())
    };
    // Partition 2 has nothing in the window, and partition 3 nothing at all.
    let before = produce(3_000, now - 360 * MINUTE_MS, "180", "3");
    let within = produce(2_000, now - 70 * MINUTE_MS, "65", "2");
    let mut config = world.config("windowed", "windowed");
    config["models"][0]["start"] = json!("window");
    let mut daemon = world.start_daemon("windowed", &config);
    let consumed =
        |daemon: &Daemon| daemon.metric("driftd_records_consumed_total", "topic=\"windowed\"");
    daemon.wait("all in the window", |daemon| (consumed(daemon) >= within as f64).then_some(()));
    let mut taken = daemon.taken();
    taken.sort_by(|a, b| a.partition.cmp(&b.partition));
    let (start, high): (Vec<_>, Vec<_>) = taken.iter().map(|t| (t.start, t.high)).unzip();
    assert_eq!(start.iter().sum::<i64>(), before.cast_signed(), "{taken:?}");
    assert!(0 < start[0] && start[0] < high[0] && 0 < start[1] && start[1] < high[1], "{taken:?}");
    assert_eq!(start[2..], high[2..]);
    assert_eq!(consumed(&daemon), within as f64);
    assert_eq!(daemon.metric("driftd_records_rejected_total", ""), 0.0);
}

#[test]
fn prometheus_scrapes_the_daemon_and_promtool_finds_nothing() {
    let Some(world) = World::get() else { return };
    world.topic("scraped", 3);
    let drift = ["--prediction", "--drift", "velocity", "--drift-after-minutes", "120"];
    world.produce("scraped", 12_000, &[&drift[..], &["--span-minutes", "240"]].concat());
    let receiver = Receiver::start();
    let mut config = world.config("scraped", "scraped");
    config["models"][0]["drift_config"]["retraining_trigger"] = receiver.trigger();
    let mut daemon = world.start_daemon("scraped", &config);
    let Some(prometheus) = Prometheus::start(&[&daemon.address("public")]) else { return };
    wait_accepted(&mut daemon);
    let score =
        "driftd_feature_drift_score{model=\"fraud\",feature=\"velocity\",statistic=\"psi\"}";
    let found = daemon.wait("the score of the drift", |_| {
        prometheus.query(&format!("{score} > 0.2")).into_iter().next()
    });
    assert_eq!(found.0["model"], "fraud");
    assert_eq!(prometheus.wait_for("up == 1").len(), 1);
    let targets = prometheus.api("targets");
    assert_eq!(targets["activeTargets"][0]["health"], "up", "{targets}");
    assert_eq!(targets["activeTargets"][0]["lastError"], "");
    let exposition = daemon.metrics();
    assert_eq!(servers::promtool_check_metrics(&exposition).as_deref(), Some(""), "{exposition}");
}

#[test]
fn the_new_group_protocol_counts_the_same() {
    let Some(world) = World::get() else { return };
    world.topic("kip848", 3);
    world.produce("kip848", 6_000, &["--prediction"]);
    let (summary, panes) = world.count("kip848");
    let mut config = world.config("kip848", "kip848");
    config["kafka"]["options"] = json!({"group.protocol": "consumer"});
    let mut daemon = world.start_daemon("kip848", &config);
    assert_counts(&world, &mut daemon, "kip848", &panes);
    assert_rejects(&daemon, "kip848", &summary);
    let group = "import sys; from confluent_kafka.admin import AdminClient; \
        admin = AdminClient({'bootstrap.servers': sys.argv[1]}); \
        print(admin.describe_consumer_groups(['kip848'])['kip848'].result().type.name)";
    let Some(python) = servers::python() else { return };
    let told = Command::new(python).args(["-c", group, world.kafka.brokers()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "CONSUMER", "{told:?}");
    assert!(daemon.stop(), "it ends well");
}

/// Queues a record for each event time, which is its Kafka time stamp too.
fn send(producer: &BaseProducer, topic: &str, partition: i32, times_ms: &[i64]) {
    for time_ms in times_ms {
        let record = json!({"ts": time_ms, "features": {"age": 40, "country": "DE"}}).to_string();
        let record = BaseRecord::<(), str>::to(topic).payload(&record).partition(partition);
        producer.send(record.timestamp(*time_ms)).map_err(|(error, _)| error).unwrap();
    }
}

#[test]
fn a_topic_tells_how_much_comes_in_an_hour() {
    let Some(world) = World::get() else { return };
    world.topic("rated", 2);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", world.kafka.brokers()).create().unwrap();
    let brokers = driftd::kafka::Config::new([world.kafka.brokers()]);
    let now_ms = 1_767_225_600_000;
    let limit = Duration::from_secs(60);
    let per_hour = || driftd::kafka::per_hour(&brokers, "rated", now_ms, limit).unwrap();
    assert_eq!(per_hour(), None);
    // Ten hours of a record a minute on one partition, and of one every two minutes on the other.
    let minutes =
        |step: i64| (0..600 / step).map(move |i| now_ms - (600 - step * i) * MINUTE_MS + 1);
    send(&producer, "rated", 0, &minutes(1).collect::<Vec<_>>());
    send(&producer, "rated", 1, &minutes(2).collect::<Vec<_>>());
    producer.flush(limit).unwrap();
    // A day is more than the log has; of its last six hours it is certain.
    assert_eq!(per_hour(), Some(90.0));
    let unknown = driftd::kafka::per_hour(&brokers, "never-made", now_ms, limit);
    assert!(unknown.is_err(), "{unknown:?}");
}

#[test]
fn markers_of_transactions_hold_no_partition_back() {
    let Some(world) = World::get() else { return };
    world.topic("transactions", 2);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", world.kafka.brokers())
        .set("transactional.id", "transactions")
        .create()
        .unwrap();
    let limit = Duration::from_secs(60);
    producer.init_transactions(limit).unwrap();
    let transaction = |commit: bool, records: &[(i32, Vec<i64>)]| {
        producer.begin_transaction().unwrap();
        for (partition, times) in records {
            send(&producer, "transactions", *partition, times);
        }
        producer.flush(limit).unwrap();
        match commit {
            true => producer.commit_transaction(limit).unwrap(),
            false => producer.abort_transaction(limit).unwrap(),
        }
    };
    let start_ms = 1_760_000_000_000;
    let times =
        |from: i64, n: i64| (from..from + n).map(|i| start_ms + 100 * i).collect::<Vec<_>>();
    // Partition 0 ends long before partition 1, with the marker of an aborted transaction.
    transaction(true, &[(0, times(0, 20)), (1, times(0, 200))]);
    transaction(false, &[(0, times(20, 10))]);

    let mut config = world.config("transactions", "transactions");
    config["models"][0]["pane"] = json!("1s");
    config["models"][0]["lateness"] = json!("2s");
    config["models"][0]["drift_config"]["window"] = json!("10s");
    let closed = |daemon: &mut Daemon, until_s: i64| {
        let path = format!("/api/v1/models/fraud/panes?feature=age&from={start_ms}");
        let panes = daemon.wait("the panes that partition 1 has passed", |daemon| {
            let panes = daemon.json_if_there(&path)?["panes"].as_array().unwrap().clone();
            (panes.last()?["end"] == start_ms + 1000 * until_s).then_some(panes)
        });
        assert_eq!(panes.len(), usize::try_from(until_s).unwrap());
        panes.iter().map(|pane| pane["records"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let expected = |n: usize| [vec![20; 2], vec![10; n - 2]].concat();
    let lag = |daemon: &Daemon| daemon.metric("driftd_consumer_lag_records", "");

    let mut daemon = world.start_daemon("transactions", &config);
    // The last record is at 19.9 s.
    assert_eq!(closed(&mut daemon, 17), expected(17));
    assert_eq!(daemon.metric("driftd_records_consumed_total", "topic=\"transactions\""), 220.0);
    daemon.wait("no lag", |daemon| (lag(daemon) == 0.0).then_some(()));
    assert_eq!(daemon.json("/api/v1/models/fraud")["window"]["complete"], true);
    assert!(daemon.stop(), "it ends well");

    // A restart finds nothing to read in partition 0, and is at its end all the same.
    transaction(true, &[(1, times(200, 100))]);
    let mut daemon = world.start_daemon("transactions", &config);
    assert_eq!(closed(&mut daemon, 27), expected(27));
    daemon.wait("no lag", |daemon| (lag(daemon) == 0.0).then_some(()));
    assert_eq!(daemon.json("/api/v1/models/fraud")["window"]["complete"], true);
}

#[test]
fn a_replay_reads_a_topic_by_time_and_past_the_marks_of_transactions() {
    let Some(world) = World::get() else { return };
    world.topic("ranged", 3);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", world.kafka.brokers())
        .set("transactional.id", "ranged")
        .create()
        .unwrap();
    let limit = Duration::from_secs(60);
    producer.init_transactions(limit).unwrap();
    let start_ms = 1_760_000_000_000;
    let times =
        |from: i64, n: i64| (from..from + n).map(|i| start_ms + 100 * i).collect::<Vec<_>>();
    producer.begin_transaction().unwrap();
    send(&producer, "ranged", 0, &times(0, 20));
    send(&producer, "ranged", 1, &times(0, 200));
    producer.commit_transaction(limit).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, "ranged", 0, &times(20, 10));
    producer.flush(limit).unwrap();
    producer.abort_transaction(limit).unwrap();

    let mut config = world.config("ranged", "ranged");
    config["models"][0]["pane"] = json!("1s");
    config["models"][0]["lateness"] = json!("2s");
    config["models"][0]["drift_config"]["window"] = json!("10s");
    let path = world.path("ranged.json");
    fs::write(&path, config.to_string()).unwrap();
    let replayed = |more: &[&str]| -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_driftd"))
            .args(["replay", "--kafka", "--format", "json", "-c", path.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {err}"))
    };
    let all = replayed(&[]);
    assert_eq!(
        (&all["records"], &all["panes"], &all["late"]),
        (&json!(220), &json!(19), &json!(0))
    );
    assert_eq!(all["input"]["partitions"].as_array().unwrap().len(), 2);
    let at = |ms: i64| driftd::decide::time::rfc3339(start_ms + ms);
    let some = replayed(&["--from", &at(5_000), "--to", &at(15_000)]);
    assert_eq!((&some["records"], &some["start"]), (&json!(100), &json!(at(5_000))));
    let read = &some["input"]["partitions"];
    assert_eq!(read, &json!([{"partition": 1, "from": 50, "to": 150}]));
}

#[test]
fn counting_goes_on_after_the_broker_was_away() {
    // A broker of its own: the others' must not go away.
    let Some(world) = World::start() else { return };
    world.topic("away", 3);
    world.produce("away", 20_000, &["--prediction", "--no-close", "--span-minutes", "120"]);
    let mut daemon = world.start_daemon("away", &world.config("away", "away"));
    let consumed =
        |daemon: &Daemon| daemon.metric("driftd_records_consumed_total", "topic=\"away\"");
    daemon.wait("some records", |daemon| (consumed(daemon) > 0.0).then_some(()));
    world.kafka.stop();
    thread::sleep(Duration::from_secs(5));
    world.kafka.restart();
    let start_ms = (1_760_000_000_000 + 120 * MINUTE_MS).to_string();
    let later = ["--prediction", "--seed", "8", "--start-ms", &start_ms, "--span-minutes", "120"];
    world.produce("away", 20_000, &later);
    let (summary, panes) = world.count("away");
    assert_eq!(summary["records"], 40_003);
    assert_counts(&world, &mut daemon, "away", &panes);
    assert_rejects(&daemon, "away", &summary);
    assert_eq!(daemon.lines("started").len(), 1);
    assert_eq!(daemon.metric("driftd_records_lost_total", ""), 0.0);
}

#[test]
fn partitions_added_while_running_are_read_from_their_start() {
    let Some(world) = World::get() else { return };
    world.topic("grows", 1);
    let brokers = world.kafka.brokers();
    let produce = |partition: i32, records: usize| {
        // One that has not heard of the topic's former size.
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
        for n in 0..records {
            let payload = format!("{{\"ts\": {}, \"features\": {{}}}}", now_ms());
            let key = n.to_string();
            let record = BaseRecord::to("grows").partition(partition).key(&key).payload(&payload);
            producer.send(record).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    };
    produce(0, 100);
    let mut config = world.config("grows", "grows");
    config["models"][0]["start"] = json!("latest");
    // When a new partition is noticed, that many records of it are there.
    config["kafka"]["options"]["topic.metadata.refresh.interval.ms"] = json!("2000");
    let mut daemon = world.start_daemon("grows", &config);
    daemon.wait("the partition", |daemon| (!daemon.taken().is_empty()).then_some(()));
    let consumed =
        |daemon: &Daemon| daemon.metric("driftd_records_consumed_total", "topic=\"grows\"");
    produce(0, 50);
    daemon.wait("its records", |daemon| (consumed(daemon) >= 50.0).then_some(()));
    world.kafka.add_partitions("grows", 3);
    produce(1, 70);
    produce(2, 30);
    daemon.wait("all records", |daemon| (consumed(daemon) >= 150.0).then_some(()));
    assert_eq!(consumed(&daemon), 150.0, "what was there before the first start is not read");
    assert_eq!(daemon.metric("driftd_records_lost_total", ""), 0.0);
}

#[test]
fn a_topic_that_was_made_anew_and_is_shorter_is_read_from_its_start() {
    let Some(world) = World::get() else { return };
    world.topic("anew", 3);
    world.produce("anew", 5_000, &["--clean", "--span-minutes", "120"]);
    let config = world.config("anew", "anew");
    let consumed =
        |daemon: &Daemon| daemon.metric("driftd_records_consumed_total", "topic=\"anew\"");
    let mut daemon = world.start_daemon("anew", &config);
    daemon.wait("all records", |daemon| (consumed(daemon) >= 5_000.0).then_some(()));
    assert!(daemon.stop());
    world.kafka.delete_topic("anew");
    world.kafka.until_gone("anew");
    world.topic("anew", 3);
    let start = (1_760_000_000_000 + 120 * MINUTE_MS).to_string();
    let later = ["--clean", "--start-ms", &start, "--span-minutes", "120"];
    let wrote = world.produce("anew", 1_000, &later);
    let mut daemon = world.start_daemon("anew", &config);
    daemon.wait("the new records", |daemon| (consumed(daemon) >= wrote as f64).then_some(()));
    assert_eq!(consumed(&daemon), wrote as f64);
    let log = daemon.log();
    assert!(log.contains("records are gone from the log") && log.contains("recreated"), "{log}");
    let model = daemon.json("/api/v1/models/fraud");
    assert_eq!(model["incident"], "none", "{model:#}");
}
