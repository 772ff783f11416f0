//! `driftd compare` from outside: exit codes, JSON, and numbers counted independently here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the message")]

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::Float32Array;
use arrow::array::Float64Array;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use arrow::datatypes::Float32Type;
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;

use crate::random::Random;

impl Random {
    /// Roughly normal: the sum of twelve.
    fn normal(&mut self, mean: f64, sd: f64) -> f64 {
        mean + sd * ((0..12).map(|_| self.next()).sum::<f64>() - 6.0)
    }
}

/// Rows of one file; `shift` moves `amount` by that many of its deviations.
struct Rows {
    amount: Vec<Option<f64>>,
    country: Vec<&'static str>,
}

fn rows(seed: u64, n: usize, shift: f64) -> Rows {
    let mut random = Random(seed);
    let amount = (0..n).map(|_| Some(random.normal(100.0 + 15.0 * shift, 15.0))).collect();
    let country = |x: f64| match x {
        x if x < 0.6 => "de",
        x if x < 0.9 => "fr",
        _ => "at",
    };
    let country = (0..n).map(|_| country(random.next())).collect();
    Rows { amount, country }
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

impl Rows {
    fn write(&self, folder: &TempDir, name: &str) -> PathBuf {
        let path = folder.path().join(name);
        let amount: ArrayRef = Arc::new(Float64Array::from(self.amount.clone()));
        let country: ArrayRef = Arc::new(StringArray::from(self.country.clone()));
        write(&path, vec![("amount", amount), ("country", country)]);
        path
    }
}

fn compare(reference: &Path, live: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftd"));
    command.arg("compare").arg(reference).arg(live).args(more).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn feature<'a>(json: &'a Value, name: &str) -> &'a Value {
    let features = json["features"].as_array().unwrap();
    features.iter().find(|feature| feature["feature"] == name).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_same_data_again_is_stable_and_exits_0() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "reference.parquet");
    let live = rows(2, 4_000, 0.0).write(&folder, "live.parquet");
    let output = compare(&reference, &live, &[]);
    assert_eq!(code(&output), 0, "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("feature  kind         verdict"), "{text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, "stable: 0 of 2 features at warning or above");
    let itself = compare(&reference, &reference, &["--format", "json"]);
    assert_eq!(code(&itself), 0);
    for feature in json(&itself)["features"].as_array().unwrap() {
        for (statistic, score) in feature["scores"].as_object().unwrap() {
            let value = score["value"].as_f64().unwrap();
            // The two rates are less what one may expect beyond a finite reference.
            assert!(value == 0.0 || matches!(statistic.as_str(), "out_of_range" | "unseen"));
        }
    }
}

/// As in `driftd compare a b --format json | grep -q drifted`, which reads no further than it must.
#[test]
fn the_exit_code_is_the_verdict_also_when_nobody_reads_on() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    let live = rows(2, 4_000, 0.5).write(&folder, "l.parquet");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftd"));
    command.arg("compare").arg(&reference).arg(&live).stdout(writer).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(code(&output), 3, "{output:?}");
}

