//! Which design effects are known of a model's features.

use std::sync::Arc;

use crate::baseline::design_effect::{DesignEffect, Effects, curve};
use crate::baseline::{Baseline, FeatureBaseline};
use crate::decide::evidence::{Columns, RARE};
use crate::decide::policy::Policy;
use crate::decide::rule::UNCALIBRATED;
use crate::window::ClosedPane;

/// Live panes tell the design effects from here on, where nothing else does ...
pub const LEARNT_AFTER_MS: i64 = DAYS as i64 * 24 * HOUR_MS;
const DAYS: usize = 3;
/// ... and so many hours of each of these days have a complete pane with records.
const HOURS_A_DAY: usize = 4;
const HOUR_MS: i64 = 3_600_000;
/// Panes of a reference that is laid beside itself.
const PANES: usize = 12;

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

/// The design effects that closed panes show, one per feature of the baseline, once they tell of three
/// days. They are measured around the panes' own mean, so that a constant shift does not disturb them. A
/// feature that has carried no value is taken for as dependent as the most dependent of the others, and for
/// no less than what is assumed without any. Asked at the end of an hour; `None` at any other time, and as
/// long as too little has come.
pub fn learn(
    baseline: &Baseline,
    panes: &[Arc<ClosedPane>],
    shape: &[usize],
    pane_ms: i64,
) -> Option<Vec<Effects>> {
    if !tell_of_days(panes, pane_ms) {
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
    let measured: Vec<DesignEffect> = measured.collect::<Option<_>>()?;
    let shown = measured.iter().filter(|measured| !measured.curve.is_empty());
    let most = shown.map(|measured| measured.effects.body).reduce(f64::max);
    let sides = baseline.features.iter().zip(&columns).zip(measured);
    sides
        .map(|((feature, (columns, _)), measured)| {
            let is_told = !measured.curve.is_empty()
                || feature.unusable.is_some()
                || is_constant(columns, feature);
            if is_told {
                return Some(measured.effects);
            }
            Some(Effects::all(most?.max(UNCALIBRATED)))
        })
        .collect()
}

/// Whether the panes reach back three days, and at least three of the days before their end hold records in
/// complete panes of four hours: neither a test before a start nor a feed that stood still tells anything.
fn tell_of_days(panes: &[Arc<ClosedPane>], pane_ms: i64) -> bool {
    let Some(last) = panes.last() else { return false };
    let end_ms = last.start_ms + pane_ms;
    let reach = i64::try_from(panes.len()).unwrap_or(i64::MAX / 2).saturating_mul(pane_ms);
    if reach < LEARNT_AFTER_MS || end_ms % HOUR_MS != 0 {
        return false;
    }
    let (mut seen, mut hours, mut before) = (0, 0, None);
    for pane in panes.iter().rev().filter(|pane| pane.complete && pane.records > 0) {
        let hour = (end_ms - 1 - pane.start_ms) / HOUR_MS;
        if before.is_some_and(|before| hour / 24 != before / 24) {
            hours = 0;
        }
        if before.replace(hour) != Some(hour) {
            hours += 1;
            seen += usize::from(hours == HOURS_A_DAY);
        }
    }
    seen >= DAYS
}

/// All of its reference is in one bin, so that there is no share that could vary.
fn is_constant(columns: &Columns, feature: &FeatureBaseline) -> bool {
    let mut body = columns.body(&columns.map(&feature.reference));
    body.truncate(body.len() - RARE);
    curve(&vec![body; PANES]).is_empty()
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
    use crate::baseline::{FeatureSeason, SeasonRule};
    use crate::decide::policy::tests::policy;
    use crate::histogram::{Bins, Cells, Counts, NumericCells, Scale, Storage};
    use crate::setting::season::{Cycle, Period};
    use crate::window::Pane;

    const PANE_MS: i64 = 3_600_000;

    fn baseline() -> Baseline {
        let scale = Scale { center: 0.0, unit: 1.0 };
        let cells = NumericCells::new(vec![1.0, 2.0, 3.0], 0.0, 4.0, scale, Storage::F64);
        let bins = Bins { starts: vec![0, 1, 2, 3] };
        let reference = Counts { cells: vec![250; 4], ..Counts::default() };
        let feature = FeatureBaseline {
            distinct: 500,
            ..FeatureBaseline::of_counts("amount", Cells::Numeric(cells), bins, reference)
        };
        Baseline::of(vec![feature])
    }

    /// Panes of an hour in which all records are alike; which value they have changes by the hour.
    fn panes(n: usize) -> Vec<Arc<ClosedPane>> {
        panes_where(n, |_| (40, true))
    }

    /// The same, with as many records in each hour, complete or not, as `of` says.
    fn panes_where(n: usize, of: impl Fn(usize) -> (u64, bool)) -> Vec<Arc<ClosedPane>> {
        let pane = |hour: usize| {
            let (records, complete) = of(hour);
            let mut pane = Pane::empty(hour as i64 * PANE_MS, &[4]);
            pane.records = records;
            pane.features[0].cells[hour * 7 / 3 % 4] = records;
            Arc::new(ClosedPane::new(&pane, complete))
        };
        (0..n).map(pane).collect()
    }

    #[test]
    fn hours_without_records_and_incomplete_ones_tell_nothing() {
        let baseline = baseline();
        let first = |of: &dyn Fn(usize) -> (u64, bool)| {
            (1..=200).find(|&n| learn(&baseline, &panes_where(n, of), &[4], PANE_MS).is_some())
        };
        // A test of three hours on the first day, and the start proper on the fifth.
        let started = |hour: usize| if (3..96).contains(&hour) { (0, true) } else { (40, true) };
        assert_eq!(first(&started), Some(96 + 48 + 4));
        assert_eq!(first(&|_| (0, true)), None);
        // Nobody counted the first four days as a whole.
        assert_eq!(first(&|hour| (40, hour >= 96)), Some(96 + 48 + 4));
        // Eight hours of each day are days, one is not.
        assert_eq!(first(&|hour| (if hour % 24 < 8 { 40 } else { 0 }, true)), Some(72));
        assert_eq!(first(&|hour| (if hour % 24 < 1 { 40 } else { 0 }, true)), None);
        assert_eq!(first(&|_| (1, true)), Some(72), "a thin stream all the same");
    }

    #[test]
    fn a_feature_that_never_carried_a_value_is_not_taken_for_independent() {
        let mut baseline = baseline();
        let absent = FeatureBaseline { name: "label".to_owned(), ..baseline.features[0].clone() };
        let mut constant = FeatureBaseline { name: "one".to_owned(), ..absent.clone() };
        constant.reference.cells = vec![0, 1000, 0, 0];
        baseline.features.extend([absent, constant]);
        let live = |records: u64| -> Vec<Arc<ClosedPane>> {
            let pane = |hour: usize| {
                let mut pane = Pane::empty(hour as i64 * PANE_MS, &[4; 3]);
                pane.records = 40;
                pane.features[0].cells[hour * 7 / 3 % 4] = records;
                pane.features[0].missing = 40 - records;
                pane.features[1].missing = 40;
                pane.features[2].cells[1] = 40;
                Arc::new(ClosedPane::new(&pane, true))
            };
            (0..72).map(pane).collect()
        };
        let learnt = learn(&baseline, &live(40), &[4; 3], PANE_MS).unwrap();
        assert!(learnt[0].body > UNCALIBRATED);
        assert_eq!(learnt[1], Effects::all(learnt[0].body));
        assert_eq!(learnt[2].body, 1.0, "it has no share that could vary");
        assert_eq!(learn(&baseline, &live(0), &[4; 3], PANE_MS), None);
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
            hours: Default::default(),
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
