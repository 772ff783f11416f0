//! The kernels in AVX-512: 16 keys at a time, regions looked up in two registers or by a gather,
//! and few regions counted by positions of bits.

#![expect(unsafe_code, reason = "counters without a check each")]

use std::arch::x86_64::*;

use crate::histogram::Counts;

use super::lookup::{BIASED_ROUNDER, Lookup};
use super::range::Range;
use super::tally::{CHUNK, Chunk, LANES, Places, Tally};
use super::{Storage, portable};

mod bits;
mod registers;

use bits::Bits;
use registers::{Packed, Tools, Wide, broadcast, doubles, eight, packed, words};

/// Chunks whose keys fit 32 bits when added lane by lane: four of 2^26 a lane and chunk.
const RUN: usize = 16;

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,avx512vbmi2,avx512bitalg,gfni,avx2"
)]
pub(super) fn fast(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    tally: &mut Tally,
    counts: &mut Counts,
) -> usize {
    match (lookup.few, lookup.in_registers()) {
        (true, true) => fast_with::<true, true>(lookup, range, chunks, tally, counts),
        (true, false) => fast_with::<true, false>(lookup, range, chunks, tally, counts),
        (false, _) => fast_with::<false, false>(lookup, range, chunks, tally, counts),
    }
}

/// Sums of a run, lane by lane.
#[derive(Clone, Copy)]
struct Sums {
    keys: __m512i,
    to_high: __m512i,
    inside: __m512i,
    squares: __m512i,
}

impl Sums {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Self {
        let zero = _mm512_setzero_si512();
        Self { keys: zero, to_high: zero, inside: zero, squares: zero }
    }

    #[target_feature(enable = "avx512f")]
    fn add_to(self, tally: &mut Tally) {
        tally.keys += sum_words(self.keys);
        tally.keys_to_high += sum_words(self.to_high);
        tally.keys_inside += sum_words(self.inside);
        tally.squares += self.squares();
    }

    /// Squares are under 2^52, and 2^7 of them in a lane.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn squares(&self) -> u128 {
        let high = _mm512_reduce_add_epi64(_mm512_srli_epi64::<32>(self.squares));
        let low = _mm512_and_si512(self.squares, _mm512_set1_epi64(0xFFFF_FFFF));
        let low = _mm512_reduce_add_epi64(low).cast_unsigned();
        (u128::from(high.cast_unsigned()) << 32) + u128::from(low)
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sum_words(words: __m512i) -> u64 {
    let even = _mm512_and_si512(words, _mm512_set1_epi64(0xFFFF_FFFF));
    let sum = _mm512_add_epi64(even, _mm512_srli_epi64::<32>(words));
    _mm512_reduce_add_epi64(sum).cast_unsigned()
}

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,avx512vbmi2,avx512bitalg,gfni,avx2"
)]
fn fast_with<const FEW: bool, const REGISTERS: bool>(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    tally: &mut Tally,
    counts: &mut Counts,
) -> usize {
    let tools = Tools::new(lookup);
    let mut bits = Bits::new(if FEW { lookup.len() } else { 0 });
    let mut done = 0;
    for run in chunks.chunks(RUN) {
        let mut sums = Sums::zero();
        let before = done;
        for chunk in run {
            let (numbers, small) = tools.numbers(chunk);
            let keys = packed(&numbers);
            let (mut to_high, mut inside, mut looked_up) = (keys, keys, keys);
            let (mut least, mut most) = (keys[0], keys[0]);
            let mut touches = 0;
            for at in 0..4 {
                to_high[at] = _mm512_min_epu32(keys[at], tools.high);
                inside[at] = _mm512_max_epu32(to_high[at], tools.low);
                looked_up[at] = tools.look_up::<REGISTERS>(inside[at]);
                touches |= _mm512_testn_epi32_mask(looked_up[at], tools.field_mask);
                least = _mm512_min_epu32(least, keys[at]);
                most = _mm512_max_epu32(most, keys[at]);
            }
            if !small | (touches != 0) {
                break;
            }
            done += 1;
            for number in numbers {
                // The product's low 52 bits are the key's square: it is the low bits of `number`,
                // and of what stands above only one bit is among the 52 that are multiplied.
                sums.squares = _mm512_madd52lo_epu64(sums.squares, number, number);
            }
            for at in 0..4 {
                sums.keys = _mm512_add_epi32(sums.keys, keys[at]);
                sums.to_high = _mm512_add_epi32(sums.to_high, to_high[at]);
                sums.inside = _mm512_add_epi32(sums.inside, inside[at]);
            }
            let out = _mm512_cmplt_epu32_mask(least, broadcast(lookup.inner_low))
                | _mm512_cmpge_epu32_mask(most, broadcast(lookup.inner_high));
            if out != 0 {
                range.count(chunk, counts);
            }
            if FEW {
                bits.count(looked_up);
            } else {
                count_each(&tools, looked_up, &mut tally.narrow, tally.lane);
            }
        }
        sums.add_to(tally);
        if FEW {
            bits.end_run(&mut tally.regions);
        }
        if done - before < run.len() {
            break;
        }
    }
    if FEW {
        bits.flush(&mut tally.regions);
    }
    tally.values += (done * CHUNK) as u64;
    done
}

