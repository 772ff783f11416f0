//! A backlog of panes that are ready at once is decided in turns, and each turn is stored.

use super::*;

#[tokio::test]
async fn a_backlog_of_panes_is_decided_in_turns_that_are_stored_and_nothing_is_told_before_the_last()
 {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    let decided = |fed: &Fed| fed.evaluate.models[0].state.decided_end_ms.unwrap();
    assert_eq!(decided(&fed), START + 20 * PANE);
    // A night without records, say: all of it closes with the first record after it.
    fed.evaluate.turn = Duration::ZERO;
    (0..12).for_each(|_| fed.pane_of(|_| (2, 38)));
    fed.progresses();
    assert_eq!(decided(&fed), START + 21 * PANE);
    for turn in 2..8 {
        fed.tick();
        assert_eq!(decided(&fed), START + (20 + turn) * PANE);
    }
    assert_eq!(fed.incident(), HELD);
    drop(fed);

    // Killed there, it goes on there.
    let mut fed = Fed::boot(spec(), dir.path(), 32);
    fed.evaluate.turn = Duration::ZERO;
    fed.adopt("first", i64::MIN, 0);
    assert!(decided(&fed) >= START + 27 * PANE && decided(&fed) < START + 32 * PANE);
    while decided(&fed) < START + 32 * PANE {
        assert_eq!(fed.incident(), HELD);
        fed.tick();
    }
    fed.tick();
    assert_eq!(fed.incident(), SENT);

    let mut prompt = Fed::start(other.path(), 0, 0);
    prompt.panes(20, false);
    prompt.panes(12, true);
    assert_eq!(fed.evaluate.models[0].state, prompt.evaluate.models[0].state);
}
