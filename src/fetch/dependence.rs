//! How much a baseline's records depend on each other, from its own time column.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};

use crate::baseline::design_effect::DesignEffect;
use crate::baseline::{FeatureBaseline, live_column};
use crate::decide::evidence::Columns;
use crate::fetch::error::Error;
use crate::fetch::parquet::Table;
use crate::histogram::{Counts, count};

/// The shortest pane that is measured in.
const PANE_MS: i64 = 300_000;
/// Panes are lengthened until they hold so many rows on average, or are so few.
const ROWS_A_PANE: usize = 8;
const PANES_FEW: usize = 1024;
/// However long a baseline spans, it is cut into no more panes than this.
const PANES_MOST: usize = 131_072;
/// Of a longer baseline the first rows tell.
const ROWS_MOST: usize = 20_000_000;
/// The pane of a row without a time.
const NO_PANE: u32 = u32::MAX;

/// Which pane of event time each row is in.
pub(super) struct PaneClock {
    pane_ms: i64,
    n_panes: usize,
    /// In the order that rows are taken in; ascending.
    panes: Vec<u32>,
    /// Where the rows don't stand in order of time: which row to take next.
    order: Option<UInt32Array>,
}

impl PaneClock {
    /// From the column at `index`; `None` where it tells no times, or all rows are of one time.
    pub(super) fn read(table: &Table, index: usize) -> Result<Option<Self>, Error> {
        let mut times: Vec<Option<i64>> = Vec::new();
        table.for_each(index, &mut |array| {
            let room = ROWS_MOST - times.len().min(ROWS_MOST);
            times.extend(milliseconds(array).into_iter().take(room));
        })?;
        let known = times.iter().flatten();
        let (Some(&first), Some(&last)) = (known.clone().min(), known.max()) else {
            return Ok(None);
        };
        if first == last {
            return Ok(None);
        }
        let mut pane_ms = PANE_MS;
        let n_panes = |pane_ms: i64| {
            let span = last.div_euclid(pane_ms) - first.div_euclid(pane_ms) + 1;
            usize::try_from(span).unwrap_or(usize::MAX)
        };
        while n_panes(pane_ms) > PANES_MOST
            || (n_panes(pane_ms) > PANES_FEW && times.len() / n_panes(pane_ms) < ROWS_A_PANE)
        {
            pane_ms *= 2;
        }
        let origin = first.div_euclid(pane_ms);
        let pane = |time: &Option<i64>| {
            let pane = time.map(|time| time.div_euclid(pane_ms) - origin);
            pane.and_then(|pane| u32::try_from(pane).ok()).unwrap_or(NO_PANE)
        };
        let mut panes: Vec<u32> = times.iter().map(pane).collect();
        drop(times);
        let mut order = None;
        if !panes.is_sorted() {
            let rows = u32::try_from(panes.len()).unwrap_or(u32::MAX);
            let mut rows: Vec<u32> = (0..rows).collect();
            rows.sort_by_key(|&row| panes[row as usize]);
            panes = rows.iter().map(|&row| panes[row as usize]).collect();
            order = Some(UInt32Array::from(rows));
        }
        Ok(Some(Self { pane_ms, n_panes: n_panes(pane_ms), panes, order }))
    }

