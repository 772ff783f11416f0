//! Which score comes first when one has to be named.

use crate::compare::FLOOR_ALPHA;
use crate::compare::Statistic;
use crate::decide::policy::Level;
use crate::decide::view::FeatureVerdict;
use crate::decide::view::Verdict;
use crate::decide::view::VerdictScore;

/// The score that is furthest over, or nearest to, a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst<'a> {
    /// Index of the feature.
    pub at: usize,
    pub feature: &'a str,
    pub statistic: Statistic,
    pub value: f64,
    pub threshold: f64,
    pub level: Level,
    pub noise_floor: Option<f64>,
}

/// Above its floor; where a p-value stands in for it, one that noise alone gives once in a thousand looks.
fn is_above_noise(score: &VerdictScore) -> bool {
    match (score.noise_floor, score.p_value) {
        (Some(floor), _) => score.value > floor,
        (None, Some(p_value)) => p_value < FLOOR_ALPHA,
        (None, None) => false,
    }
}

/// Every feature's score nearest to a line, worst first: above noise before below, then by level, then
/// by score / threshold.
pub fn ranked<'a>(
    verdicts: &'a [FeatureVerdict],
    thresholds: &[(Statistic, Level, f64)],
) -> Vec<Worst<'a>> {
    let mut all: Vec<(bool, f64, Worst<'a>)> = Vec::new();
    let trusted = verdicts.iter().enumerate().filter(|(_, v)| v.verdict != Verdict::Fault);
    for (at, verdict) in trusted {
        let mut best: Option<(bool, f64, Worst<'a>)> = None;
        for (statistic, level, threshold) in thresholds {
            let Some(score) = verdict.scores.get(statistic) else { continue };
            let real = is_above_noise(score);
            let over = score.value > *threshold;
            let ratio = score.value / threshold;
            // Of several lines that are crossed the highest is named, else the nearest.
            let rank = if over { 1e6 * (*level as u8 as f64 + 1.0) + ratio } else { ratio };
            if best.as_ref().is_none_or(|(r, k, _)| (real, rank) > (*r, *k)) {
                let worst = Worst {
                    at,
                    feature: &verdict.feature,
                    statistic: *statistic,
                    value: score.value,
                    threshold: *threshold,
                    level: *level,
                    noise_floor: score.noise_floor,
                };
                best = Some((real, rank, worst));
            }
        }
        all.extend(best);
    }
    all.sort_by(|a, b| (b.0, b.1).partial_cmp(&(a.0, a.1)).unwrap_or(std::cmp::Ordering::Equal));
    all.into_iter().map(|(_, _, worst)| worst).collect()
}

/// The first of them over the lines that people are told of.
pub(super) fn worst<'a>(
    verdicts: &'a [FeatureVerdict],
    thresholds: &[(Statistic, Level, f64)],
) -> Option<Worst<'a>> {
    let deciding: Vec<_> =
        thresholds.iter().copied().filter(|(_, level, _)| *level != Level::Notice).collect();
    ranked(verdicts, &deciding).into_iter().next()
}
