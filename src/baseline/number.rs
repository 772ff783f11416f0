//! First pass over a numeric column: the values that edges come from, range, mean and scale.

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use xxhash_rust::xxh3::xxh3_64;

use crate::baseline::bins;
use crate::baseline::evidently;
use crate::baseline::marks;
use crate::baseline::moments::{BLOCK, Moments};
use crate::baseline::order;
use crate::histogram::numeric;
use crate::histogram::{Bins, Counts, NumericCells, Scale, Storage};

/// Holds all finite values, or a sample of them that depends on row numbers only.
#[derive(Debug)]
pub(super) struct Numbers {
    storage: Storage,
    held: Vec<f64>,
    /// A row is held when the hash of its number is at most this.
    hash_max: u64,
    row: u64,
    /// Finite values that `moments` has not taken yet, at most a block.
    fresh: Vec<f64>,
    moments: Moments,
    /// What is in no cell.
    others: Counts,
}

/// What the first pass found.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) cells: NumericCells,
    pub(super) bins: Bins,
    pub(super) finite: u64,
    pub(super) distinct: u64,
    pub(super) singletons: u64,
    pub(super) mean: Option<f64>,
    pub(super) sd: Option<f64>,
    /// How many values the edges come from, if not from all.
    pub(super) sample: Option<u64>,
    /// All finite values in order, unless they were sampled.
    pub(super) values: Option<Vec<f64>>,
    /// Every other row.
    pub(super) others: Counts,
}

impl Numbers {
    /// For a column of `rows` rows, of which at most `held_max` are kept at once.
    pub(super) fn new(rows: u64, held_max: usize, storage: Storage) -> Self {
        let whole = rows <= held_max as u64;
        let hash_max = if whole { u64::MAX } else { sample_limit(rows, held_max) };
        Self {
            storage,
            // The rows are what the file says: only so many are ever kept.
            held: Vec::with_capacity(usize::try_from(rows).map_or(held_max, |n| n.min(held_max))),
            hash_max,
            row: 0,
            fresh: Vec::with_capacity(BLOCK),
            moments: Moments::default(),
            others: Counts::default(),
        }
    }

    pub(super) fn sampled(&self) -> bool {
        self.hash_max < u64::MAX
    }

    /// Takes the next rows; false when the array holds no numbers.
    pub(super) fn push(&mut self, array: &ArrayRef) -> bool {
        let nulls = array.logical_nulls();
        let null = nulls.as_ref().map_or(0, NullBuffer::null_count);
        self.others.null += null as u64;
        let start = self.row;
        self.row += array.len() as u64;
        let Some(values) = numeric::values(array.as_ref()) else { return false };
        match nulls.filter(|_| null > 0) {
            None => self.take(&values, start),
            Some(nulls) => {
                for (from, to) in nulls.valid_slices() {
                    self.take(&values[from..to], start + from as u64);
                }
            }
        }
        true
    }

    /// Takes values without nulls; the first one is of row `row`.
    fn take(&mut self, values: &[f64], row: u64) {
        let mut block = [0.0; BLOCK];
        for (row, values) in (row..).step_by(BLOCK).zip(values.chunks(BLOCK)) {
            let block = &mut block[..values.len()];
            block.copy_from_slice(values);
            self.storage.round_all(block);
            for value in &mut *block {
                // -0 and 0 are one value; adding 0 makes them so.
                *value += 0.0;
            }
            if self.sampled() {
                let rows = (row..).zip(&*block).filter(|(_, value)| value.is_finite());
                let chosen = rows.filter(|(row, _)| xxh3_64(&row.to_le_bytes()) <= self.hash_max);
                self.held.extend(chosen.map(|(_, &value)| value));
            }
            let finite = if block.iter().fold(true, |all, value| all & value.is_finite()) {
                block.len()
            } else {
                self.set_others_aside(block)
            };
            self.keep(&block[..finite]);
        }
    }

    /// Counts what is not finite and moves the rest to the front: so many.
    fn set_others_aside(&mut self, block: &mut [f64]) -> usize {
        let mut finite = 0;
        for at in 0..block.len() {
            let value = block[at];
            if value.is_finite() {
                block[finite] = value;
                finite += 1;
            } else if value.is_nan() {
                self.others.nan += 1;
            } else if value > 0.0 {
                self.others.pos_inf += 1;
            } else {
                self.others.neg_inf += 1;
            }
        }
        finite
    }

    fn keep(&mut self, finite: &[f64]) {
        if !self.sampled() {
            self.held.extend_from_slice(finite);
        }
        // Blocks end at the same values however the rows were cut.
        if self.fresh.is_empty() && finite.len() == BLOCK {
            self.moments.add(finite);
            return;
        }
        self.fresh.extend_from_slice(finite);
        if self.fresh.len() >= BLOCK {
            self.moments.add(&self.fresh[..BLOCK]);
            self.fresh.drain(..BLOCK);
        }
    }

