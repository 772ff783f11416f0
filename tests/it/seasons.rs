//! Seasons from outside: what a baseline shows, what is refused, and what a replay of seasonal traffic decides.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use driftd::dice::Dice;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;

/// 2026-01-05T00:00:00Z, a Monday.
const START: i64 = 1_767_571_200_000;
const DAY: i64 = 86_400_000;
const HOUR: i64 = DAY / 24;
/// From one record to the next one: ten in each pane of five minutes.
const STEP: i64 = 30_000;
const BASELINE_DAYS: i64 = 8;

/// Where in its day a moment is: -1 at six in the morning, 1 at six in the evening (UTC).
fn of_day(at_ms: i64) -> f64 {
    -(at_ms.rem_euclid(DAY) as f64 / DAY as f64 * std::f64::consts::TAU).sin()
}

/// Rows from `from` days behind the start on: `evening` and `country` have a season, `steady` has none, and
/// `constant` nothing at all. `moved` is added to `evening`, in standard deviations.
fn rows(
    seed: u64,
    from: i64,
    days: i64,
    moved: impl Fn(i64) -> f64,
) -> Vec<(&'static str, ArrayRef)> {
    let mut dice = Dice::new(seed);
    let times: Vec<i64> =
        (0..days * DAY / STEP).map(|row| START + from * DAY + row * STEP).collect();
    let evening: Vec<f64> =
        times.iter().map(|&at| dice.bell() + 1.2 * of_day(at) + moved(at)).collect();
    let steady: Vec<f64> = times.iter().map(|_| dice.bell()).collect();
    let country = times.iter().map(|&at| {
        let home = 0.4 + 0.3 * of_day(at);
        match dice.uniform() {
            x if x < home => "DE",
            x if x < 0.8 => "FR",
            _ => "NL",
        }
    });
    let country = StringArray::from_iter_values(country);
    let constant = Float64Array::from(vec![7.0; times.len()]);
    vec![
        ("ts", Arc::new(TimestampMillisecondArray::from(times))),
        ("evening", Arc::new(Float64Array::from(evening))),
        ("steady", Arc::new(Float64Array::from(steady))),
        ("country", Arc::new(country)),
        ("constant", Arc::new(constant)),
    ]
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn driftd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftd")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct World {
    dir: TempDir,
}

impl World {
    /// A baseline of eight days.
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        write(&world.path("reference.parquet"), rows(1, 0, BASELINE_DAYS, |_| 0.0));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn policy(&self, reference: &str, season: &Value) -> String {
        let config = json!({
            "kafka": {"brokers": "localhost:9092"},
            "models": [{
                "name": "shop",
                "topic": "orders",
                "drift_config": {
                    "reference_dataset": self.name(reference),
                    "window": "6h",
                    "season": season,
                    "retraining_trigger": {"webhook": "https://retrain.example/now"},
                },
            }],
        });
        std::fs::write(self.path("policy.yaml"), config.to_string()).unwrap();
        self.name("policy.yaml")
    }

    /// What `baseline show` tells of every feature.
    fn shown(&self, args: &[&str]) -> Value {
        let output = driftd(&[&["baseline", "show", "--format", "json"], args].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
    }

    fn validate(&self, reference: &str, season: &Value) -> (i32, String) {
        let policy = self.policy(reference, season);
        let output = driftd(&["validate", "--offline", "-c", &policy]);
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    }

    /// The only run of a replay.
    fn replay(&self, live: &str, season: &Value) -> Value {
        let policy = self.policy("reference.parquet", season);
        let output = driftd(&["replay", &self.name(live), "-c", &policy, "--format", "json"]);
        let replay: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        replay
    }
}

fn season<'a>(shown: &'a Value, feature: &str) -> &'a Value {
    let features = shown["features"].as_array().unwrap();
    &features.iter().find(|found| found["feature"] == feature).unwrap()["season"]
}

