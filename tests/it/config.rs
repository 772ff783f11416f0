//! The configuration from outside: files that must load, files that must not, and what is printed.
#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use driftd::config;
use driftd::kafka::mock::{MockBroker, Producer};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use serde_json::json;

fn folder(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn driftd(args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftd"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("DRIFTD_CONFIG")
        .env_remove("DRIFTD_WEBHOOK_TOKEN_FILE")
        .envs(variables.iter().copied())
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_faulty_file_says_what_is_wrong_and_where() {
    for file in folder("fixtures/config") {
        let source = fs::read_to_string(&file).unwrap();
        let expected: Vec<&str> =
            source.lines().filter_map(|line| line.strip_prefix("# expected: ")).collect();
        let found = match config::load(&file, &|_| None) {
            Err(config::Error::Faults(found)) => found.faults,
            other => panic!("{}: {other:?}", file.display()),
        };
        let name = file.display().to_string();
        let shown = |fault: &config::Fault| {
            fault.shown(&file).to_string().replacen(&format!("{name}:"), "", 1)
        };
        assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(found.len(), 1, "{name} must have one fault");
    }
}

#[test]
fn every_example_loads() {
    for file in folder("config") {
        if let Err(error) = config::load(&file, &|_| None) {
            panic!("{error}");
        }
    }
}

#[test]
fn the_command_prints_every_fault_and_exits_78() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("driftd.yaml");
    fs::write(
        &file,
        "kafka: {}\ntopic: t\ndrift_config:\n  reference_dataset: r\n  min_record: 3\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let output = driftd(&["config", "print", "--effective", "-c", path], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        format!(
            "{path}:1:8: kafka.brokers: is missing\n\
             {path}:5:3: drift_config.min_record: unknown key; did you mean `min_records`?\n"
        )
    );
    let output = driftd(&["config", "print", "--effective", "-c", "/no/such/file"], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("/no/such/file"));
}

#[test]
fn what_is_in_force_is_printed_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("driftd.yaml");
    let yaml = "kafka: {brokers: 'k:9092', options: {sasl.password: '${PASSWORD}'}}\ntopic: t\n\
                reference_dataset: r\nretraining_trigger:\n  webhook: https://a.example/${API_KEY}\n  \
                token: hunter2\n";
    fs::write(&file, yaml).unwrap();
    let variables = [("PASSWORD", "hunter2"), ("API_KEY", "hunter2")];
    let path = [("DRIFTD_CONFIG", file.to_str().unwrap())];
    let variables = [variables.as_slice(), &path].concat();
    for format in ["yaml", "json"] {
        let output = driftd(&["config", "print", "--effective", "--format", format], &variables);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let shown = text(&output.stdout);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("***") && shown.contains("max_series"), "{shown}");
    }
}

#[test]
fn the_schema_is_printed() {
    let output = driftd(&["config", "schema"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["topic"].is_object());
    assert!(schema["properties"]["reference_dataset"].is_object());
    assert_eq!(schema["additionalProperties"], false);
}

/// Training data with two features, an identifier and a label.
fn baseline(folder: &Path) -> String {
    baseline_with(folder, Vec::new())
}

/// The same with more columns of 1,000 rows.
fn baseline_with(folder: &Path, more: Vec<(&str, ArrayRef)>) -> String {
    let rows = 0..1_000i64;
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        (
            "amount",
            Arc::new(Float64Array::from_iter_values(rows.clone().map(|i| (i * 37 % 997) as f64))),
        ),
        (
            "country",
            Arc::new(StringArray::from_iter_values(rows.clone().map(|i| match i % 3 {
                0 => "de",
                1 => "fr",
                _ => "it",
            }))),
        ),
        (
            "customer_id",
            Arc::new(StringArray::from_iter_values(rows.clone().map(|i| format!("c{i}")))),
        ),
        ("label", Arc::new(Int64Array::from_iter_values(rows.map(|i| i % 2)))),
    ];
    columns.extend(more);
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = folder.join("reference.parquet");
    let file = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path.to_str().unwrap().to_owned()
}

