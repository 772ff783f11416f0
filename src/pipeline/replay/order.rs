//! Rows of a file that is not in the order of time, put in order: as if they had come in time.

use std::collections::BTreeMap;
use std::mem;

use anyhow::anyhow;
use arrow::array::Array;
use arrow::compute::interleave;

use crate::decode::Batch;
use crate::decode::Reject;
use crate::decode::strangers::Strangers;
use crate::feature::Absent;
use crate::feature::Column;
use crate::pipeline::BadInput;

/// Rows of a batch that is made.
const BATCH_ROWS: usize = 8192;

/// Calls `visit` with the same rows by event time; rows of the same time keep their order. A reject
/// has no time of its own: it stays behind the row that it came after. Offsets become places in the
/// new order.
pub(super) fn by_time(batches: &[Batch], visit: &mut dyn FnMut(&Batch)) -> anyhow::Result<()> {
    let mut rows: Vec<(usize, usize)> = Vec::new();
    for (b, batch) in batches.iter().enumerate() {
        rows.extend((0..batch.offsets.len()).map(|row| (b, row)));
    }
    rows.sort_by_key(|&(b, row)| batches[b].event_ms[row]);
    let mut rejects = placed_rejects(batches, &rows);
    let absent = absent(batches);
    let sum = |of: fn(&Batch) -> u64| batches.iter().map(of).sum::<u64>();
    let (mut other_models, mut duplicate_keys) =
        (sum(|b| b.other_models), sum(|b| b.duplicate_keys));
    let mut first = 0;
    // A file of rejects only has no row, and one batch all the same.
    let chunks = rows.chunks(BATCH_ROWS).chain(rows.is_empty().then_some(&[][..]));
    for rows in chunks {
        let next = first + as_offset(rows.len());
        let later = rejects.split_off(&next.max(1));
        let here = mem::replace(&mut rejects, later);
        visit(&Batch {
            offsets: (first..next).collect(),
            kafka_ms: rows.iter().map(|&(b, row)| batches[b].kafka_ms[row]).collect(),
            event_ms: rows.iter().map(|&(b, row)| batches[b].event_ms[row]).collect(),
            fingerprints: rows
                .iter()
                .filter_map(|&(b, row)| batches[b].fingerprints.get(row).copied())
                .collect(),
            strangers: strangers(batches, rows),
            columns: columns(batches, rows, &absent)?,
            rejects: here.into_values().flatten().collect(),
            duplicate_keys: mem::take(&mut duplicate_keys),
            other_models: mem::take(&mut other_models),
            imprecise: 0,
            looked_up: 0,
        });
        first = next;
    }
    Ok(())
}

