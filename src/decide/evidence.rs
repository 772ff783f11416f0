//! Is the drift real: an e-detector over the counts of closed panes.
//!
//! For every pane at which a change may have begun there is an e-value: how much better the counts since
//! then fit some other law than the best one within the tolerance. Weighted and summed over starts, it
//! grows by about one a pane without drift, and exponentially under it. At a threshold of `A` panes the
//! expected time to a false alarm is about `A` panes, however often it is looked at, for independent
//! records; what depends on each other is met by the design effect. Nothing here reads a clock, and the
//! same panes give the same evidence to the last bit on every machine.

use libm::log;

use crate::codec::{Reader, Truncated, Writer};

pub mod columns;
mod forget;
mod gamma;
mod lean;
mod mixture;
pub mod null;
mod slots;
mod starts;

pub use columns::Columns;
pub use mixture::log_sum_exp;
pub use null::{Components, Null, RARE, Shape};
pub use slots::SlotMap;
pub use starts::{LEVELS, LEVELS_LONG};

/// Panes up to which the longer memory is wanted: below five minutes a pane.
const LONG_BELOW_MS: i64 = 300_000;

/// How many levels of starts a model keeps whose panes are so long.
pub fn levels_for(pane_ms: i64) -> u32 {
    if pane_ms < LONG_BELOW_MS { LEVELS_LONG } else { LEVELS }
}

/// The starts that are kept after pane `t`, each with its weight.
pub fn weights_at(t: u64, levels: u32) -> Vec<(u64, f64)> {
    starts::starts(t, levels)
}

/// How many panes back the oldest start is, at the most.
pub fn memory(levels: u32) -> u64 {
    starts::oldest(levels)
}

/// The counts of all features since the origin, now and at every start that is kept.
///
/// Panes are pushed in order, each once; an incomplete pane or one of a fault is pushed empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detector {
    /// Panes since the origin.
    t: u64,
    tracks: Vec<Track>,
}

/// One feature's cumulative columns.
#[derive(Clone, Debug, Default, PartialEq)]
struct Track {
    now: Vec<f64>,
    /// Ascending by the pane after which they stood so.
    at: Vec<(u64, Vec<f64>)>,
}

/// What is known of one feature after a pane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureEvidence {
    /// `ln` of the weighted sum of e-values over starts.
    pub log_e: f64,
    /// Panes since the start with the most evidence: the change, if it is one, has lasted so long.
    pub panes_since_onset: u64,
}

/// What is known of a model after a pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub features: Vec<FeatureEvidence>,
    /// `ln` of the mean of the features' sums by their weights.
    pub log_e: f64,
}

impl Detector {
    /// For features with these numbers of columns, before any pane.
    pub fn new(columns: &[usize]) -> Self {
        let tracks = columns
            .iter()
            .map(|&columns| Track { now: vec![0.0; columns], at: Vec::new() })
            .collect();
        Self { t: 0, tracks }
    }

    pub fn panes(&self) -> u64 {
        self.t
    }

    /// Takes in one pane: each feature's columns, `None` for nothing to be learnt of it.
    pub fn push(&mut self, pane: &[Option<Vec<f64>>], levels: u32) {
        let began = self.t;
        self.t += 1;
        let kept = starts::starts(self.t, levels);
        for (track, columns) in self.tracks.iter_mut().zip(pane) {
            track.at.push((began, track.now.clone()));
            track.at.retain(|&(start, _)| kept.iter().any(|&(kept, _)| kept == start));
            for (sum, count) in track.now.iter_mut().zip(columns.iter().flatten()) {
                *sum += count;
            }
        }
    }

    /// The evidence after the last pane; one null and one weight (they sum to 1) per feature. `body` makes
    /// the columns of a feature's null out of those that are kept.
    pub fn evidence(
        &self,
        nulls: &[Null],
        weights: &[f64],
        levels: u32,
        body: impl Fn(usize, &[f64]) -> Vec<f64>,
    ) -> Evidence {
        let grid = starts::starts(self.t, levels);
        let log_weights: Vec<(u64, f64)> =
            grid.into_iter().map(|(start, weight)| (start, log(weight))).collect();
        let features: Vec<FeatureEvidence> = self
            .tracks
            .iter()
            .zip(nulls)
            .enumerate()
            .map(|(index, (track, null))| {
                let log_e = |since: &[f64]| null.components(&body(index, since)).total();
                track.evidence(log_e, &log_weights, self.t)
            })
            .collect();
        let terms: Vec<f64> = features
            .iter()
            .zip(weights)
            .map(|(feature, weight)| feature.log_e + log(*weight))
            .collect();
        Evidence { features, log_e: log_sum_exp(&terms) }
    }

