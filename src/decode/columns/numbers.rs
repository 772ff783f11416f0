//! The numbers of a batch's rows, column by column in one piece of memory.

use arrow::array::Float64Array;
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};

/// Rows that there is always room for.
const LEAST: usize = 256;
/// Doubles between the ends of columns: of columns that are a power of two apart, the same rows
/// would compete for the same few lines of the cache.
const APART: usize = 8;
/// Batches that may be on their way while another is read.
const KEPT: usize = 3;

/// Columns of equal length, with room for more rows. What lies beyond the rows is anything.
#[derive(Debug)]
pub(in super::super) struct Numbers {
    cells: Vec<f64>,
    columns: usize,
    /// From one column's start to the next.
    stride: usize,
    /// Memory of former batches: who has read them gives it back by dropping them.
    kept: Vec<Buffer>,
}

impl Numbers {
    pub(super) fn new(columns: usize) -> Self {
        let mut new = Self { cells: Vec::new(), columns, stride: 0, kept: Vec::new() };
        new.stride = LEAST + APART;
        new.cells.resize(columns * new.stride, 0.0);
        new
    }

    /// Makes room for a row after `row` others.
    #[inline]
    pub(super) fn reserve(&mut self, row: usize) {
        if row >= self.stride {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let stride = 2 * (self.stride - APART) + APART;
        let mut cells = vec![0.0; self.columns * stride];
        let columns = self.cells.chunks_exact(self.stride);
        for (new, column) in cells.chunks_exact_mut(stride).zip(columns) {
            new[..column.len()].copy_from_slice(column);
        }
        (self.cells, self.stride) = (cells, stride);
    }

    #[inline(always)]
    pub(super) fn set(&mut self, column: u32, row: u32, number: f64) {
        self.cells[column as usize * self.stride + row as usize] = number;
    }

    /// The first `rows` of every column with its nulls, in memory that they share.
    pub(super) fn finish(
        &mut self,
        rows: usize,
        nulls: impl Iterator<Item = Option<NullBuffer>>,
    ) -> Vec<Float64Array> {
        // Twice the room that was needed is enough for the next batch.
        let stride = if rows < (self.stride - APART) / 4 {
            (2 * rows).next_power_of_two().max(LEAST) + APART
        } else {
            self.stride
        };
        let next = self.again(self.columns * stride);
        let full = Buffer::from_vec(std::mem::replace(&mut self.cells, next));
        let start = |column| column * self.stride;
        let column = |(column, nulls)| {
            Float64Array::new(ScalarBuffer::new(full.clone(), start(column), rows), nulls)
        };
        let columns = nulls.enumerate().map(column).collect();
        self.stride = stride;
        self.kept.push(full);
        columns
    }

    /// So many doubles, from a former batch that nobody reads any more if there is one.
    fn again(&mut self, len: usize) -> Vec<f64> {
        let mut found = None;
        for buffer in std::mem::take(&mut self.kept) {
            match buffer.into_vec::<f64>() {
                Ok(free) if free.len() == len => found = Some(free),
                Ok(_) => {}
                Err(read) => self.kept.push(read),
            }
        }
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        found.unwrap_or_else(|| vec![0.0; len])
    }
}
