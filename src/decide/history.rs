//! What readers see of the past: scores, evidence and states over time, in bounded memory.
//!
//! The newest panes that are kept, in at most `POINTS` points; a point that stands for several panes has
//! the highest score of them. A process that starts anew scores some of the stored panes again; what
//! the sequential test had found in them, and which states were decided, is not known any more.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::compare::Statistic;
use crate::decide::policy::Level;
use crate::decide::view::{DriftState, FeatureVerdict};

/// Points that are kept at most; no picture shows more.
pub const POINTS: usize = 256;
/// Statistics that have a line each.
const STATISTICS: usize = 8;

/// The past of one model, oldest point first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    statistics: Vec<Statistic>,
    features: Arc<[String]>,
    panes_per_point: usize,
    points: VecDeque<Arc<Point>>,
}

/// One or several neighbouring panes.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Start of its first pane and end of its last, ms since the epoch.
    pub start_ms: i64,
    pub end_ms: i64,
    pub panes: usize,
    pub records: u64,
    pub rejects: u64,
    pub complete: bool,
    /// The highest; `None` is not known.
    pub drift: Option<DriftState>,
    /// A new baseline was in force from here on.
    pub new_baseline: bool,
    /// Of each feature, of each statistic.
    scores: Vec<Sample>,
    /// Of each feature.
    onsets: Vec<Since>,
}

/// A score and its noise floor.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    value: f32,
    floor: f32,
}

/// What was known since the likeliest beginning of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Since {
    evidence: f32,
    psi: f32,
}

const NO_SAMPLE: Sample = Sample { value: f32::NAN, floor: f32::NAN };
const NO_SINCE: Since = Since { evidence: f32::NAN, psi: f32::NAN };

/// What a pane had, beside its scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    pub start_ms: i64,
    pub end_ms: i64,
    pub records: u64,
    pub rejects: u64,
    pub complete: bool,
    pub drift: Option<DriftState>,
}

impl History {
    /// Of PSI and the statistics that have a line, for `panes` panes at most.
    pub fn new(lines: &[(Statistic, Level, f64)], panes: usize) -> Self {
        let mut statistics = vec![Statistic::Psi];
        for (statistic, _, _) in lines {
            if !statistics.contains(statistic) && statistics.len() < STATISTICS {
                statistics.push(*statistic);
            }
        }
        let panes_per_point = panes.div_ceil(POINTS).max(1);
        Self { statistics, features: Arc::from([]), panes_per_point, points: VecDeque::new() }
    }

    /// The features that verdicts will come for, in order. What is known of the same features stays, and
    /// the next point tells that the baseline is new; of others it is forgotten.
    pub fn watch(&mut self, features: Vec<String>) {
        if *self.features != *features {
            self.points.clear();
            self.features = features.into();
        }
    }

    /// Adds the next pane with the verdicts at its end.
    pub fn push(&mut self, seen: Seen, new_baseline: bool, verdicts: &[FeatureVerdict]) {
        let room = self.points.back().is_some_and(|p| p.panes < self.panes_per_point);
        if !room || new_baseline {
            if self.points.len() == POINTS {
                self.points.pop_front();
            }
            let n = self.features.len();
            self.points.push_back(Arc::new(Point {
                start_ms: seen.start_ms,
                end_ms: seen.end_ms,
                panes: 0,
                records: 0,
                rejects: 0,
                complete: true,
                drift: None,
                new_baseline,
                scores: vec![NO_SAMPLE; n * self.statistics.len()],
                onsets: vec![NO_SINCE; n],
            }));
        }
        let Some(point) = self.points.back_mut() else { return };
        // Readers of the last view keep the point as they saw it.
        Arc::make_mut(point).take(seen, &self.statistics, verdicts);
    }

    pub fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.points.iter().map(Arc::as_ref)
    }

    pub fn statistics(&self) -> &[Statistic] {
        &self.statistics
    }

    pub fn panes_per_point(&self) -> usize {
        self.panes_per_point
    }

    /// Where a feature's verdict stands, by name.
    pub fn feature(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature == name)
    }

    /// The score of a feature at a point, and its noise floor.
    pub fn score(
        &self,
        point: &Point,
        feature: usize,
        statistic: Statistic,
    ) -> Option<(f64, Option<f64>)> {
        let at = self.statistics.iter().position(|of| *of == statistic)?;
        let sample = point.scores.get(feature * self.statistics.len() + at)?;
        number(sample.value).map(|value| (value, number(sample.floor)))
    }

    /// Bytes that a feature takes at most.
    pub fn bytes_per_feature(statistics: usize) -> u64 {
        let sample = size_of::<Sample>() * statistics.min(STATISTICS) + size_of::<Since>();
        (POINTS * sample) as u64
    }
}

impl Point {
    /// The evidence of a change as a share of what the budget asks: real from 1 on.
    pub fn evidence(&self, feature: usize) -> Option<f64> {
        self.onsets.get(feature).and_then(|since| number(since.evidence))
    }

