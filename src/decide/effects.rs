//! Which design effects are known of a model's features.

use std::sync::Arc;

use crate::baseline::design_effect::{DesignEffect, Effects};
use crate::baseline::{Baseline, FeatureBaseline};
use crate::decide::evidence::Columns;
use crate::decide::policy::Policy;
use crate::decide::rule::UNCALIBRATED;
use crate::window::ClosedPane;

/// Live panes tell the design effects from here on, where nothing else does.
const LEARNT_AFTER_MS: i64 = 3 * 86_400_000;

/// One per feature of the baseline: configured, else as the baseline's own order shows it, else as
/// `learnt` from live panes. `None` while those of a feature that decides are unknown: then rule
/// `window` decides, and no budget is held.
pub fn known(
    baseline: &Baseline,
    policy: &Policy,
    learnt: Option<&[Effects]>,
) -> Option<Vec<Effects>> {
    let of = |(index, feature): (usize, &FeatureBaseline)| match (
        policy.design_effect,
        feature.unusable,
        &feature.design_effect,
    ) {
        (Some(effect), _, _) => Some(Effects::all(effect)),
        (None, Some(_), _) => Some(Effects::all(1.0)),
        (None, None, Some(measured)) => Some(measured.effects),
        (None, None, None) => learnt?.get(index).copied(),
    };
    baseline.features.iter().enumerate().map(of).collect()
}

/// The design effects that closed panes show, one per feature of the baseline, once there are three days
/// of them. They are measured around the panes' own mean, so that a constant shift does not disturb them.
pub fn learn(
    baseline: &Baseline,
    panes: &[Arc<ClosedPane>],
    shape: &[usize],
    pane_ms: i64,
) -> Option<Vec<Effects>> {
    let days = i64::try_from(panes.len()).unwrap_or(i64::MAX / 2).saturating_mul(pane_ms);
    if days < LEARNT_AFTER_MS {
        return None;
    }
    let columns = baseline.features.iter().map(|of| (Columns::new(of), baseline.calendar(of)));
    let columns: Vec<_> = columns.collect();
    let mut of_features = vec![Vec::with_capacity(panes.len()); columns.len()];
    for pane in panes {
        let counts = pane.counts(shape).ok()?;
        for (((columns, calendar), counts), panes) in
            columns.iter().zip(&counts).zip(&mut of_features)
        {
            // Within a season what is learnt is what its slots leave.
            let slot = calendar.as_ref().map(|calendar| calendar.slot(pane.start_ms));
            let mapped = columns.body(&columns.map_in(slot, counts));
            panes.push(if pane.complete { mapped } else { vec![0.0; mapped.len()] });
        }
    }
    let measured = of_features.iter().map(|panes| DesignEffect::measure(panes, pane_ms));
    measured.map(|measured| measured.map(|measured| measured.effects)).collect()
}

/// How noisy a window of that length is: configured, else as the baseline shows it at that scale, else
/// as live panes have shown it, else what is assumed.
pub fn of_window(
    feature: &FeatureBaseline,
    policy: &Policy,
    learnt: Option<&Effects>,
    window_ms: i64,
) -> f64 {
    let measured = || Some(feature.design_effect.as_ref()?.of_window(window_ms));
    let learnt = || Some(learnt?.body);
    policy.design_effect.or_else(measured).or_else(learnt).unwrap_or(UNCALIBRATED)
}

#[expect(clippy::float_cmp, reason = "these are exact")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Convention, FeatureSeason, SeasonRule};
    use crate::decide::policy::tests::policy;
    use crate::feature::{Kind, Role};
    use crate::histogram::{Bins, Cells, Counts, NumericCells, Scale, Storage};
    use crate::setting::season::{Cycle, Period};
    use crate::window::Pane;

    const PANE_MS: i64 = 3_600_000;

    fn baseline() -> Baseline {
        let scale = Scale { center: 0.0, unit: 1.0 };
        let edges = vec![1.0, 2.0, 3.0];
        let feature = FeatureBaseline {
            name: "amount".to_owned(),
            role: Role::Feature,
            kind: Kind::Numeric,
            column_type: "Float64".to_owned(),
            unusable: None,
            cells: Cells::Numeric(NumericCells::new(edges, 0.0, 4.0, scale, Storage::F64)),
            bins: Bins { starts: vec![0, 1, 2, 3] },
            reference: Counts { cells: vec![250; 4], ..Counts::default() },
            singletons: 0,
            mean: None,
            sd: None,
            distinct: 500,
            design_effect: None,
            season: None,
            sample: None,
            convention: Convention::Driftd,
        };
        Baseline {
            format: 1,
            digest: String::new(),
            source: String::new(),
            rows: 1000,
            features: vec![feature],
            time_column: None,
            ignored: Vec::new(),
            sampled: false,
            trained: None,
            season: None,
        }
    }

    /// Panes of an hour in which all records are alike; which value they have changes by the hour.
    fn panes(n: usize) -> Vec<Arc<ClosedPane>> {
        let pane = |hour: usize| {
            let mut pane = Pane::empty(hour as i64 * PANE_MS, &[4]);
            pane.records = 40;
            pane.features[0].cells[hour * 7 / 3 % 4] = 40;
            Arc::new(ClosedPane::new(&pane, true))
        };
        (0..n).map(pane).collect()
    }

    #[test]
    fn within_a_season_what_its_slots_leave_is_learnt() {
        // Every hour of the day has a value of its own, and always the same.
        let daily = |n: usize| -> Vec<Arc<ClosedPane>> {
            let pane = |hour: usize| {
                let mut pane = Pane::empty(hour as i64 * PANE_MS, &[4]);
                pane.records = 40;
                pane.features[0].cells = vec![5; 4];
                pane.features[0].cells[hour % 24 / 6] = 25;
                Arc::new(ClosedPane::new(&pane, true))
            };
            (0..n).map(pane).collect()
        };
        let mut baseline = baseline();
        let learnt = |baseline: &Baseline| learn(baseline, &daily(240), &[4], PANE_MS).unwrap()[0];
        let without = learnt(&baseline).body;
        let slot = |hour: usize| {
            let mut cells = vec![50; 4];
            cells[hour / 6] = 250;
            Counts { cells, ..Counts::default() }
        };
        let slots: Vec<Counts> = (0..24).map(slot).collect();
        baseline.features[0].reference.cells = vec![2_400; 4];
        baseline.features[0].season = Some(FeatureSeason { cycle: Cycle::Day, other: None, slots });
        baseline.season = Some(SeasonRule {
            period: Period::Day,
            time_zone: "UTC".to_owned(),
            pane_ms: PANE_MS,
            span_ms: 86_400_000,
            days: 1,
        });
        let with = learnt(&baseline).body;
        assert!(without > 5.0 && with < 1.5, "{without} {with}");
    }

    #[test]
    fn three_days_of_panes_tell_what_records_depend_on() {
        let baseline = baseline();
        assert_eq!(learn(&baseline, &panes(71), &[4], PANE_MS), None);
        let learnt = learn(&baseline, &panes(72), &[4], PANE_MS).unwrap();
        assert!(learnt[0].body > 5.0, "{learnt:?}");
        // The floors of the window's scores follow what was learnt, too.
        let of_window =
            |policy: &Policy, learnt| of_window(&baseline.features[0], policy, learnt, 86_400_000);
        let configured = Policy { design_effect: Some(2.0), ..policy() };
        assert_eq!(of_window(&policy(), None), UNCALIBRATED);
        assert_eq!(of_window(&policy(), learnt.first()), learnt[0].body);
        assert_eq!(of_window(&configured, learnt.first()), 2.0);
    }
}
