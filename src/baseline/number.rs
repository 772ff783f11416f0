//! First pass over a numeric column: the values that edges come from, range, mean and scale.

use arrow::array::Array;
use arrow::array::ArrayRef;
use xxhash_rust::xxh3::xxh3_64;

use crate::baseline::bins;
use crate::histogram::numeric;
use crate::histogram::{Bins, NumericCells, Scale, Storage};

/// Holds all finite values, or a sample of them that depends on row numbers only.
#[derive(Debug)]
pub(super) struct Numbers {
    storage: Storage,
    held: Vec<f64>,
    /// A row is held when the hash of its number is at most this.
    hash_max: u64,
    row: u64,
    finite: u64,
    mean: f64,
    squares: f64,
    lowest: f64,
    highest: f64,
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
}

impl Numbers {
    /// For a column of `rows` rows, of which at most `held_max` are kept at once.
    pub(super) fn new(rows: u64, held_max: usize, storage: Storage) -> Self {
        let hash_max = if rows <= held_max as u64 {
            u64::MAX
        } else {
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
        };
        Self {
            storage,
            held: Vec::new(),
            hash_max,
            row: 0,
            finite: 0,
            mean: 0.0,
            squares: 0.0,
            lowest: f64::INFINITY,
            highest: f64::NEG_INFINITY,
        }
    }

    pub(super) fn sampled(&self) -> bool {
        self.hash_max < u64::MAX
    }

    /// Takes the next rows; false when the array holds no numbers.
    pub(super) fn push(&mut self, array: &ArrayRef) -> bool {
        let Some(values) = numeric::values(array.as_ref()) else { return false };
        let nulls = array.logical_nulls();
        for (i, &value) in values.iter().enumerate() {
            let row = self.row + i as u64;
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i)) {
                self.add(row, self.storage.round(value));
            }
        }
        self.row += array.len() as u64;
        true
    }

    fn add(&mut self, row: u64, value: f64) {
        if !value.is_finite() {
            return;
        }
        // -0 and 0 are one value; adding 0 makes them so.
        let value = value + 0.0;
        self.finite += 1;
        self.lowest = self.lowest.min(value);
        self.highest = self.highest.max(value);
        // Welford: a constant has a deviation of exactly 0, and nothing cancels.
        let delta = value - self.mean;
        #[expect(clippy::cast_precision_loss, reason = "columns have fewer than 2^53 rows")]
        let n = self.finite as f64;
        self.mean += delta / n;
        self.squares += delta * (value - self.mean);
        if self.hash_max == u64::MAX || xxh3_64(&row.to_le_bytes()) <= self.hash_max {
            self.held.push(value);
        }
    }

    /// Cells, bins and scale from what was seen; `None` when nothing finite was held.
    pub(super) fn finish(mut self) -> Option<Measured> {
        if self.held.is_empty() {
            return None;
        }
        self.held.sort_unstable_by(f64::total_cmp);
        let sorted = &self.held;
        #[expect(clippy::cast_precision_loss, reason = "columns have fewer than 2^53 rows")]
        let sd = Some((self.squares / self.finite as f64).sqrt()).filter(|sd| sd.is_finite());
        let edges = bins::edges(sorted);
        let decile_bins = bins::decile_bins(sorted, &edges);
        let (distinct, singletons) = bins::distinct_and_singletons(sorted);
        let scale = scale(sorted, sd);
        Some(Measured {
            cells: NumericCells::new(edges, self.lowest, self.highest, scale, self.storage),
            bins: decile_bins,
            finite: self.finite,
            distinct,
            singletons,
            mean: Some(self.mean).filter(|mean| mean.is_finite()),
            sd,
        })
    }
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
        numbers.finish().unwrap()
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
            let measured = numbers.finish().unwrap();
            assert_eq!((measured.finite, measured.cells.highest), (5000, 4999.0));
            measured.cells.edges
        };
        assert_eq!(edges_of(&[5000]), edges_of(&[7, 1000, 4999, 5000]));
    }
}
