//! JSON records to columns against `serde_json` into a typed struct and then columns, and against
//! `msgspec` and `orjson`, which only decode; CPU time of one thread, turn by turn in one run.
//!
//! All read numbers exactly (`serde_json` with `float_roundtrip`, as it is built here). Without that
//! feature `serde_json` is a twentieth faster, but not all of its numbers are the nearest doubles.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its ratios")]
#![expect(clippy::panic, reason = "a bench that can't go on ends")]

use std::borrow::Cow;
use std::fs;
use std::hint::black_box;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use driftd::decode::{Batch, Decoder, Fields, Format, Message, Options};
use driftd::dice::Dice;
use driftd::feature::{Feature, Kind, Role};
use serde::Deserialize;

use peer::Peer;

mod clock;
mod peer;
mod table;

const RECORDS: usize = 4096;
const ROUNDS: usize = 25;

macro_rules! record {
    ($($number:ident)*; $($text:ident)*) => {
        #[derive(Deserialize)]
        struct Features<'a> {
            $(#[serde(default)] $number: Option<f64>,)*
            $(#[serde(default, borrow)] $text: Option<Cow<'a, str>>,)*
        }

        #[derive(Default)]
        struct Columns {
            $($number: Vec<Option<f64>>,)*
            $($text: Vec<Option<String>>,)*
            prediction: Vec<Option<f64>>,
            ts: Vec<i64>,
        }

        impl Columns {
            /// Every number added up in order, and the letters of every text.
            fn sums(&self) -> (Vec<f64>, Vec<usize>) {
                let total = |column: &[Option<f64>]| column.iter().flatten().sum();
                let letters = |column: &[Option<String>]| column.iter().flatten().map(String::len).sum();
                (
                    vec![$(total(&self.$number),)* total(&self.prediction)],
                    vec![$(letters(&self.$text),)*],
                )
            }

            fn assert_equal(&self, batch: &Batch) {
                let mut theirs = batch.columns.iter().map(|column| &column.array);
                let mut next = || theirs.next().expect("every feature has a column");
                $(assert!(next().as_primitive::<Float64Type>().iter().eq(self.$number.iter().copied()));)*
                $(assert!(next().as_string::<i32>().iter().eq(self.$text.iter().map(Option::as_deref)));)*
                let prediction = next().as_primitive::<Float64Type>();
                assert!(prediction.iter().eq(self.prediction.iter().copied()));
            }

            fn push(&mut self, record: Record<'_>) {
                $(self.$number.push(record.features.$number);)*
                $(self.$text.push(record.features.$text.map(Cow::into_owned));)*
                self.prediction.push(record.prediction);
                self.ts.push(record.ts);
            }
        }

        const NUMBERS: &[&str] = &[$(stringify!($number)),*];
        const TEXTS: &[&str] = &[$(stringify!($text)),*];
    };
}

record!(
    amount account_age_days balance credit_limit utilization n_tx_1h n_tx_24h n_tx_7d
    mean_amount_7d sd_amount_7d distance_home_km distance_last_km minutes_since_last hour
    day_of_week merchant_risk device_age_days failed_logins ip_risk score_bureau income
    tenure_months;
    country currency channel merchant_category
);

#[derive(Deserialize)]
struct Record<'a> {
    ts: i64,
    #[serde(borrow)]
    features: Features<'a>,
    prediction: Option<f64>,
}

fn main() {
    let mut dice = Dice::new(1);
    let orders = [("stable", false), ("shuffled", true)].map(|(name, shuffled)| {
        let write = |_| write_record(&mut dice, shuffled);
        (name, (0..RECORDS).map(write).collect::<Vec<String>>())
    });
    let folder = tempfile::tempdir().expect("there is room");
    let files = orders.each_ref().map(|(name, records)| {
        let file = folder.path().join(name);
        fs::write(&file, records.join("\n")).expect("there is room");
        file
    });
    let (numbers, texts) = (NUMBERS.join(","), TEXTS.join(","));
    let arguments = [files[0].as_path(), &files[1], numbers.as_ref(), texts.as_ref()];
    let mut python = Peer::start("decode.py", "fast", &arguments);
    for (name, records) in &orders {
        compare(name, records, python.as_mut());
    }
}

/// CPU seconds for all records.
#[derive(Clone, Copy)]
struct Seconds {
    driftd: f64,
    serde_json: f64,
    utf8: f64,
    msgspec: f64,
    orjson: f64,
}

impl Seconds {
    const NONE: Self = Self {
        driftd: f64::INFINITY,
        serde_json: f64::INFINITY,
        utf8: f64::INFINITY,
        msgspec: f64::INFINITY,
        orjson: f64::INFINITY,
    };
}

