//! The columns of a table, each into a feature or into counts, on as many threads as help.

use std::num::NonZero;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::baseline::{Baseline, Builder, FeatureBaseline, Limits, Planned, live_column};
use crate::histogram::{Counts, count};

use crate::fetch::dependence::PaneClock;
use crate::fetch::error::Error;
use crate::fetch::parquet::Table;

/// More would only wait for memory, and each holds a column.
pub(super) const THREADS_MAX: usize = 4;
/// Columns of more rows are held one at a time.
const ROWS_MAX: u64 = 4 << 20;

/// What `planned` columns become, in their order; with a clock, how much their records depend on each
/// other is measured in a further pass.
pub(super) fn build(
    table: &Table,
    planned: &[Planned],
    clock: Option<&PaneClock>,
) -> Result<Vec<FeatureBaseline>, Error> {
    in_order(threads(table), planned, |planned| {
        let index = planned.index;
        let mut builder = Builder::new(planned.clone(), table.rows, Limits::default());
        if builder.reads() {
            table.for_each(index, &mut |array| builder.push(array))?;
        }
        let mut counter = builder.into_counter();
        if counter.reads() {
            table.for_each(index, &mut |array| counter.push(array))?;
        }
        let mut feature = counter.finish();
        if let (Some(clock), None) = (clock, feature.unusable) {
            clock.measure(table, index, &mut feature)?;
        }
        Ok(feature)
    })
}

/// Counts for every feature of `reference`, in its order.
pub(super) fn count_into(table: &Table, reference: &Baseline) -> Result<Vec<Counts>, Error> {
    in_order(threads(table), &reference.features, |feature| {
        let mut counts = Counts::zero(feature.cells.len());
        if feature.unusable.is_some() {
            return Ok(counts);
        }
        match table.column(&feature.name) {
            None => counts.missing = table.rows,
            Some(index) => table.for_each(index, &mut |array| {
                count(&feature.cells, &live_column(array, feature.kind), &mut counts);
            })?,
        }
        Ok(counts)
    })
}

/// Columns that come over a network come one after the other: what is ahead is read only once.
fn threads(table: &Table) -> usize {
    if table.is_local() && table.rows <= ROWS_MAX {
        thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
    } else {
        1
    }
}

/// `work` on every item; the first error in the order of the items.
fn in_order<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            let result = work(item);
            if result.is_err() {
                // Nobody takes up what comes behind it.
                next.fetch_max(items.len(), Ordering::Relaxed);
            }
            done.push((at, result));
        }
    };
    let mut done = thread::scope(|scope| {
        // A thread that can't be started, for want of memory, is done without.
        let others: Vec<_> = (1..threads.min(items.len()))
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, run).ok())
            .collect();
        let mut done = run();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_however_many_threads() {
        let items: Vec<usize> = (0..100).collect();
        for threads in [1, 2, 7] {
            let squares = in_order(threads, &items, |&n| {
                if n % 3 == 0 {
                    thread::yield_now();
                }
                Ok(n * n)
            });
            assert_eq!(squares.unwrap(), items.iter().map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_of_several_errors_is_told() {
        let items: Vec<usize> = (0..100).collect();
        for threads in [1, 3] {
            let error = in_order(threads, &items, |&n| {
                if n < 40 {
                    Ok(n)
                } else {
                    Err(Error::NotAFile { location: n.to_string(), what: String::new() })
                }
            });
            let Err(Error::NotAFile { location, .. }) = error else { panic!("{error:?}") };
            assert_eq!(location, "40");
        }
    }
}
