//! The user's own data without drift: whole days in another order. What happens within a day is kept,
//! what changes over the days is not, so every trigger that is left is a false one.

use std::sync::Arc;

use crate::baseline::Baseline;
use crate::compare::Statistic;
use crate::dice::Dice;
use crate::histogram::Counts;
use crate::pipeline::replay::Shuffles;
use crate::pipeline::replay::judge::Bench;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::report::replay::Null;
use crate::report::replay::Rate;
use crate::setting::DAY_MS;
use crate::setting::season::Calendar;
use crate::setting::season::Cycle;
use crate::window::ClosedPane;

/// The line that is compared with.
const CUSTOMARY_PSI: f64 = 0.2;
/// Fewer days than this have no order to speak of.
pub const DAYS_MIN: usize = 5;

/// What the policy, and PSI above 0.2 alone, do about shuffled days. The first 40 % of each shuffle
/// are the reference, counted into the baseline's own cells; a false alarm ends after the length of
/// the window, and the next may come. `None` when there are not enough whole days.
pub(super) fn null(
    spec: &Spec,
    watched: &Watched,
    panes: &[ClosedPane],
    shuffles: Shuffles,
) -> Option<Null> {
    let days = whole_days(panes, spec.policy.pane_ms);
    let reference_days = (days.len() * 2).div_ceil(5);
    if days.len() < DAYS_MIN {
        return None;
    }
    let mut null = Null {
        shuffles: shuffles.n,
        seed: shuffles.seed,
        days: days.len(),
        reference_days,
        stream_days: 0,
        policy: Rate::default(),
        psi_above_0_2: Rate::default(),
    };
    let mut dice = Dice::new(shuffles.seed);
    for _ in 0..shuffles.n {
        let mut order: Vec<usize> = (0..days.len()).collect();
        dice.shuffle(&mut order);
        let (reference, live) = order.split_at(reference_days);
        let reference: Vec<&[ClosedPane]> = reference.iter().map(|&day| days[day]).collect();
        let baseline = rebased(&watched.baseline, &reference)?;
        let live: Vec<&[ClosedPane]> = live.iter().map(|&day| days[day]).collect();
        let (triggers, crossed) = alarms(spec, watched, baseline, &live);
        null.stream_days += live.len();
        null.policy.count += triggers;
        null.psi_above_0_2.count += crossed;
    }
    for rate in [&mut null.policy, &mut null.psi_above_0_2] {
        rate.per_30_days = 30.0 * rate.count as f64 / null.stream_days.max(1) as f64;
    }
    Some(null)
}

/// Panes of the days that are there from midnight to midnight (UTC); a pane divides a day.
fn whole_days(panes: &[ClosedPane], pane_ms: i64) -> Vec<&[ClosedPane]> {
    let per_day = usize::try_from(DAY_MS / pane_ms.max(1)).unwrap_or(usize::MAX).max(1);
    let first = panes.iter().position(|pane| pane.start_ms.rem_euclid(DAY_MS) == 0);
    let days = first.map_or(&[][..], |first| &panes[first..]).chunks_exact(per_day);
    // A day without a record says nothing about days.
    days.filter(|day| day.iter().any(|pane| pane.records > 0)).collect()
}

/// The baseline with what these days hold as its reference.
fn rebased(baseline: &Baseline, days: &[&[ClosedPane]]) -> Option<Baseline> {
    let shape: Vec<usize> = baseline.features.iter().map(|f| f.cells.len()).collect();
    let mut sums: Vec<Counts> = shape.iter().map(|&n| Counts::zero(n)).collect();
    let mut rows = 0;
    for pane in days.iter().copied().flatten() {
        rows += pane.records;
        let counts = pane.counts(&shape).ok()?;
        sums.iter_mut().zip(&counts).for_each(|(sum, counts)| sum.add(counts));
    }
    let mut rebased = baseline.clone();
    rebased.rows = rows;
    for (feature, sum) in rebased.features.iter_mut().zip(sums) {
        feature.reference = sum;
    }
    reslot(&mut rebased, days, &shape)?;
    Some(rebased)
}

/// Gives features with a season what these days hold in its slots, one day after the other. In another order
/// days are no week: a week's slots become those of the day, with the design effect of no season.
fn reslot(baseline: &mut Baseline, days: &[&[ClosedPane]], shape: &[usize]) -> Option<()> {
    let seasons: Vec<usize> = (0..shape.len())
        .filter(|&at| baseline.calendar(&baseline.features[at]).is_some())
        .collect();
    let Some(rule) = &mut baseline.season else { return Some(()) };
    // Days were cut at midnight in UTC, and come again without a date.
    "UTC".clone_into(&mut rule.time_zone);
    let calendar = Calendar::new(Cycle::Day, &rule.time_zone).ok()?;
    let mut slots: Vec<Vec<Counts>> =
        seasons.iter().map(|&at| vec![Counts::zero(shape[at]); Cycle::Day.slots()]).collect();
    for day in days.iter().filter(|_| !seasons.is_empty()) {
        for pane in *day {
            let slot = calendar.slot(pane.start_ms.rem_euclid(DAY_MS));
            let counts = pane.counts(shape).ok()?;
            for (slots, &at) in slots.iter_mut().zip(&seasons) {
                slots[slot].add(&counts[at]);
            }
        }
    }
    for (slots, at) in slots.into_iter().zip(seasons) {
        let feature = &mut baseline.features[at];
        let Some(season) = &mut feature.season else { continue };
        if season.cycle == Cycle::Week {
            feature.design_effect.clone_from(&season.other);
        }
        season.cycle = Cycle::Day;
        season.slots = slots;
    }
    Some(())
}

