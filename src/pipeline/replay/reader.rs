//! Pieces of a file to the batches that a topic's records would have become.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::BooleanArray;
use arrow::array::RecordBatch;
use arrow::array::new_null_array;
use arrow::compute::filter_record_batch;
use arrow::datatypes::DataType;
use arrow::row::RowConverter;
use arrow::row::SortField;

use crate::baseline::Baseline;
use crate::baseline::FeatureBaseline;
use crate::baseline::Unusable;
use crate::baseline::live_column;
use crate::decode::Batch;
use crate::decode::Decoder;
use crate::decode::Message;
use crate::decode::Reason;
use crate::decode::Reject;
use crate::decode::fingerprint;
use crate::feature::Absent;
use crate::feature::Column;
use crate::feature::Kind;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::source::file::Chunk;
use crate::source::file::Lines;
use crate::source::file::RowTime;
use crate::source::file::times_of;

/// Rows without a time follow each other from 2000-01-01 on, which every pane divides.
const SPREAD_FROM_MS: i64 = 946_684_800_000;
/// A file says when a row happened, not when a broker got it: no row is from the future.
const KAFKA_MS: i64 = i64::MAX;

/// Reads for one way of counting; keeps its decoder's buffers.
pub(super) struct RowReader {
    decoder: Decoder,
    baseline: Arc<Baseline>,
    /// `None`: a topic's records have their own.
    time: Option<RowTime>,
    pane_ms: i64,
}

impl RowReader {
    pub(super) fn new(spec: &Spec, watched: &Watched, time: Option<RowTime>) -> Self {
        let (model, options) = (&spec.model, spec.model.options());
        let (name, features) = (spec.name(), &watched.features);
        Self {
            decoder: Decoder::new(model.format, &model.fields, &options, name, features),
            baseline: watched.baseline.clone(),
            time,
            pane_ms: spec.policy.pane_ms,
        }
    }

    /// The rows of a piece whose first row has the offset `first`.
    pub(super) fn read(&mut self, chunk: &Chunk, first: i64) -> Batch {
        match chunk {
            Chunk::Lines(lines) => self.lines(lines, first),
            Chunk::Table(table) => self.table(table, first),
        }
    }

    /// Records of one partition of a topic, in the order of the log.
    pub(super) fn messages<'a>(&mut self, messages: impl Iterator<Item = Message<'a>>) -> Batch {
        self.decoder.decode(messages)
    }

    fn lines(&mut self, lines: &Lines, first: i64) -> Batch {
        let Self { decoder, time, pane_ms, .. } = self;
        let message = |(offset, line)| {
            let timestamp_ms = match time {
                Some(RowTime::Spread { rows_per_pane }) => spread(offset, *rows_per_pane, *pane_ms),
                Some(RowTime::Field(_) | RowTime::Column { .. }) | None => KAFKA_MS,
            };
            Message { offset, timestamp_ms, payload: Some(line) }
        };
        decoder.decode((first..).zip(lines.iter()).map(message))
    }

    /// Columns are matched to features by name, and counted as `compare` counts them.
    fn table(&self, table: &RecordBatch, first: i64) -> Batch {
        let mut offsets: Vec<i64> = (first..).take(table.num_rows()).collect();
        let mut rejects = Vec::new();
        let mut table = Cow::Borrowed(table);
        let event_ms = match &self.time {
            Some(RowTime::Column { name, unit, zone }) => {
                let times = match table.column_by_name(name) {
                    Some(column) => times_of(column, *unit, zone.as_ref()),
                    None => vec![Err(Some("no event time")); table.num_rows()],
                };
                if times.iter().any(Result::is_err) {
                    let bad = |(&offset, time): (&i64, &Result<i64, Option<&'static str>>)| {
                        let hint = time.err()?.map(Cow::Borrowed);
                        Some(Reject { offset, reason: Reason::BadTime, hint })
                    };
                    rejects = offsets.iter().zip(&times).filter_map(bad).collect();
                    let good: Vec<bool> = times.iter().map(Result::is_ok).collect();
                    let mut keep = good.iter().copied();
                    offsets.retain(|_| keep.next().unwrap_or(false));
                    let kept = filter_record_batch(&table, &BooleanArray::from(good));
                    table = Cow::Owned(kept.expect("the filter has a value for every row"));
                }
                times.into_iter().filter_map(Result::ok).collect()
            }
            Some(RowTime::Spread { rows_per_pane }) => {
                let at = |&offset: &i64| spread(offset, *rows_per_pane, self.pane_ms);
                offsets.iter().map(at).collect()
            }
            // Only lines have fields.
            Some(RowTime::Field(_)) | None => vec![SPREAD_FROM_MS; offsets.len()],
        };
        let columns = self.baseline.features.iter().map(|feature| column_of(&table, feature));
        Batch {
            kafka_ms: vec![KAFKA_MS; offsets.len()],
            fingerprints: fingerprints(&table),
            strangers: Vec::new(),
            columns: columns.collect(),
            offsets,
            event_ms,
            rejects,
            duplicate_keys: 0,
            other_models: 0,
            imprecise: 0,
            looked_up: 0,
        }
    }
}

/// Of every row with all its columns; none where they hold what can't be written as bytes.
fn fingerprints(table: &RecordBatch) -> Vec<u64> {
    let columns = table.columns().iter();
    let fields = columns.map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields).and_then(|all| all.convert_columns(table.columns()));
    rows.iter().flatten().map(|row| fingerprint::of_bytes(row.as_ref())).collect()
}

/// What a feature has in a table; a column that is not there is missing in every row.
fn column_of(table: &RecordBatch, feature: &FeatureBaseline) -> Column {
    let found: Option<&ArrayRef> = table.column_by_name(&feature.name);
    // The first full window is the reference of what comes out of a model, where the baseline has none.
    let watched = matches!(feature.unusable, None | Some(Unusable::NoReference));
    match found.filter(|_| watched) {
        Some(array) => live_column(array, feature.kind),
        None => {
            let rows = table.num_rows();
            let data_type = match feature.kind {
                Kind::Numeric => DataType::Float64,
                Kind::Categorical => DataType::Utf8,
            };
            let absent = (0u32..).take(rows).map(|row| (row, Absent::Missing)).collect();
            Column { array: new_null_array(&data_type, rows), absent }
        }
    }
}

/// Row `offset` of rows that come evenly, so many of them a pane.
fn spread(offset: i64, rows_per_pane: u64, pane_ms: i64) -> i64 {
    let per = i64::try_from(rows_per_pane).unwrap_or(i64::MAX).max(1);
    let within = i128::from(offset % per) * i128::from(pane_ms) / i128::from(per);
    let pane = (offset / per).saturating_mul(pane_ms);
    SPREAD_FROM_MS.saturating_add(pane).saturating_add(i64::try_from(within).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_time_fill_panes_evenly() {
        let at: Vec<i64> = (0..9).map(|row| spread(row, 4, 1000) - SPREAD_FROM_MS).collect();
        assert_eq!(at, [0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000]);
        assert_eq!(SPREAD_FROM_MS % 3_600_000, 0);
        // More rows than milliseconds: several share one, none leaves its pane.
        assert_eq!(spread(4_999, 5_000, 1000) - SPREAD_FROM_MS, 999);
    }
}
