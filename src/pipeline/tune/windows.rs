//! Windows that might be taken, each with the PSI that noise makes in it.

use std::collections::BTreeMap;

use crate::baseline::{Baseline, FeatureBaseline};
use crate::compare;
use crate::compare::{FLOOR_ALPHA, Statistic};
use crate::decide::Policy;
use crate::decide::effects;
use crate::decide::evidence::Columns;
use crate::dice::Dice;
use crate::pipeline::replay::survey::{Survey, add};
use crate::report::tune::{Shuffled, Window};
use crate::setting::HOUR_MS;

const HOURS: [u64; 4] = [1, 6, 24, 168];
/// Fewer days than this have no order to speak of.
const DAYS_MIN: usize = 5;
const SHUFFLES: usize = 20;
/// Scores that are computed at the most.
const SCORES_MOST: usize = 1_000_000;
/// Share of the days that is the reference of a shuffle.
const REFERENCE: f64 = 0.4;
const QUANTILE: f64 = 0.99;
/// A line of PSI has to be so much above its floor to be of use.
const MARGIN: f64 = 1.1;
/// The customary lines.
pub(super) const CUSTOMARY: (f64, f64) = (0.1, 0.2);

/// One column vector a feature.
type Sums = Vec<Vec<f64>>;

/// Every candidate, shortest first. `baseline` has a design effect for each feature that is watched.
pub(super) fn windows(
    baseline: &Baseline,
    policy: &Policy,
    survey: &Survey,
    per_hour: f64,
) -> (Vec<Window>, Option<Shuffled>) {
    let days = days(survey);
    let per_shuffle = days.len() * 24 * baseline.features.len().max(1);
    let shuffles = (SCORES_MOST / per_shuffle.max(1)).clamp(1, SHUFFLES);
    let is_enough = days.len() >= DAYS_MIN;
    let candidates = HOURS.iter().map(|&hours| {
        let null = if is_enough { shuffled(survey, &days, hours, shuffles) } else { None };
        window(baseline, policy, (hours, per_hour), null)
    });
    let shuffled = is_enough.then_some(Shuffled { days: days.len(), shuffles });
    (candidates.collect(), shuffled)
}

fn window(
    baseline: &Baseline,
    policy: &Policy,
    (hours, per_hour): (u64, f64),
    null: Option<(f64, f64)>,
) -> Window {
    let n = per_hour * hours as f64;
    let window_ms = HOUR_MS * i64::try_from(hours).unwrap_or(i64::MAX / HOUR_MS);
    let mut floors: Vec<(f64, &str)> = baseline
        .features
        .iter()
        .filter(|feature| feature.unusable.is_none())
        .filter_map(|feature| {
            let phi = effects::of_window(feature, policy, None, window_ms);
            // What the baseline can't support at any length says nothing about lengths.
            let supported = floor(feature, phi, f64::INFINITY)? * MARGIN < CUSTOMARY.0;
            supported.then_some((floor(feature, phi, n)?, feature.name.as_str()))
        })
        .collect();
    floors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let middle = floors.get(floors.len().max(1) / 2).or(floors.last());
    let (median_floor, worst) =
        (middle.map_or(f64::INFINITY, |floor| floor.0), floors.last().copied());
    let (worst_floor, worst_feature) = worst.unwrap_or((f64::INFINITY, ""));
    let above = |line: f64| {
        worst_floor * MARGIN <= line && null.is_none_or(|(psi, _)| psi * MARGIN <= line)
    };
    Window {
        hours,
        records: compare::whole(n),
        median_floor,
        worst_floor,
        worst_feature: worst_feature.to_owned(),
        shuffled_psi: null.map(|(psi, _)| psi),
        shuffled_above_0_2: null.map(|(_, above)| above),
        fits: above(CUSTOMARY.0),
    }
}

