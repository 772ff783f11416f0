//! What is told: worst first, in numbers, and a training window only where training is asked for.

use std::collections::BTreeMap;

use super::*;
use crate::decide::policy::default_thresholds;
use crate::decide::view::VerdictScore;
use crate::feature::Kind as FeatureKind;
use crate::feature::Role;

fn verdict(name: &str, verdict: Verdict, psi: f64) -> FeatureVerdict {
    let score =
        VerdictScore { value: psi, noise_floor: Some(0.01), p_value: None, threshold: Some(0.1) };
    FeatureVerdict {
        feature: name.to_owned(),
        kind: FeatureKind::Numeric,
        role: Role::Feature,
        verdict,
        reference_count: 20_000,
        live_count: 1_000,
        scores: BTreeMap::from([(Statistic::Psi, score)]),
        reason: None,
        records_needed: None,
        onset: None,
        season: None,
    }
}

fn told(kind: Kind, verdicts: &[FeatureVerdict]) -> Announcement {
    let baseline = Baseline {
        format: 1,
        digest: "abc".to_owned(),
        source: "s3://training/reference.parquet".to_owned(),
        rows: 20_000,
        features: Vec::new(),
        time_column: None,
        ignored: Vec::new(),
        sampled: false,
        trained: None,
        season: None,
    };
    announce(Occasion {
        kind,
        id: "id".to_owned(),
        model: "fraud",
        incident: Some("id"),
        event_ms: 1_767_225_600_000,
        baseline: &baseline,
        window_ms: (1_767_139_200_000, 1_767_225_600_000),
        records: 5_000,
        verdicts,
        thresholds: &default_thresholds(),
        summary: "fraud has drifted".to_owned(),
        verdict: "drifted".to_owned(),
        report_url: None,
    })
}

#[test]
fn the_worst_features_come_first_and_the_others_are_counted() {
    let mut verdicts: Vec<_> = (0..13)
        .map(|i| verdict(&format!("x{i}"), Verdict::Drifted, 0.3 + 0.01 * f64::from(i)))
        .collect();
    verdicts.push(verdict("warned", Verdict::Warning, 0.15));
    verdicts.push(verdict("stable", Verdict::Stable, 0.05));
    let data = told(Kind::Trigger, &verdicts).data;
    let names: Vec<&str> = data.top_features.iter().map(|f| f.feature.as_str()).collect();
    assert_eq!(names, ["x12", "x11", "x10", "x9", "x8", "x7", "x6", "x5", "x4", "x3"]);
    assert_eq!(data.more_features, 4);
    let top = &data.top_features[0];
    assert_eq!((top.statistic, top.span.as_str()), (Statistic::Psi, "window"));
    assert_eq!((top.score, top.threshold, top.noise_floor), (0.3 + 0.01 * 12.0, 0.2, Some(0.01)));
}

#[test]
fn a_line_is_named_by_the_highest_that_was_crossed() {
    let verdicts = [verdict("warned", Verdict::Warning, 0.15)];
    let data = told(Kind::Warning, &verdicts).data;
    assert!((data.top_features[0].threshold - 0.1).abs() < 1e-12);
}

#[test]
fn only_a_trigger_says_what_to_train_on() {
    let verdicts = [verdict("x", Verdict::Drifted, 0.5)];
    for kind in [Kind::Trigger, Kind::Triggered] {
        let event = told(kind, &verdicts);
        let window = event.data.training_window.unwrap();
        assert_eq!(
            (window.from.as_str(), window.to.as_str()),
            ("2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z")
        );
        assert_eq!(
            (event.event_type.as_str(), event.timestamp),
            ("driftd.drift.detected", window.to)
        );
    }
    for kind in [Kind::Warning, Kind::Closed, Kind::DeliveryFailed, Kind::DataQuality] {
        assert!(told(kind, &verdicts).data.training_window.is_none());
    }
}