/// What `init` writes for these records; `validate` has accepted it.
fn written(record: impl Fn(i64) -> Value) -> String {
    written_on(Vec::new(), record)
}

/// The same where the training data has more columns.
fn written_on(more: Vec<(&str, ArrayRef)>, record: impl Fn(i64) -> Value) -> String {
    written_of(more, &(0..20).map(|i| format!("{}\n", record(i))).collect::<String>()).0
}

/// The same for these lines, and what is said beside it.
fn written_of(more: Vec<(&str, ArrayRef)>, lines: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let baseline = baseline_with(folder.path(), more);
    let sample = folder.path().join("sample.ndjson");
    fs::write(&sample, lines).unwrap();
    let out = folder.path().join("driftd.yaml");
    let (sample, out) = (sample.to_str().unwrap(), out.to_str().unwrap());
    let output = driftd(
        &[
            "init",
            "--brokers",
            "k:9092",
            "--topic",
            "fraud",
            "--baseline",
            &baseline,
            "--offline-sample",
            sample,
            "-o",
            out,
        ],
        &[],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let yaml = fs::read_to_string(out).unwrap();
    let checked = driftd(&["validate", "--offline", "-c", out], &[]);
    assert_eq!(checked.status.code(), Some(0), "{yaml}\n{}", text(&checked.stderr));
    let report = text(&checked.stdout);
    assert!(report.contains("amount") && report.contains("records for warning 0.1"), "{report}");
    assert!(report.contains("not watched: more than half"), "{report}");
    (yaml, text(&output.stderr).to_owned())
}

fn has(yaml: &str, parts: &[&str]) {
    for part in parts {
        assert!(yaml.contains(part), "no `{part}` in\n{yaml}");
    }
}

#[test]
fn init_finds_a_features_object() {
    let yaml = written(|i| {
        json!({"ts": 1_760_000_000_000i64 + i, "prediction": 0.5, "model": "fraud",
               "features": {"amount": i, "country": "de", "extra": 1}})
    });
    has(&yaml, &["prediction: /prediction", "pointer: /ts", "unit: ms", "match no column: extra"]);
    has(&yaml, &["ignore: [label]", "customer_id: not watched"]);
}

#[test]
fn init_finds_flat_records() {
    let yaml = written(
        |i| json!({"event_time": format!("2026-11-01T00:00:{i:02}Z"), "score": 0.1, "amount": i, "country": "fr"}),
    );
    has(&yaml, &["pointer: /event_time", "unit: rfc3339", "prediction: /score"]);
}

#[test]
fn init_finds_arrays_with_names() {
    let yaml = written(
        |i| json!({"at": 1_760_000_000 + i, "input": {"names": ["amount", "country"], "values": [i, "it"]}}),
    );
    has(&yaml, &["features: /input/values", "feature_names: /input/names", "unit: s "]);
}

#[test]
fn init_finds_rows() {
    let yaml = written(|i| {
        json!({"instances": [{"amount": i, "country": "de"}, {"amount": 2, "country": "fr"}],
               "time": format!("2026-11-01T00:00:{i:02}")})
    });
    has(&yaml, &["rows: /instances", "time_zone: UTC"]);
}

#[test]
fn init_finds_how_sure_the_model_was() {
    let yaml = written(|i| {
        json!({"ts": 1_760_000_000_000i64 + i, "prediction": 3, "confidence": 0.9,
               "features": {"amount": i, "country": "de"}})
    });
    has(
        &yaml,
        &["  confidence: /confidence", "    # confidence_drift_p_value: 0.01", "state: {dir:"],
    );
    // A column that only the output can be is its reference, and is not left out for want of a key.
    let shares: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..1_000).map(|i| f64::from(i) / 1e3)));
    let yaml = written_on(vec![("score", shares)], |i| {
        json!({"ts": 1_760_000_000_000i64 + i, "out": {"prediction": "cat", "score": 0.9},
               "features": {"amount": i, "country": "de"}})
    });
    has(&yaml, &["  prediction: /out/prediction", "  confidence: /out/score"]);
    has(&yaml, &["  score: {role: confidence}", "ignore: [label]"]);
    // An answer in words has no reference but a column.
    assert!(!yaml.contains("prediction_drift_p_value"), "{yaml}");
}

