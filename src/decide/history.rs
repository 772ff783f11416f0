//! What readers see of the past: scores, evidence and states over time, in bounded memory.
//!
//! The panes that are kept, in at most `POINTS` points: one each at first, then two, and so on; a point
//! that stands for several panes has the highest score of them. A process that starts anew scores some of the stored panes again; what
//! the sequential test had found in them, and which states were decided, is not known any more.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::compare::Statistic;
use crate::decide::policy::Level;
use crate::decide::view::{DriftState, FeatureVerdict};

/// Points that are kept at most; no picture shows more.
pub const POINTS: usize = 200;
/// Statistics that have a line each.
const STATISTICS: usize = 8;

/// The past of one model, oldest point first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    statistics: Vec<Statistic>,
    features: Arc<[String]>,
    panes_per_point: usize,
    /// As many of them hold all panes that are kept; from then on the oldest goes.
    panes_per_point_most: usize,
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
        let statistics = statistics_of(lines);
        Self {
            statistics,
            features: Arc::from([]),
            panes_per_point: 1,
            panes_per_point_most: panes.div_ceil(POINTS).next_power_of_two(),
            points: VecDeque::new(),
        }
    }

    /// The features that verdicts will come for, in order. What is known of the same features stays, and
    /// the next point tells that the baseline is new; of others it is forgotten.
    pub fn watch(&mut self, features: Vec<String>) {
        if *self.features != *features {
            self.points.clear();
            self.panes_per_point = 1;
            self.features = features.into();
        }
    }

    /// Adds the next pane with the verdicts at its end.
    pub fn push(&mut self, seen: Seen, new_baseline: bool, verdicts: &[FeatureVerdict]) {
        let room = self.points.back().is_some_and(|p| p.panes < self.panes_per_point);
        if !room || new_baseline {
            self.make_room();
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

    fn make_room(&mut self) {
        if self.points.len() < POINTS {
            return;
        }
        if self.panes_per_point >= self.panes_per_point_most {
            self.points.pop_front();
            return;
        }
        let points = self.points.make_contiguous();
        let merged = points.chunks(2).map(|pair| match pair {
            [first, second] => Arc::new(first.and(second)),
            alone => Arc::clone(&alone[0]),
        });
        self.points = merged.collect();
        self.panes_per_point *= 2;
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

    /// In the order of their verdicts.
    pub fn features(&self) -> &[String] {
        &self.features
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
    pub fn bytes_per_feature(lines: &[(Statistic, Level, f64)]) -> u64 {
        let sample = size_of::<Sample>() * statistics_of(lines).len() + size_of::<Since>();
        (POINTS * sample) as u64
    }
}

/// PSI and the statistics that have a line.
fn statistics_of(lines: &[(Statistic, Level, f64)]) -> Vec<Statistic> {
    let mut statistics = vec![Statistic::Psi];
    for (statistic, _, _) in lines {
        if !statistics.contains(statistic) && statistics.len() < STATISTICS {
            statistics.push(*statistic);
        }
    }
    statistics
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

    /// Both as one: the higher scores, all records.
    fn and(&self, next: &Point) -> Point {
        let higher =
            |a: &Sample, b: &Sample| if b.value > a.value || a.value.is_nan() { *b } else { *a };
        let later = |a: &Since, b: &Since| {
            if b.evidence > a.evidence || a.evidence.is_nan() { *b } else { *a }
        };
        Point {
            start_ms: self.start_ms,
            end_ms: next.end_ms,
            panes: self.panes + next.panes,
            records: self.records + next.records,
            rejects: self.rejects + next.rejects,
            complete: self.complete && next.complete,
            drift: self.drift.max(next.drift),
            new_baseline: self.new_baseline || next.new_baseline,
            scores: self.scores.iter().zip(&next.scores).map(|(a, b)| higher(a, b)).collect(),
            onsets: self.onsets.iter().zip(&next.onsets).map(|(a, b)| later(a, b)).collect(),
        }
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
                let psi =
                    onset.psi.filter(|_| onset.is_real()).map_or(f32::NAN, |p| p.value as f32);
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
    fn few_panes_have_a_point_each() {
        let history = history(10, 3 * POINTS, 4);
        let points: Vec<&Point> = history.points().collect();
        assert_eq!((points.len(), history.panes_per_point()), (10, 1));
        let (value, floor) = history.score(points[4], 0, Statistic::Psi).unwrap();
        assert!((value - 0.9).abs() < 1e-6 && (floor.unwrap() - 0.03).abs() < 1e-6);
        assert!((points[0].evidence(0).unwrap() - 1.2).abs() < 1e-6);
        assert_eq!(points[0].onset_psi(0), Some(1.5));
        assert_eq!(history.score(points[0], 0, Statistic::Missing), None);
        assert_eq!(history.score(points[0], 1, Statistic::Psi), None);
    }

    #[test]
    fn no_peak_and_no_record_is_lost_while_there_is_room() {
        for panes in [POINTS, POINTS + 1, 2 * POINTS, 3 * POINTS + 5] {
            for peak in [0, 1, panes / 2, panes - 1] {
                let history = history(panes, 4 * POINTS, peak);
                assert!(history.points().len() <= POINTS, "{panes}");
                assert_eq!(history.points().map(|p| p.records).sum::<u64>(), 3 * panes as u64);
                assert_eq!(history.points().map(|p| p.panes).sum::<usize>(), panes);
                let found: Vec<&Point> = history
                    .points()
                    .filter(|p| history.score(p, 0, Statistic::Psi).unwrap().0 > 0.5)
                    .collect();
                assert_eq!(found.len(), 1);
                let at = peak as i64 * 10;
                assert!(found[0].start_ms <= at && at < found[0].end_ms, "{panes} {peak}");
                let ends: Vec<i64> = history.points().map(|p| p.end_ms).collect();
                let starts: Vec<i64> = history.points().map(|p| p.start_ms).skip(1).collect();
                assert_eq!(ends[..ends.len() - 1], starts);
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let history = history(5 * POINTS, POINTS, 0);
        assert_eq!(history.points().len(), POINTS);
        let first = history.points().next().unwrap();
        assert_eq!(first.start_ms, 4 * POINTS as i64 * 10);
        // What `validate` tells is what a feature takes.
        let of =
            |p: &Point| p.scores.len() * size_of::<Sample>() + p.onsets.len() * size_of::<Since>();
        let bytes: usize = history.points().map(of).sum();
        assert_eq!(bytes as u64, History::bytes_per_feature(&default_thresholds()));
    }

    #[test]
    fn a_new_baseline_of_the_same_features_keeps_the_past() {
        let mut history = history(10, POINTS, 0);
        history.watch(vec!["x".to_owned()]);
        history.push(seen(10), true, &[verdict(0.01, 1.0)]);
        assert_eq!(history.points().len(), 11);
        assert!(history.points().last().unwrap().new_baseline);
        history.watch(vec!["y".to_owned()]);
        assert_eq!(history.points().len(), 0);
    }
}
