//! Scores over time in bounded memory: neighbouring panes share a point once there are too many.

use serde::Serialize;
use serde::Serializer;

use crate::compare::Statistic;
use crate::decide::DriftState;
use crate::decide::FeatureVerdict;

/// More points than this are merged two by two; no picture shows more.
const POINTS_MAX: usize = 4096;

/// What was seen at each point of time. A point that stands for several panes has the highest score
/// of them, with its floor, and the end of the last.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series {
    pub panes_per_point: usize,
    /// Ends of panes, ms since the epoch.
    pub end_ms: Vec<i64>,
    /// Records that came in the panes of each point.
    pub records: Vec<u64>,
    pub drift: Vec<DriftState>,
    #[serde(serialize_with = "telling")]
    pub lines: Vec<Line>,
    /// Panes that the last point stands for.
    #[serde(skip)]
    filled: usize,
}

/// One statistic of one feature; `null` where there was no score.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub feature: String,
    pub statistic: Statistic,
    #[serde(skip)]
    pub at: usize,
    #[serde(serialize_with = "numbers")]
    pub score: Vec<f32>,
    #[serde(serialize_with = "numbers")]
    pub noise_floor: Vec<f32>,
}

/// A rate that was 0 throughout, and a statistic that a feature never had, have nothing to tell.
fn telling<S: Serializer>(lines: &[Line], serializer: S) -> Result<S::Ok, S::Error> {
    let tells = |line: &&Line| line.score.iter().any(|score| score.is_finite() && *score != 0.0);
    serializer.collect_seq(lines.iter().filter(tells))
}

/// Without a number there is NaN, which JSON does not know.
fn numbers<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| value.is_finite().then_some(*value)))
}

impl Series {
    /// Lines of `features` by name, for each statistic in turn.
    pub fn new<'a>(features: impl Iterator<Item = &'a str>, statistics: &[Statistic]) -> Self {
        let line = |(at, feature): (usize, &str), statistic: Statistic| Line {
            feature: feature.to_owned(),
            statistic,
            at,
            score: Vec::new(),
            noise_floor: Vec::new(),
        };
        let of = |feature: (usize, &'a str)| statistics.iter().map(move |&s| line(feature, s));
        let lines = features.enumerate().flat_map(of).collect();
        Self { panes_per_point: 1, lines, ..Self::default() }
    }

    /// Adds the next pane.
    #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a picture")]
    pub fn push(
        &mut self,
        end_ms: i64,
        records: u64,
        drift: DriftState,
        verdicts: &[FeatureVerdict],
    ) {
        if self.filled == self.panes_per_point && self.end_ms.len() == POINTS_MAX {
            self.halve();
        }
        let new = self.end_ms.is_empty() || self.filled == self.panes_per_point;
        if new {
            self.filled = 0;
            self.end_ms.push(end_ms);
            self.records.push(0);
            self.drift.push(drift);
            for line in &mut self.lines {
                line.score.push(f32::NAN);
                line.noise_floor.push(f32::NAN);
            }
        }
        self.filled += 1;
        let last = self.end_ms.len() - 1;
        self.end_ms[last] = end_ms;
        self.records[last] += records;
        self.drift[last] = self.drift[last].max(drift);
        for line in &mut self.lines {
            let score = verdicts.get(line.at).and_then(|v| v.scores.get(&line.statistic));
            let Some(score) = score else { continue };
            if line.score[last].is_nan() || score.value as f32 > line.score[last] {
                line.score[last] = score.value as f32;
                line.noise_floor[last] = score.noise_floor.map_or(f32::NAN, |floor| floor as f32);
            }
        }
    }

    /// Two points become one.
    fn halve(&mut self) {
        let pairs = self.end_ms.len().div_ceil(2);
        let second = |i: usize, len: usize| (2 * i + 1).min(len - 1);
        let len = self.end_ms.len();
        for i in 0..pairs {
            let (a, b) = (2 * i, second(i, len));
            self.end_ms[i] = self.end_ms[b];
            self.records[i] = self.records[a] + if a == b { 0 } else { self.records[b] };
            self.drift[i] = self.drift[a].max(self.drift[b]);
            for line in &mut self.lines {
                let of =
                    if line.score[a].is_nan() || line.score[b] > line.score[a] { b } else { a };
                line.score[i] = line.score[of];
                line.noise_floor[i] = line.noise_floor[of];
            }
        }
        self.end_ms.truncate(pairs);
        self.records.truncate(pairs);
        self.drift.truncate(pairs);
        for line in &mut self.lines {
            line.score.truncate(pairs);
            line.noise_floor.truncate(pairs);
        }
        self.panes_per_point *= 2;
        self.filled = self.panes_per_point;
    }

    /// The line of a statistic of a feature.
    pub fn line(&self, feature: &str, statistic: Statistic) -> Option<&Line> {
        self.lines.iter().find(|line| line.feature == feature && line.statistic == statistic)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decide::Verdict;
    use crate::decide::view::VerdictScore;
    use crate::feature::Kind;
    use crate::feature::Role;

    fn verdict(psi: Option<f64>) -> FeatureVerdict {
        let score = |value| VerdictScore {
            value,
            noise_floor: Some(value / 2.0),
            p_value: None,
            threshold: None,
        };
        FeatureVerdict {
            feature: "x".to_owned(),
            kind: Kind::Numeric,
            role: Role::Feature,
            verdict: Verdict::Stable,
            reference_count: 1,
            live_count: 1,
            scores: psi
                .map(|psi| (Statistic::Psi, score(psi)))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            reason: None,
            records_needed: None,
            onset: None,
            season: None,
        }
    }

    fn series(panes: usize, peak: usize) -> Series {
        let mut series = Series::new(["x"].into_iter(), &[Statistic::Psi]);
        for i in 0..panes {
            let psi = if i == peak { Some(0.9) } else { (i % 3 > 0).then_some(0.1) };
            let drift = if i == peak { DriftState::Drifted } else { DriftState::Healthy };
            series.push(i as i64 * 10, 2, drift, &[verdict(psi)]);
        }
        series
    }

    #[test]
    fn few_panes_have_a_point_each() {
        let series = series(5, 4);
        assert_eq!(
            (series.panes_per_point, series.end_ms.as_slice()),
            (1, [0, 10, 20, 30, 40].as_slice())
        );
        assert!(series.lines[0].score[0].is_nan());
        assert_eq!(series.lines[0].score[4].to_bits(), 0.9f32.to_bits());
    }

    #[test]
    fn however_many_panes_there_are_no_peak_and_no_record_is_lost() {
        for panes in [POINTS_MAX, POINTS_MAX + 1, 3 * POINTS_MAX + 5, 9 * POINTS_MAX + 1] {
            for peak in [0, 1, panes / 2, panes - 1] {
                let series = series(panes, peak);
                let n = series.end_ms.len();
                assert!(n <= POINTS_MAX && n * series.panes_per_point >= panes, "{panes}: {n}");
                assert_eq!(series.records.iter().sum::<u64>(), 2 * panes as u64);
                let line = series.line("x", Statistic::Psi).unwrap();
                let at = line.score.iter().position(|&s| s > 0.5).unwrap();
                assert_eq!(at, peak / series.panes_per_point);
                assert_eq!(line.noise_floor[at].to_bits(), 0.45f32.to_bits());
                assert_eq!(series.drift[at], DriftState::Drifted);
                assert_eq!(*series.end_ms.last().unwrap(), (panes as i64 - 1) * 10);
                assert!(series.end_ms.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
