//! JSON records to columns against `serde_json` into a typed struct and then columns, in one run.
//!
//! Both read numbers exactly (`float_roundtrip`), both end with the same columns. Without that feature
//! the peer is a twentieth faster, but not all of its numbers are the nearest doubles.

#![expect(clippy::print_stdout, reason = "a bench prints its ratios")]

use std::borrow::Cow;
use std::hint::black_box;

use driftd::decode::{Batch, Decoder, Fields, Format, Message, Options};
use driftd::feature::{Feature, Kind, Role};
use serde::Deserialize;

mod clock;

const RECORDS: usize = 4096;

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
    let mut random = Random(1);
    println!("keys      bytes  serde_json typed   driftd       ratio");
    for (name, shuffled) in [("stable", false), ("shuffled", true)] {
        let records: Vec<String> =
            (0..RECORDS).map(|_| write_record(&mut random, shuffled)).collect();
        compare(name, &records);
    }
}

fn compare(name: &str, records: &[String]) {
    let fields: Fields =
        serde_json::from_str(r#"{"event_time": {"pointer": "/ts", "unit": "ms"}}"#)
            .expect("these fields are valid");
    let feature =
        |name: &str, kind, role| Feature { name: name.into(), role, kind, boolean: false };
    let mut features: Vec<Feature> =
        NUMBERS.iter().map(|name| feature(name, Kind::Numeric, Role::Feature)).collect();
    features.extend(TEXTS.iter().map(|name| feature(name, Kind::Categorical, Role::Feature)));
    features.push(feature("prediction", Kind::Numeric, Role::Prediction));
    let mut decoder = Decoder::new(Format::Json, &fields, &Options::default(), "fraud", &features);
    let mut batch: Option<Batch> = None;
    let mut columns = Columns::default();
    let (peer, driftd) = clock::fastest(
        25,
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
    let batch = batch.expect("it ran");
    check(&batch, &columns);
    let bytes: usize = records.iter().map(String::len).sum();
    let each = |seconds: f64| seconds * 1e9 / RECORDS as f64;
    println!(
        "{name:9} {:5}  {:10.0} ns     {:8.0} ns  {:6.2}x",
        bytes / RECORDS,
        each(peer),
        each(driftd),
        peer / driftd
    );
}

fn message(offset: i64, record: &String) -> Message<'_> {
    Message { offset, timestamp_ms: 1_735_732_800_000, payload: Some(record.as_bytes()) }
}

/// Spot checks that both did the same work.
fn check(batch: &Batch, columns: &Columns) {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;

    assert!(batch.rejects.is_empty());
    assert_eq!(batch.event_ms, columns.ts);
    let amount = batch.columns[0].array.as_primitive::<Float64Type>();
    assert!(amount.iter().eq(columns.amount.iter().copied()));
    let country = batch.columns[NUMBERS.len()].array.as_string::<i32>();
    assert!(country.iter().eq(columns.country.iter().map(Option::as_deref)));
    let last = batch.columns.last().expect("there are columns");
    let prediction = last.array.as_primitive::<Float64Type>();
    assert!(prediction.iter().eq(columns.prediction.iter().copied()));
}

fn write_record(random: &mut Random, shuffled: bool) -> String {
    let mut entries: Vec<String> = Vec::new();
    for (i, name) in NUMBERS.iter().enumerate() {
        let value = match i % 3 {
            0 => format!("{}", random.uniform() * 1000.0),
            1 => format!("{}", random.next() % 1000),
            _ => format!("{:.2}", random.uniform() * 100.0),
        };
        entries.push(format!("\"{name}\": {value}"));
    }
    for name in TEXTS {
        let value = ["DE", "FR", "online", "groceries"][random.below(4)];
        entries.push(format!("\"{name}\": \"{value}\""));
    }
    if shuffled {
        for i in (1..entries.len()).rev() {
            entries.swap(i, random.below(i + 1));
        }
    }
    format!(
        "{{\"id\": \"{:016x}\", \"ts\": {}, \"features\": {{{}}}, \"prediction\": {}}}",
        random.next(),
        1_735_732_800_000 + random.next() % 1_000_000,
        entries.join(", "),
        random.uniform()
    )
}

/// SplitMix64: the same records in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("it is below a usize")
    }

    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