#[test]
fn drift_exits_3_and_its_psi_is_that_of_an_independent_count() {
    let folder = TempDir::new().unwrap();
    let (reference, live) = (rows(1, 20_000, 0.0), rows(2, 4_000, 0.5));
    let (r, l) = (reference.write(&folder, "r.parquet"), live.write(&folder, "l.parquet"));
    let output = compare(&r, &l, &["--format", "json"]);
    assert_eq!(code(&output), 3, "{output:?}");
    let json = json(&output);
    assert_eq!(json["verdict"], "drifted");
    let amount = feature(&json, "amount");
    assert_eq!((&amount["verdict"], &amount["kind"]), (&"drifted".into(), &"numeric".into()));
    assert_eq!(
        (&amount["reference_count"], &amount["live_count"]),
        (&20_000.into(), &4_000.into())
    );
    assert_eq!(feature(&json, "country")["verdict"], "stable");

    let sorted = |rows: &Rows| {
        let mut values: Vec<f64> = rows.amount.iter().flatten().copied().collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (reference, live) = (sorted(&reference), sorted(&live));
    // Deciles at the order statistics of rank ceil(k m / 10), bins closed to the right.
    let edges: Vec<f64> = (1..10).map(|k| reference[2_000 * k - 1]).collect();
    let shares = |values: &[f64]| {
        let mut counts = [0u32; 10];
        values.iter().for_each(|&v| counts[edges.iter().filter(|&&edge| edge < v).count()] += 1);
        counts.map(|c| (f64::from(c) + 0.5) / (values.len() as f64 + 5.0))
    };
    let (p, q) = (shares(&reference), shares(&live));
    let psi: f64 = p.iter().zip(&q).map(|(p, q)| (q - p) * (q / p).ln()).sum();
    let ours = &amount["scores"]["psi"];
    assert!((ours["value"].as_f64().unwrap() / psi - 1.0).abs() < 1e-9, "{ours} {psi}");
    let floor = (1.0 / 4_000.0 + 1.0 / 20_000.0) * 27.877_164_871_256_57;
    assert!((ours["noise_floor"].as_f64().unwrap() / floor - 1.0).abs() < 1e-9, "{ours}");
    assert_eq!(ours["threshold"], 0.1);

    let below =
        |values: &[f64], x: f64| values.partition_point(|&v| v <= x) as f64 / values.len() as f64;
    let points = reference.iter().chain(&live);
    let ks = points.map(|&x| (below(&reference, x) - below(&live, x)).abs()).fold(0.0, f64::max);
    let low_by = ks - amount["scores"]["ks"]["value"].as_f64().unwrap();
    assert!((0.0..2.0 / 240.0).contains(&low_by), "{low_by}");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let moved = mean(&live) - mean(&reference);
    let wasserstein = amount["scores"]["wasserstein_raw"]["value"].as_f64().unwrap();
    // A shift alone: the distance is how far the mean has moved.
    assert!((wasserstein / moved - 1.0).abs() < 0.02, "{wasserstein} {moved}");
}

#[test]
fn a_profile_gives_the_numbers_of_its_data() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    let live = rows(2, 4_000, 0.2).write(&folder, "l.parquet");
    let profile = folder.path().join("profile.json");
    let build = Command::new(env!("CARGO_BIN_EXE_driftd"))
        .args(["baseline", "build"])
        .arg(&reference)
        .arg("-o")
        .arg(&profile)
        .output()
        .unwrap();
    assert_eq!(code(&build), 0, "{build:?}");
    let data = compare(&reference, &live, &["--format", "json"]);
    let profiled = compare(&profile, &live, &["--format", "json"]);
    assert_eq!(json(&data), json(&profiled));
    assert_eq!(code(&data), code(&profiled));
    assert_eq!(code(&compare(&profile, &profile, &[])), 0);
    let other = folder.path().join("other.json");
    let build = Command::new(env!("CARGO_BIN_EXE_driftd"))
        .args(["baseline", "build"])
        .arg(&live)
        .arg("-o")
        .arg(&other)
        .output()
        .unwrap();
    assert_eq!(code(&build), 0, "{build:?}");
    let strangers = compare(&profile, &other, &[]);
    assert_eq!(code(&strangers), 78);
    assert!(stderr(&strangers).contains("other.json"), "{strangers:?}");
}

#[test]
fn the_line_that_fails_is_the_callers() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    // PSI of 0.4 deviations is about 0.15: a warning, no retraining.
    let live = rows(2, 4_000, 0.4).write(&folder, "l.parquet");
    assert_eq!(code(&compare(&reference, &live, &[])), 3);
    let lenient = compare(&reference, &live, &["--fail-on", "retrain", "--format", "json"]);
    assert_eq!(code(&lenient), 0);
    assert_eq!(json(&lenient)["verdict"], "stable");
    assert_eq!(feature(&json(&lenient), "amount")["verdict"], "warning");
    assert_eq!(code(&compare(&reference, &live, &["--threshold", "psi=0.5"])), 0);
    let ks = ["--threshold", "psi=0.5", "--threshold", "ks=0.1", "--statistic", "ks"];
    let output = compare(&reference, &live, &ks);
    assert_eq!(code(&output), 3);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.lines().next().unwrap().contains("psi"), "{text}");
    assert!(text.contains("worst: amount, ks 0."), "{text}");
}

