//! What a change would do to one feature: laws for asking how soon it would be seen.
//!
//! Numbers are moved on their normal scale, in the reference's own cells: a value of rank `u` goes to rank
//! `Phi(Phi^-1(u) + k)`. For a bell-shaped feature that is a shift by `k` standard deviations; for any other
//! it is the same shift of ranks, and nothing leaves the reference's range.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::baseline::FeatureBaseline;
use crate::decide::evidence::{Columns, RARE};
use crate::feature::Kind;
use crate::histogram::Counts;

/// What is moved of a law is exact to one in so many.
const WHOLE: f64 = 1e12;

/// A change of one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// The mean goes up by so many standard deviations.
    Mean(f64),
    /// The spread grows by this factor.
    Spread(f64),
    /// This share of the records goes from the most frequent category to the second.
    Swap(f64),
    /// This share of the values is of a category that the reference has never seen.
    NewCategory(f64),
    /// This share of the records has no value any more.
    Missing(f64),
}

impl Shift {
    /// The changes of a power table.
    pub const TABLE: [Shift; 8] = [
        Shift::Mean(0.1),
        Shift::Mean(0.3),
        Shift::Mean(0.5),
        Shift::Mean(1.0),
        Shift::Spread(1.5),
        Shift::Swap(0.05),
        Shift::NewCategory(0.01),
        Shift::Missing(0.02),
    ];

    /// For people.
    pub fn describe(self) -> String {
        match self {
            Shift::Mean(by) => format!("mean +{by} sd"),
            Shift::Spread(factor) => format!("spread x{factor}"),
            Shift::Swap(share) => format!("{} points to another category", 100.0 * share),
            Shift::NewCategory(share) => format!("{} % of a new category", 100.0 * share),
            Shift::Missing(share) => format!("missing +{} points", 100.0 * share),
        }
    }

    /// The law of `feature` after the change, as shares of the records in the columns of the test; they
    /// sum to 1. `None` for a change that the kind of feature cannot have.
    pub fn law(self, feature: &FeatureBaseline, columns: &Columns) -> Option<Vec<f64>> {
        let reference = &feature.reference.cells;
        let total: f64 = reference.iter().map(|&count| count as f64).sum();
        if total <= 0.0 {
            return None;
        }
        let shares: Vec<f64> = reference.iter().map(|&count| count as f64 / total).collect();
        let cells = match (self, feature.kind) {
            (Shift::Mean(by), Kind::Numeric) => moved(&shares, |z| z - by)?,
            (Shift::Spread(factor), Kind::Numeric) => moved(&shares, |z| z / factor)?,
            (Shift::Swap(share), Kind::Categorical) => swapped(shares, share)?,
            (Shift::NewCategory(_), Kind::Categorical) | (Shift::Missing(_), _) => shares,
            (Shift::Mean(_) | Shift::Spread(_), Kind::Categorical)
            | (Shift::Swap(_) | Shift::NewCategory(_), Kind::Numeric) => return None,
        };
        let absent = reference_absent(feature);
        let mut law = in_columns(&cells, columns);
        let (unseen, missing) = match self {
            Shift::NewCategory(share) => (share, absent),
            Shift::Missing(share) => (0.0, (absent + share).min(1.0)),
            Shift::Mean(_) | Shift::Spread(_) | Shift::Swap(_) => (0.0, absent),
        };
        let n_body = law.len() - RARE;
        law[..n_body].iter_mut().for_each(|share| *share *= (1.0 - unseen) * (1.0 - missing));
        law[n_body + 1] = unseen * (1.0 - missing);
        law[n_body + 2] = missing;
        Some(law)
    }
}

/// The law of the reference itself, in the same form.
pub fn unchanged(feature: &FeatureBaseline, columns: &Columns) -> Option<Vec<f64>> {
    Shift::Missing(0.0).law(feature, columns)
}

fn reference_absent(feature: &FeatureBaseline) -> f64 {
    let reference = &feature.reference;
    let known = reference.in_cells() + reference.absent();
    if known == 0 { 0.0 } else { reference.absent() as f64 / known as f64 }
}

/// Shares of cells, moved on the normal scale: cell `(F_a, F_b]` holds `G(F_b) - G(F_a)` with
/// `G(F) = Phi(to(Phi^-1(F)))`. `None` for a constant, which has nowhere to go.
fn moved(shares: &[f64], to: impl Fn(f64) -> f64) -> Option<Vec<f64>> {
    if shares.iter().filter(|share| **share > 0.0).count() < 2 {
        return None;
    }
    let normal = Normal::standard();
    let after = |below: f64| match below {
        b if b <= 0.0 => 0.0,
        b if b >= 1.0 - 1e-12 => 1.0,
        b => normal.cdf(to(normal.inverse_cdf(b))),
    };
    let (mut below, mut before) = (0.0, 0.0);
    let cell = |share: &f64| {
        below += share;
        let now = after(below);
        let moved = (now - before).max(0.0);
        before = now;
        moved
    };
    Some(shares.iter().map(cell).collect())
}