    /// The columns of one feature summed over the last `panes` panes, which are those since a start.
    pub fn since(&self, feature: usize, panes: u64) -> Vec<f64> {
        self.tracks[feature].since(self.t.saturating_sub(panes))
    }

    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.t);
        out.u64(self.tracks.len() as u64);
        for track in &self.tracks {
            out.u64(track.now.len() as u64);
            out.u64(track.at.len() as u64);
            track.now.iter().for_each(|&sum| out.f64(sum));
            for (start, sums) in &track.at {
                out.u64(*start);
                sums.iter().for_each(|&sum| out.f64(sum));
            }
        }
    }

    /// Reads what `encode` wrote for features with these numbers of columns.
    pub fn decode(input: &mut Reader<'_>, columns: &[usize]) -> Result<Self, Truncated> {
        let t = input.u64()?;
        if input.len_at_most(columns.len())? != columns.len() {
            return Err(Truncated);
        }
        let mut tracks = Vec::with_capacity(columns.len());
        for &columns in columns {
            if input.len_at_most(columns)? != columns {
                return Err(Truncated);
            }
            let n_starts = input.len_at_most(starts::MOST)?;
            let mut sums =
                || -> Result<Vec<f64>, Truncated> { (0..columns).map(|_| input.f64()).collect() };
            let now = sums()?;
            let mut at = Vec::with_capacity(n_starts);
            for _ in 0..n_starts {
                let start = input.u64()?;
                let sums = (0..columns).map(|_| input.f64());
                at.push((start, sums.collect::<Result<_, Truncated>>()?));
            }
            tracks.push(Track { now, at });
        }
        Ok(Self { t, tracks })
    }
}

impl Track {
    fn evidence(
        &self,
        log_e: impl Fn(&[f64]) -> f64,
        grid: &[(u64, f64)],
        t: u64,
    ) -> FeatureEvidence {
        let mut best = (f64::NEG_INFINITY, t);
        let mut terms = Vec::with_capacity(grid.len());
        for &(start, log_weight) in grid {
            let term = log_e(&self.since(start)) + log_weight;
            if term > best.0 {
                best = (term, start);
            }
            terms.push(term);
        }
        FeatureEvidence { log_e: log_sum_exp(&terms), panes_since_onset: t - best.1 }
    }

    /// The columns since a start; all zero for one that is not kept.
    fn since(&self, start: u64) -> Vec<f64> {
        match self.at.binary_search_by_key(&start, |(start, _)| *start) {
            // Of a season's fractions, rounding may leave less than nothing.
            Ok(at) => {
                let both = self.now.iter().zip(&self.at[at].1);
                both.map(|(now, then)| (now - then).max(0.0)).collect()
            }
            Err(_) => vec![0.0; self.now.len()],
        }
    }
}

/// `ln` of how many panes pass for each false retrain that is allowed.
#[expect(clippy::cast_precision_loss, reason = "a period of milliseconds is far below 2^53")]
pub fn log_panes_allowed(period_ms: i64, retrains: u32, pane_ms: i64) -> f64 {
    let panes = period_ms as f64 / pane_ms.max(1) as f64;
    log((panes / f64::from(retrains.max(1))).max(1.0))
}

#[cfg(test)]
mod golden {
    //! The golden vectors of `fixtures/golden/evidence.json`.

    use serde_json::Value;

    pub(super) fn section(name: &str) -> Value {
        let text = include_str!("../../fixtures/golden/evidence.json");
        serde_json::from_str::<Value>(text).unwrap()[name].take()
    }