#[test]
fn nulls_and_new_categories_are_drift_of_their_own() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    let mut live = rows(2, 4_000, 0.0);
    live.amount.iter_mut().step_by(20).for_each(|value| *value = None);
    live.country.iter_mut().step_by(10).for_each(|value| *value = "xx");
    let live = live.write(&folder, "l.parquet");
    let output = compare(&reference, &live, &["--format", "json"]);
    assert_eq!(code(&output), 3);
    let json = json(&output);
    assert_eq!(feature(&json, "amount")["verdict"], "warning");
    assert_eq!(feature(&json, "amount")["scores"]["missing"]["value"], 0.05);
    assert_eq!(feature(&json, "country")["verdict"], "drifted");
    let unseen = feature(&json, "country")["scores"]["unseen"]["value"].as_f64().unwrap();
    assert!((unseen - 0.1).abs() < 1e-3, "{unseen}");
}

#[test]
fn a_handful_of_rows_says_how_many_it_would_take() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    let live = rows(2, 100, 0.0).write(&folder, "l.parquet");
    let output = compare(&reference, &live, &["--format", "json"]);
    assert_eq!(code(&output), 0);
    let json = json(&output);
    assert_eq!(feature(&json, "amount")["verdict"], "insufficient_samples");
    assert_eq!(feature(&json, "amount")["records_needed"], 283);
}