/// `None` where the most frequent category does not have so much, or is the only one.
fn swapped(mut shares: Vec<f64>, share: f64) -> Option<Vec<f64>> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
    let [first, second, ..] = order[..] else { return None };
    if shares[first] <= share || shares[second] <= 0.0 {
        return None;
    }
    shares[first] -= share;
    shares[second] += share;
    Some(shares)
}

fn in_columns(cells: &[f64], columns: &Columns) -> Vec<f64> {
    let counts = Counts {
        cells: cells.iter().map(|share| whole(share * WHOLE)).collect(),
        ..Counts::default()
    };
    let mut law = columns.map(&counts);
    let total: f64 = law.iter().sum();
    law.iter_mut().for_each(|share| *share /= total);
    law
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares of 1e12")]
fn whole(x: f64) -> u64 {
    x.round() as u64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::histogram::{Bins, CategoricalCells, Cells, NumericCells, Scale, Storage};

    /// A standard normal in 240 cells of equal mass, or ten categories of shares 1 to 10.
    pub(crate) fn feature(kind: Kind, rows: u64) -> FeatureBaseline {
        let (cells, reference, starts): (Cells, Vec<u64>, Vec<u32>) = match kind {
            Kind::Numeric => {
                let normal = Normal::standard();
                let edges = (1..240).map(|i| normal.inverse_cdf(f64::from(i) / 240.0)).collect();
                let scale = Scale { center: 0.0, unit: 1.0 };
                let cells = NumericCells::new(edges, -4.5, 4.5, scale, Storage::F64);
                let starts = (0..10).map(|bin| bin * 24).collect();
                (Cells::Numeric(cells), vec![rows / 240; 240], starts)
            }
            Kind::Categorical => {
                let names = (1..=10).map(|i| format!("c{i}")).collect();
                let cells = Cells::Categorical(CategoricalCells::new(names, Vec::new(), false));
                let mut counts: Vec<u64> = (1..=10).map(|i| rows * i / 55).collect();
                counts.resize(cells.len(), 0);
                let starts = (0..counts.len()).map(|cell| u32::try_from(cell).unwrap()).collect();
                (cells, counts, starts)
            }
        };
        let reference = Counts { cells: reference, ..Counts::default() };
        FeatureBaseline {
            mean: Some(0.0),
            sd: Some(1.0),
            distinct: 10_000,
            ..FeatureBaseline::of_counts("x", cells, Bins { starts }, reference)
        }
    }

    #[test]
    fn a_bell_moves_by_its_standard_deviations() {
        let feature = feature(Kind::Numeric, 240_000);
        let columns = Columns::new(&feature);
        let shares = |law: &[f64]| columns.bins(law);
        let law = Shift::Mean(1.0).law(&feature, &columns).unwrap();
        let bins = shares(&law);
        // P(N(1, 1) <= -1.2816) and P(N(1, 1) > 1.2816).
        assert!((bins[0] - 0.01126).abs() < 1e-4 && (bins[9] - 0.38913).abs() < 1e-4, "{bins:?}");
        let wide = shares(&Shift::Spread(1.5).law(&feature, &columns).unwrap());
        // P(1.5 N <= -1.2816).
        assert!((wide[0] - 0.19645).abs() < 1e-4 && (wide[0] - wide[9]).abs() < 1e-9, "{wide:?}");
        let same = shares(&unchanged(&feature, &columns).unwrap());
        assert!(same.iter().all(|share| (share - 0.1).abs() < 1e-9), "{same:?}");
    }

    #[test]
    fn every_law_is_one_and_every_kind_has_its_own() {
        for kind in [Kind::Numeric, Kind::Categorical] {
            let mut feature = feature(kind, 24_000);
            feature.reference.null = 1_000;
            let columns = Columns::new(&feature);
            let laws: Vec<_> =
                Shift::TABLE.iter().map(|shift| shift.law(&feature, &columns)).collect();
            for law in laws.iter().flatten() {
                assert!((law.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{law:?}");
            }
            let has: Vec<bool> = laws.iter().map(Option::is_some).collect();
            let expected = match kind {
                Kind::Numeric => [true, true, true, true, true, false, false, true],
                Kind::Categorical => [false, false, false, false, false, true, true, true],
            };
            assert_eq!(has, expected);
            let missing = laws[7].as_ref().unwrap();
            let expected = 1_000.0 / (feature.reference.in_cells() as f64 + 1_000.0) + 0.02;
            assert!((missing[missing.len() - 1] - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn a_constant_has_nowhere_to_go() {
        let mut constant = feature(Kind::Numeric, 24_000);
        constant.reference.cells.iter_mut().skip(1).for_each(|count| *count = 0);
        let columns = Columns::new(&constant);
        assert_eq!(Shift::Mean(0.3).law(&constant, &columns), None);
        assert!(Shift::Missing(0.02).law(&constant, &columns).is_some());
    }
}