#[test]
fn a_baseline_shows_which_features_have_a_season_and_what_it_leaves() {
    let world = World::new();
    let reference = world.name("reference.parquet");
    let shown = world.shown(&[&reference]);
    assert_eq!(shown["season"]["period"], "auto");
    assert_eq!(shown["season"]["days"], 8);
    for feature in ["evening", "country"] {
        let season = season(&shown, feature);
        assert_eq!((&season["used"], &season["slots"]), (&json!(true), &json!(24)), "{feature}");
        let effect = |key: &str| season["design_effect"][key].as_f64().unwrap();
        assert!(effect("with") < 5.0 && effect("without") > 30.0, "{season}");
    }
    assert_eq!(season(&shown, "steady")["used"], false);
    assert_eq!(season(&shown, "constant")["used"], false);
    assert!(season(&shown, "ts").is_null(), "a time stamp is no feature");
    let table = text(&driftd(&["baseline", "show", &reference]).stdout);
    assert!(table.contains("auto in UTC: 8.0 days, with rows on 8"), "{table}");
    let line = |feature: &str| table.lines().find(|line| line.starts_with(feature)).unwrap();
    assert!(line("evening").contains("day (") && line("steady").contains("none ("), "{table}");

    // Whatever order the rows stand in.
    let columns = rows(1, 0, BASELINE_DAYS, |_| 0.0);
    let n = u32::try_from(columns[0].1.len()).unwrap();
    let order = arrow::array::UInt32Array::from_iter_values((0..n).map(|row| row * 7919 % n));
    let mixed = columns
        .into_iter()
        .map(|(name, column)| (name, arrow::compute::take(&column, &order, None).unwrap()))
        .collect();
    write(&world.path("mixed.parquet"), mixed);
    let mixed = world.shown(&[&world.name("mixed.parquet")]);
    assert_eq!(season(&mixed, "evening"), season(&shown, "evening"));

    // A profile keeps its slots, and what it was not built for is not made up.
    let profile = world.name("profile.json");
    assert!(driftd(&["baseline", "build", &reference, "-o", &profile]).status.success());
    assert_eq!(season(&world.shown(&[&profile]), "evening"), season(&shown, "evening"));
    let none = world.shown(&[&profile, "--season", "none"]);
    assert!(season(&none, "evening").is_null());
    let refused = driftd(&["baseline", "show", &profile, "--season", "week"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("build it again from the data"));
}

#[test]
fn a_season_needs_times_and_auto_goes_on_without() {
    let world = World::new();
    let columns = || rows(2, 0, 3, |_| 0.0);
    write(&world.path("untimed.parquet"), columns().into_iter().skip(1).collect());
    let same: ArrayRef =
        Arc::new(TimestampMillisecondArray::from(vec![START; columns()[0].1.len()]));
    let still = std::iter::once(("ts", same)).chain(columns().into_iter().skip(1));
    write(&world.path("still.parquet"), still.collect());
    write(&world.path("short.parquet"), columns());

    for period in ["day", "week"] {
        let (code, told) = world.validate("untimed.parquet", &json!({"period": period}));
        assert_eq!(code, 78, "{told}");
        assert!(
            told.contains(&format!("season {period} in UTC needs the time of each row")),
            "{told}"
        );
        assert!(told.contains("drift_config.season") && told.contains("no time column"), "{told}");
    }
    let (code, told) = world.validate("still.parquet", &json!("day"));
    assert!(code == 78 && told.contains("column `ts` tells no two different times"), "{told}");
    let policy = world.policy("untimed.parquet", &json!("day"));
    let started = driftd(&["run", "-c", &policy]);
    assert_eq!(started.status.code(), Some(78), "{}", text(&started.stderr));
    assert!(text(&started.stderr).contains("needs the time of each row"));

    let (code, told) = world.validate("untimed.parquet", &json!("auto"));
    assert!(code == 0 && told.contains("season: auto finds none"), "{told}");
    let (code, told) = world.validate("short.parquet", &json!("auto"));
    assert!(code == 0 && told.contains("spans 3.0 days"), "{told}");
    let (code, told) = world.validate("untimed.parquet", &json!("none"));
    assert!(code == 0 && !told.contains("season"), "{told}");
    // What is asked for is done with three days, too.
    let asked = json!({"period": "day", "slots": 24, "time_zone": "Europe/Berlin"});
    let (code, told) = world.validate("short.parquet", &asked);
    assert!(code == 0 && told.contains("season: day, 24 slots, Europe/Berlin"), "{told}");

    for (wrong, why) in [
        (json!({"period": "day", "slots": 168}), "24 of `period: day`"),
        (json!({"period": "auto", "slots": 7}), "7 slots do not fit"),
        (json!({"time_zone": "Europe/Berln"}), "unknown time zone `Europe/Berln`"),
        (json!("month"), "month"),
    ] {
        let (code, told) = world.validate("short.parquet", &wrong);
        assert!(code == 78 && told.contains(why), "{told}");
    }
}

#[test]
fn a_column_that_tells_days_only_shows_no_season() {
    let world = World::new();
    let mut dice = Dice::new(17);
    // Two months, in which weekends are another world.
    let days: Vec<i32> = (0..60 * 300).map(|row| row / 300).collect();
    let day_0 = i32::try_from(START / DAY).unwrap();
    let values = days.iter().map(|day| dice.bell() + if day % 7 < 5 { 0.0 } else { 3.0 });
    let values: ArrayRef = Arc::new(values.map(Some).collect::<Float64Array>());
    let date: ArrayRef = Arc::new(Date32Array::from_iter_values(days.iter().map(|d| day_0 + d)));
    let written = days.iter().map(|&day| {
        let at = jiff::Timestamp::from_millisecond(START + i64::from(day) * DAY).unwrap();
        Some(at.strftime("%Y-%m-%d").to_string())
    });
    let text: ArrayRef = Arc::new(written.collect::<StringArray>());
    for (name, times) in [("dates.parquet", date), ("texts.parquet", text)] {
        write(&world.path(name), vec![("event_date", times), ("x", Arc::clone(&values))]);
        let shown = world.shown(&[&world.name(name)]);
        assert_eq!(shown["time_column"], "event_date");
        assert!(season(&shown, "x").is_null(), "{shown:#}");
        let effect = shown["features"][1]["design_effect"]["body"].as_f64().unwrap();
        assert!(effect > 30.0, "weekends are dependence: {effect}");
        let (code, told) = world.validate(name, &json!("auto"));
        assert!(code == 0 && told.contains("`event_date` tells days only"), "{told}");
        for period in ["day", "week"] {
            let (code, told) = world.validate(name, &json!({"period": period}));
            assert!(code == 78 && told.contains("column `event_date` tells days only"), "{told}");
        }
    }
}

#[test]
fn baselines_that_can_show_no_season_are_read_all_the_same() {
    let world = World::new();
    let some = |n: usize| -> Vec<(&str, ArrayRef)> {
        let columns = rows(3, 0, 1, |_| 0.0);
        columns.into_iter().map(|(name, column)| (name, column.slice(0, n))).collect()
    };
    // Two rows; half an hour, which is less than twelve panes; a day.
    for (rows, usable) in [(2, false), (120, true), (2880, true)] {
        write(&world.path("some.parquet"), some(rows));
        let shown = world.shown(&[&world.name("some.parquet"), "--season", "day"]);
        let evening = shown["features"]
            .as_array()
            .unwrap()
            .iter()
            .find(|f| f["feature"] == "evening")
            .unwrap();
        assert_eq!(evening["usable"], usable, "{rows} rows");
        assert_eq!(season(&shown, "evening")["used"] == true, usable, "{rows} rows");
        let auto = world.shown(&[&world.name("some.parquet")]);
        assert!(season(&auto, "evening").is_null(), "{rows} rows");
    }
}

#[test]
fn seasonal_traffic_without_drift_is_quiet_and_a_shift_on_it_is_found() {
    let world = World::new();
    let change = START + (BASELINE_DAYS + 4) * DAY + 11 * HOUR;
    let moved = |at: i64| if at >= change { 0.5 } else { 0.0 };
    write(&world.path("live.parquet"), rows(9, BASELINE_DAYS, 7, moved));
    let run = world.replay("live.parquet", &json!("auto"));
    let events = run["events"].as_array().unwrap();
    let at = |event: &Value| {
        event["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    let told: Vec<&Value> = events.iter().filter(|event| event["kind"] != "healthy").collect();
    let first = told.first().unwrap_or_else(|| panic!("{run:#}"));
    assert!(at(first) > change, "before anything changed: {first:#}");
    // Ten records a pane; the median over many seeds is some 600 to 700.
    let records = (at(first) - change) / STEP;
    assert!(records < 2_000, "after {records} records: {first:#}");
    assert!(events.iter().any(|event| event["kind"] == "trigger"), "{run:#}");
    let explained = first["explanation"].as_str().unwrap();
    assert!(explained.contains("(season: day, 24 slots, UTC)"), "{explained}");
}

#[test]
fn a_window_over_part_of_a_day_is_compared_with_that_part() {
    let world = World::new();
    write(&world.path("quiet.parquet"), rows(10, BASELINE_DAYS, 3, |_| 0.0));
    let worst = |season: &Value| {
        let run = world.replay("quiet.parquet", season);
        let features = run["features"].as_array().unwrap().clone();
        let evening = features.into_iter().find(|f| f["feature"] == "evening");
        evening.unwrap_or_else(|| panic!("{run:#}"))
    };
    let (with, without) = (worst(&json!("day")), worst(&json!("none")));
    let psi = |feature: &Value| feature["scores"]["psi"]["value"].as_f64().unwrap();
    // The last six hours: 720 records of the evening.
    assert!(psi(&with) < 0.1, "{with:#}");
    assert!(psi(&without) > 0.5, "{without:#}");
    assert_eq!(with["season"], "day, 24 slots, UTC");
    // Fewer records stand behind a part of the day.
    let count = |feature: &Value| feature["reference_count"].as_u64().unwrap();
    assert!(count(&with) < count(&without) / 3, "{} {}", count(&with), count(&without));
}

#[test]
fn tune_says_what_it_leaves_out_of_a_season() {
    let world = World::new();
    write(&world.path("quiet.parquet"), rows(11, BASELINE_DAYS, 3, |_| 0.0));
    let quiet = world.name("quiet.parquet");
    let notes = |season: &Value| {
        let policy = world.policy("reference.parquet", season);
        let output = driftd(&["tune", &quiet, "-c", &policy, "--format", "json"]);
        let tuned: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        tuned["notes"].to_string()
    };
    let told = notes(&json!("auto"));
    let words = ["evening and 1 more", "(day, 24 slots, UTC)", "windows", "--shuffle-days"];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert!(!notes(&json!("none")).contains("within their season"));
}
