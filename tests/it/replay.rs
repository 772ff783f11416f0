//! `driftd replay` from outside: what it tells is what the daemon does with the same records.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::array::Float64Array;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use arrow::array::TimestampMillisecondArray;
use driftd::kafka::mock::MockBroker;
use driftd::kafka::mock::Producer;
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::random::Random;
use crate::running::Daemon;

mod checks;
mod numbers;

const MINUTE: i64 = 60_000;
/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;
const RATE: i64 = 60;
const TOPIC: &str = "inferences";

impl Random {
    fn row(&mut self, at_ms: i64, shift: f64) -> Row {
        let normal = (0..12).map(|_| self.next()).sum::<f64>() - 6.0;
        let amount = ((50.0 + 10.0 * (normal + shift)) * 100.0).round() / 100.0;
        let country = match self.next() {
            x if x < 0.4 => "DE",
            x if x < 0.7 => "FR",
            _ => "NL",
        };
        Row { at_ms, amount, country }
    }
}

#[derive(Clone, Copy)]
struct Row {
    at_ms: i64,
    amount: f64,
    country: &'static str,
}

impl Row {
    fn json(&self) -> String {
        json!({"ts": self.at_ms, "amount": self.amount, "country": self.country}).to_string()
    }
}

/// `minutes` of records from minute `from` on, moved by so many deviations.
fn rows(random: &mut Random, from: i64, minutes: i64, shift: f64) -> Vec<Row> {
    let first = START + from * MINUTE;
    let row = |i: i64| random.row(first + i * MINUTE / RATE, shift);
    (0..minutes * RATE).map(row).collect()
}

fn columns(rows: &[Row]) -> Vec<(&'static str, ArrayRef)> {
    let amounts = Float64Array::from_iter_values(rows.iter().map(|r| r.amount));
    let countries = StringArray::from_iter_values(rows.iter().map(|r| r.country));
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|r| r.at_ms));
    vec![("amount", Arc::new(amounts)), ("country", Arc::new(countries)), ("ts", Arc::new(times))]
}

