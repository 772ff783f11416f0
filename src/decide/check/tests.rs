//! Checks against counts of values that are known, and over panes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, StringArray};
use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::*;
use crate::baseline::{Builder, Convention, FeatureBaseline, Limits, Planned};
use crate::codec::{Reader, Writer};
use crate::feature::{Column, Kind, Role};
use crate::histogram::{Counts, count};

fn check(json: &str) -> Check {
    serde_json::from_str(json).unwrap()
}

/// The feature of a column of training data; its cells know of `checks` if they were there.
fn feature(array: &ArrayRef, checks: &[&Check]) -> FeatureBaseline {
    let text = matches!(array.data_type(), DataType::Utf8);
    let planned = Planned {
        index: 0,
        name: "x".to_owned(),
        role: Role::Feature,
        kind: if text { Kind::Categorical } else { Kind::Numeric },
        data_type: array.data_type().clone(),
        declared: true,
        unusable: None,
        convention: Convention::Driftd,
        ranges: checks.iter().flat_map(|check| check.ranges()).collect(),
    };
    let mut builder = Builder::new(planned, array.len() as u64, Limits::default());
    builder.push(array);
    let mut counter = builder.into_counter();
    if counter.reads() {
        counter.push(array);
    }
    counter.finish()
}

fn live(feature: &FeatureBaseline, array: ArrayRef) -> Counts {
    let mut counts = Counts::zero(feature.cells.len());
    count(&feature.cells, &Column { array, absent: Vec::new() }, &mut counts);
    counts
}

