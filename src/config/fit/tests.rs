//! Policies that can't work are refused with the number that would.

use super::*;
use crate::baseline::Unusable;
use crate::baseline::design_effect::DesignEffect;
use crate::config;
use crate::feature::Role;
use crate::histogram::{Bins, CategoricalCells, Cells, Counts, NumericCells, Scale, Storage};

fn feature(name: &str, kind: Kind, per_cell: u64) -> FeatureBaseline {
    let cells = match kind {
        Kind::Numeric => {
            let scale = Scale { center: 5.0, unit: 5.0 };
            let edges = (1..10).map(f64::from).collect();
            Cells::Numeric(NumericCells::new(edges, 0.0, 10.0, scale, Storage::F64))
        }
        Kind::Categorical => {
            let names = ('a'..='i').map(String::from).collect();
            Cells::Categorical(CategoricalCells::new(names, Vec::new(), false))
        }
    };
    let n = cells.len();
    let bins = Bins { starts: (0..n).map(|cell| u32::try_from(cell).unwrap()).collect() };
    let reference = Counts { cells: vec![per_cell; n], ..Counts::default() };
    FeatureBaseline {
        mean: Some(5.0),
        sd: Some(2.9),
        distinct: 1000,
        ..FeatureBaseline::of_counts(name, cells, bins, reference)
    }
}

fn two() -> Baseline {
    Baseline::of(vec![
        feature("amount", Kind::Numeric, 20_000),
        feature("country", Kind::Categorical, 20_000),
    ])
}

fn found(more: &str, baseline: &Baseline, per_hour: Option<f64>) -> Vec<Misfit> {
    let text = format!("kafka: {{brokers: 'k:9092'}}\ntopic: t\nreference_dataset: r\n{more}");
    let loaded = config::parse(&text, &|_| None).unwrap();
    let rate = per_hour.map(|per_hour| Rate { per_hour, from: RateFrom::Given });
    misfits(&loaded.config.models[0], baseline, rate)
}

/// The one thing that is found; whether it is fatal.
fn only(more: &str, baseline: &Baseline, per_hour: Option<f64>) -> (String, String, bool) {
    let mut found = found(more, baseline, per_hour);
    assert_eq!(found.len(), 1, "{found:#?}");
    let Misfit { key, message, fatal } = found.remove(0);
    (key, message, fatal)
}

#[test]
fn the_defaults_fit_a_baseline_of_a_customary_size() {
    assert_eq!(found("", &two(), Some(10_000.0)), []);
    assert_eq!(found("design_effect: 1\n", &two(), None), []);
}

#[test]
fn a_window_that_holds_too_few_records_is_told_the_number_that_would_do() {
    let effect =
        "design_effect: 8.2\nthresholds: {psi_alert: 0.199, psi_retrain: 0.2}\nmin_records: 100\n";
    let all = found(effect, &two(), Some(12.5));
    let retrain = all.iter().find(|m| m.key.ends_with("psi_retrain")).unwrap();
    // 8.2 x 27.9 / (0.2 - 8.2 x 27.9 / 200,000) is 1,150.
    assert_eq!(
        retrain.message,
        "the window holds 300 records (12.5 an hour, as given); psi_retrain 0.2 needs 1,150: a window of \
         4d holds them"
    );
    assert!(retrain.fatal);
    let window = format!("{effect}window: 4d\n");
    assert_eq!(found(&window, &two(), Some(12.5)), []);
    // Only the line of warnings is hidden: the policy works still.
    let alert = only("design_effect: 4\n", &two(), Some(30.0));
    assert!(alert.0.ends_with("psi_alert") && !alert.2, "{alert:?}");
}

#[test]
fn what_rests_on_a_guess_is_a_warning() {
    // A design effect of 4 is assumed until live days show it; by 1 the window would do.
    let guess = found("", &two(), Some(20.0));
    assert!(!guess.is_empty() && guess.iter().all(|misfit| !misfit.fatal), "{guess:?}");
    assert!(guess.iter().any(|misfit| misfit.message.contains("is assumed")), "{guess:?}");
    // Rule `window` assumes it for good.
    let rule = found("rule: window\n", &two(), Some(20.0));
    assert!(rule.iter().any(|misfit| misfit.fatal), "{rule:?}");
    // By no design effect does so thin a stream do.
    let thin = found("", &two(), Some(2.0));
    assert!(thin.iter().any(|m| m.fatal && m.key.ends_with("psi_retrain")), "{thin:?}");
}

