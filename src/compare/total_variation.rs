//! Total variation and the largest difference of any bin. Neither has a noise floor.

use crate::compare::pair::Pair;

/// `1/2 sum abs(P - Q)` over raw shares, `[0, 1]`.
pub(crate) fn total_variation(pair: &Pair) -> f64 {
    (0.5 * pair.raw().map(|(p, q)| (p - q).abs()).sum::<f64>()).min(1.0)
}

/// `max abs(P - Q)` over raw shares, `[0, 1]`.
pub(crate) fn l_infinity(pair: &Pair) -> f64 {
    pair.raw().map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
}