    pub(super) fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    pub(super) fn close(found: f64, expected: f64, what: &str) {
        let allowed = 1e-9 * expected.abs().max(1.0);
        assert!((found - expected).abs() <= allowed, "{what}: {found} is not {expected}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_kept(_: usize, columns: &[f64]) -> Vec<f64> {
        columns.to_vec()
    }

    /// What a pane holds of each feature.
    type PaneColumns = Vec<Option<Vec<f64>>>;

    fn golden_run() -> (Vec<Null>, Vec<PaneColumns>) {
        let detector = golden::section("detector");
        let features = golden::section("feature");
        let nulls = features.as_array().unwrap().iter().map(null::tests::null_of).collect();
        let panes = |name: &str| -> Vec<Option<Vec<f64>>> {
            detector[name].as_array().unwrap().iter().map(|p| Some(golden::numbers(p))).collect()
        };
        let (numeric, categorical) = (panes("panes_numeric"), panes("panes_categorical"));
        (nulls, numeric.into_iter().zip(categorical).map(|(a, b)| vec![a, b]).collect())
    }

    #[test]
    fn the_run_is_the_golden_one() {
        let detector = golden::section("detector");
        let expected = |name: &str| golden::numbers(&detector[name]);
        let (nulls, panes) = golden_run();
        // The golden run keeps two starts of a level, ours six.
        let mut cumulative = [vec![vec![0.0; 7]], vec![vec![0.0; 6]]];
        for (index, pane) in panes.iter().enumerate() {
            for (sums, columns) in cumulative.iter_mut().zip(pane) {
                let columns = columns.as_ref().unwrap();
                let last = sums.last().unwrap();
                sums.push(last.iter().zip(columns).map(|(a, b)| a + b).collect());
            }
            let t = index as u64 + 1;
            let grid: Vec<(u64, f64)> = starts::grid(t, 3, 2)
                .into_iter()
                .map(|(start, weight)| (start, log(weight)))
                .collect();
            let found: Vec<f64> = cumulative
                .iter()
                .zip(&nulls)
                .map(|(sums, null)| {
                    let at = sums.iter().enumerate().map(|(at, sums)| (at as u64, sums.clone()));
                    let track = Track { now: sums.last().unwrap().clone(), at: at.collect() };
                    let total = |since: &[f64]| null::tests::golden_total(&null.components(since));
                    track.evidence(total, &grid, t).log_e
                })
                .collect();
            golden::close(found[0], expected("log_m_numeric")[index], "numeric");
            golden::close(found[1], expected("log_m_categorical")[index], "categorical");
            let whole = log_sum_exp(&[found[0] + log(0.5), found[1] + log(0.5)]);
            golden::close(whole, expected("log_m")[index], "whole");
        }
        golden::close(
            log_panes_allowed(30 * 86_400_000, 1, 300_000),
            detector["threshold"].as_f64().unwrap(),
            "A",
        );
    }

    #[test]
    fn a_change_is_found_and_dated() {
        let (nulls, panes) = golden_run();
        let mut detector = Detector::new(&[7, 6]);
        for pane in panes.iter().take(4).cycle().take(100).chain(panes.iter().skip(4)) {
            detector.push(pane, LEVELS);
        }
        let found = detector.evidence(&nulls, &[0.5, 0.5], LEVELS, as_kept);
        let threshold = log_panes_allowed(30 * 86_400_000, 1, 300_000) + log(2.0);
        assert!(found.features[0].log_e > threshold, "{found:?}");
        assert_eq!(found.features[0].panes_since_onset, 8);
        assert!(found.features[1].log_e < threshold);
    }

    #[test]
    fn what_is_restored_goes_on_as_if_nothing_had_happened() {
        let (nulls, panes) = golden_run();
        let mut straight = Detector::new(&[7, 6]);
        let mut restarted = straight.clone();
        for (index, pane) in panes.iter().cycle().take(60).enumerate() {
            let mut pane = pane.clone();
            if index % 7 == 3 {
                pane[0] = None;
            }
            straight.push(&pane, LEVELS);
            let mut out = Writer::default();
            restarted.push(&pane, LEVELS);
            restarted.encode(&mut out);
            let bytes = out.into_bytes();
            restarted = Detector::decode(&mut Reader::new(&bytes), &[7, 6]).unwrap();
            assert_eq!(restarted, straight);
            assert!(
                Detector::decode(&mut Reader::new(&bytes[..bytes.len() - 1]), &[7, 6]).is_err()
            );
        }
        let weights = [0.3, 0.7];
        assert_eq!(
            restarted.evidence(&nulls, &weights, LEVELS, as_kept),
            straight.evidence(&nulls, &weights, LEVELS, as_kept)
        );
    }

    #[test]
    fn nothing_that_came_is_no_evidence() {
        let (nulls, _) = golden_run();
        let mut detector = Detector::new(&[7]);
        for t in 1..2000u64 {
            detector.push(&[None], LEVELS);
            if t % 500 == 0 {
                // Every start's e-value is 1, so the sum is that of the weights.
                let weights: f64 = starts::starts(t, LEVELS).iter().map(|(_, weight)| weight).sum();
                let found = detector.evidence(&nulls[..1], &[1.0], LEVELS, as_kept);
                golden::close(found.log_e, log(weights), "nothing came");
            }
        }
    }
}
