//! Streams with and without drift, pane by pane.

use std::collections::BTreeMap;

use super::*;
use crate::codec::{Reader, Writer};
use crate::decide::evidence::log_panes_allowed;
use crate::decide::policy::{Rule, default_thresholds};
use crate::decide::verdict::{VerdictRule, verdict};
use crate::decide::view::Verdict;
use crate::feature::{Kind, Role};
use crate::histogram::{Bins, Cells, NumericCells, Scale, Storage};

const PANE_MS: i64 = 300_000;
const DAY: usize = 288;
const A_PANE: usize = 50;
const CELLS: usize = 240;
const REFERENCE: u64 = 400;

fn policy() -> Policy {
    Policy {
        psi_tolerance: 0.01,
        thresholds: default_thresholds(),
        window_panes: DAY,
        pane_ms: PANE_MS,
        max_age_panes: 7 * DAY,
        min_records: 200,
        max_reject_ratio: 0.05,
        min_features: 1,
        min_share: 0.0,
        output_p_values: BTreeMap::new(),
        max_retrains: 2,
        retrain_period_ms: 7 * 86_400_000,
        design_effect: Some(1.0),
        rule: Rule::Sequential,
        importance: BTreeMap::new(),
        log_panes_allowed: log_panes_allowed(30 * 86_400_000, 1, PANE_MS),
        expire_after_ms: 14 * 86_400_000,
        dry_run: false,
        has_trigger: true,
    }
}

/// Quantile cells of a uniform law on `[0, 1)`, as they are of any continuous one.
fn feature(name: &str) -> FeatureBaseline {
    let edges = (1..CELLS).map(|edge| edge as f64 / CELLS as f64).collect();
    let scale = Scale { center: 0.5, unit: 0.5 };
    let cells = NumericCells::new(edges, 0.0, 1.0, scale, Storage::F64);
    let bins = Bins { starts: (0..10).map(|bin| bin * 24).collect() };
    let reference = Counts { cells: vec![REFERENCE; CELLS], ..Counts::default() };
    FeatureBaseline {
        mean: Some(0.5),
        sd: Some(0.29),
        distinct: 96_000,
        ..FeatureBaseline::of_counts(name, Cells::Numeric(cells), bins, reference)
    }
}

fn baseline(names: &[&str]) -> Baseline {
    Baseline::of(names.iter().map(|name| feature(name)).collect())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A pane of values `warp(u)`, `u` uniform.
    fn pane(&mut self, warp: impl Fn(f64) -> f64) -> Counts {
        let mut counts = Counts::zero(CELLS);
        for _ in 0..A_PANE {
            let value = warp(self.uniform());
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
            let cell = (value * CELLS as f64) as usize;
            counts.cells[cell.min(CELLS - 1)] += 1;
        }
        counts
    }
}

fn effects(n: usize, effect: f64) -> Vec<Effects> {
    vec![Effects::all(effect); n]
}

fn push(rule: &Sequential, state: &mut SequentialState, panes: &[Counts]) {
    let learnt: Vec<Option<&Counts>> = panes.iter().map(Some).collect();
    rule.push(state, &learnt, 0);
}

#[test]
fn thirty_days_without_drift_are_quiet() {
    let names = ["a", "b", "c", "d"];
    let (baseline, policy) = (baseline(&names), policy());
    let rule = Sequential::new(&baseline, &policy, &effects(4, 1.0)).unwrap();
    let (mut state, mut random) = (rule.start(), Random(7));
    for pane in 0..30 * DAY {
        let panes: Vec<Counts> = names.iter().map(|_| random.pane(|u| u)).collect();
        push(&rule, &mut state, &panes);
        // Every pane may be looked at; one in six is enough to see what grows.
        if pane % 6 == 0 {
            let found = rule.find(&state, &[(0, 0); 4], &policy, 0);
            assert!(!found.is_real(), "pane {pane}: {}", found.log_e);
            assert!(found.onsets.iter().flatten().all(|onset| !onset.is_real()));
        }
    }
}

