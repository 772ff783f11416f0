//! Columns to chunks, and each chunk to the fastest kernel that can count it.

use std::array;

use arrow::buffer::NullBuffer;

use crate::histogram::Counts;

use super::kernel::Kernel;
use super::search::Search;
use super::tally::{CHUNK, Chunk, Places, Tally};
use super::{NumericCells, Storage};

/// After a chunk that a kernel could not do, right behind another one, it is not tried on so many.
const AGAIN: usize = 32;
/// Chunks that are brought to doubles before they are counted: they stay in the first-level cache.
const PREPARED: usize = 16;
/// The counters hold 32 bits.
const CHUNKS_TO_FLUSH: usize = 1 << 24;

/// Counts the values of one column.
pub(super) struct Counter<'a> {
    cells: &'a NumericCells,
    kernel: &'a Kernel,
    counts: &'a mut Counts,
    /// For small numbers.
    tally: Option<Tally>,
    /// For any finite number, by bent keys or by search.
    places: Option<Places>,
    searched: Vec<u32>,
    /// Values that were put where there was none to count.
    padding: u64,
}

impl<'a> Counter<'a> {
    /// For a column of `len` values.
    pub(super) fn new(
        cells: &'a NumericCells,
        kernel: &'a Kernel,
        len: usize,
        counts: &'a mut Counts,
    ) -> Self {
        let (tally, places) = (kernel.tally(len), kernel.places(len));
        Self { cells, kernel, counts, tally, places, searched: Vec::new(), padding: 0 }
    }

    /// Counts doubles, all of them valid, without a copy unless they have to be rounded.
    pub(super) fn doubles(&mut self, values: &[f64]) {
        if self.cells.storage != Storage::F64 {
            return self.values(values, None, |value| value);
        }
        let (chunks, rest) = values.as_chunks();
        for chunks in chunks.chunks(CHUNKS_TO_FLUSH) {
            self.chunks(chunks);
            self.flush();
        }
        self.values(rest, None, |value| value);
    }

    /// Counts valid values of any number type.
    pub(super) fn values<T: Copy>(
        &mut self,
        values: &[T],
        valid: Option<&NullBuffer>,
        widen: impl Fn(T) -> f64 + Copy,
    ) {
        if values.len() <= CHUNK {
            self.prepared::<T, 1>(values, valid, widen);
        } else {
            self.prepared::<T, PREPARED>(values, valid, widen);
        }
    }

    /// Counts valid values, so many chunks at a time.
    fn prepared<T: Copy, const PREPARED: usize>(
        &mut self,
        values: &[T],
        valid: Option<&NullBuffer>,
        widen: impl Fn(T) -> f64 + Copy,
    ) {
        let mut prepared = [[0.0; CHUNK]; PREPARED];
        let bits = valid.map(|valid| valid.inner().bit_chunks());
        let mut masks = bits.as_ref().map(|bits| bits.iter_padded());
        for (flushed, part) in values.chunks(CHUNK * PREPARED).enumerate() {
            let n_chunks = part.len().div_ceil(CHUNK);
            let all = u64::MAX;
            let masks: [u64; PREPARED] = array::from_fn(|chunk| {
                let missing = (CHUNK * (chunk + 1)).saturating_sub(part.len()).min(CHUNK - 1);
                let valid = masks.as_mut().map_or(all, |masks| masks.next().unwrap_or(0));
                valid & (all >> missing)
            });
            let masks = &masks[..n_chunks];
            self.kernel.prepare(part, widen, masks, &mut prepared);
            self.padding += masks.iter().map(|mask| u64::from(mask.count_zeros())).sum::<u64>();
            self.chunks(&prepared[..n_chunks]);
            if (flushed + 1).is_multiple_of(CHUNKS_TO_FLUSH / PREPARED) {
                self.flush();
            }
        }
    }

    /// Counts values that are no numbers.
    pub(super) fn type_errors(&mut self, n: u64) {
        self.counts.type_error += n;
    }

    /// Moves everything to the counts.
    pub(super) fn finish(mut self) {
        self.flush();
        self.cells.remove(self.kernel.padding, self.padding, self.counts);
    }

    fn flush(&mut self) {
        if let Some((tally, lookup)) = self.tally.as_mut().zip(self.kernel.steps.as_ref()) {
            tally.flush(lookup, self.counts);
        }
        if let Some((places, lookup)) = self.places.as_mut().zip(self.kernel.bent.as_ref()) {
            places.flush(lookup, self.counts);
        }
        Search::flush(&mut self.searched, &mut self.counts.cells);
    }

    fn chunks(&mut self, mut chunks: &[Chunk]) {
        while !chunks.is_empty() {
            let fast = self.kernel.fast(chunks, self.tally.as_mut(), self.counts);
            chunks = &chunks[fast..];
            let unfit = if fast == 0 { AGAIN } else { 1 };
            let (now, later) = chunks.split_at(unfit.min(chunks.len()));
            self.unfit(now);
            chunks = later;
        }
    }

    /// Counts chunks that have a value which touches an edge, or is large, or is not finite.
    fn unfit(&mut self, mut chunks: &[Chunk]) {
        while !chunks.is_empty() {
            let exact = self.kernel.exact(chunks, self.tally.as_mut(), self.counts);
            chunks = &chunks[exact..];
            let odd = if exact == 0 { AGAIN } else { 1 };
            let (now, later) = chunks.split_at(odd.min(chunks.len()));
            self.wide(now);
            chunks = later;
        }
    }

    fn wide(&mut self, mut chunks: &[Chunk]) {
        loop {
            let places = self.places.as_mut();
            let wide = self.kernel.wide(chunks, places, &mut self.searched, self.counts);
            let Some((odd, later)) = chunks[wide..].split_first() else { return };
            self.odd(odd);
            chunks = later;
        }
    }

    /// Counts a chunk in which not all values are finite.
    #[cold]
    fn odd(&mut self, chunk: &Chunk) {
        let mut finite = [self.kernel.padding; CHUNK];
        for (to, &value) in finite.iter_mut().zip(chunk) {
            if value.is_finite() {
                *to = value;
                continue;
            }
            self.padding += 1;
            if value.is_nan() {
                self.counts.nan += 1;
            } else if value > 0.0 {
                self.counts.pos_inf += 1;
            } else {
                self.counts.neg_inf += 1;
            }
        }
        self.wide(&[finite]);
    }
}
