//! A share of records against the one that is expected.

use crate::baseline::FeatureBaseline;
use crate::decide::fault::FaultKind;
use crate::histogram::Counts;

/// `k` of `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) k: u64,
    pub(super) n: u64,
}

impl Part {
    pub(super) fn share(self) -> f64 {
        if self.n == 0 { 0.0 } else { self.k as f64 / self.n as f64 }
    }
}

/// The share that a kind of fault is about; `None` where it is not about one.
pub(super) fn of(kind: FaultKind, counts: &Counts) -> Option<Part> {
    let infinite = counts.pos_inf + counts.neg_inf;
    let records = counts.records();
    match kind {
        FaultKind::NullSurge => Some(Part { k: counts.absent() + infinite, n: records }),
        FaultKind::TypeChange => Some(Part { k: counts.type_error, n: records }),
        FaultKind::SchemaChange => Some(Part { k: counts.missing, n: records }),
        FaultKind::UnseenSurge => {
            Some(Part { k: counts.unseen, n: counts.in_cells() + counts.unseen })
        }
        FaultKind::UnitChange
        | FaultKind::Constant
        | FaultKind::Rejects
        | FaultKind::Duplicates
        | FaultKind::Lag => None,
    }
}

/// What the reference leads to expect: its own share; of categories never seen, its singletons.
pub(super) fn expected(kind: FaultKind, feature: &FeatureBaseline) -> Option<Part> {
    let reference = &feature.reference;
    match kind {
        FaultKind::UnseenSurge => {
            let values = reference.in_cells();
            Some(Part { k: feature.singletons.min(values), n: values })
        }
        FaultKind::NullSurge
        | FaultKind::TypeChange
        | FaultKind::SchemaChange
        | FaultKind::UnitChange
        | FaultKind::Constant
        | FaultKind::Rejects
        | FaultKind::Duplicates
        | FaultKind::Lag => of(kind, reference),
    }
}

/// Nats by which `live` is above `reference`: `n_e KL(share || expected)`, 0 when it is not above.
/// One event is added to the reference: that it never happened there doesn't make it impossible.
pub(super) fn evidence(live: Part, reference: Part, design_effect: f64) -> f64 {
    let m = reference.n as f64;
    let expected = (reference.k as f64 + 1.0) / (m + 2.0);
    let share = live.share();
    if live.n == 0 || share <= expected {
        return 0.0;
    }
    effective(live.n, m, design_effect) * divergence(share, expected)
}

/// `n / (phi (1 + n/m))`: independent records that as much is known from, given a reference of `m`.
pub(super) fn effective(n: u64, m: f64, design_effect: f64) -> f64 {
    let n = n as f64;
    n / (design_effect.max(1.0) * (1.0 + n / m.max(1.0)))
}

/// `KL(a || b)` of two coins, with `b` inside of (0, 1).
fn divergence(a: f64, b: f64) -> f64 {
    let term = |x: f64, y: f64| if x > 0.0 { x * (x / y).ln() } else { 0.0 };
    (term(a, b) + term(1.0 - a, 1.0 - b)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_the_tail_of_the_binomial_law_or_less() {
        // P(K >= 15) of Binomial(50, 0.1) is 7.4e-5; exp(-nats) bounds it from above.
        let nats = evidence(Part { k: 15, n: 50 }, Part { k: 100_000, n: 1_000_000 }, 1.0);
        assert!((-nats).exp() >= 7.4e-5 && (-nats).exp() < 2e-3, "{nats}");
    }

    #[test]
    fn fewer_than_expected_is_no_evidence_and_dependence_takes_from_it() {
        let reference = Part { k: 2_000, n: 20_000 };
        assert!(evidence(Part { k: 5, n: 100 }, reference, 1.0) <= 0.0);
        assert!(evidence(Part { k: 0, n: 0 }, reference, 1.0) <= 0.0);
        let live = Part { k: 60, n: 100 };
        let ratio = evidence(live, reference, 1.0) / evidence(live, reference, 4.0);
        assert!((ratio - 4.0).abs() < 1e-9);
    }

    #[test]
    fn all_of_them_is_finite_evidence_against_a_reference_without_any() {
        let nats = evidence(Part { k: 30, n: 30 }, Part { k: 0, n: 20_000 }, 1.0);
        assert!(nats.is_finite() && nats > 100.0);
    }
}
