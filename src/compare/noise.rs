//! What noise alone does to a score: floors, p-values, and how many records a threshold needs.

use std::f64::consts::LN_2;

use crate::compare::Statistic;
use crate::compare::chi_squared_law;
use crate::compare::ks;
use crate::compare::rates;

/// The noise of one comparison of `m` reference with `n` live values over `bins` bins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// `phi (1/n + 1/m)`
    pub(crate) f: f64,
    pub(crate) design_effect: f64,
    bins: usize,
    alpha: f64,
}

impl Noise {
    pub(crate) fn new(m: f64, n: f64, bins: usize, design_effect: f64, alpha: f64) -> Self {
        Self { f: design_effect * (n.recip() + m.recip()), design_effect, bins, alpha }
    }

    /// B - 1; `None` with a single bin, where there is nothing to vary.
    pub(crate) fn degrees(&self) -> Option<usize> {
        self.bins.checked_sub(1).filter(|&degrees| degrees > 0)
    }

    /// Upper tail of chi-square at `x / f`, for an `x` that follows `f chi2(B - 1)` without drift.
    pub(crate) fn p_value(&self, x: f64) -> Option<f64> {
        Some(chi_squared_law::survival(x / self.f, self.degrees()?))
    }

    /// What the score exceeds with chance `alpha` at one look without drift.
    pub(crate) fn floor(&self, statistic: Statistic) -> Option<f64> {
        Some(Law::of(statistic, self.bins, self.alpha)?.floor(self.f))
    }
}

/// How the floor grows with `f`: `factor * f`, or the square root of it.
#[derive(Clone, Copy, Debug)]
enum Law {
    Linear(f64),
    Root(f64),
}

impl Law {
    fn of(statistic: Statistic, bins: usize, alpha: f64) -> Option<Self> {
        let c = || chi_squared_law::quantile(alpha, bins.saturating_sub(1));
        match statistic {
            Statistic::Psi => Some(Law::Linear(c())),
            Statistic::Kl | Statistic::KlReverse => Some(Law::Linear(c() / 2.0)),
            Statistic::Js => Some(Law::Linear(c() / (8.0 * LN_2))),
            Statistic::JsDistance => Some(Law::Root(c() / (8.0 * LN_2))),
            Statistic::Hellinger => Some(Law::Root(c() / 8.0)),
            Statistic::Ks => Some(Law::Root(ks::quantile(alpha).powi(2))),
            Statistic::TotalVariation
            | Statistic::LInfinity
            | Statistic::ChiSquare
            | Statistic::Wasserstein
            | Statistic::WassersteinRaw
            | Statistic::MeanShift
            | Statistic::Missing
            | Statistic::Unseen
            | Statistic::OutOfRange
            | Statistic::TypeError => None,
        }
    }

    fn floor(self, f: f64) -> f64 {
        match self {
            Law::Linear(factor) => factor * f,
            Law::Root(factor) => (factor * f).sqrt(),
        }
    }

    /// The largest `f` whose floor is not above `threshold`.
    fn f_at(self, threshold: f64) -> f64 {
        match self {
            Law::Linear(factor) => threshold / factor,
            Law::Root(factor) => threshold * threshold / factor,
        }
    }
}

/// Live records that a window needs before a score at `threshold` can be told from noise: for a
/// floor, `n >= phi x / (threshold - phi x / m)`; for a rate, the least n at which a share of
/// `threshold` where the reference (of `m`) has none gives p < `alpha`; for chi-square 1, as its
/// value grows with n by itself.
///
/// `None`: no number is enough, because the baseline is too small, or the statistic has no noise law.
pub fn records_needed(
    statistic: Statistic,
    threshold: f64,
    bins: usize,
    m: u64,
    design_effect: f64,
    alpha: f64,
) -> Option<u64> {
    let design_effect = design_effect.max(1.0);
    if threshold.is_nan() || threshold <= 0.0 || m == 0 {
        return None;
    }
    if statistic.is_rate() {
        return rates::records_needed(statistic, threshold, m, design_effect, alpha);
    }
    if statistic == Statistic::ChiSquare {
        return Some(1);
    }
    let f = Law::of(statistic, bins, alpha)?.f_at(threshold);
    let room = f - design_effect / m as f64;
    let needed = (design_effect / room).ceil();
    (room > 0.0 && needed < u64::MAX as f64).then(|| whole(needed).max(1))
}

/// The least threshold that a baseline of `m` values supports however many live records there are:
/// the floor at `f = phi / m`. `None` for a statistic without a floor.
pub fn supported_threshold(
    statistic: Statistic,
    bins: usize,
    m: u64,
    design_effect: f64,
    alpha: f64,
) -> Option<f64> {
    let law = Law::of(statistic, bins, alpha)?;
    (m > 0).then(|| law.floor(design_effect.max(1.0) / m as f64))
}

/// A whole, non-negative number under `u64::MAX` as one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer casts saturate, and callers pass whole numbers in range"
)]
pub fn whole(x: f64) -> u64 {
    x as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::FLOOR_ALPHA;

    #[test]
    fn records_needed_are_those_of_the_table() {
        let needed = |threshold, bins, alpha| {
            records_needed(Statistic::Psi, threshold, bins, 1 << 50, 1.0, alpha)
        };
        let at_ten: Vec<_> = [0.01, 0.02, 0.1, 0.2].map(|t| needed(t, 10, 1e-3).unwrap()).into();
        assert_eq!(at_ten, [2788, 1394, 279, 140]);
        assert_eq!([0.01, 0.2].map(|t| needed(t, 10, 1e-6).unwrap()), [4482, 225]);
        assert_eq!([0.01, 0.2].map(|t| needed(t, 50, 1e-3).unwrap()), [8536, 427]);
    }

    #[test]
    fn at_the_records_needed_the_floor_is_just_under_the_threshold() {
        for statistic in Statistic::ALL.into_iter().filter(|s| !s.is_rate()) {
            let (m, phi, threshold) = (20_000, 3.0, 0.08);
            let Some(n) = records_needed(statistic, threshold, 12, m, phi, FLOOR_ALPHA) else {
                assert!(!statistic.has_floor());
                continue;
            };
            let floor =
                |n: u64| Noise::new(m as f64, n as f64, 12, phi, FLOOR_ALPHA).floor(statistic);
            if let (Some(at), Some(before)) = (floor(n), floor(n - 1)) {
                assert!(at <= threshold && before > threshold, "{statistic}: {before} {at}");
            }
        }
    }

    #[test]
    fn a_small_baseline_supports_no_fine_threshold() {
        let least = supported_threshold(Statistic::Psi, 10, 1000, 1.0, FLOOR_ALPHA).unwrap();
        assert_eq!(records_needed(Statistic::Psi, least * 0.999, 10, 1000, 1.0, FLOOR_ALPHA), None);
        assert!(records_needed(Statistic::Psi, least * 1.01, 10, 1000, 1.0, FLOOR_ALPHA).is_some());
    }
}
