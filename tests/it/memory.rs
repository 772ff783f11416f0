//! What the program really holds, as the kernel counts it, against what `validate` says.

#![expect(clippy::print_stdout, reason = "the process that is measured tells what it found")]

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use driftd::histogram::Counts;
use driftd::window::{ClosedPane, Pane, Ring};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

const FEATURES: usize = 1_000;
const CELLS: usize = 240;
const PANE_MS: i64 = 300_000;
/// 24 hours of panes of 5 minutes.
const PANES: usize = 288;
/// At most so much a feature.
const LIMIT: u64 = 256 << 10;
/// Set in the process that is measured.
const MEASURED: &str = "DRIFTD_TEST_MEASURED";

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

/// A day of a model: 1,000 features of 240 cells, 3 million records a pane, so that most counts
/// take two bytes, as in a topic of 10,000 records a second.
fn day() -> Ring {
    let mut ring = Ring::new(vec![CELLS; FEATURES], PANE_MS, PANES, PANES, 500);
    let cells =
        |seed: usize| (0..CELLS).map(move |i| 10_000 + (i * 7_919 + seed * 104_729) as u64 % 9_000);
    let counts = |seed: usize| {
        let cells: Vec<u64> = cells(seed).collect();
        let n = cells.iter().sum::<u64>();
        Counts {
            cells,
            missing: n / 100,
            null: n / 1_000,
            below: 40,
            above: 40,
            sum: -i128::from(n) << 18,
            sum_squares: i128::from(n) << 40,
            low_sum: -i128::from(n / 240) << 21,
            high_sum: i128::from(n / 240) << 21,
            ..Counts::default()
        }
    };
    // A few kinds of panes are enough; each is encoded for itself, as in the daemon.
    let kinds: Vec<ClosedPane> = (0..3)
        .map(|kind| {
            let features = (0..FEATURES).map(|feature| counts(feature + kind)).collect();
            ClosedPane::new(&Pane { records: 3_000_000, features, ..Pane::empty(0, &[]) }, true)
        })
        .collect();
    for (start_ms, kind) in (0..).step_by(300_000).zip(kinds.iter().cycle()).take(PANES) {
        let mut pane = kind.clone();
        pane.start_ms = start_ms;
        ring.push(pane).unwrap();
    }
    ring
}

/// In a process of its own, without the memory of other tests: bytes that the day takes.
fn measure() {
    let before = resident();
    let ring = day();
    let view = (ring.live().to_vec(), ring.panes());
    let after = resident();
    assert_eq!(black_box(&view).1.len(), PANES);
    println!("day={}", after - before);
}

/// What `validate` says of a model of that shape: bytes a feature, with a day of panes.
fn said(folder: &Path) -> Value {
    let values = |seed: usize| (0..480).map(move |i| ((i * 7 + seed * 13) % 480) as f64);
    let columns = (0..FEATURES).map(|seed| {
        let array: ArrayRef = Arc::new(values(seed).collect::<Float64Array>());
        (format!("f{seed}"), array)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(folder.join("reference.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let config = json!({
        "kafka": {"brokers": "localhost:9092"},
        "models": [{
            "name": "wide",
            "topic": "wide",
            "drift_config": {"reference_dataset": folder.join("reference.parquet")},
        }],
        "max_series": 100_000,
    });
    let path = folder.join("driftd.yaml");
    fs::write(&path, config.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_driftd"))
        .args(["validate", "--offline", "--format", "json", "-c"])
        .arg(&path)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["faults"], json!([]), "{report:#}");
    assert_eq!(report["models"][0]["features"][0]["cells"], CELLS);
    report["models"][0]["memory"].clone()
}

#[test]
fn a_day_of_a_feature_takes_less_than_was_said() {
    if env::var_os(MEASURED).is_some() {
        measure();
        return;
    }
    let name = "memory::a_day_of_a_feature_takes_less_than_was_said";
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(MEASURED, "yes")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let day = text.split("day=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let measured = day.parse::<u64>().unwrap() / FEATURES as u64;
    let folder = tempfile::tempdir().unwrap();
    let said = said(folder.path());
    let said = said["per_feature_day"].as_u64().unwrap();
    println!("{measured} bytes a feature are resident, at most {said} were said");
    assert!(measured > PANES as u64 * CELLS as u64, "{measured}: the day is not there");
    assert!(measured < said, "{measured} {said}");
    assert!(said <= LIMIT, "{said}");
}
