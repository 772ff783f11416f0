//! The kernels in plain Rust, written so that the compiler makes vectors of them at every level.

use crate::histogram::Counts;

use super::lookup::{BIASED_ROUNDER, KEY_BITS, Lookup, Ruler, bent_key};
use super::range::Range;
use super::tally::{CHUNK, Chunk, Places, Tally, count_each};
use super::{ROUNDER, Storage};

/// Counts chunks by their keys; how many it did. The next one is not of small finite numbers, or
/// has one that touches an edge.
#[inline(always)]
pub(super) fn fast(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    tally: &mut Tally,
    counts: &mut Counts,
) -> usize {
    for (done, chunk) in chunks.iter().enumerate() {
        let Some(keys) = keys(lookup, chunk) else { return done };
        let mut inside = [0u32; CHUNK];
        // 64 keys under 2^26 fit 32 bits.
        let (mut sum, mut to_high, mut sum_inside, mut squares) = (0u32, 0u32, 0u32, 0u64);
        let (mut least, mut most) = (u32::MAX, 0);
        for (inside, &key) in inside.iter_mut().zip(&keys) {
            let limited = key.min(lookup.high);
            *inside = limited.max(lookup.low);
            sum += key;
            to_high += limited;
            sum_inside += *inside;
            squares += u64::from(key) * u64::from(key);
            least = least.min(key);
            most = most.max(key);
        }
        let Some(regions) = regions(lookup, &inside) else { return done };
        tally.values += CHUNK as u64;
        tally.keys += u64::from(sum);
        tally.keys_to_high += u64::from(to_high);
        tally.keys_inside += u64::from(sum_inside);
        tally.squares += u128::from(squares);
        if (least < lookup.inner_low) | (most >= lookup.inner_high) {
            range.count(chunk, counts);
        }
        if lookup.few {
            count_bytes(&regions, tally);
        } else {
            count_each(&regions, &mut tally.narrow, tally.lane);
        }
    }
    chunks.len()
}

/// The keys of a chunk of small finite numbers.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are the key")]
fn keys(lookup: &Lookup, chunk: &Chunk) -> Option<[u32; CHUNK]> {
    let mut keys = [0u32; CHUNK];
    let mut odd = 0;
    for (key, &value) in keys.iter_mut().zip(chunk) {
        let bits = ((value - lookup.ruler.origin) * lookup.ruler.factor + BIASED_ROUNDER).to_bits();
        odd |= bits ^ ROUNDER.to_bits();
        *key = bits as u32;
    }
    (odd >> KEY_BITS == 0).then_some(keys)
}

/// The regions of keys; `None` if one is an edge's.
#[inline(always)]
fn regions(lookup: &Lookup, inside: &[u32; CHUNK]) -> Option<[u32; CHUNK]> {
    let mut regions = [0; CHUNK];
    let mask = lookup.table.len() - 1;
    for (region, &key) in regions.iter_mut().zip(inside) {
        *region = lookup.table[(key >> lookup.shift) as usize & mask].wrapping_sub(key);
    }
    let mut touches = false;
    for region in &mut regions {
        touches |= *region << (32 - lookup.field) == 0;
        *region >>= lookup.field;
    }
    (!touches).then_some(regions)
}

/// How many values are over each region, a byte for each lane.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "few regions fit a byte")]
fn count_bytes(regions: &[u32; CHUNK], tally: &mut Tally) {
    let regions = regions.map(|region| region as u8);
    for (at, over) in (0u8..).zip(&mut tally.over) {
        for (over, &region) in over.iter_mut().zip(&regions) {
            *over += u8::from(region > at);
        }
    }
    tally.chunks_over += 1;
    if tally.chunks_over == u8::MAX {
        tally.flush_bytes();
    }
}

/// Counts chunks of small finite numbers, comparing doubles; how many it did.
#[inline(always)]
pub(super) fn exact(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    tally: &mut Tally,
    counts: &mut Counts,
) -> usize {
    for (done, chunk) in chunks.iter().enumerate() {
        let Some(keys) = keys(lookup, chunk) else { return done };
        let (mut sum, mut squares, mut least, mut most) = (0u32, 0u64, u32::MAX, 0);
        for &key in &keys {
            sum += key;
            squares += u64::from(key) * u64::from(key);
            least = least.min(key);
            most = most.max(key);
        }
        tally.add_whole(CHUNK as u64, sum.into(), squares.into());
        if lookup.may_be_outer(least, most) {
            range.add_outer_keys(chunk, &keys, counts);
        }
        let found = found(lookup, &keys, chunk, tally.places.marks());
        tally.places.count(&found, chunks.len() == 1, lookup, counts);
    }
    chunks.len()
}

/// Counts chunks of finite numbers by bent keys, comparing doubles; how many it did.
#[inline(always)]
pub(super) fn wide(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    places: &mut Places,
    counts: &mut Counts,
) -> usize {
    for (done, chunk) in chunks.iter().enumerate() {
        if !range.sum(chunk, counts) {
            return done;
        }
        let Ruler { origin, factor, .. } = lookup.ruler;
        let keys = chunk.map(|value| bent_key((value - origin) * factor));
        let found = found(lookup, &keys, chunk, places.marks());
        places.count(&found, chunks.len() == 1, lookup, counts);
    }
    chunks.len()
}

/// The region of each value of a chunk, or `marks` more than it if the value is on its mark.
#[inline(always)]
fn found(lookup: &Lookup, keys: &[u32; CHUNK], chunk: &Chunk, marks: u32) -> [u32; CHUNK] {
    let mask = lookup.table.len() - 1;
    let mut places = *keys;
    for (place, &value) in places.iter_mut().zip(chunk) {
        let key = (*place).min(lookup.high).max(lookup.low);
        let start = lookup.table[(key >> lookup.shift) as usize & mask];
        let region = start.wrapping_sub(key) >> lookup.field;
        let mark = lookup.marks[region as usize];
        let on_mark = if value >= mark { marks } else { 0 };
        *place = if value > mark { region - 1 } else { region + on_mark };
    }
    places
}

/// Adds the sums of finite values; `false`, and none is added, when some are not finite.
#[inline(always)]
pub(super) fn sum(range: &Range, chunk: &Chunk, counts: &mut Counts) -> bool {
    range.sum(chunk, counts)
}

/// Brings values to doubles, rounded to `storage`; those without a bit in the chunk's mask are
/// `padding`, and so is what is missing of the last chunk.
#[inline(always)]
pub(super) fn prepare<T: Copy>(
    values: &[T],
    widen: impl Fn(T) -> f64,
    storage: Storage,
    (masks, padding): (&[u64], f64),
    chunks: &mut [Chunk],
) {
    for ((chunk, values), &mask) in chunks.iter_mut().zip(values.chunks(CHUNK)).zip(masks) {
        for (to, &value) in chunk.iter_mut().zip(values) {
            *to = widen(value);
        }
        storage.round_all(chunk);
        if mask != u64::MAX {
            for (at, value) in chunk.iter_mut().enumerate() {
                *value = if mask >> at & 1 == 1 { *value } else { padding };
            }
        }
    }
}
