//! Rule `sequential`: a level is on when the drift is real and as large as its line.
//!
//! Real is asked of the evidence since every possible beginning, against a budget of false retrains. Large
//! is the user's own line, against the score since the most likely beginning or over the window.

use libm::log;

use crate::baseline::design_effect::Effects;
use crate::baseline::{Baseline, FeatureBaseline};
use crate::compare::{self, Score, Statistic};
use crate::decide::evidence::{self, Columns, Detector, Evidence, Null};
use crate::decide::policy::{Level, Policy};
use crate::decide::rule::{CLEAR, FeatureLevels, is_clear};
use crate::decide::verdict::is_crossed;
use crate::decide::view::{FeatureVerdict, Onset, VerdictScore};
use crate::histogram::Counts;
use crate::setting::season::Calendar;

mod sentence;
mod stored;
mod strongest;

pub mod power;

pub use sentence::{asked, less, sentence};
pub use strongest::{onset, strongest, strongest_real};

/// Fewer events than this since onset make no level by their rate.
const EVENTS_MIN: f64 = 5.0;
/// Chance of a tolerance that the baseline itself can't tell from no change.
const SUPPORT_ALPHA: f64 = 1e-3;

/// What the rule needs of a baseline and a policy, worked out once.
#[derive(Clone, Debug)]
pub struct Sequential {
    /// One per feature of the baseline; `None` for one that is not watched.
    features: Vec<Option<Watched>>,
    /// The nulls and weights of those that are watched, in their order.
    nulls: Vec<Null>,
    weights: Vec<f64>,
    grid_levels: u32,
    /// `ln` of the panes that pass for one false retrain.
    log_allowed: f64,
    /// Which slots map what: columns of other slots can't be added to.
    slots: u64,
}

#[derive(Clone, Debug)]
struct Watched {
    columns: Columns,
    /// The slots that a pane's counts are mapped by.
    calendar: Option<Calendar>,
    reference: Vec<f64>,
    design_effect: f64,
    /// Shares that are expected of the rare columns: of what is outside or unseen, and missing.
    expected_outside: f64,
    expected_missing: f64,
    log_needed: f64,
    outside: Statistic,
}

/// What the rule remembers from pane to pane.
#[derive(Clone, Debug, PartialEq)]
pub struct SequentialState {
    detector: Detector,
    /// Which features have ever carried a value: a column that the records never had says nothing.
    seen: Vec<bool>,
    /// The rule's.
    slots: u64,
}

/// What one pane came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `ln` of the evidence of all features together, and what it has to reach.
    pub log_e: f64,
    pub log_allowed: f64,
    /// One per feature of the baseline.
    pub onsets: Vec<Option<Onset>>,
}

impl Finding {
    /// All features together have reached what the budget asks.
    pub fn is_real(&self) -> bool {
        self.log_e >= self.log_allowed
    }
}

impl Sequential {
    /// The rule for these design effects, one per feature of the baseline; `None` where there is nothing
    /// to watch. The budget is shared out by the features' importance in `policy`, evenly by default.
    pub fn new(baseline: &Baseline, policy: &Policy, effects: &[Effects]) -> Option<Self> {
        let weights: Vec<f64> =
            baseline.features.iter().map(|feature| policy.importance(&feature.name)).collect();
        let used: Vec<bool> = baseline
            .features
            .iter()
            .zip(&weights)
            .map(|(feature, weight)| feature.unusable.is_none() && *weight > 0.0)
            .collect();
        let total: f64 = weights.iter().zip(&used).filter(|(_, used)| **used).map(|(w, _)| w).sum();
        if total <= 0.0 {
            return None;
        }
        let log_allowed = policy.log_panes_allowed;
        let mut rule = Self {
            features: Vec::with_capacity(used.len()),
            nulls: Vec::new(),
            weights: Vec::new(),
            grid_levels: evidence::levels_for(policy.pane_ms),
            log_allowed,
            slots: stored::slots(baseline),
        };
        let sides = baseline.features.iter().zip(effects).zip(&weights).zip(used);
        for (((feature, effects), weight), used) in sides {
            if !used {
                rule.features.push(None);
                continue;
            }
            let weight = weight / total;
            let columns = Columns::new(feature);
            let reference = columns.map(&feature.reference);
            let supported = supported_tolerance(feature, effects.body).unwrap_or(0.0);
            let tolerance = policy.psi_tolerance.max(supported);
            let singletons = feature.singletons as f64;
            let shape = columns.shape();
            let body = columns.body(&reference);
            rule.nulls.push(Null::new(shape, &body, singletons, tolerance, *effects));
            rule.weights.push(weight);
            rule.features.push(Some(Watched::new(
                feature,
                (columns, baseline.calendar(feature)),
                effects.body,
                log_allowed - log(weight),
            )));
        }
        Some(rule)
    }