/// How often the policy triggers over the days, and in how many windows, one after the other, a
/// windowed PSI is above 0.2.
fn alarms(
    spec: &Spec,
    watched: &Watched,
    baseline: Baseline,
    days: &[&[ClosedPane]],
) -> (u64, u64) {
    let policy = &spec.policy;
    let window_ms = i64::try_from(policy.window_panes).unwrap_or(i64::MAX / 2) * policy.pane_ms;
    let watched = Watched { baseline: Arc::new(baseline), ..watched.clone() };
    let mut bench = Bench::new(spec.clone(), watched, Some(window_ms));
    let (mut triggers, mut crossed) = (0, 0);
    let mut quiet_until = i64::MIN;
    let mut start_ms = 0;
    for pane in days.iter().copied().flatten() {
        let mut pane = pane.clone();
        pane.start_ms = start_ms;
        let outcome = bench.pane(pane);
        start_ms += policy.pane_ms;
        triggers += u64::from(outcome.opened.is_some());
        let above = bench.evaluator.verdicts.iter().any(|verdict| {
            verdict.scores.get(&Statistic::Psi).is_some_and(|psi| psi.value > CUSTOMARY_PSI)
        });
        if above && bench.evaluator.ring.is_full() && start_ms >= quiet_until {
            crossed += 1;
            quiet_until = start_ms + window_ms;
        }
    }
    (triggers, crossed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::design_effect::{DesignEffect, Effects};
    use crate::baseline::{FeatureBaseline, FeatureSeason, SeasonRule};
    use crate::histogram::{Bins, Cells, NumericCells, Scale, Storage};
    use crate::setting::HOUR_MS;
    use crate::setting::season::Period;
    use crate::window::Pane;

    fn hour(n: i64, records: u64) -> ClosedPane {
        let mut pane = Pane::empty(n * HOUR_MS, &[1]);
        pane.records = records;
        pane.features[0].cells = vec![records];
        ClosedPane::new(&pane, true)
    }

    #[test]
    fn only_whole_days_with_records_count() {
        // From 20:00 on: four hours, two days, one empty day, a day, and five hours.
        let panes: Vec<_> =
            (20..24 + 4 * 24 + 5).map(|n| hour(n, u64::from(!(72..96).contains(&n)))).collect();
        let days = whole_days(&panes, HOUR_MS);
        let starts: Vec<_> = days.iter().map(|day| day[0].start_ms / DAY_MS).collect();
        assert_eq!(starts, [1, 2, 4]);
        assert!(days.iter().all(|day| day.len() == 24));
    }

    #[test]
    fn slots_hold_what_the_reference_days_hold_at_their_hours() {
        let effect = |body| DesignEffect {
            pane_ms: HOUR_MS,
            curve: Vec::new(),
            effects: Effects::all(body),
        };
        let scale = Scale { center: 0.0, unit: 1.0 };
        let cells = NumericCells::new(Vec::new(), 0.0, 1.0, scale, Storage::F64);
        let slots = vec![Counts { cells: vec![1], ..Counts::default() }; Cycle::Week.slots()];
        let bins = Bins { starts: vec![0] };
        let reference = Counts { cells: vec![168], ..Counts::default() };
        let feature = FeatureBaseline {
            distinct: 168,
            design_effect: Some(effect(1.5)),
            season: Some(FeatureSeason { cycle: Cycle::Week, other: Some(effect(7.0)), slots }),
            ..FeatureBaseline::of_counts("amount", Cells::Numeric(cells), bins, reference)
        };
        let rule = SeasonRule {
            period: Period::Week,
            time_zone: "Europe/Berlin".to_owned(),
            pane_ms: HOUR_MS,
            span_ms: 7 * DAY_MS,
            days: 7,
            hours: Default::default(),
        };
        let baseline = Baseline { season: Some(rule), ..Baseline::of(vec![feature]) };
        // Two days with 100 + h and 200 + h records in hour h.
        let day = |day: i64| {
            let hours = (0..24).map(|h| hour(24 * day + h, (100 * day + h).unsigned_abs()));
            hours.collect::<Vec<_>>()
        };
        let (one, two) = (day(1), day(2));
        let rebased = rebased(&baseline, &[&two, &one]).unwrap();
        let feature = &rebased.features[0];
        let season = feature.season.as_ref().unwrap();
        let found: Vec<u64> = season.slots.iter().map(|slot| slot.cells[0]).collect();
        assert_eq!(found, (0..24).map(|h| 300 + 2 * h).collect::<Vec<u64>>());
        assert_eq!(feature.reference.cells[0], found.iter().sum::<u64>());
        // Days in another order are no weeks: what no season leaves is what a week's slots leave there.
        assert_eq!(season.cycle, Cycle::Day);
        assert_eq!(feature.design_effect, Some(effect(7.0)));
        let calendar = rebased.calendar(feature).unwrap();
        assert_eq!(calendar.to_string(), "day, 24 slots, UTC");
    }
}
