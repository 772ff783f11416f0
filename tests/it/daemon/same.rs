//! One Parquet file both ways: as `LIVE` of `driftd compare`, and record by record through Kafka.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use parquet::arrow::ArrowWriter;
use serde_json::{Map, Value, json};

use super::harness::{DRIFTD, Daemon};
use super::world::{Dice, MINUTE, PARTITIONS, START, World};

/// A row, with gaps.
struct Row {
    amount: Option<f64>,
    ratio: Option<f32>,
    visits: Option<i64>,
    country: Option<&'static str>,
    returning: Option<bool>,
}

const COUNTRIES: [&str; 5] = ["de", "fr", "nl", "at", "xx"];

/// Rows of a world that is as it was, or has moved: other means, a new country, more gaps.
fn rows(seed: u64, n: usize, moved: bool) -> Vec<Row> {
    let mut dice = Dice::new(seed);
    let mut uniform = move || (dice.next() >> 11) as f64 / (1u64 << 53) as f64;
    let (shift, countries, gap) = if moved { (0.4, 5.0, 0.03) } else { (0.0, 4.0, 0.02) };
    let mut row = || {
        let bell = (0..12).map(|_| uniform()).sum::<f64>() - 6.0 + shift;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let (visits, country) =
            (((uniform() + shift) * 40.0) as i64, (uniform() * countries) as usize);
        #[expect(clippy::cast_possible_truncation, reason = "a column of the narrower type")]
        let ratio = (uniform() + 0.5 * shift) as f32;
        let returning = uniform() < 0.3 + shift;
        let mut there = || uniform() >= gap;
        Row {
            amount: there().then_some(100.0 + 15.0 * bell),
            ratio: there().then_some(ratio),
            visits: there().then_some(visits),
            country: there().then_some(COUNTRIES[country]),
            returning: there().then_some(returning),
        }
    };
    (0..n).map(|_| row()).collect()
}

fn write(path: &Path, rows: &[Row]) {
    let columns: [(&str, ArrayRef); 5] = [
        ("amount", Arc::new(rows.iter().map(|row| row.amount).collect::<Float64Array>())),
        ("ratio", Arc::new(rows.iter().map(|row| row.ratio).collect::<Float32Array>())),
        ("visits", Arc::new(rows.iter().map(|row| row.visits).collect::<Int64Array>())),
        ("country", Arc::new(rows.iter().map(|row| row.country).collect::<StringArray>())),
        ("returning", Arc::new(rows.iter().map(|row| row.returning).collect::<BooleanArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A gap is an explicit null in every other row, and no key at all in the rest.
fn record(row: &Row, ts: i64, with_nulls: bool) -> Value {
    let values = [
        ("amount", json!(row.amount)),
        ("ratio", json!(row.ratio)),
        ("visits", json!(row.visits)),
        ("country", json!(row.country)),
        ("returning", json!(row.returning)),
    ];
    let kept = values.into_iter().filter(|(_, value)| with_nulls || !value.is_null());
    let features: Map<String, Value> = kept.map(|(key, value)| (key.to_owned(), value)).collect();
    json!({"ts": ts, "features": features})
}

/// Values and p-values of every statistic of every feature, as they are printed.
fn scores(features: &Value) -> Vec<(String, String, Value, Value)> {
    let mut all = Vec::new();
    for feature in features.as_array().unwrap() {
        for (statistic, score) in feature["scores"].as_object().unwrap() {
            let name = feature["feature"].as_str().unwrap().to_owned();
            let (value, p_value) = (score["value"].clone(), score["p_value"].clone());
            all.push((name, statistic.clone(), value, p_value));
        }
    }
    all
}

#[test]
fn the_daemon_and_compare_print_the_same_scores_for_the_same_records() {
    let world = World::new();
    let live = rows(12, 4_000, true);
    write(&world.reference(), &rows(11, 20_000, false));
    write(&world.path("live.parquet"), &live);
    let models = world.model("own", "") + &world.model("theirs", "      profile: evidently\n");
    let config = world.write_config("state", "one", &models);
    let daemon = Daemon::start(&config);
    // Seven minutes of records, and two later ones that close their panes.
    for (i, row) in live.iter().enumerate() {
        let i = i64::try_from(i).unwrap();
        let ts = START + i * 7 * MINUTE / 4_000;
        world.send(i32::from(i % 3 == 0), ts, &record(row, ts, i % 2 == 0));
    }
    for partition in 0..PARTITIONS {
        for i in 0..16 {
            let ts = START + 9 * MINUTE + i * 1_000;
            world.send(partition, ts, &record(&live[0], ts, true));
        }
    }
    world.flush();
    for model in ["own", "theirs"] {
        daemon.until_end(model, START + 8 * MINUTE);
        let streamed = daemon.model(model);
        assert_eq!(streamed["window"]["records"], 4_000, "{streamed}");
        let output = Command::new(DRIFTD)
            .arg("compare")
            .args([world.reference(), world.path("live.parquet")])
            .args(["--format", "json", "--model", model, "-c"])
            .arg(&config)
            .output()
            .unwrap();
        let compared: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let (streamed, compared) = (scores(&streamed["features"]), scores(&compared["features"]));
        assert!(streamed.len() >= 5 * 11, "{}", streamed.len());
        assert_eq!(streamed, compared, "{model}");
    }
}
