//! Sums of a chunk, and what of it lies in the outer cells or outside the reference's range.

use crate::histogram::Counts;

use super::lookup::BIAS;
use super::tally::{CHUNK, Chunk};
use super::{NumericCells, fixed};

/// The fixed point and the limits of what is inside, ready for a loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) center: f64,
    pub(super) factor: f64,
    /// The reference's own.
    pub(super) lowest: f64,
    pub(super) highest: f64,
    /// The outer edges.
    pub(super) first: f64,
    pub(super) last: f64,
    /// Values over the one and not over the other are in inner cells and in the reference's range.
    inner_low: f64,
    inner_high: f64,
}

/// Sums of a chunk of finite values, each at most 2^46 in fixed point.
struct Sums {
    sum: i64,
    squares: i128,
    /// Some value may be in an outer cell or outside the reference's range.
    outer: bool,
}

impl Range {
    pub(super) fn new(cells: &NumericCells, factor: f64) -> Self {
        // Without edges the only cell is the lowest and the highest.
        let first = cells.edges.first().copied().unwrap_or(f64::INFINITY);
        let last = cells.edges.last().copied().unwrap_or(f64::NEG_INFINITY);
        let (lowest, highest) = (cells.lowest, cells.highest);
        let (inner_low, inner_high) = (first.max(lowest), last.min(highest));
        let center = cells.scale.center;
        Self { center, factor, lowest, highest, first, last, inner_low, inner_high }
    }

    /// Counts values outside the reference's range.
    #[inline(always)]
    pub(super) fn count(&self, chunk: &Chunk, counts: &mut Counts) {
        let (mut below, mut above) = (0, 0);
        for &value in chunk {
            below += u64::from(value < self.lowest);
            above += u64::from(value > self.highest);
        }
        counts.below += below;
        counts.above += above;
    }

    /// Adds what is kept of values in the outer cells or outside the reference's range, of values
    /// which have these keys in fixed point.
    #[inline(always)]
    pub(super) fn add_outer_keys(&self, chunk: &Chunk, keys: &[u32; CHUNK], counts: &mut Counts) {
        let (mut low, mut high, mut n_low, mut n_high) = (0u64, 0u64, 0u64, 0u64);
        for (&value, &key) in chunk.iter().zip(keys) {
            low += if value <= self.first { u64::from(key) } else { 0 };
            high += if value > self.last { u64::from(key) } else { 0 };
            n_low += u64::from(value <= self.first);
            n_high += u64::from(value > self.last);
        }
        counts.low_sum += i128::from(low) - i128::from(n_low * u64::from(BIAS));
        counts.high_sum += i128::from(high) - i128::from(n_high * u64::from(BIAS));
        self.count(chunk, counts);
    }

    /// Adds the sums of any finite values; `false`, and nothing is added, when some are not finite.
    #[inline(always)]
    pub(super) fn sum(&self, values: &[f64], counts: &mut Counts) -> bool {
        let sums = self.sums(values);
        if let Some(sums) = &sums {
            self.add(sums, values, counts);
        }
        sums.is_some()
    }

    #[inline(always)]
    fn add(&self, sums: &Sums, values: &[f64], counts: &mut Counts) {
        counts.sum += i128::from(sums.sum);
        counts.sum_squares += sums.squares;
        if sums.outer {
            self.add_outer(values, counts);
        }
    }

    #[inline(always)]
    fn outer(&self, value: f64) -> u64 {
        u64::from(value <= self.inner_low) | u64::from(value > self.inner_high)
    }

    /// What is kept of values in the outer cells, or outside the reference's range.
    #[inline(always)]
    fn add_outer(&self, values: &[f64], counts: &mut Counts) {
        let (mut low, mut high, mut below, mut above) = (0i64, 0i64, 0u64, 0u64);
        for &value in values {
            let fixed = fixed(value, self.center, self.factor);
            low = low.wrapping_add(if value <= self.first { fixed } else { 0 });
            high = high.wrapping_add(if value > self.last { fixed } else { 0 });
            below += u64::from(value < self.lowest);
            above += u64::from(value > self.highest);
        }
        counts.low_sum += i128::from(low);
        counts.high_sum += i128::from(high);
        counts.below += below;
        counts.above += above;
    }

    /// `None` when some are not finite. A value in fixed point is `high * 2^23 + low`: products of
    /// these are at most 2^46 and vectorise.
    #[inline(always)]
    fn sums(&self, values: &[f64]) -> Option<Sums> {
        const HALF: u32 = 23;
        let (mut sum, mut highs, mut mixed, mut lows) = (0i64, 0u64, 0u64, 0u64);
        let (mut finite, mut outer) = (1u64, 0u64);
        for &value in values {
            sum = sum.wrapping_add(fixed(value, self.center, self.factor));
            // Rounding half to even is the same on both sides of 0.
            let size = fixed((value - self.center).abs(), 0.0, self.factor).cast_unsigned();
            // At most 2^23; the mask says that it takes 32 bits, for which there is an instruction.
            let high = (size >> HALF) & 0xFFFF_FFFF;
            let low = size & ((1 << HALF) - 1);
            highs = highs.wrapping_add(high * high);
            mixed = mixed.wrapping_add(high * low);
            lows = lows.wrapping_add(low * low);
            finite &= u64::from(value.abs() <= f64::MAX);
            outer |= self.outer(value);
        }
        let squares = (i128::from(highs) << (2 * HALF))
            + (i128::from(mixed) << (HALF + 1))
            + i128::from(lows);
        (finite == 1).then_some(Sums { sum, squares, outer: outer == 1 })
    }
}
