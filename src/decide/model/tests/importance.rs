//! A feature that is taken out of the decision.

use super::*;

fn without(name: &str) -> Policy {
    Policy { importance: [(name.to_owned(), 0.0)].into(), ..policy() }
}

#[test]
fn a_level_ends_when_its_feature_is_taken_out() {
    let mut run = Run::settled(policy());
    assert!(run.drifted().trigger && run.state.warned);
    // A restart with another configuration: the levels come back.
    run.state = ModelState::decode(3, &run.state.encode(), 2).unwrap();
    run.policy = without("x0");
    let mut shown = verdicts(&[0.5, 0.0]);
    let review = run.state.review(&mut shown, &run.situation());
    assert_eq!((review.drift, review.cleared), (DriftState::Healthy, true), "{review:?}");
    assert_eq!(shown[0].verdict, Verdict::Stable);
    let next = run.pane(&[0.5, 0.0]);
    assert_eq!((next.drift, next.cleared), (DriftState::Healthy, true), "{next:?}");
    assert!(!run.state.warned, "the warning is over");
    // What is named is what decides.
    assert!(next.explanation.starts_with("x1 psi is 0.0000"), "{}", next.explanation);
}

#[test]
fn a_feature_that_is_taken_out_raises_nothing_by_rule_window_either() {
    let mut run = Run::settled(without("x0"));
    for _ in 0..10 {
        let decision = run.pane(&[0.5, 0.0]);
        assert!(!decision.trigger && !decision.warn && decision.cleared);
        assert_eq!(decision.drift, DriftState::Healthy);
    }
    // It leaves the others as they are.
    assert!((0..3).any(|_| run.pane(&[0.5, 0.5]).trigger));
}
