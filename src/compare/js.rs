//! Jensen-Shannon divergence, base 2; its square root is the distance.

use std::f64::consts::LN_2;

use crate::compare::pair::Pair;

/// `(sum P ln(P/H) + sum Q ln(Q/H)) / (2 ln 2)`, `H = (P + Q) / 2`, over raw shares. In bits, `[0, 1]`.
pub(crate) fn divergence(pair: &Pair) -> f64 {
    let sum: f64 = pair.raw().map(|(p, q)| term(p, q) + term(q, p)).sum();
    (sum / (2.0 * LN_2)).clamp(0.0, 1.0)
}

/// `a ln(a / h)`, 0 at `a = 0`.
fn term(a: f64, b: f64) -> f64 {
    if a > 0.0 { a * (a / (0.5 * (a + b))).ln() } else { 0.0 }
}
