//! Scores to one feature's verdict: what has crossed which line, and when nobody can say.

use std::collections::BTreeMap;

use crate::baseline::FeatureBaseline;
use crate::compare;
use crate::compare::Input;
use crate::compare::Scores;
use crate::compare::Statistic;
use crate::decide::policy::Level;
use crate::decide::view::FeatureVerdict;
use crate::decide::view::Verdict;
use crate::decide::view::VerdictScore;
use crate::histogram::Counts;

/// What a feature is judged by.
#[derive(Clone, Copy, Debug)]
pub struct VerdictRule<'a> {
    pub thresholds: &'a [(Statistic, Level, f64)],
    /// How much more the counts vary than those of independent records; below 1 counts as 1.
    pub design_effect: f64,
    /// Fewer records than this are shown and decide nothing.
    pub min_records: u64,
    /// Chance of a score above its floor without drift, per look.
    pub alpha: f64,
    /// PSI up to which a change is harmless, however sure it is.
    pub tolerance: f64,
}

/// A score that is over a threshold and not noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossing {
    pub statistic: Statistic,
    pub level: Level,
    pub score: f64,
    pub threshold: f64,
}

/// The verdict on `live`, which was counted into the feature's cells.
///
/// `Drifted` is a crossed `retrain` line, `Warning` a crossed `warning` line, `Notice` a PSI above
/// its floor and the tolerance. `InsufficientSamples`: a line was crossed with too few records, or
/// noise at this size hides both the score and the threshold, or there is no value to judge.
///
/// # Panics
/// If `live` was counted into other cells.
pub fn verdict(feature: &FeatureBaseline, live: &Counts, rule: &VerdictRule<'_>) -> FeatureVerdict {
    verdict_against(feature, &feature.reference, live, rule)
}

/// The same against another `reference` in the feature's cells: the mixture of the season's slots that the
/// window covers.
///
/// # Panics
/// If one of them was counted into other cells.
pub fn verdict_against(
    feature: &FeatureBaseline,
    reference: &Counts,
    live: &Counts,
    rule: &VerdictRule<'_>,
) -> FeatureVerdict {
    let mut out = FeatureVerdict {
        feature: feature.name.clone(),
        kind: feature.kind,
        role: feature.role,
        verdict: Verdict::Unusable,
        reference_count: reference.in_cells(),
        live_count: live.in_cells(),
        scores: BTreeMap::new(),
        reason: None,
        records_needed: None,
        onset: None,
        season: None,
    };
    if let Some(reason) = feature.unusable {
        out.reason = Some(reason.reason().to_owned());
        return out;
    }
    let records = live.records();
    if records > 0 && live.missing == records {
        out.verdict = Verdict::AbsentInLive;
        return out;
    }
    let VerdictRule { design_effect, alpha, .. } = *rule;
    let input = Input { baseline: feature, live, design_effect, alpha };
    let scores = compare::scores_against(&input, reference);
    out.scores = shown(&scores, rule);
    out.verdict = judge(&out, live, rule);
    if out.verdict == Verdict::InsufficientSamples {
        explain_need(&mut out, feature, live, rule);
    }
    out
}

/// Every line that a verdict's scores are over, highest level first, then by statistic. The least
/// number of records is not asked here.
pub fn crossings(verdict: &FeatureVerdict, rule: &VerdictRule<'_>) -> Vec<Crossing> {
    let mut crossed: Vec<Crossing> = Vec::new();
    for &(statistic, level, threshold) in rule.thresholds {
        if let Some(&score) = verdict.scores.get(&statistic)
            && is_crossed(statistic, score, threshold, rule.alpha)
        {
            crossed.push(Crossing { statistic, level, score: score.value, threshold });
        }
    }
    crossed.sort_by_key(|crossing| (std::cmp::Reverse(crossing.level), crossing.statistic));
    crossed
}

