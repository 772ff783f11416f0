//! Exact tails of the hypergeometric law, for rates with few events.
//!
//! Ours, because statrs takes binomials from differences of `ln_gamma`: at a million records those
//! carry an error of 1e-9, at a billion of 1e-6. Here probabilities come from Loader's deviances
//! ("Fast and accurate computation of binomial probabilities", 2000), good to 1e-13 at any size.

use std::f64::consts::PI;

use statrs::function::erf::erfc;

/// Beyond it the law is normal to better than any decision needs, and sums would grow long.
const NORMAL_VARIANCE: f64 = 1e6;
/// A hundred deviations of that variance: what lies beyond is nothing. Counts beyond 2^53, where adding
/// one changes nothing, would never come to an end.
const TERMS: usize = 100_000;

/// Draws without replacement from `successes + failures`; whole numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hypergeometric {
    successes: f64,
    failures: f64,
    draws: f64,
}

impl Hypergeometric {
    pub(crate) fn new(successes: f64, failures: f64, draws: f64) -> Self {
        Self { successes, failures, draws }
    }

    /// Chance of at most `x` successes.
    pub(crate) fn at_most(self, x: f64) -> f64 {
        if x < self.least() {
            0.0
        } else if x >= self.most() {
            1.0
        } else if self.variance() > NORMAL_VARIANCE {
            0.5 * erfc((self.mean() - x - 0.5) / (2.0 * self.variance()).sqrt())
        } else if x <= self.mean() {
            self.sum_down(x)
        } else {
            (1.0 - self.sum_up(x + 1.0)).max(0.0)
        }
    }

    /// Chance of at least `x` successes.
    pub(crate) fn at_least(self, x: f64) -> f64 {
        if x <= self.least() {
            1.0
        } else if x > self.most() {
            0.0
        } else if self.variance() > NORMAL_VARIANCE {
            0.5 * erfc((x - 0.5 - self.mean()) / (2.0 * self.variance()).sqrt())
        } else if x >= self.mean() {
            self.sum_up(x)
        } else {
            (1.0 - self.sum_down(x - 1.0)).max(0.0)
        }
    }

    fn total(self) -> f64 {
        self.successes + self.failures
    }

    fn least(self) -> f64 {
        (self.draws - self.failures).max(0.0)
    }

    fn most(self) -> f64 {
        self.successes.min(self.draws)
    }

    fn mean(self) -> f64 {
        self.draws * (self.successes / self.total())
    }

    fn variance(self) -> f64 {
        let left = (self.total() - self.draws) / (self.total() - 1.0).max(1.0);
        self.mean() * (self.failures / self.total()) * left
    }

    /// Terms from `x` on away from the mean shrink, at last geometrically.
    fn sum_down(self, mut x: f64) -> f64 {
        let mut term = self.mass(x);
        let mut sum = 0.0;
        for _ in 0..TERMS {
            if term <= f64::EPSILON * 0.01 * sum {
                break;
            }
            sum += term;
            let up = x * (self.failures - self.draws + x);
            term *= up.max(0.0) / ((self.successes - x + 1.0) * (self.draws - x + 1.0));
            x -= 1.0;
        }
        sum.min(1.0)
    }

    fn sum_up(self, mut x: f64) -> f64 {
        let mut term = self.mass(x);
        let mut sum = 0.0;
        for _ in 0..TERMS {
            if term <= f64::EPSILON * 0.01 * sum {
                break;
            }
            sum += term;
            let up = (self.successes - x).max(0.0) * (self.draws - x).max(0.0);
            term *= up / ((x + 1.0) * (self.failures - self.draws + x + 1.0));
            x += 1.0;
        }
        sum.min(1.0)
    }

    /// Chance of exactly `x`: three binomials with the same chance `draws / total`.
    fn mass(self, x: f64) -> f64 {
        let (chance, rest) =
            (self.draws / self.total(), (self.total() - self.draws) / self.total());
        binomial(x, self.successes, chance, rest)
            * binomial(self.draws - x, self.failures, chance, rest)
            / binomial(self.draws, self.total(), chance, rest)
    }
}