/// The floor of PSI with `n` live values: that of `1 / (1/n + 1/m)` alone.
fn floor(feature: &FeatureBaseline, design_effect: f64, n: f64) -> Option<f64> {
    let bins = compare::bins(feature, &feature.reference).reference.len();
    let m = feature.reference.in_cells() as f64;
    let joint = (n.recip() + m.recip()).recip();
    // Whole records are asked for: a thousandth of them and a thousandth of the effect are the same.
    let (joint, design_effect) = (joint * 1e3, design_effect.max(1.0) * 1e3);
    let records = compare::whole(joint).max(1);
    compare::supported_threshold(Statistic::Psi, bins, records, design_effect, FLOOR_ALPHA)
}

/// Whole days with records, each as its hours.
fn days(survey: &Survey) -> Vec<Vec<Sums>> {
    let Some((start, end)) = survey.span_ms() else { return Vec::new() };
    let day_ms = 24 * HOUR_MS;
    let empty: Sums =
        survey.columns.iter().map(|c| vec![0.0; c.as_ref().map_or(0, Columns::len)]).collect();
    let mut days: BTreeMap<i64, Vec<Sums>> = BTreeMap::new();
    for pane in survey.lengthened(HOUR_MS) {
        let day = pane.start_ms.div_euclid(day_ms);
        if day * day_ms >= start && (day + 1) * day_ms <= end {
            let hours = days.entry(day).or_insert_with(|| vec![empty.clone(); 24]);
            let hour = usize::try_from(pane.start_ms.rem_euclid(day_ms) / HOUR_MS).unwrap_or(0);
            add(&mut hours[hour], &pane.columns);
        }
    }
    days.into_values().collect()
}

/// The PSI that 99 % of windows of shuffled days stay under, of the worst feature of each; and how many in
/// 30 days are above 0.2. `None` when the days that are left do not make a window.
fn shuffled(
    survey: &Survey,
    days: &[Vec<Sums>],
    hours: u64,
    shuffles: usize,
) -> Option<(f64, f64)> {
    let length = usize::try_from(hours).ok()?;
    let n_reference = compare::whole((days.len() as f64 * REFERENCE).ceil());
    let n_reference = usize::try_from(n_reference).ok()?;
    let mut dice = Dice::new(1);
    let mut worst = Vec::new();
    for _ in 0..shuffles {
        let mut order: Vec<usize> = (0..days.len()).collect();
        dice.shuffle(&mut order);
        let (reference, live) = order.split_at(n_reference);
        let reference = sum(reference.iter().flat_map(|&day| &days[day]))?;
        let live: Vec<&Sums> = live.iter().flat_map(|&day| &days[day]).collect();
        for window in live.chunks_exact(length) {
            let window = sum(window.iter().copied())?;
            worst.extend(worst_psi(survey, &reference, &window));
        }
    }
    worst.sort_by(f64::total_cmp);
    let at = compare::whole(worst.len() as f64 * QUANTILE);
    let quantile = *worst.get(usize::try_from(at).ok()?.min(worst.len().checked_sub(1)?))?;
    let above = worst.iter().filter(|psi| **psi > CUSTOMARY.1).count() as f64;
    Some((quantile, above / worst.len() as f64 * 720.0 / hours as f64))
}

fn sum<'a>(parts: impl Iterator<Item = &'a Sums>) -> Option<Sums> {
    parts.fold(None, |sums, part| match sums {
        None => Some(part.clone()),
        Some(mut sums) => {
            add(&mut sums, part);
            Some(sums)
        }
    })
}

fn worst_psi(survey: &Survey, reference: &Sums, live: &Sums) -> Option<f64> {
    let sides = survey.columns.iter().zip(reference.iter().zip(live));
    let psi = sides.filter_map(|(columns, (reference, live))| {
        let columns = columns.as_ref()?;
        let (reference, live) = (columns.bins(reference), columns.bins(live));
        Some(compare::psi_of_bins(&reference, &live, 1.0, FLOOR_ALPHA)?.0.value)
    });
    psi.reduce(f64::max)
}
