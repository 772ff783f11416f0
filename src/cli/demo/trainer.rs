//! What stands in for a training pipeline: it writes the Parquet file that a model was trained on.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::ArrayRef;
use arrow::array::BooleanArray;
use arrow::array::Float32Array;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use arrow::array::TimestampMillisecondArray;
use parquet::arrow::ArrowWriter;

use crate::cli::demo::traffic::Payment;
use crate::dice::Dice;
use crate::setting::MINUTE_MS;

pub(super) const ROWS: usize = 20_000;

/// Writes the training data of a world that has `drifted` or not, ending at `end_ms`, beside the file
/// and then renames it: a reader sees the old file or the new one, never half of it.
pub(super) fn train(path: &Path, drifted: bool, end_ms: i64) -> anyhow::Result<()> {
    let mut dice = Dice::new(if drifted { 2 } else { 1 });
    let payments: Vec<Payment> = (0..ROWS).map(|_| dice.payment(drifted)).collect();
    let times = (0i64..).take(ROWS).map(|i| end_ms - (ROWS as i64 - i) * MINUTE_MS);
    let column = |name: &'static str, array: ArrayRef| (name, array);
    let batch = RecordBatch::try_from_iter([
        column("ts", Arc::new(TimestampMillisecondArray::from_iter_values(times))),
        column("amount", floats(&payments, |p| p.amount)),
        column(
            "age_days",
            Arc::new(Int64Array::from_iter_values(payments.iter().map(|p| p.age_days))),
        ),
        column("risk", Arc::new(Float32Array::from_iter_values(payments.iter().map(|p| p.risk)))),
        column("country", texts(&payments, |p| p.country)),
        column("channel", texts(&payments, |p| p.channel)),
        column(
            "foreign",
            Arc::new(BooleanArray::from_iter(payments.iter().map(|p| Some(p.foreign)))),
        ),
        column("prediction", floats(&payments, |p| p.prediction)),
    ])?;
    let unfinished = path.with_extension("parquet.tmp");
    let file = fs::File::create(&unfinished)
        .with_context(|| format!("cannot write {}", unfinished.display()))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

fn floats(payments: &[Payment], of: impl Fn(&Payment) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(payments.iter().map(of)))
}

fn texts(payments: &[Payment], of: impl Fn(&Payment) -> &'static str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(payments.iter().map(of)))
}
