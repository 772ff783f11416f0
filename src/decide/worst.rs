//! Which score comes first when one has to be named.

use crate::compare::FLOOR_ALPHA;
use crate::compare::Statistic;
use crate::decide::policy::Level;
use crate::decide::verdict::size;
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
    /// It is the score since the onset, not the window's.
    pub since_onset: bool,
    pub value: f64,
    /// What is taken off the value before it is held against the threshold: what noise shows on average.
    pub bias: f64,
    pub threshold: f64,
    pub level: Level,
    pub noise_floor: Option<f64>,
}

/// A score that may be named.
struct Named {
    since_onset: bool,
    value: f64,
    bias: f64,
    noise_floor: Option<f64>,
    /// It is more than noise.
    is_real: bool,
}

/// Above its floor; where a p-value stands in for it, one that noise alone gives once in a thousand looks.
fn is_above_noise(score: &VerdictScore) -> bool {
    match (score.noise_floor, score.p_value) {
        (Some(floor), _) => score.value > floor,
        (None, Some(p_value)) => p_value < FLOOR_ALPHA,
        (None, None) => false,
    }
}

/// How far a verdict has gone: 3 at `retrain`, 2 at `warning`, 1 at `notice`.
pub(super) fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Drifted => 3,
        Verdict::Warning => 2,
        Verdict::Notice => 1,
        Verdict::Unusable
        | Verdict::AbsentInLive
        | Verdict::InsufficientSamples
        | Verdict::Stable
        | Verdict::Fault => 0,
    }
}

/// Every feature's score of the window nearest to a line that people are told of, worst first: by the
/// feature's level, then above noise before below, then by the line's level, then by score / threshold. A
/// faulty feature has none.
pub fn ranked<'a>(
    verdicts: &'a [FeatureVerdict],
    thresholds: &[(Statistic, Level, f64)],
) -> Vec<Worst<'a>> {
    sorted(verdicts, thresholds, |verdict, statistic| [over_window(verdict, statistic), None])
}

/// The same of the scores since onset, too, of what is real.
pub(super) fn ranked_since<'a>(
    verdicts: &'a [FeatureVerdict],
    thresholds: &[(Statistic, Level, f64)],
) -> Vec<Worst<'a>> {
    sorted(verdicts, thresholds, |verdict, statistic| {
        [over_window(verdict, statistic), since_onset(verdict, statistic)]
    })
}

fn sorted<'a>(
    verdicts: &'a [FeatureVerdict],
    thresholds: &[(Statistic, Level, f64)],
    scores: impl Fn(&FeatureVerdict, Statistic) -> [Option<Named>; 2],
) -> Vec<Worst<'a>> {
    let mut all: Vec<((u8, bool, f64), Worst<'a>)> = Vec::new();
    let trusted = verdicts.iter().enumerate().filter(|(_, v)| v.verdict != Verdict::Fault);
    for (at, verdict) in trusted {
        let mut best: Option<((u8, bool, f64), Worst<'a>)> = None;
        for &(statistic, level, threshold) in thresholds {
            // A line above the level that the feature is at has not decided anything.
            let above = verdict.verdict == Verdict::Warning && level == Level::Retrain;
            if level == Level::Notice || above {
                continue;
            }
            for score in scores(verdict, statistic).into_iter().flatten() {
                let compared = size(statistic, score.value) - score.bias;
                let ratio = compared / threshold;
                // Of several lines that are crossed the highest is named, else the nearest.
                let over = compared > threshold;
                let nearness = if over { 1e6 * (level as u8 as f64 + 1.0) + ratio } else { ratio };
                let key = (rank(verdict.verdict), score.is_real, nearness);
                if best.as_ref().is_none_or(|(before, _)| key > *before) {
                    let worst = Worst {
                        at,
                        feature: &verdict.feature,
                        statistic,
                        since_onset: score.since_onset,
                        value: score.value,
                        bias: score.bias,
                        threshold,
                        level,
                        noise_floor: score.noise_floor,
                    };
                    best = Some((key, worst));
                }
            }
        }
        all.extend(best);
    }
    all.sort_by(|(a, _), (b, _)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    all.into_iter().map(|(_, worst)| worst).collect()
}

fn over_window(verdict: &FeatureVerdict, statistic: Statistic) -> Option<Named> {
    let score = verdict.scores.get(&statistic)?;
    // Of what nothing tells the noise of, the feature's level says whether it counts.
    let beside = !statistic.has_floor() && rank(verdict.verdict) > 0;
    Some(Named {
        since_onset: false,
        value: score.value,
        bias: verdict.bias(statistic),
        noise_floor: score.noise_floor,
        is_real: beside || is_above_noise(score),
    })
}

fn since_onset(verdict: &FeatureVerdict, statistic: Statistic) -> Option<Named> {
    let onset = verdict.onset.as_ref().filter(|onset| onset.is_real())?;
    let psi = onset.psi.as_ref().filter(|_| statistic == Statistic::Psi);
    let compared = onset.score(statistic)?;
    let bias = psi.map_or(0.0, |_| onset.psi_bias);
    Some(Named {
        since_onset: true,
        value: psi.map_or(compared, |psi| psi.value),
        bias,
        noise_floor: psi.and_then(|psi| psi.noise_floor),
        is_real: psi.is_none_or(is_above_noise),
    })
}

/// The highest line of a statistic that `compared` is over, else the lowest, of those that people are told
/// of.
pub(super) fn line_of(
    thresholds: &[(Statistic, Level, f64)],
    statistic: Statistic,
    compared: f64,
) -> Option<(Level, f64)> {
    let lines = thresholds.iter().filter(|line| line.0 == statistic && line.1 > Level::Notice);
    let lines: Vec<(Level, f64)> = lines.map(|&(_, level, line)| (level, line)).collect();
    let crossed = lines.iter().copied().filter(|(_, line)| compared > *line);
    crossed.max_by_key(|(level, _)| *level).or_else(|| lines.into_iter().min_by_key(|(l, _)| *l))
}