#[test]
fn a_column_that_live_lacks_is_absent_and_none_at_all_is_bad_input() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    let live = rows(2, 4_000, 0.0);
    let amount: ArrayRef = Arc::new(Float64Array::from(live.amount.clone()));
    let some = folder.path().join("some.parquet");
    write(&some, vec![("amount", amount.clone())]);
    let output = compare(&reference, &some, &["--format", "json"]);
    assert_eq!(code(&output), 0);
    assert_eq!(feature(&json(&output), "country")["verdict"], "absent_in_live");
    let none = folder.path().join("none.parquet");
    write(&none, vec![("betrag", amount)]);
    let output = compare(&reference, &none, &[]);
    assert_eq!(code(&output), 78);
    let text = stderr(&output);
    assert!(text.contains("none.parquet") && text.contains("`amount`"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn unreadable_input_exits_78_and_names_the_file() {
    let folder = TempDir::new().unwrap();
    let good = rows(1, 1_000, 0.0).write(&folder, "good.parquet");
    let bytes = fs::read(&good).unwrap();
    let cut = folder.path().join("cut.parquet");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let empty = folder.path().join("empty.parquet");
    fs::write(&empty, "").unwrap();
    for bad in [folder.path().join("nowhere.parquet"), cut, empty] {
        for (reference, live) in [(&bad, &good), (&good, &bad)] {
            let output = compare(reference, live, &["--format", "json"]);
            assert_eq!(code(&output), 78, "{output:?}");
            let name = bad.file_name().unwrap().to_str().unwrap();
            assert!(stderr(&output).contains(name), "{output:?}");
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn a_wrong_command_line_exits_2_and_says_what_is_allowed() {
    let here = Path::new(".");
    let cases: [(&[&str], &str); 4] = [
        (&["--threshold", "psi"], "STATISTIC=VALUE"),
        (&["--threshold", "total_variation=0.1"], "can't decide"),
        (&["--statistic", "psl"], "one of psi, kl"),
        (&["--fail-on", "sometimes"], "retrain"),
    ];
    for (more, hint) in cases {
        let output = compare(here, here, more);
        assert_eq!(code(&output), 2, "{output:?}");
        assert!(stderr(&output).contains(hint), "{output:?}");
    }
}

#[test]
fn a_models_policy_is_taken_from_its_configuration() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    let live = rows(2, 4_000, 0.5).write(&folder, "l.parquet");
    let config = folder.path().join("driftd.yaml");
    let model = |name: &str, design_effect: u32| {
        format!(
            "
  - name: {name}
    topic: {name}
    ignore: [country]
    drift_config:
      reference_dataset: {}
      design_effect: {design_effect}
      thresholds: {{psi_alert: 0.1, psi_retrain: 0.9}}",
            reference.display()
        )
    };
    let yaml = format!(
        "kafka: {{brokers: [localhost:9092]}}\nmodels:{}{}\n",
        model("a", 1),
        model("b", 60)
    );
    fs::write(&config, yaml).unwrap();
    let config = config.to_str().unwrap();
    let by = |model: &str| {
        compare(&reference, &live, &["-c", config, "--model", model, "--format", "json"])
    };
    let a = by("a");
    assert_eq!(code(&a), 3, "{a:?}");
    assert_eq!(json(&a)["features"].as_array().unwrap().len(), 1);
    assert_eq!(feature(&json(&a), "amount")["verdict"], "warning");
    // Sixty times as noisy: the same score is under its floor.
    let b = by("b");
    assert_eq!(code(&b), 0, "{b:?}");
    assert_eq!(feature(&json(&b), "amount")["verdict"], "insufficient_samples");
    let c = by("c");
    assert_eq!(code(&c), 2);
    assert!(stderr(&c).contains("has no model `c`; it has a, b"), "{c:?}");
    assert_eq!(code(&compare(&reference, &live, &["-c", config])), 2);
    assert_eq!(code(&compare(&reference, &live, &["--model", "a"])), 2);
    assert_eq!(code(&compare(&reference, &live, &["-c", "nowhere.yaml"])), 78);
}

/// `numpy.histogram_bin_edges(both, "sturges")` and Evidently's PSI over it, from the values.
fn evidentlys_psi(reference: &[f64], live: &[f64]) -> f64 {
    let both = || reference.iter().chain(live);
    let (low, high) = both().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    let values = (reference.len() + live.len()) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few bins")]
    let bins = (values.log2() + 1.0).ceil() as usize;
    let width = (high - low) / bins as f64;
    let shares = |side: &[f64]| -> Vec<f64> {
        let mut counts = vec![0.0; bins];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "floored")]
        side.iter().for_each(|x| counts[(((x - low) / width) as usize).min(bins - 1)] += 1.0);
        let shares = counts.iter().map(|count| count / side.len() as f64);
        let least = shares.clone().filter(|&share| share > 0.0).fold(1.0, f64::min);
        let fill = if least <= 1e-4 { least / 1e6 } else { 1e-4 };
        shares.map(|share| if share > 0.0 { share } else { fill }).collect()
    };
    shares(reference).iter().zip(shares(live)).map(|(r, c)| (r - c) * (r / c).ln()).sum()
}

#[test]
fn the_profile_of_evidently_gives_its_numbers_and_needs_its_own_cells() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0);
    let values = |rows: &Rows| rows.amount.iter().flatten().copied().collect::<Vec<f64>>();
    let (low, high) =
        values(&reference).iter().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    let mut live = rows(2, 4_000, 0.5);
    live.amount.retain(|x| x.is_some_and(|x| (low..=high).contains(&x)));
    live.country.truncate(live.amount.len());
    let (r, l) = (reference.write(&folder, "r.parquet"), live.write(&folder, "l.parquet"));
    let output = compare(&r, &l, &["--format", "json", "--profile", "evidently"]);
    assert_eq!(code(&output), 3, "{output:?}");
    let whole = json(&output);
    let scores = &feature(&whole, "amount")["scores"];
    let psi = evidentlys_psi(&values(&reference), &values(&live));
    assert!((scores["psi"]["value"].as_f64().unwrap() / psi - 1.0).abs() < 1e-9, "{scores} {psi}");
    assert_eq!(scores["js_distance"]["threshold"], 0.1);
    let usual = json(&compare(&r, &l, &["--format", "json"]));
    assert!(feature(&usual, "amount")["scores"]["js_distance"]["threshold"].is_null());

    let build = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftd"));
        command.args(["baseline", "build"]).arg(&r).arg("-o").arg(&path).args(more);
        assert_eq!(code(&command.output().unwrap()), 0);
        path
    };
    let theirs = build("theirs.json", &["--profile", "evidently"]);
    // A profile says itself whose numbers it was built for.
    assert_eq!(
        json(&compare(&theirs, &l, &["--format", "json"]))["features"][0]["scores"]["psi"],
        scores["psi"]
    );
    let ours = build("ours.json", &[]);
    let refused = compare(&ours, &l, &["--profile", "evidently"]);
    assert_eq!(code(&refused), 78);
    let text = stderr(&refused);
    assert!(text.contains("`amount`") && text.contains("--profile evidently"), "{text}");
    assert_eq!(code(&compare(&r, &l, &["--profile", "nannyml"])), 2);
}

