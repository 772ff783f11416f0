//! Inference records of a fraud model with 26 features, and the Parquet file it was trained on.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::Float64Array;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use driftd::dice::Dice;
use parquet::arrow::ArrowWriter;

const NUMBERS: [&str; 22] = [
    "amount",
    "account_age_days",
    "balance",
    "credit_limit",
    "utilization",
    "n_tx_1h",
    "n_tx_24h",
    "n_tx_7d",
    "mean_amount_7d",
    "sd_amount_7d",
    "distance_home_km",
    "distance_last_km",
    "minutes_since_last",
    "hour",
    "day_of_week",
    "merchant_risk",
    "device_age_days",
    "failed_logins",
    "ip_risk",
    "score_bureau",
    "income",
    "tenure_months",
];
const TEXTS: [(&str, [&str; 4]); 4] = [
    ("country", ["DE", "FR", "NL", "PL"]),
    ("currency", ["EUR", "PLN", "USD", "GBP"]),
    ("channel", ["web", "app", "pos", "phone"]),
    ("merchant_category", ["groceries", "travel", "electronics", "fashion"]),
];
pub(crate) const FEATURES: usize = NUMBERS.len() + TEXTS.len();
const REFERENCE_ROWS: usize = 20_000;
/// Event time of the first record, ms since the epoch.
const START_MS: i64 = 1_760_000_000_000;
/// Event time that every partition spans.
const SPAN_MS: i64 = 30 * 60 * 1000;
/// How far neighbours may be out of order.
const DISORDER_MS: u64 = 2_000;

/// The same records in every run.
pub(crate) struct Payments(Dice);

impl Payments {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    /// A value of numeric feature `at`: skewed amounts in cents, whole numbers, full doubles.
    fn number(&mut self, at: usize) -> f64 {
        match at % 3 {
            0 => ((3.2 + 0.8 * self.0.normal()).exp() * 100.0).round() / 100.0,
            1 => (1000.0 * self.0.open().powi(2)).floor(),
            _ => 0.5 + 0.15 * self.0.normal(),
        }
    }

    fn text(&mut self, values: &[&'static str; 4]) -> &'static str {
        values[self.0.below(4)]
    }

    /// Record `i` of the `n` that a partition has: its event time and its payload.
    pub(crate) fn record(&mut self, i: u32, n: u32) -> (i64, String) {
        let late = (self.0.draw() % DISORDER_MS).cast_signed();
        let event_ms = START_MS + i64::from(i) * SPAN_MS / i64::from(n) - late;
        let mut json = String::with_capacity(800);
        let (id, version) = (self.0.draw(), "2026-11-01");
        let mut put = |text: std::fmt::Arguments<'_>| json.write_fmt(text).expect("it is memory");
        put(format_args!(
            r#"{{"id":"{id:016x}","ts":{event_ms},"model_version":"{version}","features":{{"#
        ));
        for (at, name) in NUMBERS.iter().enumerate() {
            put(format_args!("\"{name}\":{},", self.number(at)));
        }
        for (at, (name, values)) in TEXTS.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            put(format_args!("{comma}\"{name}\":\"{}\"", self.text(values)));
        }
        put(format_args!("}},\"prediction\":{:.6}}}", self.0.open()));
        (event_ms, json)
    }
}

/// Writes what the model was trained on: the same distributions.
pub(crate) fn write_reference(path: &Path) {
    let mut payments = Payments::new(2);
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    for (at, name) in NUMBERS.iter().enumerate() {
        let values = (0..REFERENCE_ROWS).map(|_| payments.number(at));
        columns.push((name, Arc::new(Float64Array::from_iter_values(values))));
    }
    for (name, values) in &TEXTS {
        let values = (0..REFERENCE_ROWS).map(|_| payments.text(values));
        columns.push((name, Arc::new(StringArray::from_iter_values(values))));
    }
    let values = (0..REFERENCE_ROWS).map(|_| payments.0.open());
    columns.push(("prediction", Arc::new(Float64Array::from_iter_values(values))));
    let batch = RecordBatch::try_from_iter(columns).expect("the columns are equally long");
    let file = File::create(path).expect("the folder is ours");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a schema");
    writer.write(&batch).expect("there is room");
    writer.close().expect("there is room");
}
