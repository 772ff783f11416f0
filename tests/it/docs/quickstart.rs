//! The quick start, word by word, on a topic with a day of records that drift in the end.

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use driftd::kafka::mock::Producer;
use parquet::arrow::ArrowWriter;
use serde_json::json;

use super::root;
use crate::servers::{Kafka, skip};

const TOPIC: &str = "card.inferences";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Records a minute.
const RATE: i64 = 10;
/// Where a daemon listens that nobody told anything.
const PORTS: [u16; 2] = [9464, 9465];

/// The same stream at every run: nearly normal amounts, one of three countries.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn record(&mut self) -> (f64, &'static str) {
        let sum: u64 = (0..12).map(|_| self.next() % 1000).sum();
        let country = ["DE", "FR", "NL"][usize::try_from(self.next() % 3).unwrap()];
        (50.0 + (sum as f64 - 5994.0) / 100.0, country)
    }
}

fn train(path: &Path, before: i64) {
    let mut stream = Stream(1);
    let rows: Vec<_> = (0..20_000).map(|_| stream.record()).collect();
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(
        (0..20_000).map(|row| before - (20_000 - row) * MINUTE / RATE),
    ));
    let amounts: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let countries: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    let batch =
        RecordBatch::try_from_iter([("ts", times), ("amount", amounts), ("country", countries)])
            .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// 26 hours until now; in the last two, amounts are larger by a standard deviation and more.
fn fill(kafka: &Kafka, now: i64) {
    kafka.create_topic(TOPIC, 2, &[]);
    let producer = Producer::connect(kafka.brokers()).unwrap();
    let mut stream = Stream(2);
    for i in 0..26 * 60 * RATE {
        let ts = now - 26 * HOUR + i * MINUTE / RATE;
        let (amount, country) = stream.record();
        let amount = if ts > now - 2 * HOUR { amount + 15.0 } else { amount };
        let record = json!({"ts": ts, "features": {"amount": amount, "country": country}});
        let partition = i32::try_from(i % 2).unwrap();
        producer.produce(TOPIC, partition, None, ts, Some(record.to_string().as_bytes())).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// The blocks that a reader runs, as one script that ends at the first failure.
fn script() -> String {
    let text = fs::read_to_string(root().join("docs/quickstart.md")).unwrap();
    // What a failed block leaves running would keep the pipes of this test open.
    let mut script = "set -eu\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n".to_owned();
    for block in text.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        writeln!(script, "{block}").unwrap();
    }
    script
}

#[expect(clippy::disallowed_methods, reason = "the records are of the last day, as a user's are")]
#[test]
fn the_quick_start_ends_at_drift() {
    if PORTS.iter().any(|port| TcpListener::bind(("0.0.0.0", *port)).is_err()) {
        return skip("the quick start (port 9464 or 9465 is taken)");
    }
    // The embedded broker can't look offsets up by time.
    let Some(kafka) = Kafka::start() else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fill(&kafka, now);
    train(&dir.path().join("reference.parquet"), now - 26 * HOUR);
    let driftd = Path::new(env!("CARGO_BIN_EXE_driftd")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .args(["-c", &script()])
        .current_dir(dir.path())
        .env_remove("DRIFTD_CONFIG")
        .env_remove("BASELINE")
        .env("BROKERS", kafka.brokers())
        .env("TOPIC", TOPIC)
        .env("PATH", format!("{}:{path}", driftd.display()))
        .output()
        .unwrap();
    let log = fs::read_to_string(dir.path().join("driftd.log")).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{wrong}\n{log}", output.status);
    for part in [
        "event_time",
        "the configuration is good",
        "amount has changed since",
        "driftd_feature_drift_detected{model=\"card.inferences\",feature=\"amount\"",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}\n{log}");
    }
    assert!(!said.contains("feature=\"country\""), "country has not drifted:\n{said}");
}