    /// Measures a feature that has its cells, from its column at `index`; `None` with too few panes.
    pub(super) fn measure(
        &self,
        table: &Table,
        index: usize,
        feature: &FeatureBaseline,
    ) -> Result<Option<DesignEffect>, Error> {
        let columns = Columns::new(feature);
        let width = columns.body(&vec![0.0; columns.len()]).len();
        let mut sums = vec![vec![0.0; width]; self.n_panes];
        let mut at = 0;
        let mut add = |array: &ArrayRef| {
            let panes = &self.panes[at..(at + array.len()).min(self.panes.len())];
            at += panes.len();
            let mut from = 0;
            for run in panes.chunk_by(|a, b| a == b) {
                let rows = array.slice(from, run.len());
                from += run.len();
                let Some(pane) = sums.get_mut(run[0] as usize) else { continue };
                let mut counts = Counts::zero(feature.cells.len());
                count(&feature.cells, &live_column(&rows, feature.kind), &mut counts);
                let mapped = columns.body(&columns.map(&counts));
                pane.iter_mut().zip(mapped).for_each(|(sum, count)| *sum += count);
            }
        };
        match &self.order {
            None => table.for_each(index, &mut add)?,
            Some(order) => {
                let mut parts: Vec<ArrayRef> = Vec::new();
                table.for_each(index, &mut |array| parts.push(array.clone()))?;
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                let ordered = concat(&parts).and_then(|whole| take(&whole, order, None));
                // Parts of different types: their order in time can't be made.
                let Ok(ordered) = ordered else { return Ok(None) };
                add(&ordered);
            }
        }
        Ok(DesignEffect::measure(&sums, self.pane_ms))
    }
}

/// Times of any column that can tell one: moments, dates, text in ISO 8601, numbers since the epoch.
fn milliseconds(array: &ArrayRef) -> Vec<Option<i64>> {
    let none = || vec![None; array.len()];
    let moment = DataType::Timestamp(TimeUnit::Millisecond, None);
    match array.data_type() {
        DataType::Timestamp(..)
        | DataType::Date32
        | DataType::Date64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => match cast(array, &moment) {
            Ok(times) => times.as_primitive::<TimestampMillisecondType>().iter().collect(),
            Err(_) => none(),
        },
        other if other.is_integer() => match cast(array, &DataType::Int64) {
            Ok(numbers) => numbers.as_primitive::<Int64Type>().iter().map(since_epoch).collect(),
            Err(_) => none(),
        },
        other if other.is_floating() => match cast(array, &DataType::Float64) {
            Ok(numbers) => {
                let numbers = numbers.as_primitive::<Float64Type>().iter();
                #[expect(clippy::cast_possible_truncation, reason = "saturates; times fit")]
                let whole = numbers.map(|number| number.map(|number| number as i64));
                whole.map(since_epoch).collect()
            }
            Err(_) => none(),
        },
        _ => none(),
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size.
fn since_epoch(number: Option<i64>) -> Option<i64> {
    const YEAR_3000_S: i64 = 32_503_680_000;
    let number = number?;
    match number.unsigned_abs() {
        size if size < YEAR_3000_S.unsigned_abs() => Some(number * 1_000),
        size if size < YEAR_3000_S.unsigned_abs() * 1_000 => Some(number),
        size if size < YEAR_3000_S.unsigned_abs() * 1_000_000 => Some(number / 1_000),
        _ => Some(number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int32Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn times_are_read_from_whatever_tells_them() {
        let expected = [Some(1_767_225_600_000), None];
        let arrays: [ArrayRef; 6] = [
            Arc::new(Int64Array::from(vec![Some(1_767_225_600), None])),
            Arc::new(Int64Array::from(vec![Some(1_767_225_600_000_000), None])),
            Arc::new(Int64Array::from(vec![Some(1_767_225_600_000_000_000), None])),
            Arc::new(Float64Array::from(vec![Some(1_767_225_600.4), None])),
            Arc::new(Date32Array::from(vec![Some(20_454), None])),
            Arc::new(StringArray::from(vec![Some("2026-01-01T00:00:00Z"), None])),
        ];
        for array in arrays {
            assert_eq!(milliseconds(&array), expected, "{}", array.data_type());
        }
        let other: ArrayRef = Arc::new(StringArray::from(vec!["yesterday"]));
        assert_eq!(milliseconds(&other), [None]);
        let small: ArrayRef = Arc::new(Int32Array::from(vec![1_767_225_600]));
        assert_eq!(milliseconds(&small), [Some(1_767_225_600_000)]);
    }
}
