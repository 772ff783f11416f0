//! A feature that has changed in a simple way: some dozens of laws in place of all.
//!
//! The mixture over all laws pays for not knowing which: about `(B - 1)/2 ln n` nats. Most drifts are
//! simpler. Along a score of the bins, the reference leans by `theta`: `p exp(theta score)`, normalised. A
//! number has a score that grows with the value (a shift), one that grows from the middle outwards (a
//! spread), and for each of its atoms (zero, a default, a cap) one that knows only that. A category has a
//! score of its own: it takes from all the others, or gives to them. The mean of these laws' likelihoods
//! is a numerator as good as any: its expectation under the reference is 1.

use libm::{exp, log, sqrt};

use crate::decide::evidence::mixture::log_sum_exp;

/// How far a law leans, in standard deviations of its score; each to both sides.
const THETAS: [f64; 6] = [0.15, 0.25, 0.4, 0.65, 1.0, 1.6];
/// A score that varies less than this among the bins says nothing.
const VARIES: f64 = 1e-9;
/// A number's column is an atom if it holds so many times the share that it had if all were equal.
const ATOM: f64 = 2.0;
/// Columns that may take or give alone are the so many heaviest.
const ALONE_MOST: usize = 16;

/// The leaning laws of one feature's body.
#[derive(Clone, Debug)]
pub(super) struct Leans {
    /// Per law: `ln(p_theta / p)` of each column.
    laws: Vec<Vec<f64>>,
    alone: Vec<Alone>,
}

/// A law by which one column takes from the others, or gives to them, in proportion to their shares.
#[derive(Clone, Copy, Debug)]
struct Alone {
    column: usize,
    /// `ln(p_theta / p)` of the column, and of every other one.
    there: f64,
    elsewhere: f64,
}

impl Leans {
    /// For a number: reference shares (positive, they sum to 1) of ordered columns.
    pub(super) fn of_number(shares: &[f64]) -> Self {
        let atom = ATOM / shares.len() as f64;
        let atoms = heaviest(shares).filter(|&column| shares[column] >= atom);
        let laws = scores(shares).iter().flat_map(|score| leaning(shares, score)).collect();
        Self { laws, alone: atoms.flat_map(|column| alone(shares, column)).collect() }
    }

    /// For categories, which have no order to lean along.
    pub(super) fn of_categories(shares: &[f64]) -> Self {
        // With two, what one takes the other gives.
        let most = if shares.len() > 2 { ALONE_MOST } else { 1 };
        let columns = heaviest(shares).take(most);
        Self { laws: Vec::new(), alone: columns.flat_map(|column| alone(shares, column)).collect() }
    }

    /// `ln` of the mean of the laws' likelihoods over the reference's, for (discounted) counts; `None`
    /// where no law leans.
    pub(super) fn log_e(&self, counts: &[f64]) -> Option<f64> {
        let n: f64 = counts.iter().sum();
        let log_ratio = |law: &Vec<f64>| counts.iter().zip(law).map(|(a, l)| a * l).sum();
        let along = self.laws.iter().map(log_ratio);
        let alone = self.alone.iter().map(|law| {
            let there = counts[law.column];
            there * law.there + (n - there) * law.elsewhere
        });
        let ratios: Vec<f64> = along.chain(alone).collect();
        (!ratios.is_empty()).then(|| log_sum_exp(&ratios) - log(ratios.len() as f64))
    }
}

/// The scores that a number leans along: mean 0 and variance 1 under the reference, the second with nothing
/// of the first in it.
fn scores(shares: &[f64]) -> Vec<Vec<f64>> {
    let mean = |score: &[f64]| -> f64 { shares.iter().zip(score).map(|(p, s)| p * s).sum() };
    let product =
        |a: &[f64], b: &[f64]| mean(&a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>());
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
    shift.into_iter().chain(spread).collect()
}

fn thetas() -> impl Iterator<Item = f64> {
    THETAS.into_iter().flat_map(|theta| [theta, -theta])
}

fn leaning(shares: &[f64], score: &[f64]) -> Vec<Vec<f64>> {
    let law = |theta: f64| {
        let tilted = shares.iter().zip(score).map(|(p, s)| p * exp(theta * s));
        let total = log(tilted.sum());
        score.iter().map(|s| theta * s - total).collect()
    };
    thetas().map(law).collect()
}

