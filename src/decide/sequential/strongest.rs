//! Whose evidence is told of: of the features that decided, the one with the most.

use crate::decide::view::{FeatureVerdict, Onset, Verdict};
use crate::decide::worst::rank;

/// The index of the feature at the highest level whose evidence is the furthest over, or the nearest to,
/// what it needs; of those at one level one that is real comes first. So with something due it is one of
/// what is due. A faulty feature decides nothing and is left out.
pub fn strongest(verdicts: &[FeatureVerdict]) -> Option<(usize, &Onset)> {
    best(verdicts, |_| true)
}

/// The same of those that are real.
pub fn strongest_real(verdicts: &[FeatureVerdict]) -> Option<(usize, &Onset)> {
    best(verdicts, Onset::is_real)
}

/// When the change began that is decided by, ms since the epoch; `None` while nothing is real.
pub fn onset(verdicts: &[FeatureVerdict]) -> Option<i64> {
    strongest_real(verdicts).map(|(_, onset)| onset.since_ms)
}

fn best(verdicts: &[FeatureVerdict], of: impl Fn(&Onset) -> bool) -> Option<(usize, &Onset)> {
    let trusted = verdicts.iter().enumerate().filter(|(_, v)| v.verdict != Verdict::Fault);
    let all = trusted.filter_map(|(at, verdict)| {
        let onset = verdict.onset.as_ref().filter(|onset| of(onset))?;
        let margin = onset.log_evidence - onset.log_needed;
        Some(((rank(verdict.verdict), onset.is_real(), margin), (at, onset)))
    });
    // Of equals the first.
    all.reduce(|a, b| if b.0 > a.0 { b } else { a }).map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::feature::{Kind, Role};

    fn feature(verdict: Verdict, since_ms: i64, log_evidence: f64) -> FeatureVerdict {
        let onset = Onset {
            since_ms,
            records: 500,
            log_evidence,
            log_needed: 11.0,
            psi: None,
            psi_bias: 0.0,
            window_psi_bias: 0.0,
            outside: None,
            missing: None,
        };
        FeatureVerdict {
            feature: format!("since {since_ms}"),
            kind: Kind::Numeric,
            role: Role::Feature,
            verdict,
            reference_count: 20_000,
            live_count: 1_000,
            scores: BTreeMap::new(),
            reason: None,
            records_needed: None,
            onset: Some(onset),
            season: None,
        }
    }

    #[test]
    fn what_is_due_comes_before_what_has_more_evidence() {
        let notice = feature(Verdict::Notice, 1, 60.0);
        let warned = feature(Verdict::Warning, 2, 40.0);
        let due = feature(Verdict::Drifted, 3, 15.0);
        let also_due = feature(Verdict::Drifted, 4, 16.0);
        let held = feature(Verdict::Drifted, 5, 10.9);
        let broken = feature(Verdict::Fault, 6, 90.0);
        let told = |verdicts: &[&FeatureVerdict]| {
            let verdicts: Vec<_> = verdicts.iter().copied().cloned().collect();
            let since = strongest(&verdicts).map(|(_, onset)| onset.since_ms);
            (since, onset(&verdicts))
        };
        assert_eq!(told(&[&notice, &due, &warned, &held, &broken]), (Some(3), Some(3)));
        assert_eq!(told(&[&notice, &due, &also_due]), (Some(4), Some(4)));
        assert_eq!(told(&[&notice, &warned]), (Some(2), Some(2)));
        // The state is that of the one that is held; it has no onset that anything could be trained from.
        assert_eq!(told(&[&notice, &held]), (Some(5), Some(1)));
        assert_eq!(told(&[&held]), (Some(5), None));
        assert_eq!(told(&[&broken]), (None, None));
    }
}
