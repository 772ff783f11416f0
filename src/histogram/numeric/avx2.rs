//! The plain kernels, compiled for AVX2.

use crate::histogram::Counts;

use super::lookup::Lookup;
use super::range::Range;
use super::tally::{Chunk, Places, Tally};
use super::{Storage, portable};

#[target_feature(enable = "avx2")]
pub(super) fn fast(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    tally: &mut Tally,
    counts: &mut Counts,
) -> usize {
    portable::fast(lookup, range, chunks, tally, counts)
}

#[target_feature(enable = "avx2")]
pub(super) fn exact(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    tally: &mut Tally,
    counts: &mut Counts,
) -> usize {
    portable::exact(lookup, range, chunks, tally, counts)
}

#[target_feature(enable = "avx2")]
pub(super) fn wide(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    places: &mut Places,
    counts: &mut Counts,
) -> usize {
    portable::wide(lookup, range, chunks, places, counts)
}

#[target_feature(enable = "avx2")]
pub(super) fn sum(range: &Range, chunk: &Chunk, counts: &mut Counts) -> bool {
    portable::sum(range, chunk, counts)
}

#[target_feature(enable = "avx2")]
pub(super) fn prepare<T: Copy>(
    values: &[T],
    widen: impl Fn(T) -> f64,
    storage: Storage,
    padded: (&[u64], f64),
    chunks: &mut [Chunk],
) {
    portable::prepare(values, widen, storage, padded, chunks);
}