fn ramp() -> ArrayRef {
    Arc::new((0..2_000).map(|i| Some(f64::from(i) / 10.0)).collect::<Float64Array>())
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn words(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

proptest! {
    #[test]
    fn shares_are_exact_where_the_baseline_knew_of_the_check_and_certain_where_not(
        values in proptest::collection::vec(
            prop_oneof![-50.0..400.0f64, (-20..60i32).prop_map(|x| f64::from(x) * 5.0)], 1..300,
        ),
        low in proptest::option::of((-10..40i32).prop_map(|x| f64::from(x) * 5.0)),
        span in 0.0..500.0f64,
        single: bool,
    ) {
        let range = [low, Some(low.unwrap_or(0.0) + span)];
        let between = Check { feature: Some("x".to_owned()), between: Some(range), ..Check::default() };
        let list: Vec<String> = [5.0, 50.0, -7.5].map(|x: f64| x.to_string()).to_vec();
        let one_of = Check { one_of: Some(list.clone()), between: None, ..between.clone() };
        let not_in = Check { not_in: Some(list), between: None, ..between.clone() };
        let training: ArrayRef = match single {
            true => Arc::new((0..2_000).map(|i| Some(i as f32 / 10.0)).collect::<Float32Array>()),
            false => ramp(),
        };
        #[expect(clippy::cast_possible_truncation, reason = "a column of singles")]
        let stored = |x: f64| if single { f64::from(x as f32) } else { x };
        let knows = feature(&training, &[&between, &one_of, &not_in]);
        let plain = feature(&training, &[]);
        let is_listed = |x: &&f64| [5.0, 50.0, -7.5].contains(&stored(**x));
        let low_end = low.unwrap_or(f64::NEG_INFINITY);
        let is_in = |x: &&f64| stored(low_end) <= stored(**x) && stored(**x) <= stored(range[1].unwrap());
        let n = values.len();
        let truth = [
            n - values.iter().filter(is_in).count(),
            n - values.iter().filter(is_listed).count(),
            values.iter().filter(is_listed).count(),
        ];
        for (check, violations) in [&between, &one_of, &not_in].into_iter().zip(truth) {
            let found = |feature: &FeatureBaseline| {
                let live = live(feature, floats(&values));
                measure(check, Some((feature, &live)), 0).unwrap()
            };
            let exact = found(&knows);
            prop_assert!(exact.exact);
            prop_assert_eq!(exact.value.to_bits(), (violations as f64 / n as f64).to_bits());
            prop_assert_eq!(exact.passed, violations == 0);
            let certain = found(&plain);
            prop_assert!(certain.value <= exact.value, "{:?} {:?}", certain, exact);
            prop_assert!(!certain.exact || certain.value >= exact.value);
        }
    }
}

#[test]
fn what_is_infinite_is_outside_and_nulls_are_nothing() {
    let between = check(r#"{"feature":"x","between":[0,150],"mostly":0.5}"#);
    let feature = feature(&ramp(), &[&between]);
    let values = vec![Some(1.0), None, Some(f64::NAN), Some(f64::INFINITY), Some(151.0)];
    let live = live(&feature, Arc::new(Float64Array::from(values)));
    let found = measure(&between, Some((&feature, &live)), 5).unwrap();
    assert_eq!((found.of, found.value, found.passed), (3, 2.0 / 3.0, false));
    assert_eq!(found.expected, [None, Some(0.5)]);
    assert_eq!(
        view::sentence(&between, &found),
        "x: 66.67 % of 3 values outside 0 to 150, at most 50 % expected"
    );
    let over = check(r#"{"feature":"x","between":[null,150]}"#);
    let found = measure(&over, Some((&feature, &live)), 5).unwrap();
    assert_eq!(
        view::sentence(&over, &found),
        "x: 66.67 % of 3 values over 150, at most 0 % expected"
    );
    let missing = check(r#"{"feature":"x","missing":[0,0.01]}"#);
    let found = measure(&missing, Some((&feature, &live)), 5).unwrap();
    assert_eq!((found.of, found.value, found.passed), (5, 0.4, false));
    assert_eq!(
        view::sentence(&missing, &found),
        "x: missing, null or NaN in 40 % of 5 records, at most 1 % expected"
    );
}

#[test]
fn mean_and_deviation_are_of_the_values_and_the_sentence_has_the_numbers() {
    let feature = feature(&ramp(), &[]);
    let live = live(&feature, floats(&[70.0, 74.2, 78.4]));
    let mean = check(r#"{"feature":"amount","mean":[10,60]}"#);
    let found = measure(&mean, Some((&feature, &live)), 3).unwrap();
    assert!((found.value - 74.2).abs() < 1e-4 && !found.passed, "{found:?}");
    let sentence = "amount: mean 74.2 over the window, 10 to 60 expected";
    assert_eq!(view::sentence(&mean, &found), sentence);
    let stddev = check(r#"{"name":"spread","feature":"amount","stddev":[null,3.43]}"#);
    let found = measure(&stddev, Some((&feature, &live)), 3).unwrap();
    assert!((found.value - 3.42929).abs() < 1e-3 && found.passed, "{found:?}");
    assert_eq!(
        view::sentence(&stddev, &found),
        "spread: amount: stddev 3.429 over the window, at most 3.43 expected"
    );
    let records = check(r#"{"records":[1000,null]}"#);
    let found = measure(&records, None, 812).unwrap();
    assert!(!found.passed);
    assert_eq!(
        view::sentence(&records, &found),
        "812 records in the window, at least 1000 expected"
    );
    let nothing = Counts::zero(feature.cells.len());
    assert_eq!(measure(&mean, Some((&feature, &nothing)), 3), None);
    assert_eq!(measure(&mean, None, 3), None);
}

#[test]
fn categories_are_told_apart_as_far_as_the_baseline_does() {
    let mut training: Vec<&str> = ["DE", "FR", "NL"].iter().flat_map(|c| [*c; 60]).collect();
    let rare: Vec<String> = (0..300).map(|i| format!("r{i}")).collect();
    training.extend(rare.iter().map(String::as_str));
    let feature = feature(&words(&training), &[]);
    let live = live(&feature, words(&["DE", "DE", "FR", "NL", "XX", "r99"]));
    let found = |json: &str| measure(&check(json), Some((&feature, &live)), 6).unwrap();
    let known = found(r#"{"feature":"x","in":["DE","FR"],"mostly":0.5}"#);
    assert!(known.exact && known.passed);
    assert_eq!((known.value, known.of), (0.5, 6));
    // XX was never seen and r99 has no cell of its own: only the others are certain.
    let unknown = found(r#"{"feature":"x","in":["DE","XX"]}"#);
    assert_eq!((unknown.exact, unknown.value), (false, 0.5));
    let rare = found(r#"{"feature":"x","in":["DE","r99"]}"#);
    assert_eq!((rare.exact, rare.value), (false, 0.5));
    let barred = found(r#"{"feature":"x","not_in":["FR","r99"]}"#);
    assert_eq!((barred.exact, barred.value), (false, 1.0 / 6.0));
    assert_eq!(
        measure(&check(r#"{"feature":"x","mean":[0,1]}"#), Some((&feature, &live)), 6),
        None
    );
}

#[test]
fn it_is_violated_after_three_of_five_panes_and_passed_after_five_a_restart_included() {
    let checks = [check(r#"{"feature":"x","mean":[0,1]}"#), check(r#"{"records":[10,null]}"#)];
    let measured =
        |passed| Some(Measured { value: 0.0, expected: [None, None], of: 1, exact: true, passed });
    let mut state = Checks::default();
    let mut at = 0;
    let mut push = |state: &mut Checks, first| {
        at += 1;
        state.push(&checks, &[first, measured(true)], at);
        // Every pane is behind a crash.
        let mut out = Writer::default();
        state.encode(&mut out);
        let bytes = out.into_bytes();
        for end in 0..bytes.len() {
            assert!(Checks::decode(&mut Reader::new(&bytes[..end])).is_err());
        }
        *state = Checks::decode(&mut Reader::new(&bytes)).unwrap();
        state.violated(0)
    };
    assert_eq!(push(&mut state, None), None);
    assert_eq!(push(&mut state, measured(true)), Some(None));
    assert_eq!(push(&mut state, measured(false)), Some(None));
    assert_eq!(push(&mut state, measured(false)), Some(None));
    assert_eq!(push(&mut state, None), Some(None));
    assert_eq!(push(&mut state, measured(false)), Some(Some(3)));
    assert_eq!(state.untold(&checks), [Untold { check: 0, since_ms: 3 }]);
    state.told(Untold { check: 0, since_ms: 3 });
    for _ in 0..4 {
        assert_eq!(push(&mut state, measured(true)), Some(Some(3)));
        assert!(!state.pass(&checks) && state.untold(&checks).is_empty());
    }
    assert_eq!(push(&mut state, measured(true)), Some(None));
    assert!(state.pass(&checks) && !Checks::default().pass(&checks));
    // A check that is written otherwise starts anew, and the others go on.
    let changed = [checks[1].clone(), check(r#"{"feature":"x","mean":[0,2]}"#)];
    state.align(&changed);
    assert_eq!((state.violated(0), state.violated(1)), (Some(None), None));
}

#[test]
fn each_fault_of_a_check_is_told_with_its_key() {
    let faulty = [
        (r#"{"feature":"x"}"#, "", "no condition"),
        (r#"{"feature":"x","mean":[0,1],"missing":[0,1]}"#, "mean", "one condition"),
        (r#"{"mean":[0,1]}"#, "feature", "name it"),
        (r#"{"feature":"x","records":[0,1]}"#, "feature", "leave it out"),
        (r#"{"feature":"x","mean":[1,0]}"#, "mean", "empty"),
        (r#"{"feature":"x","mean":[null,null]}"#, "mean", "asks nothing"),
        (r#"{"feature":"x","missing":[0,5]}"#, "missing", "no share"),
        (r#"{"feature":"x","missing":[0,1],"mostly":0.9}"#, "mostly", "range of its own"),
        (r#"{"feature":"x","in":["a"],"mostly":0}"#, "mostly", "no share"),
        (r#"{"feature":"x","in":[]}"#, "in", "0 values"),
        (r#"{"feature":"x","mean":[0,1],"name":""}"#, "name", "letters"),
    ];
    for (json, key, part) in faulty {
        let (found, message) = check(json).fault().unwrap();
        assert!(found == key && message.contains(part), "{json}: {found}: {message}");
    }
    for json in [
        r#"{"records":[1000,null]}"#,
        r#"{"feature":"x","between":[0,0],"mostly":1}"#,
        r#"{"feature":"x","not_in":["a"],"severity":"critical"}"#,
    ] {
        assert_eq!(check(json).fault(), None, "{json}");
    }
}