#[test]
fn a_shift_is_real_and_large_within_a_few_hundred_records_and_is_dated() {
    let (baseline, policy) = (baseline(&["steady", "moves"]), policy());
    let rule = Sequential::new(&baseline, &policy, &effects(2, 1.0)).unwrap();
    let (mut state, mut random) = (rule.start(), Random(3));
    for _ in 0..2 * DAY + 77 {
        let panes = [random.pane(|u| u), random.pane(|u| u)];
        push(&rule, &mut state, &panes);
    }
    let change_ms = 1_000 * PANE_MS;
    for pane in 1i64.. {
        let panes = [random.pane(|u| u), random.pane(|u| u.powf(0.5))];
        push(&rule, &mut state, &panes);
        let found = rule.find(&state, &[(0, 0); 2], &policy, change_ms + pane * PANE_MS);
        let onset = found.onsets[1].clone().unwrap();
        if onset.is_real() && onset.is_over(Statistic::Psi, 0.2, policy.min_records) {
            assert!(pane <= 10, "{pane} panes of {A_PANE} records");
            assert!((onset.since_ms - change_ms).abs() <= 2 * PANE_MS);
            assert!(!found.onsets[0].clone().unwrap().is_real());
            break;
        }
        assert!(pane < 50);
    }
}

#[test]
fn a_change_within_the_tolerance_never_is() {
    let (baseline, mut policy) = (baseline(&["moves"]), policy());
    policy.psi_tolerance = 0.1;
    let rule = Sequential::new(&baseline, &policy, &effects(1, 1.0)).unwrap();
    let (mut state, mut random) = (rule.start(), Random(5));
    for pane in 0..5 * DAY {
        push(&rule, &mut state, &[random.pane(|u| u.powf(0.85))]);
        if pane % 12 == 0 {
            assert!(!rule.find(&state, &[(0, 0)], &policy, 0).is_real(), "pane {pane}");
        }
    }
}

#[test]
fn a_column_that_was_never_there_says_nothing_and_one_that_goes_away_does() {
    let (baseline, policy) = (baseline(&["label", "amount"]), policy());
    let rule = Sequential::new(&baseline, &policy, &effects(2, 1.0)).unwrap();
    let (mut state, mut random) = (rule.start(), Random(9));
    let gone = Counts { missing: A_PANE as u64, ..Counts::zero(CELLS) };
    for _ in 0..100 {
        push(&rule, &mut state, &[gone.clone(), random.pane(|u| u)]);
    }
    assert!(!rule.find(&state, &[(0, 0); 2], &policy, 0).is_real());
    for _ in 0..5 {
        push(&rule, &mut state, &[gone.clone(), gone.clone()]);
    }
    let found = rule.find(&state, &[(0, 0); 2], &policy, 0);
    assert!(found.onsets[1].clone().unwrap().is_real());
    assert!(!found.onsets[0].clone().unwrap().is_real());
}

#[test]
fn what_is_important_gets_more_of_the_budget_and_what_is_not_gets_none() {
    let baseline = baseline(&["a", "b", "c"]);
    let mut policy = policy();
    policy.importance = [("a".to_owned(), 8.0), ("c".to_owned(), 0.0)].into();
    let rule = Sequential::new(&baseline, &policy, &effects(3, 1.0)).unwrap();
    let found = rule.find(&rule.start(), &[(0, 0); 3], &policy, 0);
    let needed = |feature: usize| found.onsets[feature].as_ref().unwrap().log_needed;
    assert!((needed(1) - needed(0) - 8f64.ln()).abs() < 1e-12);
    assert!((needed(0) - policy.log_panes_allowed - (9.0f64 / 8.0).ln()).abs() < 1e-12);
    assert_eq!(found.onsets[2], None);
    policy.importance = ["a", "b", "c"].map(|name| (name.to_owned(), 0.0)).into();
    assert!(Sequential::new(&baseline, &policy, &effects(3, 1.0)).is_none());
}

