//! Which of a feature's scores is told of: the one that is furthest over a line, or nearest to one.

use std::cmp::Ordering;

use crate::compare::FLOOR_ALPHA;
use crate::compare::Statistic;
use crate::decide::FeatureVerdict;
use crate::decide::Level;
use crate::decide::rule;
use crate::decide::verdict::is_crossed;
use crate::decide::view::Onset;

/// The score of a feature that is furthest over one of its lines, or nearest to one.
#[derive(Clone, Copy)]
pub(super) struct Nearest {
    /// The level of the line that is crossed, 0 if none is; then score / threshold.
    pub rank: (u8, f64),
    pub statistic: Statistic,
    pub level: Level,
    pub threshold: f64,
    pub score: f64,
    pub noise_floor: Option<f64>,
}

/// By the level that is crossed, then by how near the line is.
pub(super) fn by_rank(a: (u8, f64), b: (u8, f64)) -> Ordering {
    a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
}

/// Over the window or, of what is real, since onset.
pub(super) fn of_all(
    verdict: &FeatureVerdict,
    lines: &[(Statistic, Level, f64)],
    min_records: u64,
) -> Option<Nearest> {
    let onset = verdict.onset.as_ref().filter(|onset| onset.is_real());
    let since = onset.and_then(|onset| since_onset(onset, lines, min_records));
    let window = over_window(verdict, lines);
    since.into_iter().chain(window).max_by(|a, b| by_rank(a.rank, b.rank))
}

/// The window's: of several lines that are crossed the highest counts, else the nearest.
pub(super) fn over_window(
    verdict: &FeatureVerdict,
    lines: &[(Statistic, Level, f64)],
) -> Option<Nearest> {
    let of = |&(statistic, level, threshold): &(Statistic, Level, f64)| {
        let score = *verdict.scores.get(&statistic)?;
        let (bias, alpha) = (verdict.bias(statistic), alpha(verdict));
        let crossed = is_crossed(statistic, score, threshold + bias, alpha);
        let rank = (if crossed { 1 + level as u8 } else { 0 }, (score.value - bias) / threshold);
        let (noise_floor, score) = (score.noise_floor, score.value);
        Some(Nearest { rank, statistic, level, threshold, score, noise_floor })
    };
    lines.iter().filter_map(of).max_by(|a, b| by_rank(a.rank, b.rank))
}

/// The chance of noise that the floor of the rule has which decides: the one that weighs evidence knows onsets.
fn alpha(verdict: &FeatureVerdict) -> f64 {
    if verdict.onset.is_some() { FLOOR_ALPHA } else { rule::ALPHA }
}

/// The same of the scores since onset.
fn since_onset(
    onset: &Onset,
    lines: &[(Statistic, Level, f64)],
    min_records: u64,
) -> Option<Nearest> {
    let of = |&(statistic, level, threshold): &(Statistic, Level, f64)| {
        let (score, bias, noise_floor) = match (statistic, onset.outside) {
            (Statistic::Psi, _) => {
                onset.psi.map(|psi| (psi.value, onset.psi_bias, psi.noise_floor))?
            }
            (Statistic::Missing, _) => (onset.missing?, 0.0, None),
            (asked, Some((outside, value))) if asked == outside => (value, 0.0, None),
            _ => return None,
        };
        let crossed = onset.is_over(statistic, threshold, min_records);
        let rank = (if crossed { 1 + level as u8 } else { 0 }, (score - bias) / threshold);
        Some(Nearest { rank, statistic, level, threshold, score, noise_floor })
    };
    lines.iter().filter_map(of).max_by(|a, b| by_rank(a.rank, b.rank))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Verdict;
    use crate::decide::view::VerdictScore;
    use crate::feature::Kind;
    use crate::feature::Role;

    const LINES: [(Statistic, Level, f64); 3] = [
        (Statistic::Psi, Level::Warning, 0.1),
        (Statistic::Psi, Level::Retrain, 0.2),
        (Statistic::OutOfRange, Level::Retrain, 0.05),
    ];

    fn score(value: f64) -> VerdictScore {
        VerdictScore { value, noise_floor: Some(0.01), p_value: None, threshold: None }
    }

    fn drifting(log_evidence: f64, psi: f64) -> FeatureVerdict {
        let onset = Onset {
            since_ms: 0,
            records: 500,
            log_evidence,
            log_needed: 12.0,
            psi: Some(score(psi)),
            psi_bias: 0.02,
            window_psi_bias: 0.0,
            outside: Some((Statistic::OutOfRange, 0.01)),
            missing: None,
        };
        FeatureVerdict {
            feature: "amount".to_owned(),
            kind: Kind::Numeric,
            role: Role::Feature,
            verdict: Verdict::Drifted,
            reference_count: 1000,
            live_count: 1000,
            scores: [(Statistic::Psi, score(0.03))].into(),
            reason: None,
            records_needed: None,
            onset: Some(onset),
            season: None,
        }
    }

    #[test]
    fn what_is_real_is_told_by_its_score_since_onset() {
        let real = of_all(&drifting(20.0, 0.3), &LINES, 200).unwrap();
        assert_eq!((real.statistic, real.level, real.score), (Statistic::Psi, Level::Retrain, 0.3));
        assert_eq!(real.rank.0, 1 + Level::Retrain as u8);
        let few = of_all(&drifting(20.0, 0.3), &LINES, 501).unwrap();
        assert_eq!(few.rank.0, 0, "too few records to be over a line");
        // Less the 0.02 that noise shows, 0.21 is over the line of warnings alone.
        let nearly = of_all(&drifting(20.0, 0.21), &LINES, 200).unwrap();
        assert_eq!((nearly.level, nearly.score), (Level::Warning, 0.21));
        let mut noisy = drifting(5.0, 0.3);
        noisy.scores.insert(Statistic::Psi, score(0.3));
        noisy.onset.as_mut().unwrap().window_psi_bias = 0.15;
        assert_eq!(of_all(&noisy, &LINES, 200).unwrap().level, Level::Warning);
        let noise = of_all(&drifting(5.0, 0.3), &LINES, 200).unwrap();
        assert_eq!((noise.rank.0, noise.score), (0, 0.03));
    }
}
