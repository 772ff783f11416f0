//! The logarithm of the gamma function, quick and the same on every machine.

use libm::log;

/// `ln sqrt(2 pi)`.
const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;
/// From here on the series below is exact to the last bits of a double.
const LARGE: f64 = 8.0;
/// Stirling's series: the coefficients of `1 / x`, `1 / x^3`, ...
const SERIES: [f64; 7] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
];

/// `ln Gamma(x)` for `x > 0`: Stirling's series, reached from small arguments by `Gamma(x + 1) = x Gamma(x)`.
pub(super) fn ln_gamma(x: f64) -> f64 {
    let (mut argument, mut product) = (x, 1.0);
    while argument < LARGE {
        product *= argument;
        argument += 1.0;
    }
    let inverse = 1.0 / argument;
    let square = inverse * inverse;
    let tail = SERIES.iter().rev().fold(0.0, |sum, coefficient| sum * square + coefficient);
    let series = (argument - 0.5) * log(argument) - argument + HALF_LN_TWO_PI + tail * inverse;
    if x < LARGE { series - log(product) } else { series }
}

#[cfg(test)]
mod tests {
    use statrs::function::gamma::ln_gamma as by_statrs;

    use super::*;

    #[test]
    fn it_is_the_logarithm_of_the_factorial() {
        let mut factorial = 1.0f64;
        for n in 1..170 {
            let expected = factorial.ln();
            assert!((ln_gamma(f64::from(n)) - expected).abs() <= 1e-13 * expected.max(1.0), "{n}");
            factorial *= f64::from(n);
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-14);
    }

    #[test]
    fn it_agrees_with_another_way_from_tiny_to_huge() {
        let mut x = 1e-9;
        while x < 1e12 {
            let expected = by_statrs(x);
            assert!((ln_gamma(x) - expected).abs() <= 1e-11 * expected.abs().max(1.0), "{x}");
            x *= 1.07;
        }
    }
}
