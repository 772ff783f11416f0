//! What faults of the feed keep from being decided.

use super::*;
use crate::baseline::FeatureBaseline;
use crate::codec::Writer;
use crate::decide::fault::PaneCounts;
use crate::decode::strangers::Strangers;
use crate::histogram::Bins;
use crate::histogram::Cells;
use crate::histogram::NumericCells;
use crate::histogram::Scale;
use crate::histogram::Storage;

/// Faults of a model of `features` features, the first `faulty` of which have gone null.
fn faults(features: usize, faulty: usize) -> Faults {
    let scale = Scale { center: 5.0, unit: 5.0 };
    let cells = NumericCells::new(vec![5.0], 0.0, 10.0, scale, Storage::F64);
    let reference = Counts { cells: vec![5000, 5000], ..Counts::default() };
    let feature = FeatureBaseline {
        mean: Some(5.0),
        sd: Some(2.9),
        distinct: 1000,
        ..FeatureBaseline::of_counts(
            "x",
            Cells::Numeric(cells),
            Bins { starts: vec![0, 1] },
            reference,
        )
    };
    let all = vec![feature; features];
    let mut faults = Faults::default();
    for start_ms in [0, PANE] {
        let null = |at: usize| if start_ms > 0 && at < faulty { RECORDS } else { 0 };
        let value = |at: usize| (RECORDS - null(at)) / 2;
        let counts: Vec<Counts> = (0..features)
            .map(|at| Counts { cells: vec![value(at); 2], null: null(at), ..Counts::default() })
            .collect();
        faults.push(&PaneCounts {
            features: &all,
            counts: &counts,
            sampled: 0,
            repeated: 0,
            strangers: &Strangers::default(),
            start_ms,
            pane_ms: PANE,
            design_effect: &|_, _| 1.0,
            window_ms: 24 * PANE,
            slots: &|_, _, _| Vec::new(),
            kept_from_ms: 0,
        });
    }
    faults
}

#[test]
fn a_faulty_feature_decides_nothing_and_the_others_go_on() {
    let mut run = Run::settled(policy());
    run.state.faults = faults(2, 1);
    for _ in 0..10 {
        let decision = run.pane(&[0.5, 0.0]);
        assert!(!decision.trigger && decision.drift == DriftState::Healthy, "{decision:?}");
    }
    run.pane(&[0.5, 0.5]);
    run.pane(&[0.5, 0.5]);
    assert!(run.pane(&[0.5, 0.5]).trigger);
}

#[test]
fn faults_of_most_features_bar_the_model() {
    let mut run = Run::settled(policy());
    run.state.faults = faults(3, 2);
    for _ in 0..5 {
        run.pane(&[0.0, 0.0, 0.5]);
    }
    let decision = run.pane(&[0.0, 0.0, 0.5]);
    assert_eq!((decision.drift, decision.trigger), (DriftState::Drifted, false));
    assert_eq!(decision.suppressed_by, [Suppression::Fault]);
    assert!(decision.explanation.contains("held back by fault"), "{}", decision.explanation);
}

#[test]
fn a_fault_that_would_be_a_drift_is_what_holds_back() {
    let mut run = Run::settled(policy());
    run.state.faults = faults(2, 1);
    run.state.faults.disbelieve(1);
    let decision = run.pane(&[0.0, 0.0]);
    assert_eq!(decision.suppressed_by, [Suppression::Fault]);
    assert!(!decision.trigger);
}

#[test]
fn an_incident_is_not_over_because_its_feature_broke() {
    let mut run = Run::settled(policy());
    assert!(run.drifted().trigger);
    run.state.faults = faults(2, 1);
    for _ in 0..10 {
        assert!(!run.pane(&[0.0, 0.0]).cleared);
    }
}

#[test]
fn a_state_of_before_faults_were_told_apart_is_read() {
    let run = Run::settled(policy());
    let mut out = Writer::default();
    out.u64(1);
    out.i64(run.state.decided_end_ms.unwrap());
    out.u64(0);
    out.u64(run.state.levels.len() as u64);
    run.state.levels.iter().for_each(|levels| levels.encode(&mut out));
    assert_eq!(ModelState::decode(1, &out.into_bytes(), 2), Ok(run.state));
}
