//! Kolmogorov-Smirnov distance on cells, and the Kolmogorov tail (statrs has none for two samples).

use std::f64::consts::PI;

/// Below it the alternating series needs many terms; the theta-dual one needs two.
const SERIES_CROSSOVER: f64 = 1.18;

/// `max abs(F_p - F_q)` over cell ends, `[0, 1]`. Sums are of integers, so nothing accumulates.
///
/// Against raw values it is low by at most the largest reference share of a cell that is no atom.
pub(crate) fn distance(reference: &[u64], live: &[u64]) -> f64 {
    let (m, n) = (reference.iter().sum::<u64>() as f64, live.iter().sum::<u64>() as f64);
    let (mut below_reference, mut below_live, mut distance) = (0u64, 0u64, 0.0f64);
    for (r, c) in reference.iter().zip(live) {
        below_reference += r;
        below_live += c;
        distance = distance.max((below_reference as f64 / m - below_live as f64 / n).abs());
    }
    distance
}

/// Kolmogorov tail at `l + 1 / (6 sqrt e) + (l - 1) / (4 e)`, `l = D sqrt e`, `e = n m / ((n + m) phi) = 1 / f`.
///
/// The correction is Vrbik's (2018): from `e = 16` on within 1e-3 of the law at finite `e`, which SciPy takes
/// for its asymptotic p-values, at every p.
pub(crate) fn p_value(distance: f64, f: f64) -> f64 {
    let e = f.recip();
    let l = distance * e.sqrt();
    survival((l + 1.0 / (6.0 * e.sqrt()) + (l - 1.0) / (4.0 * e)).max(0.0))
}

/// Chance that the Kolmogorov distribution exceeds `x`; 1 at 0.
pub(crate) fn survival(x: f64) -> f64 {
    if x < SERIES_CROSSOVER {
        return 1.0 - lower(x);
    }
    let mut sum = 0.0;
    let mut sign = 1.0;
    for k in 1..=16u32 {
        let term = (-2.0 * f64::from(k * k) * x * x).exp();
        sum += sign * term;
        sign = -sign;
        if term <= f64::EPSILON * sum {
            break;
        }
    }
    2.0 * sum
}

/// `sqrt(2 pi) / x sum exp(-(2k - 1)^2 pi^2 / (8 x^2))`: the distribution function itself.
fn lower(x: f64) -> f64 {
    if x < 0.04 {
        // exp(-pi^2 / (8 x^2)) underflows: nothing lies below.
        return 0.0;
    }
    let scale = -PI * PI / (8.0 * x * x);
    let sum: f64 = [1.0, 9.0, 25.0, 49.0].iter().map(|odd| (odd * scale).exp()).sum();
    (2.0 * PI).sqrt() / x * sum
}

/// `x` with `survival(x) = alpha`, from the first term, to the three decimals of printed tables
/// (1.949 at 0.001); the next term is below `alpha^4`.
pub(crate) fn quantile(alpha: f64) -> f64 {
    ((0.5 * (2.0 / alpha).ln()).sqrt() * 1e3).floor() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_series_meet() {
        let (below, above) = (survival(SERIES_CROSSOVER - 1e-12), survival(SERIES_CROSSOVER));
        assert!((below - above).abs() < 1e-11, "{below} {above}");
    }

    #[test]
    fn survival_falls_from_one_to_nothing() {
        let tail: Vec<f64> = (0..4000).map(|i| survival(f64::from(i) * 0.01)).collect();
        assert!((tail[0] - 1.0).abs() < f64::EPSILON);
        assert!(tail.windows(2).all(|w| w[0] >= w[1] && w[1] >= 0.0));
        assert!(tail[3999] < 1e-300);
    }

    #[test]
    fn hardly_any_record_is_hardly_any_evidence() {
        assert!(p_value(1.0, 1e6) > 0.1);
        assert!(p_value(1.0, 1e-4) < 1e-80);
    }

    #[test]
    fn the_floors_quantile_is_the_table_value() {
        assert!((quantile(1e-3) - 1.949).abs() < 1e-12);
        assert!((survival(quantile(1e-5)) - 1e-5).abs() < 1e-7);
    }
}