fn write_columns(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn write_parquet(path: &Path, rows: &[Row], with_time: bool) {
    let mut columns = columns(rows);
    columns.retain(|(name, _)| with_time || *name != "ts");
    write_columns(path, columns);
}

/// A folder with a baseline and a configuration.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        let reference = rows(&mut Random(1), 0, 300, 0.0);
        write_parquet(&world.path("reference.parquet"), &reference, false);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self, brokers: &str) -> Value {
        json!({
            "kafka": {"brokers": brokers, "group": "replayed"},
            "state": {"dir": self.path("state")},
            "models": [{
                "name": "fraud",
                "topic": TOPIC,
                "start": "earliest",
                "pane": "1m",
                "lateness": "1m",
                "fields": {"event_time": {"pointer": "/ts", "unit": "ms"}},
                "drift_config": {
                    "reference_dataset": self.path("reference.parquet"),
                    "window": "10m",
                    "max_age": "6h",
                    "design_effect": 1,
                    "retraining_trigger": {"webhook": "http://127.0.0.1:9/", "allow_http": true},
                },
            }],
        })
    }

    fn write_config(&self, name: &str, config: &Value) -> String {
        let path = self.path(name);
        fs::write(&path, config.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn write_lines(&self, name: &str, lines: &[String]) -> String {
        let path = self.path(name);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn replay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftd")).arg("replay").args(args).output().unwrap()
}

/// The JSON of a replay, and its exit code.
fn replayed(args: &[&str]) -> (Value, i32) {
    let output = replay(&[args, &["--format", "json"]].concat());
    let err = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_slice(&output.stdout);
    (json.unwrap_or_else(|error| panic!("{error}: {err}")), output.status.code().unwrap())
}

/// Healthy, a burst of late records and rejects, then drift to the end.
fn stream() -> Vec<(i64, String)> {
    let mut random = Random(7);
    let mut stream: Vec<(i64, String)> = Vec::new();
    for (from, minutes, shift) in [(0, 25, 0.0), (25, 5, 0.35), (30, 20, 1.2)] {
        for row in rows(&mut random, from, minutes, shift) {
            stream.push((row.at_ms, row.json()));
            if stream.len().is_multiple_of(97) {
                stream.push((row.at_ms, "{\"ts\":".to_owned()));
                stream.push((row.at_ms, json!({"ts": "soon", "amount": 1}).to_string()));
            }
            if stream.len().is_multiple_of(251) {
                let late = Row { at_ms: row.at_ms - 4 * MINUTE, ..row };
                stream.push((late.at_ms, late.json()));
            }
        }
    }
    stream
}

#[test]
fn the_daemon_decides_about_a_topic_what_a_replay_decides_about_the_file() {
    let world = World::new();
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    let producer = Producer::connect(&broker.bootstrap_servers()).unwrap();
    let stream = stream();
    for (at_ms, record) in &stream {
        producer.produce(TOPIC, 0, None, *at_ms, Some(record.as_bytes())).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let config = world.config(&broker.bootstrap_servers());
    let mut daemon = Daemon::start(world.dir.path(), &config);
    let end_ms = START + 48 * MINUTE;
    let end = driftd::decide::time::rfc3339(end_ms);
    let model = daemon.wait("the last pane", |daemon| {
        let model = daemon.json_if_there("/api/v1/models/fraud")?;
        (model["window"]["end"] == end).then_some(model)
    });

    let records: Vec<String> = stream.into_iter().map(|(_, record)| record).collect();
    let file = world.write_lines("records.ndjson", &records);
    let policy = world.write_config("policy.yaml", &config);
    let (told, code) = replayed(&[&file, "-c", &policy]);
    assert_eq!(code, 3);

    let opened = &daemon.json("/api/v1/incidents")["incidents"];
    assert_eq!(opened.as_array().unwrap().len(), 1, "{opened}");
    for key in ["id", "model", "ordinal", "opened", "evidence"] {
        assert_eq!(told["incidents"][0][key], opened[0][key], "{key}");
    }
    let trigger = told["events"].as_array().unwrap().iter().find(|e| e["kind"] == "trigger");
    let trigger = trigger.unwrap();
    assert_eq!((&trigger["time"], &trigger["incident"]), (&opened[0]["opened"], &opened[0]["id"]));

    // Every change of state, with the sentence that explains it and its numbers.
    let changes = |lines: Vec<(Value, Value)>| {
        let mut changes: Vec<(Value, Value)> = Vec::new();
        for (state, why) in lines {
            if changes.last().is_none_or(|(last, _)| *last != state) {
                changes.push((state, why));
            }
        }
        changes
    };
    let logged = daemon.lines("drift state").into_iter();
    let logged = logged.filter(|line| line["to"] != "settling");
    let logged = changes(logged.map(|line| (line["to"].clone(), line["why"].clone())).collect());
    let events = told["events"].as_array().unwrap().iter();
    let events = events.filter(|event| event["time"].as_str().unwrap() <= end.as_str());
    let events = events.map(|event| (event["drift"].clone(), event["explanation"].clone()));
    assert_eq!(changes(events.collect()), logged);
    assert!(logged.len() >= 3, "{logged:?}");

    // Every pane's records, and the scores at the last one that the daemon closed.
    let panes = daemon.json("/api/v1/models/fraud/panes");
    let panes = panes["panes"].as_array().unwrap();
    let series = &told["series"];
    assert_eq!(series["panes_per_point"], 1);
    for (i, pane) in panes.iter().enumerate() {
        assert_eq!(series["end_ms"][i], pane["end"]);
        assert_eq!(series["records"][i], pane["records"]);
    }
    let last = panes.len() - 1;
    assert_eq!(series["end_ms"][last], end_ms);
    let line = series["lines"].as_array().unwrap().iter().find(|line| line["feature"] == "amount");
    assert_eq!(line.unwrap()["statistic"], "psi");
    let psi = model["features"][0]["scores"]["psi"]["value"].as_f64().unwrap();
    assert!((line.unwrap()["score"][last].as_f64().unwrap() - psi).abs() < 1e-6 * psi);
    let late = daemon.metric("driftd_records_late_total", "");
    assert!(late > 0.0 && told["late"].as_f64().unwrap() == late);
    for (reason, n) in told["rejects"].as_object().unwrap() {
        let labels = format!("reason=\"{reason}\"");
        assert_eq!(daemon.metric("driftd_records_rejected_total", &labels), n.as_f64().unwrap());
    }
    assert!(told["rejects"]["malformed"].as_u64().unwrap() > 20);
    assert!(told["rejects"]["bad_time"].as_u64().unwrap() > 20);
    assert!(daemon.stop());
}

#[test]
fn a_range_of_a_topic_is_told_like_the_same_records_in_a_file() {
    let world = World::new();
    let broker = MockBroker::start().unwrap();
    let producer = Producer::connect(&broker.bootstrap_servers()).unwrap();
    let stream = stream();
    let records: Vec<String> = stream.iter().map(|(_, record)| record.clone()).collect();
    let file = world.write_lines("records.ndjson", &records);
    let config = world.config(&broker.bootstrap_servers());
    for (topic, partitions) in [("one", 1), ("three", 3)] {
        // The last partition stays empty where there are several.
        broker.create_topic(topic, partitions).unwrap();
        let used = (partitions - 1).max(1);
        for (partition, (at_ms, record)) in (0..used).cycle().zip(&stream) {
            producer.produce(topic, partition, None, *at_ms, Some(record.as_bytes())).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        let mut config = config.clone();
        config["models"][0]["topic"] = json!(topic);
        let policy = world.write_config("policy.yaml", &config);
        config["models"][0]["drift_config"]["thresholds"] = json!({"psi_retrain": 5.0});
        let other = world.write_config("other.yaml", &config);
        let (of_file, code) = replayed(&[&file, "-c", &policy]);
        assert_eq!(code, 3);
        let page = world.path("page.html");
        let args = ["--kafka", "-c", &policy, "--policy", &other, "--html", page.to_str().unwrap()];
        let (of_topic, code) = replayed(&args);
        assert_eq!(code, 3);
        assert_eq!(decided(&of_topic["policies"][0]), decided(&of_file), "{topic}");
        assert_eq!(of_topic["policies"][1]["totals"]["triggers"], 0);
        let input = &of_topic["input"];
        assert_eq!(input["format"], "kafka");
        let read = input["partitions"].as_array().unwrap();
        assert_eq!(read.len(), usize::try_from(used).unwrap(), "{input}");
        let offsets = |of: &Value| of["to"].as_u64().unwrap() - of["from"].as_u64().unwrap();
        assert_eq!(read.iter().map(offsets).sum::<u64>(), stream.len() as u64);
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains(&format!("topic {topic} of 127.0.0.1")), "{page:.600}");
    }
    // Nothing is left behind, and the text tells what was read.
    assert!(!world.path("state").exists());
    let policy = world.path("policy.yaml");
    let output = replay(&["--kafka", "-c", policy.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    let first = format!("kafka, {} offsets of 2 partitions", stream.len());
    assert!(text.lines().next().unwrap().contains(&first), "{text}");
}

#[test]
fn a_topic_that_cannot_be_read_is_named_with_what_is_wrong() {
    let world = World::new();
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    let config = world.config(&broker.bootstrap_servers());
    let policy = world.write_config("policy.yaml", &config);
    let said = |args: &[&str], code: i32, words: &[&str]| {
        let output = replay(args);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
        assert!(words.iter().all(|word| err.contains(word)), "{args:?}: {err}");
        assert!(output.stdout.is_empty());
    };
    said(&["--kafka", "-c", &policy], 78, &["inferences", "no record"]);
    let producer = Producer::connect(&broker.bootstrap_servers()).unwrap();
    producer.produce(TOPIC, 0, None, START, Some(b"{}")).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    let late = ["--kafka", "-c", &policy, "--from", "2030-01-01"];
    said(&late, 78, &["inferences", "no record in that time"]);
    said(&["-c", &policy], 2, &["--kafka"]);
    said(&["records", "--kafka", "-c", &policy], 2, &["cannot be used with"]);
    said(&["records", "-c", &policy, "--from", "2030-01-01"], 2, &["cannot be used with"]);
    said(&["--kafka", "-c", &policy, "--to", "soon"], 2, &["2026-01-31T08:00:00Z"]);
    let mut unknown = config.clone();
    unknown["models"][0]["topic"] = json!("nowhere");
    let unknown = world.write_config("unknown.yaml", &unknown);
    said(&["--kafka", "-c", &unknown], 78, &["topic `nowhere` does not exist"]);
    let dead = world.write_config("dead.yaml", &world.config("127.0.0.1:9"));
    said(&["--kafka", "-c", &dead], 1, &["no broker of 127.0.0.1:9 answers"]);
}

/// What decisions are made of, without where they came from.
fn decided(told: &Value) -> Vec<Value> {
    let keys =
        ["panes", "records", "late", "events", "incidents", "features", "series", "suppressed"];
    keys.map(|key| told[key].clone()).to_vec()
}

#[test]
fn lines_tables_folders_and_sorted_rows_decide_alike() {
    let world = World::new();
    let policy = world.write_config("policy.yaml", &world.config("nowhere:9092"));
    let mut random = Random(3);
    let mut all = rows(&mut random, 0, 20, 0.0);
    all.extend(rows(&mut random, 20, 15, 1.0));
    let lines: Vec<String> = all.iter().map(Row::json).collect();
    let file = world.write_lines("rows.ndjson", &lines);
    let (of_lines, code) = replayed(&[&file, "-c", &policy]);
    assert_eq!(code, 3);
    assert_eq!(of_lines["totals"]["triggers"], 1);
    assert_eq!(of_lines["records"], 35 * RATE);

    let table = world.path("rows.parquet");
    write_parquet(&table, &all, true);
    let (of_table, _) = replayed(&[table.to_str().unwrap(), "-c", &policy]);
    assert_eq!(decided(&of_table), decided(&of_lines));

    let folder = world.path("parts");
    fs::create_dir_all(folder.join("day=1")).unwrap();
    write_parquet(&folder.join("a.parquet"), &all[..500], true);
    write_parquet(&folder.join("day=1/b.parquet"), &all[500..501], true);
    write_parquet(&folder.join("z.parquet"), &all[501..], true);
    fs::write(folder.join("_SUCCESS"), "").unwrap();
    let (of_parts, _) = replayed(&[folder.to_str().unwrap(), "-c", &policy]);
    assert_eq!(decided(&of_parts), decided(&of_lines));

    let mut shuffled = all.clone();
    shuffled.sort_by(|a, b| (a.amount * 7919.0 % 1013.0).total_cmp(&(b.amount * 7919.0 % 1013.0)));
    let table = world.path("shuffled.parquet");
    write_parquet(&table, &shuffled, true);
    let table = table.to_str().unwrap();
    let (unsorted, _) = replayed(&[table, "-c", &policy]);
    assert!(unsorted["late"].as_u64().unwrap() > 1000, "{}", unsorted["late"]);
    let (sorted, _) = replayed(&[table, "-c", &policy, "--sort"]);
    assert_eq!(decided(&sorted), decided(&of_lines));
    let text = replay(&[table, "-c", &policy]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("--sort puts it in order"));
}

#[test]
fn a_prediction_that_drifts_is_told_alike_by_the_daemon_and_a_replay() {
    told_alike("prediction");
}

#[test]
fn a_confidence_that_drifts_is_told_alike_by_the_daemon_and_a_replay() {
    told_alike("confidence");
}

/// One of the model's outputs, whose values stand under `amount`.
fn told_alike(output: &str) {
    let world = World::new();
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    let producer = Producer::connect(&broker.bootstrap_servers()).unwrap();
    let stream = stream();
    for (at_ms, record) in &stream {
        producer.produce(TOPIC, 0, None, *at_ms, Some(record.as_bytes())).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let mut config = world.config(&broker.bootstrap_servers());
    let model = &mut config["models"][0];
    model["fields"][output] = json!("/amount");
    model["features"] = json!({"amount": {"role": output}});
    // No line of PSI is ever reached: it is the test of the output that speaks.
    let p_value = format!("{output}_drift_p_value");
    model["drift_config"]["thresholds"] =
        json!({"psi_alert": 50, "psi_retrain": 60, p_value: 0.05});
    let mut daemon = Daemon::start(world.dir.path(), &config);
    let end = driftd::decide::time::rfc3339(START + 48 * MINUTE);
    let model = daemon.wait("the last pane", |daemon| {
        let model = daemon.json_if_there("/api/v1/models/fraud")?;
        (model["window"]["end"] == end).then_some(model)
    });
    let live = &model[format!("{output}_drift")];
    // Windows end every ten minutes; the last whole one is all drift.
    let tested = driftd::decide::time::rfc3339(START + 40 * MINUTE);
    assert_eq!(live["window_end"], tested, "{live}");
    assert_eq!((&live["drifted"], &live["feature"]), (&json!(true), &json!("amount")));
    let explanation = model["explanation"].as_str().unwrap();
    let has_drifted = format!("the {output} amount has drifted");
    assert!(explanation.contains(&has_drifted), "{explanation}");
    assert_eq!(model["incident"], "none");

    let records: Vec<String> = stream.into_iter().map(|(_, record)| record).collect();
    let file = world.write_lines("records.ndjson", &records);
    let policy = world.write_config("policy.yaml", &config);
    let (told, code) = replayed(&[&file, "-c", &policy]);
    let events = told["events"].as_array().unwrap();
    let of_it = |event: &&Value| event["kind"] == "warning" && event["statistic"] == "ks";
    let warned: Vec<&Value> = events.iter().filter(of_it).collect();
    // People hear of it once: half a window of a small shift was enough.
    assert_eq!((code, warned.len()), (0, 1), "{events:?}");
    assert_eq!(warned[0]["time"], driftd::decide::time::rfc3339(START + 30 * MINUTE));
    assert_eq!((&warned[0]["feature"], &warned[0]["told"]), (&json!("amount"), &json!(true)));
    let sentence = explanation.split(&format!("; the {output}")).nth(1).unwrap();
    let last = events.last().unwrap()["explanation"].as_str().unwrap();
    assert!(last.contains(sentence), "{sentence}\n{last}");
}

/// The first whole window is its reference, in a table as in lines.
#[test]
fn an_output_that_the_baseline_lacks_is_tested_in_tables_too() {
    let world = World::new();
    let mut config = world.config("nowhere:9092");
    let model = &mut config["models"][0];
    model["fields"]["prediction"] = json!("/prediction");
    model["drift_config"]["thresholds"] =
        json!({"psi_alert": 50, "psi_retrain": 60, "prediction_drift_p_value": 0.05});
    let policy = world.write_config("policy.yaml", &config);
    let mut random = Random(3);
    let mut all = rows(&mut random, 0, 20, 0.0);
    all.extend(rows(&mut random, 20, 20, 1.0));
    let with_prediction = |row: &Row| {
        let mut record: Value = serde_json::from_str(&row.json()).unwrap();
        record["prediction"] = json!(row.amount);
        record.to_string()
    };
    let lines: Vec<String> = all.iter().map(with_prediction).collect();
    let (of_lines, _) = replayed(&[&world.write_lines("rows.ndjson", &lines), "-c", &policy]);
    let warned = |told: &Value| {
        let events = told["events"].as_array().unwrap().clone();
        events.iter().filter(|event| event["feature"] == "prediction").count()
    };
    assert_eq!(warned(&of_lines), 1, "{}", of_lines["events"]);

    let table = world.path("rows.parquet");
    let mut predicted = columns(&all);
    predicted.push(("prediction", Arc::clone(&predicted[0].1)));
    write_columns(&table, predicted);
    let (of_table, _) = replayed(&[table.to_str().unwrap(), "-c", &policy]);
    assert_eq!(decided(&of_table), decided(&of_lines));
}

#[test]
fn two_policies_stand_side_by_side_and_the_page_needs_nothing_else() {
    let world = World::new();
    let policy = world.write_config("strict.yaml", &world.config("nowhere:9092"));
    let mut lax = world.config("nowhere:9092");
    lax["models"][0]["drift_config"]["thresholds"] = json!({"psi_alert": 4, "psi_retrain": 5});
    let lax = world.write_config("lax.yaml", &lax);
    let mut random = Random(3);
    let mut all = rows(&mut random, 0, 20, 0.0);
    all.extend(rows(&mut random, 20, 15, 1.0));
    let lines: Vec<String> = all.iter().map(Row::json).collect();
    let file = world.write_lines("rows.ndjson", &lines);
    let (alone, code) = replayed(&[&file, "-c", &lax]);
    assert_eq!((code, &alone["totals"]["triggers"]), (0, &json!(0)));

    let page = world.path("page.html");
    let html = ["--html", page.to_str().unwrap()];
    let (both, code) = replayed(&[&[&*file, "-c", &policy, "--policy", &lax], &html[..]].concat());
    assert_eq!(code, 3);
    let policies = both["policies"].as_array().unwrap();
    assert_eq!(policies[0]["totals"]["triggers"], 1);
    assert_eq!(decided(&policies[1]), decided(&alone));
    let output = replay(&[&file, "--policy", &policy, "--policy", &lax]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("first trigger") && text.contains("TRIGGER"), "{text}");

    let page = fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<section>").count(), 2);
    assert!(page.contains("once, first at 2026-01-01T00:2"), "{page}");
    assert!(
        page.contains("It would have triggered no retraining.")
            || page.contains("It would have warned")
    );
    assert!(page.matches("<svg").count() >= 6);
    for outside in ["<script", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn an_incident_that_is_closed_lets_the_next_one_come() {
    let world = World::new();
    let mut config = world.config("nowhere:9092");
    config["models"][0]["drift_config"]["max_retrains"] = json!("2 per 1d");
    let policy = world.write_config("policy.yaml", &config);
    let mut random = Random(3);
    let mut all = rows(&mut random, 0, 15, 0.0);
    all.extend(rows(&mut random, 15, 75, 1.0));
    let lines: Vec<String> = all.iter().map(Row::json).collect();
    let file = world.write_lines("rows.ndjson", &lines);
    let (open, _) = replayed(&[&file, "-c", &policy]);
    assert_eq!(open["totals"]["triggers"], 1);
    assert!(open["suppressed"]["incident_open"].as_u64().unwrap() > 50);
    let (closed, _) = replayed(&[&file, "-c", &policy, "--close-after", "5m"]);
    assert_eq!(closed["totals"]["triggers"], 2);
    assert!(closed["suppressed"]["budget"].as_u64().unwrap() > 10, "{}", closed["suppressed"]);
    let ids: Vec<&Value> =
        closed["incidents"].as_array().unwrap().iter().map(|incident| &incident["id"]).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1]);
}

#[test]
fn days_in_another_order_have_no_drift_left() {
    let world = World::new();
    let mut config = world.config("nowhere:9092");
    config["models"][0]["pane"] = json!("1h");
    config["models"][0]["drift_config"]["window"] = json!("24h");
    config["models"][0]["drift_config"]["max_age"] = json!("2d");
    let policy = world.write_config("policy.yaml", &config);
    // Thirty days of independent rows; the last ten have drifted.
    let mut random = Random(9);
    let row = |i: i64| random.row(START + i * 12 * MINUTE, if i < 20 * 120 { 0.0 } else { 2.0 });
    let lines: Vec<String> = (0..30 * 120).map(row).map(|row| row.json()).collect();
    let file = world.write_lines("days.ndjson", &lines);
    let args = [&*file, "-c", &policy, "--shuffle-days", "--shuffles", "4"];
    let (first, _) = replayed(&args);
    let null = &first["null"];
    assert_eq!((&null["days"], &null["reference_days"]), (&json!(29), &json!(12)));
    assert_eq!(null["stream_days"], 4 * 17);
    // A third of days unlike the others: one day's window is far from the mixture of all, however
    // they are ordered, and the customary line says so about every day.
    assert!(null["psi_above_0_2"]["per_30_days"].as_f64().unwrap() > 20.0, "{null}");
    let (again, _) = replayed(&args);
    assert_eq!(again["null"], first["null"]);
    let few = world.write_lines("few.ndjson", &lines[..4 * 120]);
    let output = replay(&[&few, "-c", &policy, "--shuffle-days"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("it takes 5 whole days"));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("another order"));
}

#[test]
fn what_cannot_be_replayed_is_refused_with_what_to_do() {
    let world = World::new();
    let policy = world.write_config("policy.yaml", &world.config("nowhere:9092"));
    let mut plain = world.config("nowhere:9092");
    plain["models"][0]["fields"] = json!({});
    let plain = world.write_config("plain.yaml", &plain);
    let refused = |args: &[&str]| {
        let output = replay(args);
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = refused(&["/nowhere/at.all", "-c", &policy]);
    assert!(code == 78 && said.contains("/nowhere/at.all"), "{code}: {said}");

    let timeless = world.write_lines("timeless.ndjson", &[json!({"amount": 1}).to_string()]);
    let (code, said) = refused(&[&timeless, "-c", &plain]);
    assert!(code == 78 && said.contains("--rows-per-pane"), "{code}: {said}");
    let table = world.path("reference.parquet");
    let (code, said) = refused(&[table.to_str().unwrap(), "-c", &plain]);
    assert!(code == 78 && said.contains("it has: amount, country"), "{code}: {said}");
    let (told, code) = replayed(&[table.to_str().unwrap(), "-c", &plain, "--rows-per-pane", "60"]);
    assert_eq!((code, &told["records"], &told["panes"]), (0, &json!(300 * RATE), &json!(299)));
    assert_eq!(told["start"], "2000-01-01T00:00:00Z");

    let cut = world.path("cut.parquet");
    let whole = fs::read(&table).unwrap();
    fs::write(&cut, &whole[..whole.len() - 9]).unwrap();
    let (code, said) = refused(&[cut.to_str().unwrap(), "-c", &plain, "--rows-per-pane", "60"]);
    assert!(code == 78 && said.contains("cut.parquet"), "{code}: {said}");
    let gzip = world.path("a.ndjson.gz");
    fs::write(&gzip, [0x1f, 0x8b, 8, 0]).unwrap();
    let (code, said) = refused(&[gzip.to_str().unwrap(), "-c", &policy]);
    assert!(code == 78 && said.contains("unpack it first"), "{code}: {said}");

    // Nothing that could be used is no answer, and least of all a clean bill of health.
    let old = json!({"ts": 800_000_000_000_i64, "amount": 1}).to_string();
    let old = world.write_lines("old.ndjson", &vec![old; 50]);
    let (code, said) = refused(&[&old, "-c", &policy]);
    assert!(code == 78 && said.contains("bad_time 50"), "{code}: {said}");
    let (code, _) = refused(&[&old]);
    assert_eq!(code, 2);
}

#[test]
fn records_that_decide_no_pane_are_no_answer_of_a_policy() {
    let world = World::new();
    let config = world.write_config("driftd.yaml", &world.config("k:9092"));
    let lines: Vec<String> = rows(&mut Random(5), 0, 20, 0.0).iter().map(Row::json).collect();
    let array = format!("[\n{}\n]", lines.join(",\n"));
    let array = world.write_lines("array.json", &[array]);
    let records = world.write_lines("records.ndjson", &lines);
    let refused = |args: &[&str]| {
        let output = replay(&[args, &["-c", &config]].concat());
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&[&array]);
    assert!(
        said.contains("no pane was decided: 1 records were counted and 1201 rejected"),
        "{said}"
    );
    assert!(said.contains("jq -c '.[]' FILE"), "{said}");
    let said = refused(&[&records, "--rows-per-pane", "18446744073709551615"]);
    assert!(said.contains("none lies beyond a pane of 1m"), "{said}");
    // A page is not written over what it tells of.
    let output = replay(&[&records, "-c", &config, "--html", &records]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(&records).unwrap().lines().count(), lines.len());
}