#[test]
fn init_allows_what_python_writes_for_no_number_and_counts_what_it_leaves_out() {
    let number = |i: i64| match i % 4 {
        0 => "NaN".to_owned(),
        1 => "-Infinity".to_owned(),
        _ => i.to_string(),
    };
    let record = |i: i64| {
        let (ts, amount) = (1_760_000_000_000i64 + i, number(i));
        format!("{{\"ts\": {ts}, \"features\": {{\"amount\": {amount}, \"country\": \"de\"}}}}\n")
    };
    let records: String = (0..20).map(record).collect();
    let (yaml, said) = written_of(Vec::new(), &format!("id,amount\n{records}[1]\n"));
    has(&yaml, &["json: {allow_nan: true}", "# 10 of the 20 records have NaN or Infinity"]);
    has(&yaml, &["from 20 records of ", "sample.ndjson", "2 of 4 columns found", "pointer: /ts"]);
    let left_out = "2 of 22 records are left out: they are no JSON objects (the first of them begins with 69 64";
    has(&yaml, &[left_out]);
    has(&said, &[left_out]);
    assert!(!written(|i| json!({"amount": i, "country": "NaN"})).contains("allow_nan"));
}

/// `init` on a topic with these payloads.
fn init_on(payloads: &[Option<&[u8]>]) -> (Option<i32>, String) {
    let (broker, folder) = (MockBroker::start().unwrap(), tempfile::tempdir().unwrap());
    broker.create_topic("fraud.inferences", 1).unwrap();
    let brokers = broker.bootstrap_servers();
    let producer = Producer::connect(&brokers).unwrap();
    for payload in payloads {
        producer.produce("fraud.inferences", 0, None, 1_760_000_000_000, *payload).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let baseline = baseline(folder.path());
    let args =
        ["init", "--topic", "fraud.inferences", "--brokers", &brokers, "--baseline", &baseline];
    let output = driftd(&args, &[]);
    (output.status.code(), text(&output.stdout).to_owned() + text(&output.stderr))
}

#[test]
fn init_tells_an_empty_topic_from_one_that_it_cannot_read() {
    let (code, said) = init_on(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("topic fraud.inferences holds no records yet"), "{said}");
    let avro: Option<&[u8]> = Some(b"\0\0\0\0\x05\x02\x0eamount");
    let (code, said) = init_on(&[None, avro, avro]);
    assert_eq!(code, Some(78), "{said}");
    let parts = ["the 3 newest records of fraud.inferences are not JSON", "00 00 00 00 05"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    let (code, said) = init_on(&[avro, Some(br#"{"amount": 1}"#)]);
    assert_eq!(code, Some(0), "{said}");
    has(&said, &["from 1 records of fraud.inferences", "1 of 4 columns found"]);
    let (code, said) = init_on(&[Some(br#"{"betrag": 1}"#)]);
    assert_eq!(code, Some(0), "{said}");
    has(&said, &["warning: none of the 1 records carries a column", "amount, country", "betrag"]);
}

#[test]
fn init_says_when_nothing_matches() {
    let yaml = written(|i| json!({"a": i, "b\n# ignore: x": "c"}));
    has(&yaml, &["No record carries a column of the baseline"]);
}

#[test]
fn validate_tells_every_fault_of_the_baseline_and_the_size_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let baseline = baseline(folder.path());
    let file = folder.path().join("driftd.yaml");
    let path = file.to_str().unwrap();
    let check = |more: &str| {
        let head = "kafka: {brokers: 'k:9092'}\ntopic: fraud\n";
        fs::write(&file, format!("{head}reference_dataset: {baseline}\n{more}")).unwrap();
        driftd(&["validate", "--offline", "--format", "json", "-c", path], &[])
    };
    let good = check("");
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stdout));
    let report: Value = serde_json::from_slice(&good.stdout).unwrap();
    let amount = &report["models"][0]["features"][0];
    assert_eq!(amount["feature"], "amount");
    assert_eq!(amount["bins"], 10);
    let needs = amount["thresholds"].as_array().unwrap();
    let psi = needs.iter().find(|need| need["statistic"] == "psi" && need["level"] == "warning");
    assert!(psi.unwrap()["supported"].as_f64().unwrap() > 0.0, "{needs:?}");
    assert!(report["memory_bytes"].as_u64().unwrap() > 0);
    let reading = report["reading_bytes"].as_u64().unwrap();
    assert!(reading > 1 << 20 && reading <= report["reading_limit_bytes"].as_u64().unwrap());
    assert_eq!(report["models"][0]["reading_bytes"], reading);

    // What cannot be used here may be of use where the daemon is to run.
    let nowhere = check(&format!("state: {{dir: '{baseline}/state'}}\n"));
    assert_eq!(nowhere.status.code(), Some(0), "{}", text(&nowhere.stdout));
    let report: Value = serde_json::from_slice(&nowhere.stdout).unwrap();
    assert_eq!(report["warnings"][0]["path"], "state.dir");
    let message = report["warnings"][0]["message"].as_str().unwrap();
    assert!(message.contains("set `state.dir` to a folder of yours"), "{message}");

    let faulty = check("features: {amuont: {kind: categorical}}\nmax_series: 10\n");
    assert_eq!(faulty.status.code(), Some(78));
    let report: Value = serde_json::from_slice(&faulty.stdout).unwrap();
    let faults = report["faults"].as_array().unwrap();
    let paths: Vec<&str> = faults.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["features.amuont", "max_series"]);

    fs::write(folder.path().join("reference.parquet"), "PAR1 is not enough").unwrap();
    let broken = check("");
    assert_eq!(broken.status.code(), Some(78));
    let report: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!(report["faults"][0]["path"], "reference_dataset");
}

#[test]
fn a_configuration_without_end_a_strange_model_and_hostile_names_are_answered_in_words() {
    let output = driftd(&["validate", "--offline", "-c", "/dev/zero"], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("is larger than 1048576 bytes"), "{output:?}");
    let folder = tempfile::tempdir().unwrap();
    let numbers: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..1_000).map(|i| f64::from(i) / 1e3)));
    let baseline = baseline_with(folder.path(), vec![("a\u{1b}[2J\n# b", numbers)]);
    let file = folder.path().join("driftd.yaml");
    let yaml =
        format!("kafka: {{brokers: 'k:9092'}}\ntopic: fraud\nreference_dataset: {baseline}\n");
    fs::write(&file, yaml).unwrap();
    let validate = |more: &[&str]| {
        let args = ["validate", "--offline", "-c", file.to_str().unwrap()];
        driftd(&[&args[..], more].concat(), &[])
    };
    let good = validate(&[]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let said = text(&good.stdout);
    assert!(said.contains("  a [2J # b") && !said.contains('\u{1b}'), "{said}");
    let strange = validate(&["--model", "nope"]);
    assert_eq!(strange.status.code(), Some(2), "{strange:?}");
    assert!(text(&strange.stderr).contains("has no model `nope`; it has fraud"), "{strange:?}");
    for nothing in [["--topic", ""], ["--brokers", ""], ["--kafka-option", "x"]] {
        let all = ["--topic", "t", "--brokers", "k:9092", "--baseline", &baseline];
        let kept = all.chunks(2).filter(|pair| pair[0] != nothing[0]).flatten().copied();
        let args: Vec<&str> = ["init"].into_iter().chain(kept).chain(nothing).collect();
        assert_eq!(driftd(&args, &[]).status.code(), Some(2), "{args:?}");
    }
}
