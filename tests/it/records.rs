//! Records and counts that are not ours: `tests/servers/produce.py` as functions.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use driftd::baseline::Baseline;
use driftd::decode::{Decoder, Format, Message, Options};
use driftd::feature::Feature;
use driftd::offsets::TopicPartition;
use driftd::window::merge::Next;
use driftd::window::{Merge, Partial, PartitionState, Progress, Rules};
use serde::{Deserialize, Deserializer};

use crate::servers;

/// Writes training data and inference records with foreign libraries, and counts them again.
pub(crate) struct Records {
    python: PathBuf,
}

impl Records {
    pub(crate) fn new() -> Option<Self> {
        servers::python().map(|python| Self { python })
    }

    /// Training data as a Parquet file; `options` as in `produce.py --help`.
    pub(crate) fn reference(&self, path: &Path, options: &[&str]) {
        self.run([OsStr::new("reference"), path.as_os_str()], options);
    }

    /// Writes records to a topic; what was written: `records`, `first_ms`, `last_ms`.
    pub(crate) fn produce(
        &self,
        brokers: &str,
        topic: &str,
        records: u64,
        options: &[&str],
    ) -> serde_json::Value {
        let records = records.to_string();
        let fixed = ["produce", "--brokers", brokers, "--topic", topic, "--records", &records];
        self.run(fixed, options)
    }

    /// Counts what is in a topic by the cells of `profile`: `counted`, `late`, `rejects`...
    pub(crate) fn count(
        &self,
        brokers: &str,
        topic: &str,
        profile: &Path,
        options: &[&str],
    ) -> serde_json::Value {
        let profile = profile.to_str().unwrap();
        let fixed = ["count", "--brokers", brokers, "--topic", topic, "--profile", profile];
        self.run(fixed, options)
    }

    /// What is different between the topic's counts and `panes`, the body of `/panes` as served;
    /// `None` when nothing is.
    pub(crate) fn difference(
        &self,
        brokers: &str,
        topic: &str,
        profile: &Path,
        panes: &Path,
    ) -> Option<String> {
        let fixed = ["count", "--brokers", brokers, "--topic", topic].map(OsStr::new);
        let files = ["--profile".as_ref(), profile.as_os_str(), "--compare".as_ref()];
        let all = fixed.into_iter().chain(files).chain([panes.as_os_str()]);
        let output = self.output(all, &[]);
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn run<I: AsRef<OsStr>>(
        &self,
        fixed: impl IntoIterator<Item = I>,
        options: &[&str],
    ) -> serde_json::Value {
        let output = self.output(fixed, options);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "produce.py: {}\n{err}", output.status);
        if output.stdout.is_empty() {
            return serde_json::Value::Null;
        }
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn output<I: AsRef<OsStr>>(
        &self,
        fixed: impl IntoIterator<Item = I>,
        options: &[&str],
    ) -> Output {
        Command::new(&self.python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(servers::script("produce.py"))
            .args(fixed)
            .args(options)
            .output()
            .unwrap()
    }
}

/// Cells by hand, in the form that `driftd baseline show --feature F --format json` prints.
const CELLS: &str = r#"[
    {"feature": "age", "range": [18, 90], "cells": {"edges": [17.5, 30, 50.5, 90]}},
    {"feature": "amount", "cells": {"edges": [10, 33.12, 100]}},
    {"feature": "member", "cells": {"categories": ["false", "true"]}},
    {"feature": "plan", "cells": {"categories": ["1", "2", "10"]}}
]"#;

#[test]
fn the_topic_holds_what_was_produced_and_the_counter_notices_a_difference() {
    let Some(records) = Records::new() else { return };
    let Some(kafka) = servers::Kafka::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("cells.json"), CELLS).unwrap();
    kafka.create_topic("events", 3, &[("retention.ms", "-1")]);

    let dump = at("dump");
    let wrote =
        records.produce(kafka.brokers(), "events", 30_000, &["--dump", dump.to_str().unwrap()]);
    assert_eq!(wrote["records"], 30_003);

    let out = at("panes.json");
    let out_option = ["--out", out.to_str().unwrap()];
    let from_kafka = records.count(kafka.brokers(), "events", &at("cells.json"), &out_option);
    assert_eq!(from_kafka["records"], 30_003);
    let rejects = from_kafka["rejects"].as_object().unwrap();
    let sum: u64 = rejects.values().map(|n| n.as_u64().unwrap()).sum();
    let number = |key: &str| from_kafka[key].as_u64().unwrap();
    assert_eq!(number("counted") + number("late") + sum, 30_003);
    assert!(rejects.len() >= 8 && number("late") > 0, "{from_kafka}");

    let cells = at("cells.json");
    let from_dump = records.run(
        ["count", "--from", dump.to_str().unwrap(), "--profile", cells.to_str().unwrap()],
        &[],
    );
    assert_eq!(from_kafka, from_dump);

    let difference =
        |panes: &Path| records.difference(kafka.brokers(), "events", &at("cells.json"), panes);
    assert_eq!(difference(&out), None);
    let text = std::fs::read_to_string(&out).unwrap();
    let mut panes: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cell = &mut panes["panes"][3]["features"]["age"]["cells"][2];
    *cell = (cell.as_u64().unwrap() + 1).into();
    std::fs::write(at("wrong.json"), panes.to_string()).unwrap();
    let found = difference(&at("wrong.json")).unwrap();
    assert!(found.contains(".features.age.cells"), "{found}");
}

