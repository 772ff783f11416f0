//! Population stability index.

use crate::compare::pair::Pair;

/// `sum (q - p) ln(q / p)` over smoothed shares; no term is negative. In nats, `[0, inf)`.
pub(crate) fn psi(pair: &Pair) -> f64 {
    pair.smoothed().map(|(p, q)| (q - p) * (q / p).ln()).sum()
}