#[test]
fn a_page_of_the_comparison_is_one_file_with_every_feature() {
    let dir = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&dir, "reference.parquet");
    let live = rows(2, 10_000, 0.9).write(&dir, "live.parquet");
    let page = dir.path().join("drift.html");
    let output = compare(&reference, &live, &["--html", page.to_str().unwrap()]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let html = fs::read_to_string(&page).unwrap();
    for part in ["They differ.", "id=\"feature-amount\"", "id=\"feature-country\"", "<svg"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<script") && !html.contains("src="));
    let nowhere = dir.path().join("no/such/folder.html");
    let output = compare(&reference, &live, &["--html", nowhere.to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("folder.html"), "{}", stderr(&output));
}

/// A configuration of one model with this reference, and what else it says.
fn configured(folder: &TempDir, reference: &Path, more: &str) -> String {
    let path = folder.path().join("driftd.yaml");
    let head = format!(
        "kafka: {{brokers: [localhost:9092]}}\ntopic: t\ndrift_config:\n  reference_dataset: {}\n",
        reference.display()
    );
    fs::write(&path, head + more).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_models_checks_are_asked_of_all_rows_and_a_violated_one_fails() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    let rows_of_live = rows(2, 4_000, 0.0);
    let live = rows_of_live.write(&folder, "l.parquet");
    let checks = "checks:
- {feature: amount, between: [0, 120], mostly: 0.99, severity: critical}
- {feature: amount, mean: [90, 110]}
- {feature: country, in: [de, fr, at]}
- {name: volume, records: [10000, null], severity: info}
";
    let config = configured(&folder, &reference, checks);
    let page = folder.path().join("drift.html");
    let args = ["-c", &config, "--html", page.to_str().unwrap()];
    let output = compare(&reference, &live, &[&args[..], &["--format", "json"]].concat());
    assert_eq!(code(&output), 3, "{output:?}");
    let told = json(&output);
    assert_eq!(told["verdict"], "violated");
    let states: Vec<_> = told["checks"].as_array().unwrap().iter().map(|c| &c["state"]).collect();
    assert_eq!(states, ["violated", "passed", "passed", "violated"]);
    // Counted here, by itself.
    let outside = rows_of_live.amount.iter().flatten().filter(|x| !(0.0..=120.0).contains(*x));
    let share = outside.count() as f64 / 4_000.0;
    let first = &told["checks"][0];
    assert!(share > 0.05, "{share}");
    assert_eq!((&first["value"], &first["exact"]), (&share.into(), &true.into()), "{first}");
    let html = fs::read_to_string(&page).unwrap();
    for part in ["but a check is violated", "<h2>Checks</h2>", "outside 0 to 120"] {
        assert!(html.contains(part), "{part}");
    }
    let text = String::from_utf8(compare(&reference, &live, &args).stdout).unwrap();
    let end = "violated: 0 of 2 features at warning or above; 2 of 4 checks violated (amount between and 1 more)";
    assert_eq!(text.lines().last().unwrap(), end);
    let line = text.lines().find(|line| line.starts_with("amount between  ")).unwrap();
    assert!(line.contains("  violated  critical  amount: "), "{line}");

    // What only informs fails nothing; nor does a file without a check say anything of them.
    let informs = "checks: [{name: volume, records: [10000, null], severity: info}]\n";
    let config = configured(&folder, &reference, informs);
    let output = compare(&reference, &live, &["-c", &config, "--format", "json"]);
    assert_eq!((code(&output), &json(&output)["verdict"]), (0, &"stable".into()));
    assert_eq!(json(&output)["checks"][0]["state"], "violated");
    let plain = compare(&reference, &live, &["--format", "json"]);
    assert!(json(&plain).get("checks").is_none());
    // Drift is the stronger word.
    let drifted = rows(3, 4_000, 0.9).write(&folder, "d.parquet");
    let config = configured(&folder, &reference, checks);
    let output = compare(&reference, &drifted, &["-c", &config, "--format", "json"]);
    assert_eq!((code(&output), &json(&output)["verdict"]), (3, &"drifted".into()));
}

#[test]
fn checks_of_what_is_not_there_are_faults_missing_or_unknown() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 20_000, 0.0).write(&folder, "r.parquet");
    let amount: ArrayRef = Arc::new(Float64Array::from(rows(2, 300, 0.0).amount));
    let live = folder.path().join("l.parquet");
    write(&live, vec![("amount", amount)]);
    let asked = |checks: &str| {
        let config = configured(&folder, &reference, &format!("checks:\n{checks}"));
        compare(&reference, &live, &["-c", &config, "--format", "json"])
    };
    let gone = asked("- {feature: country, missing: [0, 0.01]}\n- {feature: country, in: [de]}\n");
    assert_eq!(code(&gone), 3, "{gone:?}");
    let told = json(&gone);
    let states = [&told["checks"][0]["state"], &told["checks"][1]["state"]];
    assert_eq!(states, ["violated", "unknown"]);
    let why = told["checks"][1]["sentence"].as_str().unwrap();
    assert!(why.contains("the live side has no value"), "{why}");
    for (check, parts) in [
        ("- {feature: betrag, mean: [0, 1]}\n", ["driftd.yaml:6:", "no feature `betrag`"]),
        ("- {feature: country, mean: [0, 1]}\n", ["checks[0]", "`country` is categories"]),
    ] {
        let output = asked(check);
        assert_eq!(code(&output), 78, "{output:?}");
        let said = stderr(&output);
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn categories_that_are_floats_are_compared_as_what_the_reference_stores() {
    let folder = TempDir::new().unwrap();
    let rate = |i: usize| [0.1, 0.25, 1.0, 0.7][i % 4];
    let reference = folder.path().join("r.parquet");
    #[expect(clippy::cast_possible_truncation, reason = "a column of singles is the point")]
    let single: ArrayRef =
        Arc::new((0..4_000).map(|i| Some(rate(i) as f32)).collect::<Float32Array>());
    write(&reference, vec![("rate", single.clone())]);
    let config = configured(&folder, &reference, "features: {rate: {kind: categorical}}\n");
    let unseen = |name: &str, rate: ArrayRef| {
        let live = folder.path().join(name);
        write(&live, vec![("rate", rate)]);
        let output = compare(&reference, &live, &["-c", &config, "--format", "json"]);
        feature(&json(&output), "rate")["scores"]["unseen"]["value"].as_f64().unwrap()
    };
    let widened = single.as_primitive::<Float32Type>().iter().map(|x| x.map(f64::from));
    let texts = (0..4_000).map(|i| Some(["0.10", "0.25", "1.0", "0.699999988079071"][i % 4]));
    let same: [ArrayRef; 4] = [
        single.clone(),
        Arc::new(widened.collect::<Float64Array>()),
        Arc::new((0..4_000).map(|i| Some(rate(i))).collect::<Float64Array>()),
        Arc::new(texts.collect::<StringArray>()),
    ];
    for (i, live) in same.into_iter().enumerate() {
        let unseen = unseen(&format!("{i}.parquet"), live);
        assert!(unseen <= 0.0, "{i}: {unseen}");
    }
    let other = (0..4_000).map(|i| Some(if i % 4 == 0 { 0.11 } else { rate(i) }));
    let unseen = unseen("other.parquet", Arc::new(other.collect::<Float64Array>()));
    assert!((unseen - 0.25).abs() < 1e-3, "{unseen}");
}

#[test]
fn a_column_that_live_has_twice_is_refused_and_no_input_is_written_over() {
    let folder = TempDir::new().unwrap();
    let reference = rows(1, 1_000, 0.0).write(&folder, "r.parquet");
    let amount: ArrayRef = Arc::new(Float64Array::from(rows(2, 300, 0.0).amount));
    let twice = folder.path().join("twice.parquet");
    write(&twice, vec![("amount", amount.clone()), ("amount", amount)]);
    let output = compare(&reference, &twice, &[]);
    assert_eq!(code(&output), 78, "{output:?}");
    let said = stderr(&output);
    assert!(said.contains("twice.parquet") && said.contains("`amount` appears twice"), "{said}");

    let live = rows(2, 300, 0.0).write(&folder, "l.parquet");
    let before = fs::read(&reference).unwrap();
    let output = compare(&reference, &live, &["--html", reference.to_str().unwrap()]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(stderr(&output).contains("is read by this command"), "{output:?}");
    assert_eq!(fs::read(&reference).unwrap(), before);
}
