//! Kullback-Leibler divergence, both ways; the two add up to PSI.

use crate::compare::pair::Pair;

/// `sum p ln(p / q)` over smoothed shares: live as seen from the reference. In nats, `[0, inf)`.
pub(crate) fn kl(pair: &Pair) -> f64 {
    divergence(pair.smoothed())
}

/// `sum q ln(q / p)`.
pub(crate) fn kl_reverse(pair: &Pair) -> f64 {
    divergence(pair.smoothed().map(|(p, q)| (q, p)))
}

/// Terms of both signs cancel, so that rounding can leave a sum just under 0.
fn divergence(shares: impl Iterator<Item = (f64, f64)>) -> f64 {
    shares.map(|(p, q)| p * (p / q).ln()).sum::<f64>().max(0.0)
}