fn as_offset(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Why rows have no value, by column, batch and row.
type AbsentAt = Vec<BTreeMap<(usize, u32), Absent>>;

fn absent(batches: &[Batch]) -> AbsentAt {
    let n = batches.first().map_or(0, |batch| batch.columns.len());
    let of = |column: usize| {
        let all = batches.iter().enumerate();
        all.flat_map(|(b, batch)| {
            batch.columns[column].absent.iter().map(move |&(row, why)| ((b, row), why))
        })
        .collect()
    };
    (0..n).map(of).collect()
}

/// Names of the rows' new places.
fn strangers(batches: &[Batch], rows: &[(usize, usize)]) -> Vec<(u32, Strangers)> {
    let of = |(to, &(b, row)): (u32, &(usize, usize))| {
        let row = u32::try_from(row).ok()?;
        let all = &batches[b].strangers;
        let at = all.binary_search_by_key(&row, |(row, _)| *row).ok()?;
        Some((to, all[at].1.clone()))
    };
    (0..).zip(rows).filter_map(of).collect()
}

fn columns(
    batches: &[Batch],
    rows: &[(usize, usize)],
    absent: &AbsentAt,
) -> anyhow::Result<Vec<Column>> {
    let column = |(at, why): (usize, &BTreeMap<(usize, u32), Absent>)| {
        let arrays: Vec<&dyn Array> =
            batches.iter().map(|batch| batch.columns[at].array.as_ref()).collect();
        let array = interleave(&arrays, rows).map_err(|error| {
            BadInput(anyhow!("its rows can't be put in order: {error}; leave --sort out"))
        })?;
        let absent_of = |(to, &(b, row)): (usize, &(usize, usize))| {
            let why = why.get(&(b, u32::try_from(row).ok()?))?;
            Some((u32::try_from(to).ok()?, *why))
        };
        let absent = rows.iter().enumerate().filter_map(absent_of);
        let absent = if why.is_empty() { Vec::new() } else { absent.collect() };
        Ok(Column { array, absent })
    };
    absent.iter().enumerate().map(column).collect()
}

/// Every reject at the new place of the row before it.
fn placed_rejects(batches: &[Batch], rows: &[(usize, usize)]) -> BTreeMap<i64, Vec<Reject>> {
    let mut placed: BTreeMap<i64, Vec<Reject>> = BTreeMap::new();
    if batches.iter().all(|batch| batch.rejects.is_empty()) {
        return placed;
    }
    let mut by_offset: Vec<(i64, i64)> = Vec::with_capacity(rows.len());
    for (to, &(b, row)) in rows.iter().enumerate() {
        by_offset.push((batches[b].offsets[row], as_offset(to)));
    }
    by_offset.sort_unstable();
    for reject in batches.iter().flat_map(|batch| &batch.rejects) {
        let before = by_offset.partition_point(|&(offset, _)| offset <= reject.offset);
        let to = before.checked_sub(1).map_or(0, |at| by_offset[at].1);
        placed.entry(to).or_default().push(Reject { offset: to, ..reject.clone() });
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::array::Float64Array;
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::decode::Reason;

    fn batch(first: i64, event_ms: &[i64], absent: &[(u32, Absent)], rejects: &[i64]) -> Batch {
        let value = |(row, &ms): (u32, &i64)| {
            let is_absent = absent.iter().any(|(at, _)| *at == row);
            (!is_absent).then_some(ms as f64)
        };
        let array = Arc::new((0..).zip(event_ms).map(value).collect::<Float64Array>());
        let reject = |&offset: &i64| Reject { offset, reason: Reason::Empty, hint: None };
        Batch {
            offsets: (first..).take(event_ms.len()).collect(),
            kafka_ms: vec![7; event_ms.len()],
            event_ms: event_ms.to_vec(),
            fingerprints: event_ms.iter().map(|ms| ms.unsigned_abs()).collect(),
            strangers: vec![(0, [format!("first{first}").as_str()].into_iter().collect())],
            columns: vec![Column { array, absent: absent.to_vec() }],
            rejects: rejects.iter().map(reject).collect(),
            duplicate_keys: 0,
            other_models: 1,
            imprecise: 0,
            looked_up: 0,
        }
    }

    fn sorted(batches: &[Batch]) -> Vec<Batch> {
        let mut sorted = Vec::new();
        by_time(batches, &mut |batch| sorted.push(batch.clone())).unwrap();
        sorted
    }

    #[test]
    fn a_file_of_rejects_only_is_still_told() {
        let sorted = sorted(&[batch(0, &[], &[], &[0, 1]), batch(2, &[], &[], &[2])]);
        assert_eq!((sorted.len(), sorted[0].rejects.len(), sorted[0].other_models), (1, 3, 2));
        assert!(self::sorted(&[]).len() == 1);
    }

    #[test]
    fn rows_come_in_order_with_their_values_and_rejects_stay_behind_their_neighbour() {
        let batches = vec![
            batch(0, &[50, 10, 30], &[(1, Absent::TypeError)], &[2]),
            batch(3, &[20, 10, 40], &[(2, Absent::Missing)], &[5, 9]),
        ];
        let sorted = sorted(&batches);
        let [sorted] = sorted.as_slice() else { panic!("one batch is enough") };
        assert_eq!(sorted.event_ms, [10, 10, 20, 30, 40, 50]);
        assert_eq!(sorted.offsets, [0, 1, 2, 3, 4, 5]);
        assert_eq!(sorted.fingerprints, [10, 10, 20, 30, 40, 50]);
        let named = |name: &str| [name].into_iter().collect::<Strangers>();
        assert_eq!(sorted.strangers, [(2, named("first3")), (5, named("first0"))]);
        assert_eq!(sorted.other_models, 2);
        let column = &sorted.columns[0];
        assert_eq!(column.absent, [(0, Absent::TypeError), (4, Absent::Missing)]);
        let values: Vec<_> = column.array.as_primitive::<Float64Type>().iter().collect();
        let some = |v: i32| Some(f64::from(v));
        assert_eq!(values, [None, some(10), some(20), some(30), None, some(50)]);
        let places: Vec<i64> = sorted.rejects.iter().map(|reject| reject.offset).collect();
        assert_eq!(places, [3, 4, 4]);
    }

    #[test]
    fn more_rows_than_a_batch_holds_are_cut() {
        let times: Vec<i64> = (0..20_000).map(|i| (i * 7919) % 20_011).collect();
        let sorted = sorted(&[batch(0, &times, &[], &[])]);
        assert_eq!(sorted.len(), 3);
        let mut wanted = times;
        wanted.sort_unstable();
        let found: Vec<i64> = sorted.iter().flat_map(|batch| batch.event_ms.clone()).collect();
        assert_eq!(found, wanted);
        let offsets: Vec<i64> = sorted.iter().flat_map(|batch| batch.offsets.clone()).collect();
        assert_eq!(offsets, (0..20_000).collect::<Vec<i64>>());
    }
}
