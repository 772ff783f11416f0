//! Hellinger distance.

use crate::compare::pair::Pair;

/// `sqrt(1/2 sum (sqrt P - sqrt Q)^2)` over raw shares, `[0, 1]`. Not `sqrt(1 - sum sqrt(PQ))`,
/// which cancels when the two sides are close.
pub(crate) fn hellinger(pair: &Pair) -> f64 {
    let sum: f64 = pair.raw().map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
    (0.5 * sum).sqrt().min(1.0)
}
