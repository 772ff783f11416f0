//! Files that the tools themselves wrote, and others.

use super::*;
use crate::config;

const SUITE: &str = include_str!("../../../fixtures/import/gx-1.24.1.json");
const OLD_SUITE: &str = include_str!("../../../fixtures/import/gx-0.18.22.json");
const REPORT: &str = include_str!("../../../fixtures/import/evidently-0.7.23.json");

fn gx(json: &str) -> Imported {
    expectations::import(&serde_json::from_str(json).unwrap()).unwrap()
}

fn suite(of: &str) -> Imported {
    gx(&format!(r#"{{"expectations": [{of}]}}"#))
}

fn lines(imported: &Imported) -> Vec<String> {
    imported.checks.iter().map(flow).collect()
}

/// The configuration that has what was imported, without faults, and says the same.
fn holds(imported: &Imported) {
    let yaml = imported.yaml("file.json");
    let text = format!("kafka: {{brokers: 'k:9092'}}\ntopic: t\nreference_dataset: r\n{yaml}");
    // The block of a model may stand beside its keys, not twice.
    let loaded = config::parse(&text, &|_| None);
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
    assert_eq!(loaded.config.models[0].checks, imported.checks, "{text}");
}

#[test]
fn a_suite_of_great_expectations_becomes_checks() {
    let imported = gx(SUITE);
    holds(&imported);
    assert_eq!(imported.name.as_deref(), Some("fraud_features"));
    assert_eq!(
        lines(&imported),
        [
            "{feature: amount, severity: critical, missing: [null, 0.01]}",
            "{feature: amount, severity: critical, between: [5e-324, 10000], mostly: 0.999}",
            "{feature: amount, severity: critical, mean: [10, 60]}",
            "{feature: amount, severity: critical, stddev: [null, 100]}",
            "{name: \"amount between 2\", feature: amount, severity: critical, between: [0, null]}",
            "{name: \"amount between 3\", feature: amount, severity: critical, between: [null, 20000]}",
            "{feature: country, severity: critical, in: [DE, FR, NL], mostly: 0.99}",
            "{feature: plan, not_in: [test]}",
            "{feature: plan, severity: critical, in: [free, pro, test]}",
            "{feature: rating, severity: critical, in: [\"1\", \"2\", \"3\", \"4\", \"5\"]}",
            "{feature: rating, severity: info, missing: [0, 0.1]}",
            "{feature: amount, severity: critical, type_error: [null, 0]}",
            "{severity: critical, records: [1000, null]}",
            "{feature: legacy, severity: critical, missing: [1, null]}",
        ]
    );
    let skipped: Vec<&str> =
        imported.skipped.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        skipped,
        [
            "expect_column_max_to_be_between of amount",
            "expect_column_median_to_be_between of amount",
            "expect_column_to_exist of amount",
            "expect_column_values_to_be_unique of id",
            "expect_column_values_to_match_regex of zip",
            "expect_column_quantile_values_to_be_between of amount",
            "expect_column_kl_divergence_to_be_less_than of country",
            "expect_column_pair_values_a_to_be_greater_than_b",
        ]
    );
}

#[test]
fn a_suite_of_an_old_release_is_read_as_well() {
    let imported = gx(OLD_SUITE);
    holds(&imported);
    assert_eq!(imported.name.as_deref(), Some("old_suite"));
    assert_eq!(
        lines(&imported),
        [
            "{feature: amount, missing: [null, 0.05]}",
            "{feature: amount, between: [0, 9999.999999999998]}",
            "{feature: country, in: [DE, FR]}",
            "{records: [100, 5000]}",
        ]
    );
    assert_eq!(imported.skipped.len(), 1, "{:?}", imported.skipped);
}

#[test]
fn what_no_check_can_say_is_listed_and_not_guessed() {
    let between = |kwargs: &str| {
        let imported = suite(&format!(
            r#"{{"type": "expect_column_values_to_be_between", "kwargs": {{"column": "x", {kwargs}}}}}"#
        ));
        assert_eq!((imported.checks.len(), imported.skipped.len()), (0, 1), "{kwargs}");
        imported.skipped.concat()
    };
    assert!(between(r#""min_value": "2020-01-01""#).contains("no number but text"));
    assert!(between(r#""min_value": {"$PARAMETER": "low"}"#).contains("a mapping"));
    assert!(between(r#""min_value": "NaN""#).contains("no number"));
    assert!(between(r#""min_value": null"#).contains("asks nothing"));
    assert!(between(r#""min_value": 5, "max_value": 1"#).contains("empty"));
    assert!(between(r#""min_value": 5, "mostly": 7"#).contains("no share"));
    assert!(between(r#""min_value": 5, "mostly": 0"#).contains("no share"));
    assert!(between(r#""min_value": 5, "row_condition": "a > 1""#).contains("all records"));
    for (one, why) in [
        (r#"{"type": "expect_something_new", "kwargs": {}}"#, "no such check"),
        (r#"{"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "x"}}"#, "no list"),
        (r#"{"type": "expect_column_mean_to_be_between", "kwargs": {"min_value": 1}}"#, "name it"),
        (
            r#"{"type": "expect_column_proportion_of_non_null_values_to_be_between",
                "kwargs": {"column": "x", "min_value": 0.9, "strict_min": true}}"#,
            "strict end",
        ),
        (r#"{"type": 7}"#, "no `type`"),
        ("null", "no `type`"),
        ("[]", "no `type`"),
    ] {
        let imported = suite(one);
        assert_eq!((imported.checks.len(), imported.skipped.len()), (0, 1), "{one}");
        assert!(imported.skipped[0].contains(why), "{one}: {:?}", imported.skipped);
    }
    for no_suite in ["{}", "[]", "7", r#"{"expectations": {}}"#, r#"{"results": []}"#] {
        let json = serde_json::from_str(no_suite).unwrap();
        assert!(expectations::import(&json).is_err(), "{no_suite}");
        assert!(evidently::import(&json).is_err(), "{no_suite}");
    }
    let empty = suite("");
    holds(&empty);
    assert!(empty.checks.is_empty() && empty.skipped.is_empty());
}

#[test]
fn many_and_hostile_expectations_stay_within_bounds() {
    let one = |at: usize| {
        format!(
            r#"{{"type": "expect_column_mean_to_be_between",
                "kwargs": {{"column": "x", "min_value": {at}}}}}"#
        )
    };
    let many: Vec<String> = (0..10_000).map(one).collect();
    let imported = suite(&many.join(","));
    assert_eq!((imported.checks.len(), imported.skipped.len()), (200, 9_800));
    holds(&imported);
    let strange = r#"{"type": "expect_column_mean_to_be_between",
        "kwargs": {"column": "a: b\n${HOME} # \"\u001b[31m", "min_value": -1e308, "max_value": 1e-300}}"#;
    let imported = suite(strange);
    holds(&imported);
    assert!(!imported.yaml("\u{1b}x").contains('\u{1b}'));
    let twice = suite(&[one(1), one(1)].join(","));
    assert_eq!((twice.checks.len(), twice.notes.len()), (1, 1));
}

#[test]
fn a_report_of_evidently_becomes_thresholds_and_checks() {
    let imported = evidently::import(&serde_json::from_str(REPORT).unwrap()).unwrap();
    holds(&imported);
    assert_eq!(
        imported.drift_config,
        ["min_share: 0.5", "profile: evidently", "thresholds: {psi_alert: 0.1}"]
    );
    assert_eq!(
        lines(&imported),
        [
            "{feature: age, severity: critical, missing: [null, 0.05]}",
            "{feature: age, severity: critical, mean: [20, 60]}",
            "{feature: age, severity: critical, stddev: [null, 30]}",
            "{feature: amount, severity: critical, between: [0, null]}",
            "{name: \"amount between 2\", feature: amount, severity: critical, between: [null, 100000]}",
            "{feature: age, severity: critical, between: [0, 120], mostly: 0.99}",
            "{feature: country, severity: critical, in: [DE, FR], mostly: 0.5}",
            "{name: \"country in 2\", feature: country, severity: critical, in: [DE, FR, NL], mostly: 0.99}",
            "{severity: critical, records: [100, null]}",
        ]
    );
    let skipped: Vec<&str> =
        imported.skipped.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        skipped,
        [
            "ValueDrift of country",
            "MissingValueCount.LessOrEqualMetricTest of age",
            "QuantileValue.GreaterOrEqualMetricTest of age",
        ]
    );
}

#[test]
fn tests_of_evidently_that_are_relative_or_unknown_are_listed() {
    let report = |config: &str| {
        let json = format!(r#"{{"metrics": [{{"config": {{{config}}}}}]}}"#);
        evidently::import(&serde_json::from_str(&json).unwrap()).unwrap()
    };
    let mean = |test: &str| {
        report(&format!(
            r#""type": "evidently:metric_v2:MeanValue", "column": "x", "tests": [{test}]"#
        ))
    };
    let equal =
        r#"{"type": "evidently:test_v2:EqualMetricTest", "expected": 40.0, "is_critical": false}"#;
    assert_eq!(lines(&mean(equal)), ["{feature: x, mean: [40, 40]}"]);
    for test in [
        r#"{"type": "evidently:test_v2:EqualMetricTest", "expected": {"relative": 0.1}}"#,
        r#"{"type": "evidently:test_v2:IsInMetricTest", "values": [1, 2]}"#,
        "7",
    ] {
        let imported = mean(test);
        assert_eq!((imported.checks.len(), imported.skipped.len()), (0, 1), "{test}");
    }
    // A metric alone is a number that nobody asked anything of.
    let alone = report(r#""type": "evidently:metric_v2:MeanValue", "column": "x""#);
    assert!(alone.checks.is_empty() && alone.skipped.is_empty());
    assert_eq!(report(r#""type": "other""#).skipped.len(), 1);
    let drift = |method: &str, line: &str| {
        report(&format!(
            r#""type": "evidently:metric_v2:ValueDrift", "column": "x", "method": "{method}", "threshold": {line}"#
        ))
    };
    assert_eq!(
        drift("psi", "0.3").drift_config,
        ["profile: evidently", "thresholds: {psi_alert: 0.3, psi_retrain: 0.3}"]
    );
    let distance = drift("Wasserstein distance (normed)", "0.1");
    assert_eq!(distance.drift_config[1], "thresholds: {wasserstein: 0.1}");
    assert_eq!(drift("ks", "0.05").skipped.len(), 1);
    assert_eq!(drift("psi", "null").skipped.len(), 1);
}