    /// PSI since the likeliest beginning of a change that is real.
    pub fn onset_psi(&self, feature: usize) -> Option<f64> {
        self.onsets.get(feature).and_then(|since| number(since.psi))
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a picture")]
    fn take(&mut self, seen: Seen, statistics: &[Statistic], verdicts: &[FeatureVerdict]) {
        self.end_ms = seen.end_ms;
        self.panes += 1;
        self.records += seen.records;
        self.rejects += seen.rejects;
        self.complete &= seen.complete;
        self.drift = self.drift.max(seen.drift);
        let k = statistics.len();
        for (at, verdict) in verdicts.iter().enumerate().take(self.onsets.len()) {
            for (sample, statistic) in self.scores[at * k..].iter_mut().zip(statistics) {
                let Some(score) = verdict.scores.get(statistic) else { continue };
                let value = score.value as f32;
                if sample.value.is_nan() || value > sample.value {
                    let floor = score.noise_floor.map_or(f32::NAN, |floor| floor as f32);
                    *sample = Sample { value, floor };
                }
            }
            let Some(onset) = &verdict.onset else { continue };
            let evidence = (onset.log_evidence / onset.log_needed) as f32;
            let since = &mut self.onsets[at];
            if since.evidence.is_nan() || evidence > since.evidence {
                let psi = onset.psi.filter(|_| onset.is_real()).map_or(f32::NAN, |p| p.value as f32);
                *since = Since { evidence, psi };
            }
        }
    }
}

fn number(value: f32) -> Option<f64> {
    value.is_finite().then(|| f64::from(value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decide::policy::default_thresholds;
    use crate::decide::view::{Onset, Verdict, VerdictScore};
    use crate::feature::{Kind, Role};

    fn verdict(psi: f64, evidence: f64) -> FeatureVerdict {
        let score =
            VerdictScore { value: psi, noise_floor: Some(0.03), p_value: None, threshold: None };
        FeatureVerdict {
            feature: "x".to_owned(),
            kind: Kind::Numeric,
            role: Role::Feature,
            verdict: Verdict::Stable,
            reference_count: 1,
            live_count: 1,
            scores: BTreeMap::from([(Statistic::Psi, score)]),
            reason: None,
            records_needed: None,
            onset: Some(Onset {
                since_ms: 0,
                records: 9,
                log_evidence: evidence,
                log_needed: 10.0,
                psi: Some(VerdictScore { value: 1.5, ..score }),
                psi_bias: 0.0,
                window_psi_bias: 0.0,
                outside: None,
                missing: None,
            }),
            season: None,
        }
    }

    fn seen(pane: i64) -> Seen {
        Seen {
            start_ms: pane * 10,
            end_ms: pane * 10 + 10,
            records: 3,
            rejects: 1,
            complete: true,
            drift: Some(if pane % 7 == 6 { DriftState::Drifted } else { DriftState::Healthy }),
        }
    }

    fn history(panes: usize, kept: usize, peak: usize) -> History {
        let mut history = History::new(&default_thresholds(), kept);
        history.watch(vec!["x".to_owned()]);
        for pane in 0..panes {
            let psi = if pane == peak { 0.9 } else { 0.01 };
            history.push(seen(pane as i64), false, &[verdict(psi, 12.0)]);
        }
        history
    }

    #[test]
    fn a_point_of_several_panes_has_their_records_and_their_peak() {
        let history = history(600, 3 * POINTS, 301);
        assert_eq!(history.panes_per_point(), 3);
        assert_eq!(history.points().len(), 200);
        let points: Vec<&Point> = history.points().collect();
        assert!(points.iter().all(|p| p.panes == 3 && p.records == 9 && p.rejects == 3));
        let (value, floor) = history.score(points[100], 0, Statistic::Psi).unwrap();
        assert!((value - 0.9).abs() < 1e-6 && (floor.unwrap() - 0.03).abs() < 1e-6);
        assert_eq!((points[100].start_ms, points[100].end_ms), (3000, 3030));
        assert!((points[0].evidence(0).unwrap() - 1.2).abs() < 1e-6);
        assert_eq!(points[0].onset_psi(0), Some(1.5));
        assert_eq!(points[2].drift, Some(DriftState::Drifted));
        assert_eq!(history.score(points[0], 0, Statistic::Missing), None);
        assert_eq!(history.score(points[0], 1, Statistic::Psi), None);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let history = history(5 * POINTS, POINTS, 0);
        assert_eq!(history.points().len(), POINTS);
        let first = history.points().next().unwrap();
        assert_eq!(first.start_ms, 4 * POINTS as i64 * 10);
        // What `validate` tells is what a feature takes.
        let k = history.statistics().len();
        let bytes: usize = history
            .points()
            .map(|p| p.scores.capacity() * size_of::<Sample>() + p.onsets.capacity() * size_of::<Since>())
            .sum();
        assert_eq!(bytes as u64, History::bytes_per_feature(k));
    }

    #[test]
    fn a_new_baseline_of_the_same_features_keeps_the_past() {
        let mut history = history(10, 2 * POINTS, 0);
        history.watch(vec!["x".to_owned()]);
        history.push(seen(10), true, &[verdict(0.01, 1.0)]);
        assert_eq!(history.points().len(), 6);
        assert!(history.points().last().unwrap().new_baseline);
        history.watch(vec!["y".to_owned()]);
        assert_eq!(history.points().len(), 0);
    }
}