/// Chance of `x` in `n` with chance `p = 1 - q` each.
fn binomial(x: f64, n: f64, p: f64, q: f64) -> f64 {
    let left = n - x;
    if x < 0.0 || left < 0.0 {
        return 0.0;
    }
    if n < 0.5 {
        return 1.0;
    }
    if p <= 0.0 || q <= 0.0 {
        let certain = if p <= 0.0 { x } else { left };
        return if certain < 0.5 { 1.0 } else { 0.0 };
    }
    if x < 0.5 || left < 0.5 {
        // All on one side: q^n or p^n, through the deviance where the logarithm would be near 0.
        let (share, other) = if x < 0.5 { (q, p) } else { (p, q) };
        let exponent =
            if other < 0.1 { -deviance(n, n * share) - n * other } else { n * share.ln() };
        return exponent.exp();
    }
    let log = stirling_error(n)
        - stirling_error(x)
        - stirling_error(left)
        - deviance(x, n * p)
        - deviance(left, n * q);
    (n / (2.0 * PI * x * left)).sqrt() * log.exp()
}

/// `ln n! - ln(sqrt(2 pi n) (n / e)^n)` for whole `n >= 1`.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        let factorial: f64 = (2..16u8).map(f64::from).take_while(|&k| k <= n).product();
        return factorial.ln() - (n + 0.5) * n.ln() + n - 0.5 * (2.0 * PI).ln();
    }
    let square = n * n;
    let tail = 1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square;
    (1.0 / 12.0 - (1.0 / 360.0 - tail / square) / square) / n
}

/// `x ln(x / expected) + expected - x`, without cancellation when the two are close.
fn deviance(x: f64, expected: f64) -> f64 {
    let difference = x - expected;
    if difference.abs() >= 0.1 * (x + expected) {
        return x * (x / expected).ln() + expected - x;
    }
    let v = difference / (x + expected);
    let mut sum = difference * v;
    let mut power = 2.0 * x * v;
    for odd in (3..200u8).step_by(2) {
        power *= v * v;
        let next = sum + power / f64::from(odd);
        if next.to_bits() == sum.to_bits() {
            break;
        }
        sum = next;
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pascal's triangle in floats: exact enough for totals up to a few dozen.
    fn choose(n: u32, k: u32) -> f64 {
        (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1))
    }

    proptest! {
        #[test]
        fn mass_is_the_ratio_of_binomial_coefficients(
            successes in 0..20u32, failures in 1..20u32, drawn in 0..40u32, found in 0..20u32,
        ) {
            let draws = drawn % (successes + failures + 1);
            let (least, most) = (draws.saturating_sub(failures), draws.min(successes));
            let x = least + found % (most - least + 1);
            let law = Hypergeometric::new(successes.into(), failures.into(), draws.into());
            let expected = choose(successes, x) * choose(failures, draws - x)
                / choose(successes + failures, draws);
            prop_assert!((law.mass(x.into()) / expected - 1.0).abs() < 1e-11);
        }

        #[test]
        fn both_tails_make_one(
            successes in 0..5000u32, failures in 1..5000u32, share in 0.0..1.0f64, x in 0..5000u32,
        ) {
            let draws = (share * f64::from(successes + failures)).floor();
            let law = Hypergeometric::new(successes.into(), failures.into(), draws);
            let x = f64::from(x);
            let both = law.at_most(x) + law.at_least(x + 1.0);
            prop_assert!((both - 1.0).abs() < 1e-9, "{both}");
        }
    }

    #[test]
    fn of_no_successes_none_is_certain() {
        let law = Hypergeometric::new(0.0, 11.0, 1.0);
        assert!((law.mass(0.0) - 1.0).abs() < 1e-12, "{}", law.mass(0.0));
    }

    #[test]
    fn tails_of_counts_beyond_doubles_come_to_an_end() {
        for (successes, failures, draws) in
            [(9e16, 2.0, 9e16), (3.0, 9e16, 9e16), (9e16, 9e16, 9e16)]
        {
            let law = Hypergeometric::new(successes, failures, draws);
            for x in [0.0, 1.0, 9e15, 4.5e16, 9e16] {
                assert!((0.0..=1.0).contains(&law.at_least(x)), "{x} of {law:?}");
                assert!((0.0..=1.0).contains(&law.at_most(x)), "{x} of {law:?}");
            }
        }
    }

    #[test]
    fn huge_populations_stay_finite() {
        let law = Hypergeometric::new(1e15, 3e15, 1e9);
        assert!((law.at_least(law.mean()) - 0.5).abs() < 1e-3);
        let rare = Hypergeometric::new(20.0, 1e12, 1e6);
        assert!((rare.at_least(1.0) / 2e-5 - 1.0).abs() < 1e-4);
    }
}
