//! Panes that are decided a second time, because a crash has lost what the first had come to.

use super::*;

#[test]
fn a_trigger_that_a_crash_has_outlived_is_one_when_its_pane_is_decided_again() {
    let mut run = Run::settled(policy());
    let before = run.state.clone();
    let decision = run.drifted();
    assert!(decision.trigger && has_triggered(&decision, &run.situation()));
    run.log(1, run.panes * PANE, None);
    run.state = before;
    let again = run.state.clone().decide(&mut verdicts(&[0.5, 0.0]), &[], &run.situation());
    assert!(!again.trigger);
    assert!(has_triggered(&again, &run.situation()));
    let next = run.pane(&[0.5, 0.0]);
    assert!(!has_triggered(&next, &run.situation()), "the next pane has not");
}
