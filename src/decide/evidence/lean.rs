//! A number that has moved or spread as a whole: a few dozen laws in place of all.
//!
//! The mixture over all laws pays for not knowing which: about `(B - 1)/2 ln n` nats. Most drifts of
//! a number are simpler. Along a score of the bins, the reference leans by `theta`: `p exp(theta score)`,
//! normalised. One score grows with the value (a shift), the other from the middle outwards (a spread).
//! The mean of these laws' likelihoods is a numerator as good as any: its expectation under the
//! reference is 1.

use libm::{exp, log, sqrt};

use crate::decide::evidence::mixture::log_sum_exp;

/// How far a law leans, in standard deviations of its score; each to both sides.
const THETAS: [f64; 6] = [0.15, 0.25, 0.4, 0.65, 1.0, 1.6];
/// A score that varies less than this among the bins says nothing.
const VARIES: f64 = 1e-9;

/// The leaning laws of one feature's body.
#[derive(Clone, Debug)]
pub(super) struct Leans {
    /// Per law: `ln(p_theta / p)` of each column.
    laws: Vec<Vec<f64>>,
}

impl Leans {
    /// For reference shares (positive, they sum to 1) of ordered columns.
    pub(super) fn new(shares: &[f64]) -> Self {
        let mean = |score: &[f64]| -> f64 { shares.iter().zip(score).map(|(p, s)| p * s).sum() };
        let product =
            |a: &[f64], b: &[f64]| mean(&a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>());
        // Mean 0 and variance 1 under the reference, and nothing of `other` in it.
        let standard = |score: Vec<f64>, other: &[f64]| -> Option<Vec<f64>> {
            let (centre, common) = (mean(&score), product(&score, other));
            let score = score.iter().zip(other).map(|(s, o)| s - centre - common * o);
            let score: Vec<f64> = score.collect();
            let variance = product(&score, &score);
            let sd = sqrt(variance);
            (variance > VARIES).then(|| score.iter().map(|s| s / sd).collect())
        };
        let mut below = 0.0;
        let odds = shares.iter().map(|share| {
            let middle = below + share / 2.0;
            below += share;
            log(middle / (1.0 - middle).max(f64::MIN_POSITIVE))
        });
        let none = vec![0.0; shares.len()];
        let shift = standard(odds.collect(), &none);
        let spread = shift
            .as_ref()
            .and_then(|shift| standard(shift.iter().map(|score| score * score).collect(), shift));
        let mut laws = Vec::with_capacity(4 * THETAS.len());
        for score in shift.iter().chain(&spread) {
            for theta in THETAS.into_iter().flat_map(|theta| [theta, -theta]) {
                let tilted = shares.iter().zip(score).map(|(p, s)| p * exp(theta * s));
                let total = log(tilted.sum());
                laws.push(score.iter().map(|s| theta * s - total).collect());
            }
        }
        Self { laws }
    }

    /// `ln` of the mean of the laws' likelihoods over the reference's, for (discounted) counts; `None`
    /// where no law leans.
    pub(super) fn log_e(&self, counts: &[f64]) -> Option<f64> {
        if self.laws.is_empty() {
            return None;
        }
        let log_ratio = |law: &Vec<f64>| counts.iter().zip(law).map(|(a, l)| a * l).sum();
        let ratios: Vec<f64> = self.laws.iter().map(log_ratio).collect();
        Some(log_sum_exp(&ratios) - log(ratios.len() as f64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARES: [f64; 5] = [0.05, 0.2, 0.5, 0.2, 0.05];

    fn evidence(counts: [f64; 5]) -> f64 {
        Leans::new(&SHARES).log_e(&counts).unwrap()
    }

    #[test]
    fn shifts_and_spreads_are_evidence_and_the_reference_is_none() {
        let reference = SHARES.map(|share| 400.0 * share);
        assert!(evidence(reference) < 0.0);
        assert!(evidence([60.0, 110.0, 180.0, 45.0, 5.0]) > 10.0, "a shift down");
        assert!(evidence([5.0, 45.0, 180.0, 110.0, 60.0]) > 10.0, "a shift up");
        assert!(evidence([60.0, 80.0, 120.0, 80.0, 60.0]) > 10.0, "a wider spread");
        assert!(evidence([2.0, 50.0, 296.0, 50.0, 2.0]) > 10.0, "a narrower spread");
    }

    #[test]
    fn two_bins_can_only_shift_and_one_can_nothing() {
        assert_eq!(Leans::new(&[0.3, 0.7]).laws.len(), 2 * THETAS.len());
        assert_eq!(Leans::new(&[1.0]).log_e(&[50.0]), None);
    }

    proptest! {
        /// One record's expected ratio is 1 under the reference, so that of any number of them is.
        #[test]
        fn every_law_is_one(weights in proptest::collection::vec(0.001f64..1.0, 2..14)) {
            let total: f64 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
            for law in Leans::new(&shares).laws {
                let expectation: f64 = shares.iter().zip(&law).map(|(p, l)| p * l.exp()).sum();
                prop_assert!((expectation - 1.0).abs() < 1e-12, "{expectation}");
            }
        }
    }
}
