//! Whatever comes, and however long: memory, series, descriptors and threads stay what they were.

use std::fs;

use serde_json::{Value, json};

use super::harness::{Daemon, until};
use super::world::{MINUTE, PARTITIONS, RATE, START, TOPIC, World};

/// Records that may be on their way: the mock cluster forgets what is older.
const AHEAD: u64 = 10_000;

/// How many records: of the environment if it says so, else as many as an ordinary run has time for.
fn records(variable: &str, ordinary: u64) -> u64 {
    std::env::var(variable).map_or(ordinary, |text| text.parse().unwrap())
}

struct Flood<'a> {
    world: &'a World,
    daemon: &'a Daemon,
    sent: u64,
}

impl Flood<'_> {
    /// Sends a record, not too far ahead of the reader.
    fn send(&mut self, ts: i64, record: &Value) {
        let partition = i32::try_from(self.sent % 2).unwrap();
        self.world.send(partition, ts, record);
        self.sent += 1;
        if self.sent.is_multiple_of(AHEAD) {
            self.read();
        }
    }

    /// Waits until everything sent is read.
    fn read(&self) {
        self.world.flush();
        let consumed = format!("driftd_records_consumed_total{{topic=\"{TOPIC}\"}}");
        let all = self.sent as f64;
        until("all records", || self.daemon.metric(&consumed).filter(|n| *n >= all));
    }

    fn gauge(&self, name: &str) -> f64 {
        self.daemon.metric(name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Resident memory in MiB, exported series, descriptors, threads.
    fn measures(&self) -> [f64; 4] {
        let memory = self.gauge("process_resident_memory_bytes") / f64::from(1 << 20);
        let names = ["driftd_metrics_series", "process_open_fds", "process_threads"];
        let [series, files, threads] = names.map(|name| self.gauge(name));
        [memory, series, files, threads]
    }
}

#[test]
fn memory_and_series_are_the_same_whatever_records_say() {
    let world = World::new();
    let whole = "fields: {event_time: {pointer: /ts, unit: ms}";
    let model = world.model("fraud", "").replace(whole, &format!("{whole}, model: /model"));
    let daemon = Daemon::start(&world.write_config("state", "one", &model));
    let n = records("DRIFTD_TEST_CARDINALITY", 40_000);
    let mut flood = Flood { world: &world, daemon: &daemon, sent: 0 };
    let long = "z".repeat(400_000);
    let mut deep = json!(1);
    (0..50).for_each(|_| deep = json!([deep]));
    let mut first = None;
    for i in 0..n {
        let ts = START + i64::try_from(i).unwrap() * 100;
        let features = json!({"amount": 50.0, "country": format!("country-{i}")});
        flood.send(ts, &json!({"ts": ts, "model": "fraud", "features": features}));
        // A model that nobody knows, and in the known one a key that nobody knows.
        flood.send(ts, &json!({"ts": ts, "model": format!("model-{i}"), "features": features}));
        let odd = json!({"amount": 50.0, "country": "DE", format!("key-{i}"): i, "deep": deep});
        flood.send(ts, &json!({"ts": ts, "model": "fraud", "features": odd}));
        if i % (n / 20) == 0 {
            let huge = json!({"amount": 50.0, "country": format!("{long}{i}"), &long: 1});
            flood.send(ts, &json!({"ts": ts, "model": "fraud", "features": huge}));
        }
        if i == n / 4 {
            flood.read();
            first = Some(flood.measures());
        }
    }
    flood.read();
    let (before, after) = (first.unwrap(), flood.measures());
    println!("{} records: MiB, series, files, threads: {before:?}, then {after:?}", flood.sent);
    assert!(after[0] < before[0] + 48.0, "memory: {before:?}, {after:?}");
    assert_eq!(after[1], before[1], "series");
    let (_, metrics) = daemon.get_public("/metrics");
    assert!(
        !metrics.contains("country-") && !metrics.contains("model-") && !metrics.contains("key-")
    );
    assert!(metrics.len() < 200_000, "{} bytes", metrics.len());
    assert_eq!(daemon.metric("driftd_records_lost_total"), None);
    let other = daemon.metric(&format!("driftd_records_other_model_total{{topic=\"{TOPIC}\"}}"));
    assert_eq!(other, Some(n as f64));
}

#[test]
fn a_long_run_takes_no_more_memory_files_or_threads_than_a_short_one() {
    let mut world = World::new();
    let model = world.model("fraud", "").replace("max_age: 6h", "max_age: 30m");
    let daemon = Daemon::start(&world.write_config("state", "one", &model));
    let n = records("DRIFTD_TEST_RECORDS", 120_000);
    // Thirty records a minute and partition: the window is full after six hundred.
    let step = MINUTE / (30 * i64::from(PARTITIONS));
    let values: Vec<Value> = (0..1000).map(|_| world.dice.features(false)).collect();
    let mut flood = Flood { world: &world, daemon: &daemon, sent: 0 };
    let mut seen = Vec::new();
    for i in 0..n {
        let ts = START + i64::try_from(i).unwrap() * step;
        let features = &values[usize::try_from(i % 997).unwrap()];
        flood.send(ts, &json!({"ts": ts, "features": features}));
        if i % (n / 6) == n / 6 - 1 {
            flood.read();
            seen.push(flood.measures());
        }
    }
    println!("{n} records, {} hours: {seen:?}", i64::try_from(n).unwrap() * step / 3_600_000);
    let (middle, last) = (seen[2], seen[5]);
    assert!(last[0] < middle[0] + 12.0, "memory: {seen:?}");
    assert_eq!(last[1], middle[1], "series: {seen:?}");
    // A snapshot or a segment that is being written, and the connections of this test.
    assert!(last[2] <= middle[2] + 4.0, "descriptors: {seen:?}");
    assert!(last[3] <= middle[3] + 2.0, "threads: {seen:?}");
}

#[test]
fn a_broker_that_is_away_costs_no_memory_no_record_and_no_restart() {
    let mut world = World::new();
    let model = world.model("fraud", "");
    let config = world.write_config("state", "one", &model);
    // On a slow machine an outage outlasts a session of six seconds, and partitions move as they should.
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("session.timeout.ms: 6000", "session.timeout.ms: 45000"))
        .unwrap();
    let daemon = Daemon::start(&config);
    world.minutes(20, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let memory = || daemon.metric("process_resident_memory_bytes").unwrap() / f64::from(1 << 20);
    let before = memory();
    for _ in 0..3 {
        let told = daemon.log().matches("Kafka trouble=").count();
        world.broker.sleep().unwrap();
        until("a line about it", || {
            (daemon.log().matches("Kafka trouble=").count() > told).then_some(())
        });
        assert_eq!(daemon.get_public("/livez").0, 200);
        world.broker.wake().unwrap();
        world.minutes(5, false);
        daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    }
    let after = memory();
    println!("{before} MiB before three outages, {after} after");
    assert!(after < before + 64.0, "{before} {after}");
    let consumed = format!("driftd_records_consumed_total{{topic=\"{TOPIC}\"}}");
    let all = (35 * RATE * i64::from(PARTITIONS)) as f64;
    assert_eq!(daemon.metric(&consumed), Some(all));
    assert_eq!(daemon.log().matches("partition taken").count(), 2, "no rebalance, no new client");
}