/// Above max(threshold, floor); where a p-value stands in for the floor, above the threshold with
/// p < alpha. A statistic with neither can't cross.
pub(crate) fn is_crossed(
    statistic: Statistic,
    score: VerdictScore,
    threshold: f64,
    alpha: f64,
) -> bool {
    if !statistic.has_floor() {
        return false;
    }
    match (score.noise_floor, score.p_value) {
        (Some(floor), _) => score.value > threshold.max(floor),
        (None, Some(p_value)) => score.value > threshold && p_value < alpha,
        (None, None) => false,
    }
}

/// A score as it is held against a line: a mean that has fallen has moved as far as one that has risen.
pub(crate) fn size(statistic: Statistic, value: f64) -> f64 {
    if statistic == Statistic::MeanShift { value.abs() } else { value }
}

impl FeatureVerdict {
    /// What a score of the window is on average without drift, where that is taken off before it is held
    /// against a line: PSI's, by the rule that weighs evidence.
    pub(crate) fn bias(&self, statistic: Statistic) -> f64 {
        let onset = self.onset.as_ref().filter(|_| statistic == Statistic::Psi);
        onset.map_or(0.0, |onset| onset.window_psi_bias)
    }
}

fn shown(scores: &Scores, rule: &VerdictRule<'_>) -> BTreeMap<Statistic, VerdictScore> {
    let of = |(statistic, score): (Statistic, compare::Score)| {
        let threshold = lowest_threshold(rule, statistic);
        let compare::Score { value, noise_floor, p_value } = score;
        (statistic, VerdictScore { value, noise_floor, p_value, threshold })
    };
    scores.iter().map(of).collect()
}

fn lowest_threshold(rule: &VerdictRule<'_>, statistic: Statistic) -> Option<f64> {
    let of_it = rule.thresholds.iter().filter(|(of, _, _)| *of == statistic);
    of_it.map(|&(_, _, threshold)| threshold).reduce(f64::min)
}

fn judge(out: &FeatureVerdict, live: &Counts, rule: &VerdictRule<'_>) -> Verdict {
    let crossed = crossings(out, rule);
    let enough = |crossing: &&Crossing| {
        let looked_at = if crossing.statistic.is_rate() { live.records() } else { out.live_count };
        looked_at >= rule.min_records
    };
    match crossed.iter().find(enough).map(|crossing| crossing.level) {
        Some(Level::Retrain) => return Verdict::Drifted,
        Some(Level::Warning) => return Verdict::Warning,
        Some(Level::Notice) => return Verdict::Notice,
        None => {}
    }
    if !crossed.is_empty() || out.live_count == 0 || out.scores.values().any(hidden_by_noise) {
        return Verdict::InsufficientSamples;
    }
    let real = out.scores.get(&Statistic::Psi).is_some_and(|psi| {
        psi.noise_floor.is_some_and(|floor| psi.value > floor.max(rule.tolerance))
    });
    if real { Verdict::Notice } else { Verdict::Stable }
}

/// The score is under its floor and so is the threshold: it could be over the line or not.
fn hidden_by_noise(score: &VerdictScore) -> bool {
    match (score.noise_floor, score.threshold) {
        (Some(floor), Some(threshold)) => score.value <= floor && threshold < floor,
        _ => false,
    }
}

/// How many records would settle it, or that this baseline never can.
fn explain_need(
    out: &mut FeatureVerdict,
    feature: &FeatureBaseline,
    live: &Counts,
    rule: &VerdictRule<'_>,
) {
    let (m, bins) = (out.reference_count, bins_in_use(feature, live));
    let mut needed = rule.min_records;
    for (&statistic, score) in &out.scores {
        let (Some(threshold), Some(_)) = (score.threshold, score.noise_floor) else { continue };
        let (phi, alpha) = (rule.design_effect, rule.alpha);
        let unit = compare::unit(feature.convention, statistic);
        match compare::records_needed(statistic, threshold / unit, bins, m, phi, alpha) {
            Some(records) => needed = needed.max(records),
            None => {
                let least = compare::supported_threshold(statistic, bins, m, phi, alpha);
                out.reason = least.map(|least| least * unit).map(|least| {
                    format!(
                        "a baseline of {m} values supports {statistic} thresholds from {least:.3}, \
                         not {threshold}"
                    )
                });
                return;
            }
        }
    }
    out.records_needed = Some(needed);
}

