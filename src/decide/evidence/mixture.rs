//! How much better than any law within the tolerance some other law explains counts: e-values.

use libm::{exp, log, log1p, sqrt};

use crate::decide::evidence::gamma::ln_gamma;

/// Concentrations of the Dirichlet mixture: large ones listen for small changes, small ones for large.
const BODY_KAPPAS: [f64; 4] = [8.0, 64.0, 512.0, 4096.0];
/// Concentrations of the mixtures over a rate.
const RATE_KAPPAS: [f64; 3] = [16.0, 256.0, 4096.0];
/// Below it the mixture does not beat the reference itself, and the tolerance can't help.
const BEATS: f64 = 1e-9;
/// Steps towards the edge of the tolerance: a fixed number, so that all replicas agree.
const STEPS: usize = 14;

/// `ln sum exp x`; minus infinity for nothing but that.
pub fn log_sum_exp(terms: &[f64]) -> f64 {
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + log(terms.iter().map(|term| exp(term - most)).sum())
}

/// The laws within the tolerance of a feature's body, and the mixture over all laws.
#[derive(Clone, Debug)]
pub(super) struct Body {
    /// Reference shares; positive, they sum to 1.
    shares: Vec<f64>,
    ln_shares: Vec<f64>,
    /// `sum p ln p`.
    negative_entropy: f64,
    /// `KL(reference || live)` up to which there is no drift, in nats.
    delta: f64,
    /// Per concentration: `kappa p`, and `ln Gamma(kappa p)`.
    priors: [Vec<(f64, f64)>; BODY_KAPPAS.len()],
}

impl Body {
    pub(super) fn new(shares: Vec<f64>, delta: f64) -> Self {
        let ln_shares: Vec<f64> = shares.iter().map(|&share| log(share)).collect();
        let negative_entropy = shares.iter().zip(&ln_shares).map(|(p, ln_p)| p * ln_p).sum();
        let priors = BODY_KAPPAS.map(|kappa| {
            shares.iter().map(|share| (kappa * share, ln_gamma(kappa * share))).collect()
        });
        Self { shares, ln_shares, negative_entropy, delta, priors }
    }

    /// `ln` of the mixture's likelihood over the best within the tolerance, for (discounted) counts; and
    /// the same of another numerator, given as `ln` of its ratio to the reference's likelihood.
    pub(super) fn log_e(&self, counts: &[f64], other: Option<f64>) -> (f64, Option<f64>) {
        if self.shares.len() < 2 {
            return (0.0, None);
        }
        let n: f64 = counts.iter().sum();
        let by_reference = dot(counts, &self.ln_shares);
        let e = self.mixture(counts, n) - by_reference;
        let beats = |e: f64| self.delta > 0.0 && e > BEATS;
        if !beats(e) && !other.is_some_and(beats) {
            return (e, other);
        }
        let tolerated = self.best_within(counts, n, by_reference) - by_reference;
        let less = |e: f64| if beats(e) { e - tolerated } else { e };
        (less(e), other.map(less))
    }

    /// `ln` of the mean over concentrations of the Dirichlet-multinomial likelihood of a sequence with
    /// these counts: `lnG(K) - lnG(K + n) + sum (lnG(K p + a) - lnG(K p))`.
    fn mixture(&self, counts: &[f64], n: f64) -> f64 {
        let mut terms = [0.0; BODY_KAPPAS.len()];
        for ((term, kappa), priors) in terms.iter_mut().zip(BODY_KAPPAS).zip(&self.priors) {
            *term = dirichlet_multinomial(counts, n, kappa, priors);
        }
        log_sum_exp(&terms) - log(BODY_KAPPAS.len() as f64)
    }