/// Counts regions one by one.
#[inline]
#[target_feature(enable = "avx512f")]
fn count_each(tools: &Tools<'_>, looked_up: Packed, counters: &mut [u32], lane: usize) {
    assert!(counters.len() > (LANES - 1) * lane + tools.regions, "a counter for every region");
    for looked_up in looked_up {
        let regions = _mm512_srl_epi32(looked_up, tools.field);
        let regions = _mm512_min_epu32(regions, tools.last_region);
        for group in words(regions).as_chunks::<LANES>().0 {
            for (at, &region) in group.iter().enumerate() {
                // SAFETY: no region is over the last one, and the last one's counter is there.
                let counter = unsafe { counters.get_unchecked_mut(at * lane + region as usize) };
                *counter += 1;
            }
        }
    }
}

/// Counts chunks of small finite numbers, comparing doubles; how many it did.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx2")]
pub(super) fn exact(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    tally: &mut Tally,
    counts: &mut Counts,
) -> usize {
    let tools = Tools::new(lookup);
    let marks = _mm256_set1_epi32(tally.places.marks().cast_signed());
    let mut done = 0;
    for run in chunks.chunks(RUN) {
        let before = done;
        let mut sums = Sums::zero();
        for chunk in run {
            let (numbers, small) = tools.numbers(chunk);
            if !small {
                break;
            }
            done += 1;
            let keys = packed(&numbers);
            let (mut least, mut most) = (keys[0], keys[0]);
            for key in keys {
                sums.keys = _mm512_add_epi32(sums.keys, key);
                least = _mm512_min_epu32(least, key);
                most = _mm512_max_epu32(most, key);
            }
            for number in numbers {
                sums.squares = _mm512_madd52lo_epu64(sums.squares, number, number);
            }
            let (least, most) = (_mm512_reduce_min_epu32(least), _mm512_reduce_max_epu32(most));
            if lookup.may_be_outer(least, most) {
                add_outer(range, chunk, &numbers, counts);
            }
            let mut found = [0; CHUNK];
            let groups = chunk.as_chunks::<8>().0.iter().zip(found.as_chunks_mut::<8>().0);
            for (number, (values, found)) in numbers.into_iter().zip(groups) {
                let key = _mm512_cvtepi64_epi32(number);
                *found = eight(tools.places(lookup, key, doubles(values), marks));
            }
            tally.places.count(&found, chunks.len() == 1, lookup, counts);
        }
        let counted = done - before;
        tally.add_whole((counted * CHUNK) as u64, sum_words(sums.keys), sums.squares());
        if counted < run.len() {
            break;
        }
    }
    done
}

/// As `Range::add_outer_keys`.
#[target_feature(enable = "avx512f")]
fn add_outer(range: &Range, chunk: &Chunk, numbers: &Wide, counts: &mut Counts) {
    let (first, last) = (_mm512_set1_pd(range.first), _mm512_set1_pd(range.last));
    let (lowest, highest) = (_mm512_set1_pd(range.lowest), _mm512_set1_pd(range.highest));
    let mut low = _mm512_setzero_si512();
    let mut high = low;
    let (mut n_low, mut n_high, mut below, mut above) = (0, 0, 0, 0);
    for (&number, values) in numbers.iter().zip(chunk.as_chunks::<8>().0) {
        let value = doubles(values);
        let in_low = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(value, first);
        let in_high = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(value, last);
        low = _mm512_mask_add_epi64(low, in_low, low, number);
        high = _mm512_mask_add_epi64(high, in_high, high, number);
        n_low += in_low.count_ones();
        n_high += in_high.count_ones();
        below += _mm512_cmp_pd_mask::<_CMP_LT_OQ>(value, lowest).count_ones();
        above += _mm512_cmp_pd_mask::<_CMP_GT_OQ>(value, highest).count_ones();
    }
    let sum = |numbers: __m512i, n: u32| {
        let bits = _mm512_reduce_add_epi64(numbers).cast_unsigned();
        let offset = BIASED_ROUNDER.to_bits().wrapping_mul(n.into());
        i128::from(bits.wrapping_sub(offset).cast_signed())
    };
    counts.low_sum += sum(low, n_low);
    counts.high_sum += sum(high, n_high);
    counts.below += u64::from(below);
    counts.above += u64::from(above);
}

/// Counts chunks of finite numbers by bent keys, comparing doubles; how many it did.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
pub(super) fn wide(
    lookup: &Lookup,
    range: &Range,
    chunks: &[Chunk],
    places: &mut Places,
    counts: &mut Counts,
) -> usize {
    let tools = Tools::new(lookup);
    let marks = _mm256_set1_epi32(places.marks().cast_signed());
    let (zero, one) = (_mm512_setzero_pd(), _mm512_set1_pd(1.0));
    for (done, chunk) in chunks.iter().enumerate() {
        if !range.sum(chunk, counts) {
            return done;
        }
        let mut found = [0; CHUNK];
        for (values, found) in chunk.as_chunks::<8>().0.iter().zip(found.as_chunks_mut::<8>().0) {
            let value = doubles(values);
            let distance = _mm512_mul_pd(_mm512_add_pd(tools.origin, value), tools.factor);
            let bent = _mm512_add_pd(_mm512_max_pd(distance, zero), one);
            let key = _mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(_mm512_castpd_si512(bent)));
            *found = eight(tools.places(lookup, key, value, marks));
        }
        places.count(&found, chunks.len() == 1, lookup, counts);
    }
    chunks.len()
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
pub(super) fn sum(range: &Range, chunk: &Chunk, counts: &mut Counts) -> bool {
    portable::sum(range, chunk, counts)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
pub(super) fn prepare<T: Copy>(
    values: &[T],
    widen: impl Fn(T) -> f64,
    storage: Storage,
    padded: (&[u64], f64),
    chunks: &mut [Chunk],
) {
    portable::prepare(values, widen, storage, padded, chunks);
}