    /// Nothing seen yet.
    pub fn start(&self) -> SequentialState {
        SequentialState {
            detector: Detector::new(&self.n_columns()),
            seen: vec![false; self.features.len()],
            slots: self.slots,
        }
    }

    fn n_columns(&self) -> Vec<usize> {
        self.features.iter().flatten().map(|watched| watched.columns.len()).collect()
    }

    /// Takes in the pane that began at `start_ms`: the counts of each feature of the baseline, `None` where
    /// nothing can be learnt: the pane is incomplete, or the feature was faulty in it.
    pub fn push(&self, state: &mut SequentialState, pane: &[Option<&Counts>], start_ms: i64) {
        let mut columns = Vec::with_capacity(self.nulls.len());
        for ((watched, counts), seen) in self.features.iter().zip(pane).zip(&mut state.seen) {
            let Some(watched) = watched else { continue };
            *seen |= counts.is_some_and(|counts| counts.missing < counts.records());
            let slot = watched.calendar.as_ref().map(|calendar| calendar.slot(start_ms));
            let mapped = |counts| watched.columns.map_in(slot, counts);
            columns.push(counts.filter(|_| *seen).map(mapped));
        }
        state.detector.push(&columns, self.grid_levels);
    }

    /// What is known after the last pane, which ended at `end_ms`. `window` holds how many values of each
    /// feature stand behind the reference of the window's scores, and how many the window has in its cells.
    pub fn find(
        &self,
        state: &SequentialState,
        window: &[(u64, u64)],
        policy: &Policy,
        end_ms: i64,
    ) -> Finding {
        let columns = |index: usize, sums: &[f64]| self.watched(index).columns.body(sums);
        let Evidence { features, log_e } =
            state.detector.evidence(&self.nulls, &self.weights, self.grid_levels, columns);
        let mut found = features.into_iter().enumerate();
        let onsets = self.features.iter().zip(window).map(|(watched, window)| {
            let watched = watched.as_ref()?;
            let (index, evidence) = found.next()?;
            let back = i64::try_from(evidence.panes_since_onset).unwrap_or(i64::MAX / 2);
            let since = state.detector.since(index, evidence.panes_since_onset);
            let since_ms = end_ms.saturating_sub(back.saturating_mul(policy.pane_ms));
            let mut onset = watched.onset(&since, since_ms, evidence.log_e);
            onset.window_psi_bias = watched.bias(*window);
            Some(onset)
        });
        let onsets = onsets.collect();
        Finding { log_e, log_allowed: self.log_allowed, onsets }
    }

    fn watched(&self, index: usize) -> &Watched {
        self.features.iter().flatten().nth(index).expect("there is one for every null")
    }

    /// The last `panes` panes turn out to be no evidence of this feature of the baseline.
    pub fn forget(&self, state: &mut SequentialState, feature: usize, panes: u64) {
        if self.features.get(feature).is_some_and(Option::is_some) {
            let index = self.features[..feature].iter().flatten().count();
            state.detector.forget(index, panes);
        }
    }

    /// Forgets everything before the pane that has just been decided.
    pub fn reset(&self, state: &mut SequentialState) {
        state.detector = Detector::new(&self.n_columns());
    }
}

/// The least tolerance that the baseline supports, as what is within its own error is no change:
/// `quantile(chi2(B - 1), 0.999) phi / m` over the test's own bins. `None` for an empty reference.
pub fn supported_tolerance(feature: &FeatureBaseline, design_effect: f64) -> Option<f64> {
    let columns = Columns::new(feature);
    let bins = columns.body(&columns.map(&feature.reference)).len() - evidence::RARE;
    let m = feature.reference.in_cells();
    compare::supported_threshold(Statistic::Psi, bins, m, design_effect, SUPPORT_ALPHA)
}

impl Watched {
    fn new(
        feature: &FeatureBaseline,
        (columns, calendar): (Columns, Option<Calendar>),
        design_effect: f64,
        log_needed: f64,
    ) -> Self {
        let reference = columns.map(&feature.reference);
        let n_body = columns.len() - evidence::RARE;
        let m: f64 = reference.iter().sum::<f64>().max(1.0);
        let outside = match columns.shape() {
            evidence::Shape::Numeric => Statistic::OutOfRange,
            evidence::Shape::Categorical => Statistic::Unseen,
        };
        // As over the window: one gap at either end, and as many as the reference itself has infinities.
        let infinite = reference[n_body] + reference[n_body + 1];
        let expected_outside = match outside {
            Statistic::Unseen => feature.singletons as f64 / m,
            _ => (2.0 + infinite) / (m + 1.0),
        };
        let expected_missing = reference[n_body + 2] / m;
        Self {
            columns,
            calendar,
            reference,
            design_effect,
            expected_outside,
            expected_missing,
            log_needed,
            outside,
        }
    }