#[test]
fn levels_rise_at_once_and_fall_after_five_clear_panes() {
    let policy = policy();
    let real = Onset {
        since_ms: 0,
        records: 500,
        log_evidence: 20.0,
        log_needed: 10.0,
        psi: Some(VerdictScore {
            value: 0.3,
            noise_floor: Some(0.05),
            p_value: None,
            threshold: None,
        }),
        psi_bias: 0.02,
        window_psi_bias: 0.001,
        outside: None,
        missing: None,
    };
    let quiet = Onset { log_evidence: 1.0, ..real.clone() };
    let rule = VerdictRule {
        thresholds: &policy.thresholds,
        design_effect: 1.0,
        min_records: 200,
        alpha: compare::FLOOR_ALPHA,
        tolerance: 0.01,
    };
    let window = Counts { cells: vec![100; CELLS], ..Counts::default() };
    let verdict = verdict(&feature("amount"), &window, &rule);
    let mut levels = FeatureLevels::default();
    push_levels(&mut levels, &verdict, &quiet, &policy, 24_000);
    assert_eq!(levels.highest(), None, "a large score that is not real");
    push_levels(&mut levels, &verdict, &real, &policy, 24_000);
    assert_eq!(levels.highest(), Some(Level::Retrain));
    for pane in 0..5 {
        assert_eq!(levels.highest(), Some(Level::Retrain), "{pane}");
        push_levels(&mut levels, &verdict, &quiet, &policy, 24_000);
    }
    assert_eq!(levels.highest(), None);
    let few = Onset { records: 150, ..real.clone() };
    push_levels(&mut levels, &verdict, &few, &policy, 24_000);
    assert_eq!(levels.highest(), Some(Level::Notice));
    let hidden = Onset { psi_bias: 0.15, ..real };
    push_levels(&mut levels, &verdict, &hidden, &policy, 24_000);
    assert_eq!(levels.highest(), Some(Level::Warning), "0.15 is left of it");
}

/// What a window of these scores says of a feature.
fn scored(scores: &[(Statistic, f64, Option<f64>)]) -> FeatureVerdict {
    let score = |&(statistic, value, noise_floor): &(Statistic, f64, Option<f64>)| {
        (statistic, VerdictScore { value, noise_floor, p_value: None, threshold: None })
    };
    FeatureVerdict {
        feature: "amount".to_owned(),
        kind: Kind::Numeric,
        role: Role::Feature,
        verdict: Verdict::Stable,
        reference_count: 96_000,
        live_count: 500,
        scores: scores.iter().map(score).collect(),
        reason: None,
        records_needed: None,
        onset: None,
        season: None,
    }
}

fn onset(log_evidence: f64, window_psi_bias: f64) -> Onset {
    Onset {
        since_ms: 0,
        records: 500,
        log_evidence,
        log_needed: 10.0,
        psi: None,
        psi_bias: 0.0,
        window_psi_bias,
        outside: None,
        missing: None,
    }
}

/// How many panes of that window a level outlives the drift that has raised it; `None`: it stays.
fn panes_until_clear(psi: f64, floor: f64, bias: f64) -> Option<usize> {
    let policy = policy();
    let mut levels = FeatureLevels::default();
    let drift = scored(&[(Statistic::Psi, 0.9, Some(floor))]);
    push_levels(&mut levels, &drift, &onset(20.0, bias), &policy, 500);
    assert_eq!(levels.highest(), Some(Level::Retrain));
    let after = scored(&[(Statistic::Psi, psi, Some(floor))]);
    (1..50).find(|_| {
        push_levels(&mut levels, &after, &onset(1.0, bias), &policy, 500);
        levels.highest().is_none()
    })
}

#[test]
fn a_level_goes_off_by_the_number_that_turns_it_on() {
    // 500 records of a design effect of 10 show a PSI of 0.18 without any drift.
    assert_eq!(panes_until_clear(0.25, 0.05, 0.18), Some(5));
    assert_eq!(panes_until_clear(0.27, 0.05, 0.18), None);
    // And up to 0.56 once in a thousand looks: under 0.8 of it nothing is known.
    assert_eq!(panes_until_clear(0.44, 0.56, 0.18), Some(5));
    assert_eq!(panes_until_clear(0.46, 0.56, 0.18), None);
    assert_eq!(panes_until_clear(0.079, 0.001, 0.0), Some(5));
    assert_eq!(panes_until_clear(0.081, 0.001, 0.0), None);
}

