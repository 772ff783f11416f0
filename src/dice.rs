//! Chance from a seed: the same draws at every run and on every machine.

use std::f64::consts::TAU;

/// Distinct values of `uniform`.
const STEPS: f64 = (1u64 << 53) as f64;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits, all of them by chance.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A whole number below `n`; 0 where none is.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.draw() % n.max(1) as u64).unwrap_or(0)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / STEPS
    }

    /// In (0, 1), so that it has a logarithm.
    pub fn open(&mut self) -> f64 {
        ((self.draw() >> 11) as f64 + 0.5) / STEPS
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.open().ln()).sqrt();
        radius * (TAU * self.open()).cos()
    }

    /// Nearly standard normal, and between -6 and 6: the sum of twelve of `uniform`, less 6.
    pub fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// Any order of the items, each as likely, by Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = last as u128 + 1;
            let at = usize::try_from((u128::from(self.draw()) * bound) >> 64).unwrap_or(0);
            items.swap(last, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_published_generator() {
        let mut dice = Dice::new(1_234_567);
        let draws = [(); 3].map(|()| dice.draw());
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(draws, published);
    }

    #[test]
    fn both_bells_have_a_mean_of_0_and_a_deviation_of_1() {
        for draw in [Dice::normal, Dice::bell] {
            let mut dice = Dice::new(1);
            let drawn: Vec<f64> = (0..40_000).map(|_| draw(&mut dice)).collect();
            let mean = drawn.iter().sum::<f64>() / 40_000.0;
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40_000.0;
            // Six deviations of either.
            assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.043, "{mean} {variance}");
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_depends_on_the_seed_only() {
        let order = |seed| {
            let mut order: Vec<usize> = (0..50).collect();
            Dice::new(seed).shuffle(&mut order);
            order
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn no_place_is_favoured() {
        let (mut dice, mut first) = (Dice::new(1), [0u32; 5]);
        for _ in 0..10_000 {
            let mut order = [0, 1, 2, 3, 4];
            dice.shuffle(&mut order);
            first[order[0]] += 1;
        }
        // Each 2000 times, give or take six deviations.
        assert!(first.iter().all(|&n| n.abs_diff(2000) < 240), "{first:?}");
    }
}
