//! Range, mean and deviation of a column, a block of its values at a time.

/// Values that are taken at once: few enough for the cache, so that the second look is cheap.
pub(super) const BLOCK: usize = 1024;
const LANES: usize = 8;

/// Of finite values that come in blocks. The result depends on where blocks end in its last bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) n: u64,
    pub(super) lowest: f64,
    pub(super) highest: f64,
    mean: f64,
    squares: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { n: 0, lowest: f64::INFINITY, highest: f64::NEG_INFINITY, mean: 0.0, squares: 0.0 }
    }
}

impl Moments {
    /// Adds a block. Within it values are taken from its first one, so that nothing cancels and a
    /// constant has a deviation of exactly 0; blocks are joined by Chan's formula.
    pub(super) fn add(&mut self, block: &[f64]) {
        let Some(&first) = block.first() else { return };
        let lowest = by_lane(block, f64::INFINITY, f64::min);
        self.lowest = lowest.into_iter().fold(self.lowest, f64::min);
        let highest = by_lane(block, f64::NEG_INFINITY, f64::max);
        self.highest = highest.into_iter().fold(self.highest, f64::max);
        self.n += block.len() as u64;
        #[expect(clippy::cast_precision_loss, reason = "columns have fewer than 2^53 rows")]
        let (n, all) = (block.len() as f64, self.n as f64);
        let (share, before) = (n / all, all - n);
        // Divided before they are added, so that large values do not overflow.
        let part = 1.0 / n;
        let offset: f64 = by_lane(block, 0.0, |sum, x| sum + (x - first) * part).into_iter().sum();
        let square = |sum, x: f64| {
            let apart = (x - first) - offset;
            sum + apart * apart
        };
        let squares: f64 = by_lane(block, 0.0, square).into_iter().sum();
        let delta = first + offset - self.mean;
        self.mean += delta * share;
        // In this order nothing that overflows is multiplied by the 0 before the first block.
        self.squares += squares + delta * (before * share) * delta;
    }

    /// `None` where it is too large for a double.
    pub(super) fn mean(&self) -> Option<f64> {
        Some(self.mean).filter(|mean| mean.is_finite())
    }

    /// The standard deviation (ddof 0); `None` where it is too large for a double.
    pub(super) fn sd(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "columns have fewer than 2^53 rows")]
        let variance = self.squares / self.n as f64;
        Some(variance.sqrt()).filter(|sd| sd.is_finite())
    }
}

/// Folds every eighth value on its own, so that one does not wait for the other.
fn by_lane(block: &[f64], start: f64, fold: impl Fn(f64, f64) -> f64) -> [f64; LANES] {
    let mut lanes = [start; LANES];
    let (eights, rest) = block.as_chunks::<LANES>();
    for values in eights.iter().map(<[f64; LANES]>::as_slice).chain([rest]) {
        for (lane, &value) in lanes.iter_mut().zip(values) {
            *lane = fold(*lane, value);
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64], block: usize) -> Moments {
        let mut moments = Moments::default();
        for block in values.chunks(block) {
            moments.add(block);
        }
        moments
    }

    proptest! {
        #[test]
        fn blocks_give_what_two_passes_give(
            values in proptest::collection::vec(-1e3..1e3f64, 1..3000),
            center in prop::sample::select(vec![0.0, 1e6, -1e9]),
            block in 1..1500usize,
        ) {
            let values: Vec<f64> = values.into_iter().map(|x| x + center).collect();
            let moments = of(&values, block);
            let n = values.len() as f64;
            let mean = center + values.iter().map(|x| x - center).sum::<f64>() / n;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            prop_assert_eq!(moments.n, values.len() as u64);
            let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!((moments.lowest, moments.highest), (lowest, highest));
            prop_assert!((moments.mean().unwrap() - mean).abs() <= 1e-12 * (mean.abs() + 1e3));
            prop_assert!((moments.sd().unwrap() - variance.sqrt()).abs() <= 1e-7);
        }

        #[test]
        fn a_constant_does_not_deviate(value: f64, n in 1..4000usize) {
            prop_assume!(value.is_finite());
            let moments = of(&vec![value; n], BLOCK);
            prop_assert_eq!((moments.mean(), moments.sd()), (Some(value), Some(0.0)));
        }
    }

    #[test]
    fn large_values_have_a_mean_and_what_overflows_has_none() {
        let large = of(&vec![1e306; 5000], BLOCK);
        assert_eq!((large.mean(), large.sd()), (Some(1e306), Some(0.0)));
        let apart = of(&[-f64::MAX, f64::MAX], BLOCK);
        assert_eq!((apart.mean(), apart.sd()), (None, None));
    }
}