#[test]
fn a_statistic_without_a_law_of_noise_warns_beside_one_that_has() {
    let mut policy = policy();
    policy.thresholds.push((Statistic::Wasserstein, Level::Warning, 0.1));
    policy.thresholds.push((Statistic::Wasserstein, Level::Retrain, 0.11));
    policy.thresholds.push((Statistic::MeanShift, Level::Warning, 0.5));
    let window = |psi, wasserstein, mean_shift| {
        scored(&[
            (Statistic::Psi, psi, Some(0.01)),
            (Statistic::Wasserstein, wasserstein, None),
            (Statistic::MeanShift, mean_shift, None),
        ])
    };
    let mut levels = FeatureLevels::default();
    let mut pane = |verdict: &FeatureVerdict, log_evidence: f64| {
        push_levels(&mut levels, verdict, &onset(log_evidence, 0.0), &policy, 500);
        levels.highest()
    };
    let (notice, warning) = (Some(Level::Notice), Some(Level::Warning));
    // By itself it says nothing.
    for _ in 0..10 {
        assert_eq!(pane(&window(0.03, 0.5, 2.0), 1.0), None);
    }
    // Of a change that is real it says that it is large, when it does so again and again.
    let real = [(); 4].map(|()| pane(&window(0.03, 0.12, 0.0), 20.0));
    assert_eq!(real, [notice, notice, warning, warning]);
    // Then the change is over: what it shows of itself holds nothing.
    let over = [(); 5].map(|()| pane(&window(0.001, 0.12, 0.0), 1.0));
    assert_eq!(over[3..], [warning, None]);
    // A mean that has fallen has moved.
    let fallen = [(); 3].map(|()| pane(&window(0.03, 0.0, -0.6), 20.0));
    assert_eq!(fallen, [notice, notice, warning]);
}

#[test]
fn infinities_that_the_reference_has_too_are_expected_since_onset() {
    let mut baseline = baseline(&["amount"]);
    let reference = &mut baseline.features[0].reference;
    reference.neg_inf = 6_000;
    let share = 6_000.0 / 102_000.0;
    let policy = policy();
    let rule = Sequential::new(&baseline, &policy, &effects(1, 1.0)).unwrap();
    let (mut state, mut random) = (rule.start(), Random(11));
    for _ in 0..200 {
        let mut pane = random.pane(|u| u.powf(0.7));
        pane.neg_inf = if random.uniform() < 0.5 { 3 } else { 4 };
        push(&rule, &mut state, &[pane]);
    }
    let found = rule.find(&state, &[(0, 0)], &policy, 0);
    let onset = found.onsets[0].clone().unwrap();
    let (statistic, outside) = onset.outside.unwrap();
    assert_eq!(statistic, Statistic::OutOfRange);
    assert!(outside.abs() < 0.015, "{outside}, of which {share:.3} are expected");
    assert!(onset.is_real(), "the body has moved");
    assert!(!found.onsets[0].clone().unwrap().is_over(Statistic::OutOfRange, 0.05, 200));
}

#[test]
fn what_is_remembered_comes_back_and_belongs_to_its_features() {
    let (one, two) = (baseline(&["a"]), baseline(&["a", "b"]));
    let rule = Sequential::new(&two, &policy(), &effects(2, 1.0)).unwrap();
    let (mut state, mut random) = (rule.start(), Random(1));
    for _ in 0..40 {
        push(&rule, &mut state, &[random.pane(|u| u), random.pane(|u| u)]);
    }
    let mut out = Writer::default();
    state.encode(&mut out);
    let bytes = out.into_bytes();
    assert_eq!(SequentialState::decode(&mut Reader::new(&bytes), &rule).as_ref(), Ok(&state));
    let other = Sequential::new(&one, &policy(), &effects(1, 1.0)).unwrap();
    assert!(SequentialState::decode(&mut Reader::new(&bytes), &other).is_err());
    assert!(bytes.len() < 2 * 16 * 1024, "{} bytes for two features", bytes.len());
    rule.reset(&mut state);
    assert!(rule.find(&state, &[(0, 0); 2], &policy(), 0).log_e < 0.0);
}
