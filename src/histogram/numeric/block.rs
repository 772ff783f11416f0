//! Blocks of values to counts: a pass for the sums, a pass for the cells, both without branches.

use crate::histogram::Counts;

use super::NumericCells;
use super::grid::Grid;
use super::{ROUNDER, fixed};

/// Values of a block stay in the first-level cache between its passes. Short, for the processor then
/// fetches the next ones while it still counts these: from memory that is worth a quarter.
const BLOCK: usize = 64;
/// 2^50: squares under it are exact doubles, and a block of them fits 64 bits.
const SMALL: f64 = 1_125_899_906_842_624.0;
/// After a block with larger ones, so many are not tried as small.
const LARGE_BLOCKS: u32 = 31;
/// The counters hold 32 bits.
const BLOCKS_TO_FLUSH: usize = 1 << 23;

/// Counts finite values of one feature, block by block.
pub(super) struct Counter<'a> {
    cells: &'a NumericCells,
    fixed: Fixed,
    grid: &'a Grid,
    counts: &'a mut Counts,
    counters: Vec<u32>,
    /// Blocks that will have large values, most likely.
    large: u32,
    /// Values that wait to be a block.
    waiting: Vec<f64>,
    blocks: usize,
}

impl<'a> Counter<'a> {
    pub(super) fn new(
        cells: &'a NumericCells,
        factor: f64,
        grid: &'a Grid,
        counts: &'a mut Counts,
    ) -> Self {
        let counters = grid.counters();
        let fixed = Fixed::new(cells, factor);
        Self { cells, fixed, grid, counts, counters, large: 0, waiting: Vec::new(), blocks: 0 }
    }

    /// Counts values that need not be copied unless they have to be rounded.
    pub(super) fn take(&mut self, values: &[f64]) {
        if self.cells.storage != super::Storage::F64 {
            return self.gather(values);
        }
        for block in values.chunks(BLOCK) {
            self.block(block);
        }
    }

    /// Counts values that come in short runs.
    pub(super) fn gather(&mut self, mut values: &[f64]) {
        while !values.is_empty() {
            let room = BLOCK - self.waiting.len();
            let (now, later) = values.split_at(room.min(values.len()));
            self.waiting.extend_from_slice(now);
            values = later;
            if self.waiting.len() == BLOCK {
                self.count_waiting();
            }
        }
    }

    /// Counts what still waits and moves everything to the counts.
    pub(super) fn finish(mut self) {
        self.count_waiting();
        self.grid.flush(&mut self.counters, &mut self.counts.cells);
    }

    fn count_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.cells.storage.round_all(&mut waiting);
        self.block(&waiting);
        waiting.clear();
        self.waiting = waiting;
    }

    /// Counts at most `BLOCK` values that are rounded already.
    fn block(&mut self, values: &[f64]) {
        let small = if self.large == 0 { self.fixed.small_sums(values) } else { None };
        let sums = match small {
            Some(sums) => sums,
            None => {
                self.large = self.large.checked_sub(1).unwrap_or(LARGE_BLOCKS);
                match self.fixed.large_sums(values) {
                    Some(sums) => sums,
                    None => return self.odd_block(values),
                }
            }
        };
        self.counts.sum += i128::from(sums.sum);
        self.counts.sum_squares += sums.squares;
        if sums.outer {
            self.outer(values);
        }
        self.grid.count(values, &mut self.counters);
        self.blocks += 1;
        if self.blocks.is_multiple_of(BLOCKS_TO_FLUSH) {
            self.grid.flush(&mut self.counters, &mut self.counts.cells);
        }
    }

    /// A block in which not all values are finite.
    #[cold]
    fn odd_block(&mut self, values: &[f64]) {
        let mut finite = Vec::with_capacity(values.len());
        for &value in values {
            if value.is_finite() {
                finite.push(value);
            } else if value.is_nan() {
                self.counts.nan += 1;
            } else if value > 0.0 {
                self.counts.pos_inf += 1;
            } else {
                self.counts.neg_inf += 1;
            }
        }
        self.block(&finite);
    }

    /// What is kept of values in the outer cells, or outside the reference's range.
    fn outer(&mut self, values: &[f64]) {
        let Fixed { center, factor, first, last, .. } = self.fixed;
        let (lowest, highest) = (self.cells.lowest, self.cells.highest);
        let (mut low, mut high, mut below, mut above) = (0i64, 0i64, 0u64, 0u64);
        for &value in values {
            let fixed = fixed(value, center, factor);
            low = low.wrapping_add(if value <= first { fixed } else { 0 });
            high = high.wrapping_add(if value > last { fixed } else { 0 });
            below += u64::from(value < lowest);
            above += u64::from(value > highest);
        }
        self.counts.low_sum += i128::from(low);
        self.counts.high_sum += i128::from(high);
        self.counts.below += below;
        self.counts.above += above;
    }
}

/// Sums of a block of at most 2^6 values, each at most 2^46 in fixed point.
struct Sums {
    sum: i64,
    squares: i128,
    /// Some value may be in an outer cell or outside the reference's range.
    outer: bool,
}

/// The fixed point and the limits of what is inside, ready for a loop.
#[derive(Clone, Copy)]
struct Fixed {
    center: f64,
    factor: f64,
    /// The outer edges.
    first: f64,
    last: f64,
    /// Values over the one and not over the other are in inner cells and in the reference's range.
    inner_low: f64,
    inner_high: f64,
}

impl Fixed {
    fn new(cells: &NumericCells, factor: f64) -> Self {
        // Without edges the only cell is the lowest and the highest.
        let first = cells.edges.first().copied().unwrap_or(f64::INFINITY);
        let last = cells.edges.last().copied().unwrap_or(f64::NEG_INFINITY);
        let (inner_low, inner_high) = (first.max(cells.lowest), last.min(cells.highest));
        Self { center: cells.scale.center, factor, first, last, inner_low, inner_high }
    }

    #[inline(always)]
    fn outer(&self, value: f64) -> u64 {
        u64::from(value <= self.inner_low) | u64::from(value > self.inner_high)
    }

    /// The sums of values whose squares are small and which are finite, otherwise `None`. No value
    /// is clamped, as those beyond the limit are not small.
    fn small_sums(&self, values: &[f64]) -> Option<Sums> {
        let (mut sum, mut squares) = (0u64, 0u64);
        let (mut small, mut outer) = (1u64, 0u64);
        for &value in values {
            let rounded = (value - self.center) * self.factor + ROUNDER;
            sum = sum.wrapping_add(rounded.to_bits());
            let steps = rounded - ROUNDER;
            let square = steps * steps;
            small &= u64::from(square < SMALL);
            squares = squares.wrapping_add((square + ROUNDER).to_bits());
            outer |= self.outer(value);
        }
        // The bits of `x + ROUNDER` are those of `ROUNDER` plus x.
        let offset = (values.len() as u64).wrapping_mul(ROUNDER.to_bits());
        let signed = |bits: u64| bits.wrapping_sub(offset).cast_signed();
        let squares = i128::from(signed(squares));
        (small == 1).then(|| Sums { sum: signed(sum), squares, outer: outer == 1 })
    }

    /// The sums of any finite values; `None` when some are not. A value in fixed point is
    /// `high * 2^23 + low`: products of these are at most 2^46 and vectorise.
    fn large_sums(&self, values: &[f64]) -> Option<Sums> {
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
