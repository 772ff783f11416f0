//! Shares of records that carry no countable value: missing, unseen, out of range, wrong type.
//!
//! A score is the live share minus the expected one; its p-value is one-sided, as only a rise is
//! drift. Missing values and wrong types are shares of all records, the other two of all values that
//! could be read. Plus and minus infinity are in no cell and have counts of their own; as values
//! they lie outside any range, so they are part of `out_of_range`.

use statrs::function::erf::erfc;

use crate::baseline::FeatureBaseline;
use crate::compare::Scores;
use crate::compare::Statistic;
use crate::compare::hypergeometric::Hypergeometric;
use crate::compare::noise::whole;
use crate::feature::Kind;
use crate::histogram::Counts;

/// Below this expected count in any of the four fields the normal law is off.
const LEAST_EXPECTED: f64 = 5.0;

pub(crate) fn score(
    scores: &mut Scores,
    baseline: &FeatureBaseline,
    (reference, live): (&Counts, &Counts),
    design_effect: f64,
) {
    let (m, n) = (reference.records() as f64, live.records() as f64);
    let of_records = |events: fn(&Counts) -> u64| Rate {
        k_reference: events(reference) as f64,
        m,
        k: events(live) as f64,
        n,
    };
    let pooled = [
        (Statistic::Missing, of_records(Counts::absent)),
        (Statistic::TypeError, of_records(|counts| counts.type_error)),
    ];
    for (statistic, rate) in pooled {
        if rate.m > 0.0 && rate.n > 0.0 {
            let p_value = rate.p_value(design_effect);
            scores.set(statistic, rate.difference(), None, Some(p_value));
        }
    }
    let reference = &baseline.reference;
    let (m, n) = (values(reference) as f64, values(live) as f64);
    let (statistic, k, known) = match baseline.kind {
        Kind::Categorical => (Statistic::Unseen, live.unseen, Known::singletons(baseline, m)),
        Kind::Numeric => {
            (Statistic::OutOfRange, outside(live), Known::range(infinite(reference), m))
        }
    };
    if m > 0.0 && n > 0.0 {
        let difference = k as f64 / n - known.share();
        let effective = |count: f64| (count / design_effect).round();
        let p_value = known.p_value(effective(k as f64), effective(n));
        scores.set(statistic, difference, None, Some(p_value));
    }
}

/// Values that could be read: in a cell, infinite, or of an unseen category.
fn values(counts: &Counts) -> u64 {
    counts.in_cells() + counts.unseen + infinite(counts)
}

fn infinite(counts: &Counts) -> u64 {
    counts.pos_inf + counts.neg_inf
}

fn outside(counts: &Counts) -> u64 {
    counts.below + counts.above + infinite(counts)
}

/// `k` events in `n` live records, `k_reference` in `m` of the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) k_reference: f64,
    pub(crate) m: f64,
    pub(crate) k: f64,
    pub(crate) n: f64,
}

impl Rate {
    pub(crate) fn difference(self) -> f64 {
        self.k / self.n - self.k_reference / self.m
    }

    fn pool(self) -> f64 {
        (self.k + self.k_reference) / (self.n + self.m)
    }

    pub(crate) fn smallest_expected(self) -> f64 {
        self.n.min(self.m) * self.pool().min(1.0 - self.pool())
    }

    /// Fisher's exact tail of the effective counts where the normal one is off, else the pooled z.
    /// The normal one would call a single event of a dependent stream certain.
    pub(crate) fn p_value(self, design_effect: f64) -> f64 {
        if self.smallest_expected() >= LEAST_EXPECTED {
            return self.normal(design_effect);
        }
        let effective = |count: f64| (count / design_effect).round();
        let (k, n) = (effective(self.k), effective(self.n));
        let (k_reference, m) = (effective(self.k_reference), effective(self.m));
        Rate { k_reference, m, k, n }.fisher()
    }

    /// `z = difference / sqrt(pool (1 - pool) phi (1/n + 1/m))`, upper tail; 1 when nothing varies.
    pub(crate) fn normal(self, design_effect: f64) -> f64 {
        let z = self.z(design_effect);
        if z.is_finite() { 0.5 * erfc(z / std::f64::consts::SQRT_2) } else { 1.0 }
    }

    pub(crate) fn z(self, design_effect: f64) -> f64 {
        let v = design_effect * (self.n.recip() + self.m.recip());
        self.difference() / (self.pool() * (1.0 - self.pool()) * v).sqrt()
    }