fn compare(order: &str, records: &[String], mut python: Option<&mut Peer>) {
    let mut decoder = decoder();
    let mut batch: Option<Batch> = None;
    let mut columns = Columns::default();
    let mut best = Seconds::NONE;
    for _ in 0..ROUNDS {
        let (peer, driftd) = clock::fastest(
            1,
            || {
                columns = Columns::default();
                for record in black_box(records) {
                    columns.push(serde_json::from_str(record).expect("these records are valid"));
                }
            },
            || {
                let message = |(offset, record)| message(offset, record);
                batch = Some(decoder.decode((0..).zip(black_box(records)).map(message)));
            },
        );
        best.serde_json = best.serde_json.min(peer);
        best.driftd = best.driftd.min(driftd);
        let (utf8, _) = clock::fastest(1, || check_utf8(black_box(records)), || ());
        best.utf8 = best.utf8.min(utf8);
        if let Some(python) = &mut python {
            best.msgspec = best.msgspec.min(python.seconds(&format!("msgspec {order}")));
            best.orjson = best.orjson.min(python.seconds(&format!("orjson {order}")));
        }
    }
    let batch = batch.expect("it ran");
    check(&batch, &columns);
    if let Some(python) = python {
        check_sums(&columns, &python.turn(&format!("sums {order}")));
    }
    show(order, records, best);
}

fn show(order: &str, records: &[String], best: Seconds) {
    let bytes: usize = records.iter().map(String::len).sum();
    let each = |seconds: f64| seconds * 1e9 / RECORDS as f64;
    println!(
        "{order}: {} B a record; driftd {:.0} ns a record",
        bytes / RECORDS,
        each(best.driftd)
    );
    let what = format!("JSON, 26 features, {order} keys");
    let typed = if order == "stable" { 2.5 } else { 1.8 };
    for (peer, seconds, reach) in [
        ("serde_json, typed struct to columns", best.serde_json, Some(typed)),
        ("msgspec, typed struct", best.msgspec, Some(3.0)),
        ("orjson.loads", best.orjson, None),
        ("the UTF-8 check alone (a limit)", best.utf8, None),
    ] {
        if seconds.is_finite() {
            table::row("decode", &what, peer, seconds / best.driftd, reach);
        }
    }
}

fn check_utf8(records: &[String]) {
    for record in records {
        black_box(std::str::from_utf8(record.as_bytes()).is_ok());
    }
}

fn decoder() -> Decoder {
    let fields: Fields =
        serde_json::from_str(r#"{"event_time": {"pointer": "/ts", "unit": "ms"}}"#)
            .expect("these fields are valid");
    let feature =
        |name: &str, kind, role| Feature { name: name.into(), role, kind, boolean: false };
    let mut features: Vec<Feature> =
        NUMBERS.iter().map(|name| feature(name, Kind::Numeric, Role::Feature)).collect();
    features.extend(TEXTS.iter().map(|name| feature(name, Kind::Categorical, Role::Feature)));
    features.push(feature("prediction", Kind::Numeric, Role::Prediction));
    Decoder::new(Format::Json, &fields, &Options::default(), "fraud", &features)
}

fn message(offset: i64, record: &String) -> Message<'_> {
    Message { offset, timestamp_ms: 1_735_732_800_000, payload: Some(record.as_bytes()) }
}

/// That both did the same work.
fn check(batch: &Batch, columns: &Columns) {
    assert!(batch.rejects.is_empty());
    assert_eq!(batch.event_ms, columns.ts);
    columns.assert_equal(batch);
}

/// That the peer in Python read the same.
fn check_sums(columns: &Columns, theirs: &serde_json::Value) {
    let (numbers, letters) = columns.sums();
    assert_eq!(theirs["numbers"], serde_json::json!(numbers));
    assert_eq!(theirs["letters"], serde_json::json!(letters));
}

fn write_record(dice: &mut Dice, shuffled: bool) -> String {
    let mut entries: Vec<String> = Vec::new();
    for (i, name) in NUMBERS.iter().enumerate() {
        let value = match i % 3 {
            0 => format!("{}", dice.uniform() * 1000.0),
            1 => format!("{}", dice.draw() % 1000),
            _ => format!("{:.2}", dice.uniform() * 100.0),
        };
        entries.push(format!("\"{name}\": {value}"));
    }
    for name in TEXTS {
        let value = ["DE", "FR", "online", "groceries"][dice.below(4)];
        entries.push(format!("\"{name}\": \"{value}\""));
    }
    if shuffled {
        for i in (1..entries.len()).rev() {
            entries.swap(i, dice.below(i + 1));
        }
    }
    format!(
        "{{\"id\": \"{:016x}\", \"ts\": {}, \"features\": {{{}}}, \"prediction\": {}}}",
        dice.draw(),
        1_735_732_800_000 + dice.draw() % 1_000_000,
        entries.join(", "),
        dice.uniform()
    )
}
