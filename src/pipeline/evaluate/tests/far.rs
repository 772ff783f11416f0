//! Event times far from each other and from the clock: a backlog, a feed that rests, a record of days ahead.

use super::*;
use crate::pipeline::evaluate::decide::AT_ONCE;
use crate::window::ClosedPane;

fn panes_at_once() -> i64 {
    i64::try_from(AT_ONCE).unwrap()
}

fn calm(_: i64) -> (u64, u64) {
    (20, 20)
}

fn decided_panes(fed: &Fed) -> i64 {
    (fed.evaluate.models[0].state.decided_end_ms.unwrap() - START) / PANE
}

fn ring(fed: &Fed) -> Vec<Arc<ClosedPane>> {
    fed.evaluate.models[0].ring.panes()
}

#[tokio::test]
async fn a_feed_that_rests_for_months_goes_on_in_steps_and_passes_most_of_it_over() {
    let dir = TempDir::new().unwrap();
    let spec = spec_of(&CONFIG.replace("max_age: 2h", "max_age: 10h"));
    let kept = 600;
    let mut fed = Fed::start_by(spec.clone(), dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes += 90 * 24 * 60;
    let resumed = fed.panes;
    fed.pane_of(calm);
    fed.progresses();
    // One go is bounded, and what it has decided is stored.
    assert_eq!(decided_panes(&fed), 20 + panes_at_once());
    assert!(!fed.evaluate.models[0].is_caught_up());
    assert!(ring(&fed).len() < kept);
    drop(fed);
    let mut fed = Fed::start_by(spec.clone(), dir.path(), resumed + 1, 0);
    assert!(decided_panes(&fed) >= 20 + panes_at_once());
    let goes = (0..10).find(|_| {
        fed.tick();
        fed.evaluate.models[0].is_caught_up()
    });
    assert!(goes.is_some());
    assert_eq!(decided_panes(&fed), resumed + 1);
    fed.panes(3, false);
    let panes = ring(&fed);
    let last = START + (resumed + 3) * PANE;
    let expected: Vec<i64> = (0..kept as i64).rev().map(|back| last - back * PANE).collect();
    assert_eq!(panes.iter().map(|pane| pane.start_ms).collect::<Vec<_>>(), expected);
    assert_eq!(panes.iter().filter(|pane| pane.records > 0).count(), 4);
    // A restart has the same window, although nothing before the rest is stored any more.
    let decided = decided_panes(&fed);
    drop(fed);
    let fed = Fed::start_by(spec.clone(), dir.path(), resumed + 4, 0);
    assert_eq!((decided_panes(&fed), ring(&fed)), (decided, panes));
    drop(fed);
    // But panes that are lost were not empty.
    std::fs::remove_dir_all(dir.path().join("panes")).unwrap();
    let fed = Fed::start_by(spec, dir.path(), resumed + 4, 0);
    assert_eq!((decided_panes(&fed), ring(&fed)), (decided, Vec::new()));
}

#[tokio::test]
async fn a_drift_that_a_long_backlog_tells_of_is_held_until_the_backlog_is_decided() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    let drifted = START + 100 * PANE..START + 120 * PANE;
    let of = |ms: i64| if drifted.contains(&ms) { (2, 38) } else { (20, 20) };
    (0..panes_at_once() + 100).for_each(|_| fed.pane_of(of));
    fed.progresses();
    assert_eq!(decided_panes(&fed), panes_at_once());
    assert_eq!(fed.incident(), HELD);
    fed.tick();
    assert_eq!(decided_panes(&fed), panes_at_once() + 100);
    assert_eq!(fed.incident(), closed(CloseReason::Missed));
}

#[tokio::test]
async fn a_record_of_days_ahead_does_not_close_the_present_for_the_others() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    let other = TopicPartition::new("inferences", 1);
    let progress = |records: i64, frontier_ms| Progress {
        partition: other.clone(),
        next_offset: records,
        frontier_ms,
        first_pane_ms: frontier_ms.map(|_| START),
        caught_up: true,
    };
    let partitions = vec![(progress(0, None), 0)];
    fed.tell(Counted::Assigned { model: 0, partitions, in_topic: Some(2) });
    fed.panes(5, false);
    fed.panes = 6 * 24 * 60;
    fed.panes(1, false);
    // Nothing has come in the other partition for two panes.
    let quiet = vec![other.clone()];
    fed.tell(Counted::Progress { model: 0, progress: Vec::new(), open: Vec::new(), quiet });
    let idle = Instant::now() + Duration::from_secs(150);
    let (lateness, now_panes) = (1, 30);
    // A go seals few: each waits for the disk.
    (0..3).for_each(|_| drop(fed.tick_by(idle, START + now_panes * PANE)));
    assert_eq!(decided_panes(&fed), now_panes - lateness);
    fed.tick_by(idle, START + (now_panes + 1) * PANE);
    assert_eq!(decided_panes(&fed), now_panes + 1 - lateness);
    // Set back by a year: nothing waits for it to come again.
    fed.evaluate.clock_moved_ms = -365 * 24 * 60 * PANE;
    fed.tick_by(idle, START + (now_panes + 2 - 365 * 24 * 60) * PANE);
    assert_eq!(decided_panes(&fed), now_panes + 2 - lateness);
    // What the other brings for the present counts.
    let start_ms = START + (now_panes + 1) * PANE;
    let mut pane = Pane::empty(start_ms, &fed.watched.rules.shape());
    pane.records = 1;
    pane.features[0].cells[0] = 1;
    let rules = fed.watched.rules.hash;
    let partial = Partial { partition: other.clone(), rules, applied_through: 1, pane };
    fed.tell(Counted::Partials { model: 0, partials: vec![partial] });
    let told = vec![(progress(1, Some(start_ms + PANE)), 1)];
    let (open, quiet) = (Vec::new(), Vec::new());
    fed.tell(Counted::Progress { model: 0, progress: told, open, quiet });
    assert_eq!(decided_panes(&fed), now_panes + 2);
    assert_eq!(ring(&fed).last().map(|pane| pane.records), Some(1));
    assert_eq!(fed.evaluate.models[0].merge.late_after_seal(), 0);
}
