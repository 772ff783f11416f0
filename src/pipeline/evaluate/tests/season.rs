//! A model whose traffic has hours of its own.

use super::*;
use crate::baseline::FeatureOverride;
use crate::baseline::FeatureSeason;
use crate::baseline::SeasonRule;
use crate::compare::Statistic;
use crate::feature::Role;
use crate::setting::season::Calendar;
use crate::setting::season::Cycle;
use crate::setting::season::Period;

const HOUR_PANES: i64 = 60;

fn config(season: &str) -> Spec {
    spec_of(
        &CONFIG.replace("design_effect: 1", &format!("design_effect: 1\n      season: {season}")),
    )
}

/// Of even hours three quarters of the values are low, of odd ones three quarters are high.
fn of_hour(hour: usize) -> (u64, u64) {
    if hour.is_multiple_of(2) { (30, 10) } else { (10, 30) }
}

fn in_utc(start_ms: i64) -> (u64, u64) {
    of_hour(Calendar::new(Cycle::Day, "UTC").unwrap().slot(start_ms))
}

/// What the baseline's own time column would have shown, where the configuration asks for days.
pub(super) fn add(baseline: &mut Baseline, spec: &Spec) {
    let season = &spec.model.drift_config.season;
    if season.period != Period::Day {
        return;
    }
    let slot = |hour: usize| {
        let (low, high) = of_hour(hour);
        let cells = [vec![low * 4; 5], vec![high * 4; 5]].concat();
        Counts { cells, ..Counts::default() }
    };
    let slots = (0..24).map(slot).collect();
    baseline.features[0].season = Some(FeatureSeason { cycle: Cycle::Day, other: None, slots });
    baseline.season = Some(SeasonRule {
        period: season.period,
        time_zone: season.time_zone.clone(),
        pane_ms: PANE,
        span_ms: 7 * 86_400_000,
        days: 7,
        hours: Default::default(),
    });
}

#[tokio::test]
async fn a_season_without_drift_is_quiet_and_without_its_slots_it_is_not() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(config("day"), dir.path(), 0, 0);
    let (mut psi, mut count) = (0.0f64, 0);
    for _ in 0..30 {
        fed.panes_of(10, in_utc);
        let view = fed.tick();
        let feature = &view.models[0].features[0];
        psi = psi.max(feature.scores[&Statistic::Psi].value);
        count = feature.reference_count;
        assert_eq!(view.models[0].drift, DriftState::Healthy, "{}", view.models[0].explanation);
        assert_eq!(feature.season.as_deref(), Some("day, 24 slots, UTC"));
    }
    assert!(psi < 0.01, "{psi}");
    // One hour of the baseline stands behind a window that is within one: 800 records, and the prior.
    assert_eq!(count, 830);
    let view = fed.tick();
    assert!(view.models[0].explanation.contains("(season: day, 24 slots, UTC)"));
    drop(fed);

    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(config("none"), dir.path(), 0, 0);
    fed.panes_of(3 * HOUR_PANES, in_utc);
    let view = fed.tick();
    assert_eq!(view.models[0].drift, DriftState::Drifted);
    assert!(view.models[0].features[0].scores[&Statistic::Psi].value > 0.2);
    assert_eq!(view.models[0].features[0].season, None);
}

#[tokio::test]
async fn a_drift_beside_the_season_is_found_and_so_is_a_season_at_the_wrong_hours() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(config("day"), dir.path(), 0, 0);
    fed.panes_of(90, in_utc);
    assert_eq!(fed.tick().models[0].drift, DriftState::Healthy);
    fed.panes(10, true);
    assert_eq!(fed.tick().models[0].drift, DriftState::Drifted);
    assert_eq!(fed.incident(), SENT);

    // The same traffic by another clock than the baseline's: in Kolkata hours begin at half past.
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(config("{period: day, time_zone: Asia/Kolkata}"), dir.path(), 0, 0);
    fed.panes_of(3 * HOUR_PANES, in_utc);
    assert_eq!(fed.tick().models[0].drift, DriftState::Drifted);
}

#[tokio::test]
async fn a_prediction_is_tested_within_its_season() {
    let last = |season: &str| {
        let lines = format!("{season}\n      thresholds: {{prediction_drift_p_value: 0.05}}");
        let dir = TempDir::new().unwrap();
        let mut spec = config(&lines);
        let prediction = FeatureOverride { role: Some(Role::Prediction), kind: None };
        spec.model.features.insert("amount".to_owned(), prediction);
        let mut fed = Fed::start_by(spec, dir.path(), 0, 0);
        fed.panes_of(30, in_utc);
        fed.tick().models[0].output(Role::Prediction).cloned().unwrap()
    };
    assert!(!last("day").drifted, "{:?}", last("day"));
    assert!(last("none").drifted);
}

#[tokio::test]
async fn a_restart_within_a_season_decides_as_if_nothing_had_happened() {
    let later = |start_ms: i64| match in_utc(start_ms) {
        // A change that only some evidence speaks for yet.
        (low, high) if start_ms >= START + 100 * PANE => (low + 4, high - 4),
        same => same,
    };
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut straight = Fed::start_by(config("day"), one.path(), 0, 0);
    straight.panes_of(130, later);
    let mut at = 0;
    for part in [50, 20, 35, 25] {
        let mut fed = Fed::start_by(config("day"), two.path(), at, at);
        fed.panes_of(part, later);
        at = fed.panes;
        fed.tick();
    }
    let mut again = Fed::start_by(config("day"), two.path(), at, at);
    let (expected, found) = (&straight.evaluate.models[0], &again.evaluate.models[0]);
    assert!(expected.state.sequential.is_some());
    assert_eq!(found.state.sequential, expected.state.sequential);
    assert_eq!(found.references, expected.references);
    assert!(found.references[0].is_some());
    let models = |view: Arc<View>| (view.models[0].features.clone(), view.models[0].drift);
    assert_eq!(models(again.tick()), models(straight.tick()));
    drop(again);

    // By other slots the test starts anew; the window stays.
    let mut other = Fed::start_by(config("none"), two.path(), at, at);
    assert_eq!(other.evaluate.models[0].state.sequential, None);
    assert_eq!(other.tick().models[0].window.records, 10 * RECORDS);
}
