//! The chi-square law: upper tail from statrs, quantiles by Newton's method on its logarithm.

use std::sync::OnceLock;

use statrs::function::gamma::checked_gamma_ur;
use statrs::function::gamma::ln_gamma;

use crate::compare::FLOOR_ALPHA;
use crate::compare::WINDOW_ALPHA;

/// Degrees of freedom whose quantiles are kept; bins are at most 51, parity profiles may have more.
const KEPT: usize = 128;

type Row = [OnceLock<f64>; KEPT];
static FLOOR: Row = [const { OnceLock::new() }; KEPT];
static WINDOW: Row = [const { OnceLock::new() }; KEPT];

/// Chance that chi-square with `degrees` of freedom exceeds `x`; 1 at or below 0, and with no
/// degrees of freedom. Accurate relative to itself far into the tail, never `1 - cdf` there.
pub(crate) fn survival(x: f64, degrees: usize) -> f64 {
    if degrees == 0 || x <= 0.0 {
        return 1.0;
    }
    // It refuses only what is no positive finite number: an infinite x has nothing above it.
    checked_gamma_ur(0.5 * degrees as f64, 0.5 * x).unwrap_or(0.0)
}

/// `x` with `survival(x, degrees) = alpha`, for `alpha` up to 0.5; 0 with no degrees of freedom.
pub(crate) fn quantile(alpha: f64, degrees: usize) -> f64 {
    let row = [(FLOOR_ALPHA, &FLOOR), (WINDOW_ALPHA, &WINDOW)]
        .into_iter()
        .find(|(kept, _)| kept.to_bits() == alpha.to_bits());
    match row.and_then(|(_, row)| row.get(degrees)) {
        Some(kept) => *kept.get_or_init(|| solve(alpha, degrees)),
        None => solve(alpha, degrees),
    }
}

/// Newton on `ln survival`, which is concave and nearly straight, from the Wilson-Hilferty guess.
fn solve(alpha: f64, degrees: usize) -> f64 {
    if degrees == 0 {
        return 0.0;
    }
    let k = degrees as f64;
    // Abramowitz and Stegun 26.2.23: the normal quantile to 4.5e-4, enough for a first guess.
    let t = (-2.0 * alpha.ln()).sqrt();
    let normal = t
        - (2.515_517 + t * (0.802_853 + t * 0.010_328))
            / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    let spread = 2.0 / (9.0 * k);
    let mut x = (k * (1.0 - spread + normal * spread.sqrt()).powi(3)).max(1e-3 * k);
    let ln_scale = 0.5 * k * std::f64::consts::LN_2 + ln_gamma(0.5 * k);
    for _ in 0..50 {
        let tail = survival(x, degrees);
        let density = ((0.5 * k - 1.0) * x.ln() - 0.5 * x - ln_scale).exp();
        let step = (tail / alpha).ln() * tail / density;
        x = (x + step).max(0.5 * x);
        if step.abs() <= 1e-14 * x {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_is_where_the_tail_is_alpha() {
        for degrees in [1, 2, 3, 9, 19, 40, 50, 127, 400] {
            for alpha in [0.5, 0.05, 1e-3, 1e-5, 1e-6, 1e-12, 1e-100] {
                let tail = survival(quantile(alpha, degrees), degrees);
                assert!((tail / alpha - 1.0).abs() < 1e-10, "{degrees} {alpha}: {tail}");
            }
        }
    }

    #[test]
    fn kept_quantiles_are_those_solved_afresh() {
        for degrees in 0..KEPT {
            for alpha in [FLOOR_ALPHA, WINDOW_ALPHA] {
                let (kept, fresh) = (quantile(alpha, degrees), solve(alpha, degrees));
                assert_eq!(kept.to_bits(), fresh.to_bits());
                assert_eq!(quantile(alpha, degrees).to_bits(), kept.to_bits());
            }
        }
    }

    #[test]
    fn tail_has_its_ends() {
        assert!((survival(0.0, 9) - 1.0).abs() < f64::EPSILON);
        assert!((survival(5.0, 0) - 1.0).abs() < f64::EPSILON);
        assert!(survival(f64::INFINITY, 9).abs() < f64::MIN_POSITIVE);
    }
}
