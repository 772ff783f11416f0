//! Chi-square test of homogeneity: are both sides draws of one distribution?

use crate::compare::chi_squared_law;
use crate::compare::pair::Pair;

/// Bins below this pooled expected count are merged before the p-value is taken.
const LEAST_EXPECTED: f64 = 5.0;

/// `X2 = sum (Q - P)^2 / pool / (1/n + 1/m)`, `pool = (r + c) / (m + n)`, without Yates'
/// correction, over all bins: what `scipy.stats.chi2_contingency(correction=False)` gives. `[0, inf)`.
pub(crate) fn statistic(pair: &Pair) -> f64 {
    sum(pair.counts(), pair)
}

/// Upper tail of chi-square at `X2 / phi` over merged bins; `None` with a single bin, and 1 when
/// merging leaves one.
///
/// From the left, bins are joined until the smaller side's pooled expected count is 5; a remainder
/// joins its left neighbour. Rare bins otherwise make the tail heavier than the law says.
pub(crate) fn p_value(pair: &Pair, design_effect: f64) -> Option<f64> {
    if pair.len() < 2 {
        return None;
    }
    let merged = merged(pair);
    let x = sum(merged.iter().copied(), pair) / design_effect;
    Some(chi_squared_law::survival(x, merged.len() - 1))
}

fn sum(bins: impl Iterator<Item = (f64, f64)>, pair: &Pair) -> f64 {
    let (m, n) = (pair.m, pair.n);
    let terms = bins.map(|(r, c)| (c / n - r / m).powi(2) * (m + n) / (r + c));
    terms.sum::<f64>() / (n.recip() + m.recip())
}

fn merged(pair: &Pair) -> Vec<(f64, f64)> {
    let smaller = pair.m.min(pair.n) / (pair.m + pair.n);
    let mut bins: Vec<(f64, f64)> = Vec::with_capacity(pair.len());
    let (mut reference, mut live) = (0.0, 0.0);
    for (r, c) in pair.counts() {
        reference += r;
        live += c;
        if smaller * (reference + live) >= LEAST_EXPECTED {
            bins.push((reference, live));
            (reference, live) = (0.0, 0.0);
        }
    }
    match bins.last_mut() {
        Some(last) => {
            last.0 += reference;
            last.1 += live;
        }
        None => bins.push((reference, live)),
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remainder_joins_its_left_neighbour() {
        let pair = Pair::new(&[50, 50, 2, 1], &[50, 50, 1, 2]).unwrap();
        assert_eq!(merged(&pair), [(50.0, 50.0), (53.0, 53.0)]);
    }

    #[test]
    fn a_single_bin_has_no_p_value() {
        assert_eq!(p_value(&Pair::new(&[50], &[70]).unwrap(), 1.0), None);
    }
}