#[test]
fn training_data_comes_from_another_writer() {
    let Some(records) = Records::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reference.parquet");
    records.reference(&path, &["--rows", "1000", "--prediction"]);
    let file = std::fs::File::open(&path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
    let reader = reader.unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 1000);
    assert_eq!(reader.schema().fields().len(), 10);
}

/// The `fields:` that `produce.py count` reads by. With the default `features`, a record without them
/// would be a flat one.
const FIELDS: &str = r#"{"features": "/features", "event_time": {"pointer": "/ts", "unit": "ms"}}"#;

/// A line of a dump.
#[derive(serde::Deserialize)]
struct Line {
    partition: i32,
    kafka_ms: i64,
    #[serde(deserialize_with = "from_base64")]
    payload: Option<Vec<u8>>,
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| STANDARD.decode(text).unwrap()))
}

/// Each partition's records in the order of its log.
fn logs(dump: &Path) -> BTreeMap<i32, Vec<Line>> {
    let mut logs: BTreeMap<i32, Vec<Line>> = BTreeMap::new();
    for line in fs::read_to_string(dump).unwrap().lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        logs.entry(line.partition).or_default().push(line);
    }
    logs
}

/// The closed panes of a dump by driftd's own decoder, counter, watermarks and merge, as `/panes`
/// would say them; the log is cut in batches of `batch` records.
fn our_panes(baseline: &Baseline, dump: &Path, batch: usize) -> String {
    let logs = logs(dump);
    let features: Vec<Feature> = baseline.features.iter().map(|f| f.feature()).collect();
    let rules = Rules {
        hash: 1,
        pane_ms: 300_000,
        lateness_ms: 900_000,
        active_from_ms: i64::MIN,
        cells: baseline.features.iter().map(|f| f.cells.clone()).collect(),
    };
    let fields = serde_json::from_str(FIELDS).unwrap();
    let mut decoder = Decoder::new(Format::Json, &fields, &Options::default(), "m", &features);
    let mut merge = Merge::new(rules.shape(), rules.pane_ms);
    for (&partition, log) in &logs {
        let partition = TopicPartition::new("events", partition);
        let mut state = PartitionState::new(&rules, 0);
        let messages: Vec<Message<'_>> = (0i64..)
            .zip(log)
            .map(|(offset, line)| Message {
                offset,
                timestamp_ms: line.kafka_ms,
                payload: line.payload.as_deref(),
            })
            .collect();
        for batch in messages.chunks(batch) {
            let decoded = decoder.decode(batch.iter().copied());
            state.apply(&rules, &decoded, batch.last().unwrap().offset + 1);
        }
        merge.assign(Progress {
            partition: partition.clone(),
            next_offset: state.next_offset,
            frontier_ms: state.watermark.get().map(|wm| wm - rules.lateness_ms),
            first_pane_ms: state.first_pane_ms,
            caught_up: true,
        });
        for pane in state.take_closed() {
            let applied_through = state.next_offset;
            merge.add(Partial { partition: partition.clone(), rules: 1, applied_through, pane });
        }
    }
    let mut panes = Vec::new();
    while let Next::Close(pane) = merge.next(logs.len(), i64::MAX) {
        let counts = pane.counts(&rules.shape()).unwrap();
        let named = baseline.features.iter().zip(&counts);
        let named = named.map(|(feature, counts)| {
            format!("{:?}:{}", feature.name, serde_json::to_string(counts).unwrap())
        });
        panes.push(format!(
            r#"{{"start":{},"end":{},"records":{},"rejects":{},"features":{{{}}}}}"#,
            pane.start_ms,
            pane.start_ms + rules.pane_ms,
            pane.records,
            pane.rejects,
            named.collect::<Vec<_>>().join(",")
        ));
    }
    format!(r#"{{"panes":[{}]}}"#, panes.join(","))
}

#[test]
fn every_count_equals_an_independent_count_of_the_same_records() {
    let Some(records) = Records::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (reference, profile, dump) = (at("reference.parquet"), at("profile"), at("dump"));
    records.reference(&reference, &["--prediction"]);
    let built = Command::new(env!("CARGO_BIN_EXE_driftd"))
        .args([OsStr::new("baseline"), OsStr::new("build"), reference.as_os_str()])
        .args([OsStr::new("-o"), profile.as_os_str()])
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    let baseline = Baseline::from_json(&fs::read(&profile).unwrap()).unwrap();

    let produce = ["produce", "--records", "40000", "--prediction", "--dump"].map(OsStr::new);
    records.run(produce.into_iter().chain([dump.as_os_str()]), &[]);
    let whole = our_panes(&baseline, &dump, usize::MAX);
    for batch in [1, 1000] {
        assert!(our_panes(&baseline, &dump, batch) == whole, "batches of {batch} count otherwise");
    }
    fs::write(at("ours"), &whole).unwrap();
    let count = ["count".as_ref(), "--from".as_ref(), dump.as_os_str(), "--profile".as_ref()];
    let files = [profile.as_os_str(), "--compare".as_ref()];
    let output =
        records.output(count.into_iter().chain(files).chain([at("ours").as_os_str()]), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["panes"].as_u64() > Some(70), "{summary}");
}
