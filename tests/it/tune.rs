//! `driftd tune` from outside: what it proposes is what `validate` accepts, and suits the data.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::Float64Array;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::random::Random;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;

fn row(random: &mut Random) -> (f64, &'static str) {
    let amount = 50.0 + 10.0 * ((0..12).map(|_| random.next()).sum::<f64>() - 6.0);
    (amount, if random.next() < 0.7 { "DE" } else { "FR" })
}

struct World {
    dir: TempDir,
}

impl World {
    /// A baseline of 20,000 independent rows without times.
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        let mut random = Random(1);
        let rows: Vec<(f64, &str)> = (0..20_000).map(|_| row(&mut random)).collect();
        let amounts: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.0)));
        let countries: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1)));
        let batch =
            RecordBatch::try_from_iter([("amount", amounts), ("country", countries)]).unwrap();
        let file = File::create(world.path("reference.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        world.write_config(&json!({"reference_dataset": world.path("reference.parquet")}), "5m");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_config(&self, drift: &Value, pane: &str) {
        let config = json!({
            "kafka": {"brokers": "nowhere:9092"},
            "models": [{
                "topic": "fraud",
                "pane": pane,
                "fields": {"event_time": {"pointer": "/ts", "unit": "ms"}},
                "drift_config": drift,
            }],
        });
        fs::write(self.path("driftd.yaml"), config.to_string()).unwrap();
    }

    /// So many hours of independent records, evenly spread.
    fn write_records(&self, hours: i64, per_hour: i64) -> String {
        let mut random = Random(7);
        let line = |i: i64| {
            let (amount, country) = row(&mut random);
            let ts = START + i * HOUR / per_hour;
            json!({"ts": ts, "amount": amount, "country": country}).to_string() + "\n"
        };
        let lines: String = (0..hours * per_hour).map(line).collect();
        let path = self.path("records.ndjson");
        fs::write(&path, lines).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn driftd(&self, args: &[&str]) -> Output {
        let config = self.path("driftd.yaml");
        Command::new(env!("CARGO_BIN_EXE_driftd"))
            .args(args)
            .args([Path::new("-c"), &config])
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn what_is_proposed_is_what_validate_accepts() {
    let world = World::new();
    let records = world.write_records(8 * 24, 60);
    let output = world.driftd(&["tune", &records, "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let tuned: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    assert!((number(&tuned["rate"]["per_hour"]) - 60.0).abs() < 1.0, "{}", tuned["rate"]);
    // 30 records are 30 minutes of 60 an hour.
    assert_eq!(tuned["proposal"]["pane"], "30m");
    // Independent records: an hour is too short for a line of 0.1, a day has over 1,000 records.
    let windows = tuned["windows"].as_array().unwrap();
    let fits: Vec<bool> = windows.iter().map(|w| w["fits"].as_bool().unwrap()).collect();
    assert_eq!((fits[0], fits[2]), (false, true), "{windows:?}");
    assert_eq!(tuned["proposal"]["psi_alert"], 0.1);
    assert_eq!(tuned["shuffled"]["days"], 8);
    for effect in tuned["design_effects"].as_array().unwrap() {
        assert_eq!(effect["from"], "records");
        assert!((1.0..2.5).contains(&number(&effect["body"])), "{effect}");
    }
    let rows = tuned["power"].as_array().unwrap();
    let row = |change: &str| rows.iter().find(|row| row["change"] == change).unwrap();
    let real = |change: &str| number(&row(change)["features"][0]["real"]);
    assert!(real("mean +1 sd") < real("mean +0.5 sd"));
    assert!(real("mean +0.5 sd") < real("mean +0.3 sd"));

    world.write_config(&tuned["config"]["drift_config"], tuned["config"]["pane"].as_str().unwrap());
    let checked = world.driftd(&["validate", "--offline", "--rate", "60", "--format", "json"]);
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((checked.status.code(), &report["warnings"]), (Some(0), &json!([])), "{report}");
}

#[test]
fn people_read_why_and_paste_the_block() {
    let world = World::new();
    let records = world.write_records(6 * 24, 30);
    let output = world.driftd(&["tune", &records, "--budget", "1 per 90d"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for part in ["30.0 an hour", "Design effect", "What it will see", "mean +0.5 sd", "1 per 90d"] {
        assert!(told.contains(part), "no `{part}` in\n{told}");
    }
    // The end of it is the block, as YAML.
    let block = told.split("stays as it is:\n\n").nth(1).unwrap();
    let head = "kafka: {brokers: 'k:9092'}\ntopic: fraud\n";
    fs::write(world.path("driftd.yaml"), format!("{head}{block}")).unwrap();
    let checked = world.driftd(&["validate", "--offline", "--rate", "30"]);
    assert_eq!(checked.status.code(), Some(0), "{block}\n{}", text(&checked.stderr));
}

#[test]
fn a_policy_that_the_stream_is_too_thin_for_is_refused_with_the_number() {
    let world = World::new();
    let drift = json!({"reference_dataset": world.path("reference.parquet"), "design_effect": 2});
    world.write_config(&drift, "1h");
    let refused = world.driftd(&["validate", "--offline", "--rate", "3"]);
    assert_eq!(refused.status.code(), Some(78));
    let told = text(&refused.stderr);
    assert!(told.contains("the window holds 72 records (3.0 an hour, as given); psi_retrain 0.2"));
    assert!(told.contains("a window of "), "{told}");
    assert_eq!(world.driftd(&["validate", "--offline", "--rate", "3000"]).status.code(), Some(0));
    assert_eq!(world.driftd(&["validate", "--offline"]).status.code(), Some(0));
}

#[test]
fn too_little_to_tune_on_is_said() {
    let world = World::new();
    let records = world.write_records(1, 5);
    let output = world.driftd(&["tune", &records]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("less than an hour"), "{}", text(&output.stderr));
    let nothing = world.path("nothing.ndjson");
    fs::write(&nothing, "{\"amount\": 1}\nno json\n").unwrap();
    let output = world.driftd(&["tune", nothing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("2 were rejected"), "{}", text(&output.stderr));
}