    /// What the PSI of `n` values against `m` is on average without drift: `phi (1/n + 1/m) (B - 1)`.
    fn bias(&self, (m, n): (u64, u64)) -> f64 {
        let bins = self.columns.bins(&self.reference);
        let degrees = bins.iter().filter(|&&count| count > 0.0).count().saturating_sub(1);
        if n == 0 || m == 0 {
            return 0.0;
        }
        self.design_effect * (1.0 / n as f64 + 1.0 / m as f64) * degrees as f64
    }

    /// The scores since the most likely beginning.
    fn onset(&self, since: &[f64], since_ms: i64, log_e: f64) -> Onset {
        let n_body = self.columns.len() - evidence::RARE;
        let records: f64 = since.iter().sum();
        let (reference, live) = (self.columns.bins(&self.reference), self.columns.bins(since));
        let psi = compare::psi_of_bins(&reference, &live, self.design_effect, compare::FLOOR_ALPHA);
        let rate = |events: f64, expected: f64| {
            (records > 0.0 && events >= EVENTS_MIN).then(|| events / records - expected)
        };
        Onset {
            since_ms,
            records: whole(records),
            log_evidence: log_e,
            log_needed: self.log_needed,
            psi: psi.map(|(score, _)| shown(score)),
            psi_bias: psi.map_or(0.0, |(_, bias)| bias),
            window_psi_bias: 0.0,
            outside: rate(since[n_body] + since[n_body + 1], self.expected_outside)
                .map(|value| (self.outside, value)),
            missing: rate(since[n_body + 2], self.expected_missing),
        }
    }
}

fn shown(score: Score) -> VerdictScore {
    let Score { value, noise_floor, p_value } = score;
    VerdictScore { value, noise_floor, p_value, threshold: None }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of records")]
fn whole(records: f64) -> u64 {
    records.round() as u64
}

impl Onset {
    /// The evidence has reached what the budget asks of this feature.
    pub fn is_real(&self) -> bool {
        self.log_evidence >= self.log_needed
    }

    /// The score of `statistic` since onset, less what it is on average without drift; with `None` for a
    /// statistic that is not kept since onset.
    pub(super) fn score(&self, statistic: Statistic) -> Option<f64> {
        match (statistic, self.outside) {
            (Statistic::Psi, _) => self.psi.map(|psi| psi.value - self.psi_bias),
            (Statistic::Missing, _) => self.missing,
            (asked, Some((outside, value))) if asked == outside => Some(value),
            _ => None,
        }
    }

    /// Over the line since onset, by enough records and above the floor.
    pub fn is_over(&self, statistic: Statistic, line: f64, min_records: u64) -> bool {
        let above_floor = statistic != Statistic::Psi
            || self.psi.is_some_and(|psi| psi.noise_floor.is_some_and(|floor| psi.value > floor));
        self.records >= min_records
            && above_floor
            && self.score(statistic).is_some_and(|score| score > line)
    }
}

/// Moves one feature's levels by one pane.
///
/// A level is on at once when the feature is real and one of its lines is crossed, since onset or over
/// the window; a line on a statistic without a law of noise as in rule `window`. It is off again after
/// five panes in a row in which every score is under 0.8 of what it has to exceed.
pub fn push_levels(
    levels: &mut FeatureLevels,
    verdict: &FeatureVerdict,
    onset: &Onset,
    policy: &Policy,
    window_records: u64,
) {
    let real = onset.is_real();
    levels.raise(Level::Notice, real, false, !real);
    for level in [Level::Warning, Level::Retrain] {
        let lines = policy.thresholds.iter().filter(|(_, of, _)| *of == level);
        let (mut over, mut repeated, mut clear, mut any) = (false, false, true, false);
        for &(statistic, _, line) in lines {
            let window = verdict.scores.get(&statistic).copied();
            let n = if statistic.is_rate() { window_records } else { verdict.live_count };
            let enough = n >= policy.min_records;
            if !statistic.has_floor() {
                let Some(score) = window else { continue };
                let (crossed, under) = levels.beside(level, statistic, score, line);
                repeated |= enough && crossed;
                clear &= under;
                continue;
            }
            let bias = if statistic == Statistic::Psi { onset.window_psi_bias } else { 0.0 };
            let since = if real { onset.score(statistic) } else { None };
            any |= window.is_some() || since.is_some();
            let crossed =
                |score| enough && is_crossed(statistic, score, line + bias, compare::FLOOR_ALPHA);
            over |=
                onset.is_over(statistic, line, policy.min_records) || window.is_some_and(crossed);
            clear &= window.is_none_or(|score| is_clear(score, line, bias, compare::FLOOR_ALPHA))
                && since.is_none_or(|score| score < CLEAR * line);
        }
        levels.raise(level, real && over, repeated, any && clear);
    }
}

#[cfg(test)]
mod tests;