fn bins_in_use(feature: &FeatureBaseline, live: &Counts) -> usize {
    let bins = compare::bins(feature, live);
    bins.reference.iter().zip(&bins.live).filter(|&(&r, &c)| r > 0 || c > 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Unusable;
    use crate::compare::FLOOR_ALPHA;
    use crate::decide::policy::default_thresholds;
    use crate::histogram::Bins;
    use crate::histogram::Cells;
    use crate::histogram::NumericCells;
    use crate::histogram::Scale;
    use crate::histogram::Storage;

    fn feature(per_bin: u64) -> FeatureBaseline {
        let scale = Scale { center: 5.0, unit: 5.0 };
        let edges = (1..10).map(f64::from).collect();
        let cells = NumericCells::new(edges, 0.0, 10.0, scale, Storage::F64);
        let bins = Bins { starts: (0..10).collect() };
        let reference = Counts { cells: vec![per_bin; 10], ..Counts::default() };
        FeatureBaseline {
            mean: Some(5.0),
            sd: Some(2.9),
            distinct: 1000,
            ..FeatureBaseline::of_counts("amount", Cells::Numeric(cells), bins, reference)
        }
    }

    /// `n` values in each cell, of which `moved` go from each of the lower five to the upper five.
    fn live(n: u64, moved: u64) -> Counts {
        let cells = [vec![n - moved; 5], vec![n + moved; 5]].concat();
        Counts { cells, ..Counts::default() }
    }

    fn judged(live: &Counts, min_records: u64, design_effect: f64) -> FeatureVerdict {
        let thresholds = default_thresholds();
        let rule = VerdictRule {
            thresholds: &thresholds,
            design_effect,
            min_records,
            alpha: FLOOR_ALPHA,
            tolerance: 0.01,
        };
        verdict(&feature(2000), live, &rule)
    }

    fn verdict_of(live: &Counts) -> Verdict {
        judged(live, 200, 1.0).verdict
    }

    #[test]
    fn levels_follow_the_size_of_the_shift() {
        assert_eq!(verdict_of(&live(1000, 0)), Verdict::Stable);
        // A share d of all moved: PSI is d/2 ln((1 + d) / (1 - d)).
        assert_eq!(verdict_of(&live(1000, 40)), Verdict::Stable);
        assert_eq!(verdict_of(&live(1000, 100)), Verdict::Notice);
        assert_eq!(verdict_of(&live(1000, 330)), Verdict::Warning);
        assert_eq!(verdict_of(&live(1000, 460)), Verdict::Drifted);
    }

    #[test]
    fn a_real_change_within_the_tolerance_is_stable() {
        let verdict = judged(&live(100_000, 4000), 200, 1.0);
        let psi = verdict.scores[&Statistic::Psi];
        assert!(psi.value > psi.noise_floor.unwrap() && psi.value < 0.01);
        assert_eq!(verdict.verdict, Verdict::Stable);
    }

    #[test]
    fn noise_that_hides_score_and_threshold_is_insufficient_and_says_what_would_do() {
        let verdict = judged(&live(10, 1), 50, 1.0);
        assert_eq!(verdict.verdict, Verdict::InsufficientSamples);
        // 27.9 / (0.1 - 27.9 / 20,000)
        assert_eq!(verdict.records_needed, Some(283));
        // A large enough score is not hidden, whatever its floor.
        assert_eq!(judged(&live(10, 9), 50, 1.0).verdict, Verdict::Drifted);
    }

    #[test]
    fn a_baseline_that_is_too_small_says_what_it_supports() {
        let verdict = judged(&live(10_000, 100), 200, 100.0);
        assert_eq!(verdict.verdict, Verdict::InsufficientSamples);
        assert_eq!(verdict.records_needed, None);
        let reason = verdict.reason.unwrap();
        assert_eq!(
            reason,
            "a baseline of 20000 values supports psi thresholds from 0.139, not 0.1"
        );
    }

    #[test]
    fn fewer_than_min_records_decide_nothing() {
        let few = live(15, 14);
        let verdict = judged(&few, 200, 1.0);
        assert_eq!(verdict.verdict, Verdict::InsufficientSamples);
        assert!(verdict.scores[&Statistic::Psi].value > 0.2);
        assert_eq!(verdict.records_needed, Some(283));
        assert_eq!(judged(&few, 150, 1.0).verdict, Verdict::Drifted);
    }

    #[test]
    fn missing_values_warn_and_never_retrain() {
        let verdict = judged(&Counts { null: 5000, ..live(1000, 0) }, 200, 1.0);
        assert_eq!(verdict.verdict, Verdict::Warning);
        let few = judged(&Counts { null: 50, ..live(1000, 0) }, 200, 1.0);
        assert_eq!(few.verdict, Verdict::Stable);
    }

    #[test]
    fn values_out_of_range_retrain_at_one_in_twenty() {
        let outside = |above| {
            let mut counts = live(1000, 0);
            counts.above = above;
            verdict_of(&counts)
        };
        assert_eq!(outside(90), Verdict::Stable);
        assert_eq!(outside(150), Verdict::Warning);
        assert_eq!(outside(600), Verdict::Drifted);
    }

    #[test]
    fn a_column_that_never_came_is_absent_and_no_record_is_no_verdict() {
        let never = judged(&Counts { missing: 5000, ..Counts::zero(10) }, 200, 1.0);
        assert_eq!((never.verdict, never.scores.len()), (Verdict::AbsentInLive, 0));
        assert_eq!(verdict_of(&Counts::zero(10)), Verdict::InsufficientSamples);
    }

    #[test]
    fn an_unusable_feature_has_its_reason_and_no_score() {
        let unusable = FeatureBaseline { unusable: Some(Unusable::IdLike), ..feature(2000) };
        let (thresholds, design_effect, min_records) = (default_thresholds(), 1.0, 200);
        let (alpha, tolerance) = (FLOOR_ALPHA, 0.01);
        let rule =
            VerdictRule { thresholds: &thresholds, design_effect, min_records, alpha, tolerance };
        let verdict = verdict(&unusable, &live(1000, 900), &rule);
        assert_eq!((verdict.verdict, verdict.scores.len()), (Verdict::Unusable, 0));
        assert!(verdict.reason.unwrap().contains("identifier"));
    }

    #[test]
    fn a_statistic_without_a_noise_law_never_triggers() {
        let thresholds = [Statistic::TotalVariation, Statistic::Wasserstein, Statistic::MeanShift]
            .map(|statistic| (statistic, Level::Retrain, 1e-6));
        let (design_effect, min_records, alpha, tolerance) = (1.0, 200, FLOOR_ALPHA, 0.01);
        let rule =
            VerdictRule { thresholds: &thresholds, design_effect, min_records, alpha, tolerance };
        let verdict = verdict(&feature(2000), &live(1000, 400), &rule);
        assert_eq!(crossings(&verdict, &rule), []);
        assert_eq!(verdict.verdict, Verdict::Notice);
    }

    #[test]
    fn crossings_are_ordered_by_level() {
        let verdict = judged(&Counts { null: 5000, ..live(1000, 460) }, 200, 1.0);
        let thresholds = default_thresholds();
        let (design_effect, min_records, alpha, tolerance) = (1.0, 200, FLOOR_ALPHA, 0.01);
        let rule =
            VerdictRule { thresholds: &thresholds, design_effect, min_records, alpha, tolerance };
        let lines: Vec<_> =
            crossings(&verdict, &rule).iter().map(|c| (c.statistic, c.level)).collect();
        let expected = [
            (Statistic::Psi, Level::Retrain),
            (Statistic::Psi, Level::Warning),
            (Statistic::Missing, Level::Warning),
        ];
        assert_eq!(lines, expected);
    }
}