#[test]
fn a_rate_of_training_data_refuses_nothing() {
    let text = "kafka: {brokers: 'k:9092'}\ntopic: t\nreference_dataset: r\ndesign_effect: 1\n";
    let loaded = config::parse(text, &|_| None).unwrap();
    let rate = Some(Rate { per_hour: 1.0, from: RateFrom::Baseline });
    let found = misfits(&loaded.config.models[0], &two(), rate);
    assert!(!found.is_empty() && found.iter().all(|misfit| !misfit.fatal), "{found:?}");
}

#[test]
fn records_that_no_window_ever_holds_are_refused() {
    let more = "design_effect: 1\nmin_records: 5000\n";
    let (key, message, fatal) = only(more, &two(), Some(20.0));
    assert_eq!(key, "drift_config.min_records");
    assert!(fatal && message.contains("max_age 7d holds 3,360"), "{message}");
    assert!(message.contains("keep 11d"), "{message}");
    let (_, message, fatal) = only(more, &two(), Some(100.0));
    assert!(!fatal && message.contains("will reach back over 3d"), "{message}");
}

#[test]
fn a_baseline_that_is_too_small_says_what_it_supports() {
    let small = Baseline::of(vec![feature("amount", Kind::Numeric, 30)]);
    let lines = "design_effect: 3\nthresholds: {psi_tolerance: 0.02}\n";
    let all = found(lines, &small, None);
    let of = |key: &str| all.iter().find(|misfit| misfit.key.ends_with(key)).unwrap();
    // chi2(9) at 0.999 is 27.88; x 3 / 300 is 0.279.
    assert!(of("psi_tolerance").fatal && of("psi_tolerance").message.contains("write 0.279"));
    let retrain = of("psi_retrain");
    assert!(retrain.fatal && retrain.message.contains("support 0.279 and more"), "{retrain:?}");
    // What is in force by default is raised without a fault.
    let by_default = found("design_effect: 1\n", &small, None);
    assert!(by_default.iter().all(|misfit| !misfit.fatal), "{by_default:?}");
}

#[test]
fn more_features_than_there_are_cannot_agree() {
    let (key, message, fatal) = only("design_effect: 1\nmin_features: 3\n", &two(), None);
    assert_eq!((key.as_str(), fatal), ("drift_config.min_features", true));
    assert!(message.contains("asks for 3 features at once, and 2 are watched; at most 2"));
    let one = "design_effect: 1\nmin_share: 0.9\nimportance: {country: 0}\n";
    let (key, message, fatal) = only(one, &two(), None);
    assert_eq!((key.as_str(), fatal), ("drift_config.min_share", true));
    assert!(message.contains("at most 0.50"), "{message}");
    // What is advised works: two thirds are 0.666, and 0.67 of three features would be all of them.
    let features = ["a", "b", "c"].map(|name| feature(name, Kind::Numeric, 20_000));
    let three = Baseline::of(features.to_vec());
    let of_three =
        |share: &str| format!("design_effect: 1\nmin_share: {share}\nimportance: {{c: 0}}\n");
    let (_, message, fatal) = only(&of_three("0.9"), &three, None);
    assert!(fatal && message.contains("at most 0.66"), "{message}");
    assert_eq!(found(&of_three("0.66"), &three, None), []);
}

#[test]
fn panes_that_go_before_they_tell_the_design_effect_are_told_of() {
    let (key, message, fatal) = only("max_age: 2d\n", &two(), None);
    assert_eq!((key.as_str(), fatal), ("drift_config.max_age", false));
    assert!(
        message.contains("keep 3d or more") && message.contains("amount, country"),
        "{message}"
    );
    for fine in ["max_age: 3d\n", "max_age: 2d\ndesign_effect: 2\n", "max_age: 2d\nrule: window\n"]
    {
        assert_eq!(found(fine, &two(), None), [], "{fine}");
    }
    // A longer window is kept whatever `max_age` says.
    let long = found("max_age: 4d\nwindow: 4d\n", &two(), None);
    assert_eq!(long, []);
}