    /// Cells, bins and scale from what was seen; `None` when nothing finite was held.
    /// `grids` adds the edges of Evidently's bins, and says whether the column's type is whole numbers.
    /// `ranges` are closed ranges of values whose ends become edges, too.
    pub(super) fn finish(
        mut self,
        grids: Option<bool>,
        ranges: &[[Option<f64>; 2]],
    ) -> Option<Measured> {
        if self.held.is_empty() {
            return None;
        }
        self.moments.add(&self.fresh);
        let moments = self.moments;
        let whole = !self.sampled();
        let sorted = order::sorted(self.held);
        let mut edges = bins::edges(&sorted);
        let (distinct, singletons) = bins::distinct_and_singletons(&sorted);
        marks::add(&mut edges, ranges, (moments.lowest, moments.highest), self.storage);
        let bins = match grids {
            None => bins::decile_bins(&sorted, &edges),
            Some(integer) => {
                let range = (moments.lowest, moments.highest);
                let (finite, storage) = (moments.n, self.storage);
                let column = evidently::Column { range, finite, distinct, storage, integer };
                evidently::add_edges(&mut edges, &column);
                evidently::usual_bins(&edges, &column)
            }
        };
        let scale = scale(&sorted, moments.sd());
        let cells = NumericCells::new(edges, moments.lowest, moments.highest, scale, self.storage);
        Some(Measured {
            cells,
            bins,
            finite: moments.n,
            distinct,
            singletons,
            mean: moments.mean(),
            sd: moments.sd(),
            sample: (!whole).then_some(sorted.len() as u64),
            values: whole.then_some(sorted),
            others: self.others,
        })
    }
}

/// The highest hash of a row that is held, where at most `held_max` of `rows` are.
fn sample_limit(rows: u64, held_max: usize) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    let (rows, held_max) = (rows as f64, held_max as f64);
    // Six standard deviations below, so that chance does not exceed the limit.
    let wanted = (held_max - 6.0 * held_max.sqrt()).max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^64, and `as` saturates"
    )]
    let hash_max = (wanted / rows * 2f64.powi(64)) as u64;
    hash_max
}

/// The median, and the interquartile range; without one the standard deviation, else 1.
fn scale(sorted: &[f64], sd: Option<f64>) -> Scale {
    let iqr = bins::quantile(sorted, 3, 4) - bins::quantile(sorted, 1, 4);
    let usable = |unit: &f64| *unit > 0.0 && unit.is_finite();
    let unit = Some(iqr).filter(usable).or(sd.filter(usable)).unwrap_or(1.0);
    Scale { center: bins::quantile(sorted, 1, 2), unit }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array};

    use super::*;

    fn measured(values: Vec<f64>) -> Measured {
        let mut numbers = Numbers::new(values.len() as u64, usize::MAX, Storage::F64);
        let array: ArrayRef = Arc::new(Float64Array::from(values));
        assert!(numbers.push(&array));
        numbers.finish(None, &[]).unwrap()
    }

    #[test]
    fn the_scale_falls_back_to_the_deviation_and_then_to_one() {
        let ramp = measured((1..=100).map(f64::from).collect());
        assert_eq!(ramp.cells.scale, Scale { center: 50.0, unit: 50.0 });
        let mut spike = vec![0.0; 90];
        spike.extend([10.0; 10]);
        assert_eq!(measured(spike).cells.scale, Scale { center: 0.0, unit: 3.0 });
        assert_eq!(measured(vec![5.0; 9]).cells.scale, Scale { center: 5.0, unit: 1.0 });
        let extremes = measured(vec![-f64::MAX, f64::MAX]);
        assert_eq!(extremes.cells.scale, Scale { center: -f64::MAX, unit: 1.0 });
        assert_eq!((extremes.sd, extremes.cells.lowest), (None, -f64::MAX));
    }

    #[test]
    fn minus_zero_is_zero() {
        let zeros = measured(vec![-0.0, 0.0, -0.0]);
        assert_eq!(zeros.distinct, 1);
        assert_eq!(zeros.cells.edges.last().map(|e| e.to_bits()), Some(0));
    }

    #[test]
    fn a_sample_is_the_same_however_the_rows_are_cut() {
        let whole: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5000));
        let edges_of = |cuts: &[usize]| {
            let mut numbers = Numbers::new(5000, 1000, Storage::F64);
            let mut start = 0;
            for &end in cuts {
                assert!(numbers.push(&whole.slice(start, end - start)));
                start = end;
            }
            assert!(numbers.sampled());
            assert!((500..=1000).contains(&numbers.held.len()), "{}", numbers.held.len());
            let measured = numbers.finish(None, &[]).unwrap();
            assert_eq!((measured.finite, measured.cells.highest), (5000, 4999.0));
            measured.cells.edges
        };
        assert_eq!(edges_of(&[5000]), edges_of(&[7, 1000, 4999, 5000]));
    }
}
