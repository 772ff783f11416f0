//! Warnings: once, and since when.

use super::*;

#[test]
fn a_warning_is_given_once_until_it_is_healthy_again() {
    let mut run = Run::settled(policy());
    let mut warned =
        |psi: f64, panes: usize| (0..panes).filter(|_| run.pane(&[psi, 0.0]).warn).count();
    assert_eq!(warned(0.15, 10), 1);
    assert_eq!(warned(0.0, 10), 0);
    assert_eq!(warned(0.15, 10), 1);
}

#[test]
fn it_is_known_since_which_pane_there_is_a_warning() {
    let mut run = Run::settled(policy());
    let mut since = |psi: f64| {
        let warns = (0..10).map(|_| run.pane(&[psi, 0.0]).warn).position(|warn| warn);
        (warns, run.state.warned_since_ms)
    };
    let settled = i64::try_from(WINDOW).unwrap();
    let (Some(at), Some(since_ms)) = since(0.15) else { panic!("a warning") };
    assert_eq!(since_ms, (settled + i64::try_from(at).unwrap() + 1) * PANE);
    assert_eq!(since(0.15), (None, Some(since_ms)));
    assert_eq!(since(0.0), (None, None));
}