/// The laws of a score that is 1 at one column and 0 elsewhere, standardised.
fn alone(shares: &[f64], column: usize) -> Vec<Alone> {
    let share = shares[column];
    let sd = sqrt(share * (1.0 - share));
    if sd * sd <= VARIES {
        return Vec::new();
    }
    let law = |theta: f64| {
        let (there, elsewhere) = (theta * (1.0 - share) / sd, -theta * share / sd);
        let total = log(share * exp(there) + (1.0 - share) * exp(elsewhere));
        Alone { column, there: there - total, elsewhere: elsewhere - total }
    };
    thetas().map(law).collect()
}

/// Columns by share, the heaviest first; of equal ones the first.
fn heaviest(shares: &[f64]) -> impl Iterator<Item = usize> {
    let mut columns: Vec<usize> = (0..shares.len()).collect();
    columns.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    columns.into_iter()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARES: [f64; 5] = [0.05, 0.2, 0.5, 0.2, 0.05];
    const EVEN: [f64; 5] = [0.2; 5];

    fn evidence(counts: [f64; 5]) -> f64 {
        Leans::of_number(&SHARES).log_e(&counts).unwrap()
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

    /// More zeros, say: neither a shift nor a spread tells as much of it as the laws of that value alone.
    #[test]
    fn an_atom_that_takes_or_gives_is_more_evidence_to_its_own_laws() {
        let shares = [0.6, 0.1, 0.1, 0.1, 0.1];
        let [with, mut without] = [(), ()].map(|()| Leans::of_number(&shares));
        assert_eq!(with.alone.len(), 2 * THETAS.len(), "the atom, and no other column");
        without.alone.clear();
        for counts in [[2720.0, 320.0, 320.0, 320.0, 320.0], [2080.0, 480.0, 480.0, 480.0, 480.0]] {
            assert!(with.log_e(&counts).unwrap() > without.log_e(&counts).unwrap() + 2.0);
        }
        assert!(Leans::of_number(&EVEN).alone.is_empty());
    }

    #[test]
    fn a_category_that_takes_or_gives_is_evidence() {
        let mut shares = vec![0.8 / 40.0; 40];
        shares.splice(0..0, [0.12, 0.08]);
        let leans = Leans::of_categories(&shares);
        assert_eq!(leans.alone.len(), 2 * THETAS.len() * ALONE_MOST);
        let counts = |to: f64| -> Vec<f64> {
            let rest = (1.0 - to) / 0.92;
            let share = |(at, share): (usize, &f64)| if at == 1 { to } else { share * rest };
            shares.iter().enumerate().map(|at| 500.0 * share(at)).collect()
        };
        assert!(leans.log_e(&counts(0.08)).unwrap() < 0.0, "as the reference");
        assert!(leans.log_e(&counts(0.2)).unwrap() > 10.0, "it takes");
        assert!(leans.log_e(&counts(0.01)).unwrap() > 10.0, "it gives");
    }

    #[test]
    fn two_bins_can_only_shift_and_one_can_nothing() {
        assert_eq!(Leans::of_number(&[0.3, 0.7]).laws.len(), 2 * THETAS.len());
        assert_eq!(Leans::of_categories(&[0.3, 0.7]).alone.len(), 2 * THETAS.len());
        assert_eq!(Leans::of_number(&[1.0]).log_e(&[50.0]), None);
        assert_eq!(Leans::of_categories(&[1.0]).log_e(&[50.0]), None);
    }

    proptest! {
        /// One record's expected ratio is 1 under the reference, so that of any number of them is.
        #[test]
        fn every_law_is_one(weights in proptest::collection::vec(0.001f64..1.0, 2..20)) {
            let total: f64 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
            let [number, categories] =
                [Leans::of_number(&shares), Leans::of_categories(&shares)];
            let alone = number.alone.iter().chain(&categories.alone).map(|law| {
                let mut whole = vec![law.elsewhere; shares.len()];
                whole[law.column] = law.there;
                whole
            });
            for law in number.laws.iter().cloned().chain(alone) {
                let expectation: f64 = shares.iter().zip(&law).map(|(p, l)| p * l.exp()).sum();
                prop_assert!((expectation - 1.0).abs() < 1e-12, "{expectation}");
            }
        }
    }
}
