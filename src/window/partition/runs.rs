//! Which rows of a batch fall in which pane, and those rows of a column.

use arrow::array::UInt32Array;
use arrow::compute::take;

use crate::feature::Absent;
use crate::feature::Column;

/// Consecutive rows of a batch that are counted in the same pane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start_ms: i64,
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Run {
    fn rows(&self) -> usize {
        (self.to - self.from) as usize
    }
}

/// The rows of a batch that are counted. Records nearly come in the order of time, so there are few
/// runs, and most batches are one.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// Rows of the runs before have been added to their panes.
    settled: usize,
}

impl Runs {
    /// The pane of the run that the next row may go on with.
    #[inline]
    pub(super) fn pane(&self) -> Option<i64> {
        self.runs[self.settled..].last().map(|run| run.start_ms)
    }

    /// `row` is counted in the pane that begins at `start_ms`; rows only grow.
    #[inline]
    pub(super) fn push(&mut self, start_ms: i64, row: u32) {
        match self.runs[self.settled..].last_mut() {
            Some(run) if run.start_ms == start_ms && run.to == row => run.to += 1,
            Some(_) | None => self.runs.push(Run { start_ms, from: row, to: row + 1 }),
        }
    }

    /// Runs that have not been asked for; no row is added to them any more.
    pub(super) fn take_unsettled(&mut self) -> &[Run] {
        let from = std::mem::replace(&mut self.settled, self.runs.len());
        &self.runs[from..]
    }

    /// Rows of other panes than those that stay, by their start, are not counted after all. All are settled.
    pub(super) fn retain(&mut self, stays: impl Fn(i64) -> bool) {
        self.runs.retain(|run| stays(run.start_ms));
        self.settled = self.runs.len();
    }

    /// Each pane once, with its rows.
    pub(super) fn by_pane(mut self) -> impl Iterator<Item = (i64, Rows)> {
        self.runs.sort_by_key(|run| run.start_ms);
        let panes = self.runs.chunk_by(|a, b| a.start_ms == b.start_ms);
        let panes: Vec<_> = panes.map(|runs| (runs[0].start_ms, Rows::new(runs))).collect();
        panes.into_iter()
    }
}

/// The rows of one pane: the longest run, which is counted where it lies, and the others.
#[derive(Debug)]
pub(super) struct Rows {
    longest: Run,
    others: Option<UInt32Array>,
}

impl Rows {
    fn new(runs: &[Run]) -> Self {
        let longest = runs.iter().copied().max_by_key(Run::rows).expect("a chunk is not empty");
        let others = runs.iter().filter(|run| run.from != longest.from);
        let others: Vec<u32> = others.flat_map(|run| run.from..run.to).collect();
        Self { longest, others: (!others.is_empty()).then(|| others.into()) }
    }

    /// Gives these rows of a column of `n_rows` rows, in one part or two.
    pub(super) fn each_part(&self, n_rows: usize, column: &Column, mut part: impl FnMut(&Column)) {
        if self.longest.rows() == n_rows {
            return part(column);
        }
        part(&slice(column, self.longest));
        if let Some(rows) = &self.others {
            part(&select(column, rows));
        }
    }
}

/// Consecutive rows of a column, not copied.
fn slice(column: &Column, run: Run) -> Column {
    let from = column.absent.partition_point(|(row, _)| *row < run.from);
    let to = column.absent.partition_point(|(row, _)| *row < run.to);
    let absent = column.absent[from..to].iter().map(|(row, why)| (row - run.from, *why)).collect();
    Column { array: column.array.slice(run.from as usize, run.rows()), absent }
}

/// The given rows of a column, ascending.
fn select(column: &Column, rows: &UInt32Array) -> Column {
    let array = take(&column.array, rows, None)
        .expect("rows come from the same batch, so every index is in range");
    let mut absent: Vec<(u32, Absent)> = Vec::new();
    let mut next = column.absent.iter().peekable();
    for (at, row) in (0..).zip(rows.values()) {
        while next.next_if(|(r, _)| r < row).is_some() {}
        if let Some((_, why)) = next.next_if(|(r, _)| r == row) {
            absent.push((at, *why));
        }
    }
    Column { array, absent }
}