    /// Chance of `k` or more live events, given how many there are on both sides.
    pub(crate) fn fisher(self) -> f64 {
        let events = self.k + self.k_reference;
        let others = (self.n + self.m) - events;
        Hypergeometric::new(events, others, self.n).at_least(self.k)
    }
}

/// What a reference of `m` values says about values beyond it: their share is the one below the
/// `order`-th of `m` even order statistics, Beta(order, m - order + 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    order: f64,
    m: f64,
    share: f64,
}

impl Known {
    /// Values outside the range: Beta(2, m - 1), one gap at either end; infinities of the
    /// reference itself add as many gaps.
    pub(crate) fn range(infinite: u64, m: f64) -> Self {
        let order = 2.0 + infinite as f64;
        Self { order, m, share: (order / (m + 1.0)).min(1.0) }
    }

    /// Unseen categories: singletons / m (Good-Turing), Beta(s + 1, m - s).
    fn singletons(baseline: &FeatureBaseline, m: f64) -> Self {
        let singletons = (baseline.singletons as f64).min(m);
        Self { order: singletons + 1.0, m, share: if m > 0.0 { singletons / m } else { 0.0 } }
    }

    /// Expected live share without drift.
    fn share(self) -> f64 {
        self.share
    }

    /// Chance of `k` or more in `n`, Beta-binomial. The order of live and reference values together
    /// is random, so this is that the first `k + order - 1` of them hold fewer than `order` of the
    /// reference: a finite sum of `order` terms.
    pub(crate) fn p_value(self, k: f64, n: f64) -> f64 {
        let draws = (k + self.order - 1.0).min(n + self.m);
        Hypergeometric::new(self.m, n, draws).at_most(self.order - 1.0)
    }
}

/// An `n` from which on a share of `threshold` above what is expected has p < `alpha`, by doubling
/// and halving; the p-value falls with n but for the steps of whole events.
pub(crate) fn records_needed(
    statistic: Statistic,
    threshold: f64,
    m: u64,
    design_effect: f64,
    alpha: f64,
) -> Option<u64> {
    let m = m as f64;
    let p_value = |n: f64| {
        if statistic == Statistic::OutOfRange || statistic == Statistic::Unseen {
            let known = match statistic {
                Statistic::OutOfRange => Known::range(0, m),
                _ => Known { order: 1.0, m, share: 0.0 },
            };
            let k = ((threshold + known.share()) * n).floor();
            return known.p_value((k / design_effect).round(), (n / design_effect).round());
        }
        Rate { k_reference: 0.0, m, k: (threshold * n).floor(), n }.p_value(design_effect)
    };
    let mut enough = 1.0;
    while p_value(enough) >= alpha {
        enough *= 2.0;
        if enough > 1e15 {
            return None;
        }
    }
    let mut short = (enough / 2.0).floor();
    while enough - short > 1.0 {
        let middle = ((enough + short) / 2.0).floor();
        if p_value(middle) < alpha {
            enough = middle;
        } else {
            short = middle;
        }
    }
    Some(whole(enough))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_anywhere_is_no_evidence() {
        for design_effect in [1.0, 4.0] {
            let rate = Rate { k_reference: 0.0, m: 1000.0, k: 0.0, n: 500.0 };
            assert!((rate.p_value(design_effect) - 1.0).abs() < 1e-15);
        }
        assert!((Known::range(0, 1000.0).p_value(0.0, 500.0) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn everything_unseen_is_certain() {
        let p = Known { order: 1.0, m: 1000.0, share: 0.0 }.p_value(500.0, 500.0);
        assert!(p < 1e-300, "{p}");
    }

    #[test]
    fn infinities_of_the_reference_are_expected_live() {
        let (with, without) = (Known::range(50, 1000.0), Known::range(0, 1000.0));
        assert!(with.p_value(25.0, 500.0) > 0.3);
        assert!(without.p_value(25.0, 500.0) < 1e-6);
    }

    #[test]
    fn at_the_records_needed_a_rate_is_evidence() {
        let rates = [Statistic::Missing, Statistic::Unseen, Statistic::OutOfRange];
        for statistic in rates {
            let needed = records_needed(statistic, 0.01, 100_000, 1.0, 1e-3).unwrap();
            assert!((100..600).contains(&needed), "{statistic}: {needed}");
            let coarse = records_needed(statistic, 0.01, 100_000, 8.0, 1e-3).unwrap();
            assert!(coarse > needed, "{statistic}: {coarse} {needed}");
        }
        assert_eq!(records_needed(Statistic::Missing, 0.01, 50, 1.0, 1e-9), None);
    }
}