    /// `sup { sum a ln p : KL(reference, p) <= delta }` from above, by its dual.
    ///
    /// The best law lies on the segment from the reference to the live shares, where its divergence
    /// equals delta; every point of the segment gives a bound, so how exactly that point is met costs
    /// delay, never validity. The divergence grows convexly along the segment: Newton's steps come to
    /// the point from outside and stay there; one that leaves what is known of it gives way to a bisection.
    fn best_within(&self, counts: &[f64], n: f64, by_reference: f64) -> f64 {
        let live: Vec<f64> = counts.iter().map(|count| count / n).collect();
        let best: f64 =
            counts.iter().zip(&live).filter(|(a, _)| **a > 0.0).map(|(a, q)| a * log(*q)).sum();
        let (at_live, _) = self.divergence(&live, 1.0);
        if at_live <= self.delta {
            return best;
        }
        let spread: f64 = self.shares.iter().zip(&live).map(|(p, q)| (q - p) * (q - p) / p).sum();
        let mut w = sqrt(2.0 * self.delta / spread).min(0.5);
        let (mut inside, mut outside) = (0.0, 1.0);
        for _ in 0..STEPS {
            let (divergence, slope) = self.divergence(&live, w);
            let excess = divergence - self.delta;
            *if excess > 0.0 { &mut outside } else { &mut inside } = w;
            let next = w - excess / slope;
            // Where a live share is 0 the divergence has a pole at 1, beside which steps go astray.
            let middle = f64::midpoint(inside, outside);
            w = if (inside..=outside).contains(&next) && next < 1.0 { next } else { middle };
        }
        let lambda = n * (1.0 - w) / w;
        let (mut likelihood, mut cross) = (0.0, 0.0);
        for ((p, q), a) in self.shares.iter().zip(&live).zip(counts) {
            let ln_at = log(p + w * (q - p));
            likelihood += a * ln_at;
            cross += p * ln_at;
        }
        let bound = likelihood + lambda * (cross - self.negative_entropy + self.delta);
        // The reference itself is within; rounding must not say otherwise.
        bound.min(best).max(by_reference)
    }

    /// `KL(reference, p_w)` with `p_w = p + w (q - p)`, and how it grows with `w`.
    fn divergence(&self, live: &[f64], w: f64) -> (f64, f64) {
        let (mut cross, mut slope) = (0.0, 0.0);
        for (p, q) in self.shares.iter().zip(live) {
            let at = p + w * (q - p);
            cross += p * log(at);
            slope -= p * (q - p) / at;
        }
        (self.negative_entropy - cross, slope)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn dirichlet_multinomial(counts: &[f64], n: f64, kappa: f64, priors: &[(f64, f64)]) -> f64 {
    let cells = counts.iter().zip(priors).filter(|(count, _)| **count > 0.0);
    let sum: f64 = cells.map(|(count, (prior, ln_prior))| ln_gamma(prior + count) - ln_prior).sum();
    ln_gamma(kappa) - ln_gamma(kappa + n) + sum
}

/// A rate that must not rise: missing values, tails, what the reference has never seen.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    /// The highest rate that is within the tolerance.
    highest: f64,
    /// Per concentration: `kappa p`, `kappa (1 - p)`, and the `ln Beta` of the two.
    priors: [(f64, f64, f64); RATE_KAPPAS.len()],
}

impl Rate {
    /// `expected` is positive; the tolerance on it is `min(sqrt(2 delta p (1 - p)), p / 2)`.
    pub(super) fn new(expected: f64, delta: f64) -> Self {
        let spread = sqrt(2.0 * delta) * sqrt(expected * (1.0 - expected));
        Self::with_tolerance(expected, spread.min(expected / 2.0))
    }

    fn with_tolerance(expected: f64, tolerance: f64) -> Self {
        let priors = RATE_KAPPAS.map(|kappa| {
            let (hit, miss) = (kappa * expected, kappa * (1.0 - expected));
            (hit, miss, ln_beta(hit, miss))
        });
        Self { highest: expected + tolerance, priors }
    }

    /// `ln` of the mixture's likelihood over that of the best rate within the tolerance, for `k` events
    /// of `n` (both discounted).
    pub(super) fn log_e(&self, k: f64, n: f64) -> f64 {
        if n <= 0.0 {
            return 0.0;
        }
        let mut terms = [0.0; RATE_KAPPAS.len()];
        for (term, (hit, miss, ln_prior)) in terms.iter_mut().zip(self.priors) {
            *term = ln_beta(hit + k, miss + n - k) - ln_prior;
        }
        let mixture = log_sum_exp(&terms) - log(RATE_KAPPAS.len() as f64);
        let best = (k / n).max(1e-12).min(self.highest.min(1.0 - 1e-12));
        mixture - (k * log(best) + (n - k) * log1p(-best))
    }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::evidence::golden;

