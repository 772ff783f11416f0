//! What is told: worst first, in numbers, and a training window only where training is asked for.

use std::collections::BTreeMap;

use super::*;
use crate::decide::policy::default_thresholds;
use crate::decide::view::Onset;
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
        digest: "abc".to_owned(),
        source: "s3://training/reference.parquet".to_owned(),
        rows: 20_000,
        ..Baseline::of(Vec::new())
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

/// A feature of which this is known since its onset.
fn since(name: &str, level: Verdict, window: f64, onset: Onset) -> FeatureVerdict {
    FeatureVerdict { onset: Some(onset), ..verdict(name, level, window) }
}

fn onset(since_ms: i64, log_evidence: f64, psi: f64, psi_bias: f64) -> Onset {
    let score =
        VerdictScore { value: psi, noise_floor: Some(0.05), p_value: None, threshold: None };
    Onset {
        since_ms,
        records: 500,
        log_evidence,
        log_needed: 11.0,
        psi: Some(score),
        psi_bias,
        window_psi_bias: 0.0,
        outside: None,
        missing: None,
    }
}

#[test]
fn a_score_is_held_against_its_line_without_what_noise_shows() {
    let warned = since("x", Verdict::Warning, 0.03, onset(0, 20.0, 0.3, 0.144));
    let top = told(Kind::Warning, &[warned]).data.top_features.remove(0);
    assert_eq!((top.score, top.bias, top.threshold), (0.3, Some(0.144), 0.1));
    assert_eq!((top.span.as_str(), top.noise_floor), ("onset", Some(0.05)));
    // The window's is larger, and less of it is left.
    let mut noisy = onset(0, 20.0, 0.25, 0.0);
    noisy.window_psi_bias = 0.2;
    let top = told(Kind::Trigger, &[since("x", Verdict::Drifted, 0.35, noisy)])
        .data
        .top_features
        .remove(0);
    assert_eq!((top.span.as_str(), top.score, top.bias), ("onset", 0.25, None));
}

#[test]
fn a_share_since_onset_is_named_when_it_is_what_decided() {
    let outside = Some((Statistic::OutOfRange, 0.15));
    let onset = Onset { outside, ..onset(0, 20.0, 0.04, 0.0) };
    let top = told(Kind::Trigger, &[since("x", Verdict::Drifted, 0.03, onset)]);
    let top = &top.data.top_features[0];
    assert_eq!((top.statistic, top.span.as_str()), (Statistic::OutOfRange, "onset"));
    assert_eq!((top.score, top.threshold), (0.15, 0.05));
}

#[test]
fn training_begins_where_what_is_due_began() {
    let (earlier, later) = (1_766_800_000_000, 1_767_220_000_000);
    let verdicts = [
        since("long known", Verdict::Notice, 0.06, onset(earlier, 60.0, 0.06, 0.0)),
        since("due", Verdict::Drifted, 0.1, onset(later, 15.0, 0.4, 0.0)),
    ];
    let event = told(Kind::Trigger, &verdicts);
    assert_eq!(event.data.onset, Some(rfc3339(later)));
    assert_eq!(event.data.training_window.unwrap().from, rfc3339(later));
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
