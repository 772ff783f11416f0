//! A model's checks, asked of all of the live side as of one window.

use crate::baseline::Baseline;
use crate::decide::check::{Check, CheckState, CheckView, Checks, measure};
use crate::histogram::Counts;

/// Every check in its order; `live` has a `Counts` for each feature of `reference`.
///
/// What a running model needs 3 of 5 panes for is plain here: the records are all there is. They are judged
/// however few they are; what has no value at all is `unknown`.
pub fn judged(checks: &[Check], reference: &Baseline, live: &[Counts]) -> Vec<CheckView> {
    let records = live.iter().map(Counts::records).max().unwrap_or(0);
    // Nothing is remembered from one comparison to the next.
    let known = Checks::default();
    let judge = |(at, check): (usize, &Check)| {
        let mut features = reference.features.iter().zip(live);
        let feature = features.find(|(feature, _)| Some(&feature.name) == check.feature.as_ref());
        let measured = measure(check, feature, records);
        let view = CheckView::new(check, at, &known, measured.as_ref());
        match measured {
            Some(measured) => {
                let passed = measured.passed;
                let state = if passed { CheckState::Passed } else { CheckState::Violated };
                CheckView { state, ..view }
            }
            None => {
                let why = feature.and_then(|(feature, _)| feature.unusable);
                let why = why.map_or("the live side has no value for it", |why| why.reason());
                CheckView { sentence: format!("{check}: not measured: {why}"), ..view }
            }
        }
    };
    checks.iter().enumerate().map(judge).collect()
}