    #[test]
    fn the_body_is_the_golden_one() {
        let golden = golden::section("multinomial");
        let shares = golden::numbers(&golden["p0"]);
        for case in golden["cases"].as_array().unwrap() {
            let counts = golden::numbers(&case["counts"]);
            let n = counts.iter().sum();
            for (delta, expected) in case["outputs"]["log_e_omnibus"].as_object().unwrap() {
                let body = Body::new(shares.clone(), delta.parse().unwrap());
                let name = format!("{} at {delta}", case["name"]);
                golden::close(body.log_e(&counts, None).0, expected.as_f64().unwrap(), &name);
                let best = case["outputs"]["log_ball_sup"][delta].as_f64().unwrap();
                if body.delta > 0.0 && n > 0.0 {
                    let by_reference = dot(&counts, &body.ln_shares);
                    golden::close(body.best_within(&counts, n, by_reference), best, &name);
                }
            }
            let body = Body::new(shares.clone(), 0.0);
            for ((kappa, priors), at) in
                BODY_KAPPAS.iter().zip(&body.priors).zip(["8", "64", "512", "4096"])
            {
                let expected = case["outputs"]["log_dirmult"][at].as_f64().unwrap();
                golden::close(dirichlet_multinomial(&counts, n, *kappa, priors), expected, at);
            }
        }
    }

    #[test]
    fn rates_are_the_golden_ones() {
        let mut seen = 0;
        for case in golden::section("bernoulli").as_array().unwrap() {
            let number = |key: &str| case[key].as_f64().unwrap();
            if case["one_sided"] == true && golden::numbers(&case["kappas"]) == RATE_KAPPAS {
                let rate = Rate::with_tolerance(number("f0"), number("tolerance"));
                golden::close(
                    rate.log_e(number("k"), number("n")),
                    number("log_e"),
                    &case.to_string(),
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 8);
    }

    proptest! {
        /// The dual at the point that was found, against the plain way: bisection.
        #[test]
        fn the_edge_of_the_tolerance_is_found(
            weights in proptest::collection::vec(0.01f64..1.0, 2..20),
            counts in proptest::collection::vec(prop_oneof![Just(0.0f64), 0.0..500.0f64], 20),
            delta in 1e-5f64..0.05,
        ) {
            let total: f64 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|w| w / total).collect();
            let counts = &counts[..shares.len()];
            let n: f64 = counts.iter().sum();
            prop_assume!(n > 0.0);
            let body = Body::new(shares, delta);
            let found = body.best_within(counts, n, dot(counts, &body.ln_shares));
            let expected = bisected(&body, counts, n);
            prop_assert!((found - expected).abs() <= 1e-8 * expected.abs().max(1.0), "{found} {expected}");
        }

        /// Universal inference: under the reference itself an e-value's expectation is at most 1.
        #[test]
        fn the_likelihoods_of_all_sequences_sum_to_one(p in 0.01f64..0.99, n in 1u32..12) {
            let shares = vec![p, 1.0 - p];
            let body = Body::new(shares.clone(), 0.0);
            let mut expectation = 0.0;
            let mut choose = 1.0;
            for k in 0..=n {
                let (hits, misses) = (f64::from(k), f64::from(n - k));
                let probability = choose * p.powf(hits) * (1.0 - p).powf(misses);
                expectation += probability * body.log_e(&[hits, misses], None).0.exp();
                choose *= misses / (hits + 1.0);
            }
            prop_assert!((expectation - 1.0).abs() < 1e-9, "{expectation}");
        }
    }

    #[test]
    fn the_edge_is_found_beside_the_pole_of_a_share_that_live_lacks() {
        let body = Body::new(vec![0.012_85, 0.987_15], 0.045_720_9);
        let counts = [0.0, 64.386];
        let found = body.best_within(&counts, 64.386, dot(&counts, &body.ln_shares));
        let expected = bisected(&body, &counts, 64.386);
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    fn bisected(body: &Body, counts: &[f64], n: f64) -> f64 {
        let live: Vec<f64> = counts.iter().map(|count| count / n).collect();
        let best: f64 =
            counts.iter().zip(&live).filter(|(a, _)| **a > 0.0).map(|(a, q)| a * q.ln()).sum();
        if body.divergence(&live, 1.0).0 <= body.delta {
            return best;
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if body.divergence(&live, middle).0 <= body.delta {
                low = middle
            } else {
                high = middle
            }
        }
        let at: Vec<f64> = body.shares.iter().zip(&live).map(|(p, q)| p + high * (q - p)).collect();
        let lambda = n * (1.0 - high) / high;
        let likelihood: f64 = counts.iter().zip(&at).map(|(a, p)| a * p.ln()).sum();
        let cross: f64 = body.shares.iter().zip(&at).map(|(p, at)| p * at.ln()).sum();
        (likelihood + lambda * (cross - body.negative_entropy + body.delta)).min(best)
    }
}