#[test]
fn weights_of_nothing_are_refused() {
    let (key, message, fatal) = only("design_effect: 1\nimportance: {amuont: 3}\n", &two(), None);
    assert_eq!((key.as_str(), fatal), ("drift_config.importance.amuont", true));
    assert!(message.contains("did you mean `amount`?"), "{message}");
    let none = only("design_effect: 1\nimportance: {amount: 0, country: 0}\n", &two(), None);
    assert!(none.2 && none.1.contains("no feature is left"), "{none:?}");
    let by_window = only("rule: window\nimportance: {amount: 0, country: 0}\n", &two(), None);
    assert!(by_window.2 && by_window.1.contains("no feature is left"), "{by_window:?}");
}

#[test]
fn a_line_on_a_statistic_that_no_feature_has_is_refused() {
    let categories = Baseline::of(vec![feature("country", Kind::Categorical, 20_000)]);
    let (key, message, fatal) =
        only("design_effect: 1\nthresholds: {ks: 0.1}\n", &categories, None);
    assert_eq!((key.as_str(), fatal), ("drift_config.thresholds.ks", true));
    assert!(message.contains("one of numbers"), "{message}");
    assert_eq!(found("design_effect: 1\nthresholds: {ks: 0.1}\n", &two(), None), []);
    // Lines that nobody wrote are no contradiction.
    assert_eq!(found("design_effect: 1\n", &categories, None), []);
}

#[test]
fn a_prediction_that_the_baseline_lacks_is_said() {
    let asked = "design_effect: 1\nthresholds: {prediction_drift_p_value: 0.05}\n";
    let (key, message, fatal) = only(asked, &two(), None);
    assert_eq!(key, "drift_config.thresholds.prediction_drift_p_value");
    assert!(!fatal && message.contains("no column `prediction`"), "{message}");
    let mut with = two();
    with.features[0].role = Role::Prediction;
    assert_eq!(found(asked, &with, None), []);
    with.features[0].unusable = Some(Unusable::AllNull);
    let (_, message, _) = only(asked, &with, None);
    assert!(message.contains("`amount` is not watched: no value at all"), "{message}");
}

#[test]
fn the_rate_of_a_baseline_is_that_of_its_panes() {
    let mut timed = two();
    let panes = vec![vec![25.0, 25.0, 50.0, 0.0, 0.0, 0.0]; 2_000];
    timed.features[0].design_effect = DesignEffect::measure(&panes, 3_600_000);
    let rate = baseline_rate(&timed).unwrap();
    assert!((rate.per_hour - 100.0).abs() < 1e-9, "{rate:?}");
    assert_eq!(baseline_rate(&two()), None);
}

#[test]
fn a_check_fits_the_features_of_the_baseline() {
    let check = |check: &str| {
        let all = format!("rule: window\ndesign_effect: 1\nchecks:\n  - {{{check}}}\n");
        let mut found = found(&all, &two(), None);
        found.retain(|misfit| misfit.key.starts_with("checks."));
        found.pop().map(|found| (found.key, found.message, found.fatal))
    };
    for good in [
        "records: [1, null]",
        "feature: amount, mean: [0, 1]",
        "feature: country, missing: [0, 0.1]",
        "feature: country, in: [a, b]",
        // The reference's own range is counted by itself.
        "feature: amount, between: [0, 10]",
        "feature: amount, between: [null, 3]",
    ] {
        assert_eq!(check(good), None, "{good}");
    }
    for (bad, key, part, is_fatal) in [
        ("feature: amuont, mean: [0, 1]", "feature", "did you mean `amount`?", true),
        ("feature: country, mean: [0, 1]", "mean", "is categories", true),
        ("feature: amount, in: [a, b]", "in", "kind: categorical", true),
        ("feature: amount, between: [0.5, 3]", "between", "has no edges there", false),
        ("feature: amount, in: ['2']", "in", "has no edges there", false),
        ("feature: country, in: [a, zz]", "in", "does not keep zz apart", false),
    ] {
        let (found, message, fatal) = check(bad).unwrap();
        assert_eq!((found, fatal), (format!("checks.0.{key}"), is_fatal), "{bad}: {message}");
        assert!(message.contains(part), "{bad}: {message}");
    }
}
