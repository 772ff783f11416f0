//! Troubles that come, go and come back: one story while they flap, and a last word that is true.

use super::*;

const OF_FEED: &str = "driftd/fraud/data_quality/sre";
const PANE_TIME: Duration = Duration::from_millis(PANE.cast_unsigned());

/// Nothing comes for so long that it is silence.
fn silent(fed: &mut Fed) {
    fed.later += 4 * PANE_TIME;
    assert_eq!(fed.tick().models[0].quality, Quality::Stale);
}

/// Panes that come as they should, a pane's time apart.
fn well(fed: &mut Fed, panes: i64) {
    for _ in 0..panes {
        fed.panes(1, false);
        fed.tick();
        fed.later += PANE_TIME;
    }
}

#[tokio::test]
async fn a_feed_that_flaps_is_told_once_and_to_be_over_when_it_has_been_well_for_a_while() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(13, false);
    assert_eq!(fed.tick().models[0].quality, Quality::Ok);
    assert_eq!(fed.verdicts(OF_FEED), [""; 0]);
    silent(&mut fed);
    assert_eq!(fed.verdicts(OF_FEED), ["stale"]);
    assert!(fed.tick().models[0].features.iter().all(|f| f.scores.is_empty()));
    // A batch now and then: the feed is no better for it, in whatever period it comes.
    for _ in 0..5 {
        fed.now_ms += 10 * PANE;
        well(&mut fed, 2);
        silent(&mut fed);
    }
    assert_eq!(fed.verdicts(OF_FEED), ["stale"]);
    well(&mut fed, 6);
    assert_eq!(fed.verdicts(OF_FEED), ["stale"]);
    well(&mut fed, 1);
    assert_eq!(fed.verdicts(OF_FEED), ["stale", "ok"]);
}

#[tokio::test]
async fn a_feed_that_goes_from_one_trouble_to_another_and_back_is_told_of_each_once() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(13, false);
    for _ in 0..4 {
        fed.now_ms += 10 * PANE;
        fed.rejects = RECORDS;
        fed.panes(2, false);
        assert_eq!(fed.tick().models[0].quality, Quality::Fault);
        fed.rejects = 0;
        fed.panes(12, false);
        assert_eq!(fed.tick().models[0].quality, Quality::Ok);
        silent(&mut fed);
    }
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "stale"]);
}

#[tokio::test]
async fn silence_that_comes_back_for_good_is_told_again_though_people_heard_that_it_is_over() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(13, false);
    silent(&mut fed);
    well(&mut fed, 8);
    assert_eq!(fed.verdicts(OF_FEED), ["stale", "ok"]);
    // At most once in a period, which here is the window: ten minutes of the clock.
    silent(&mut fed);
    fed.now_ms = 9 * PANE;
    fed.tick();
    assert_eq!(fed.verdicts(OF_FEED), ["stale", "ok"]);
    fed.now_ms = 10 * PANE;
    fed.tick();
    assert_eq!(fed.verdicts(OF_FEED), ["stale", "ok", "stale"]);
    // One thing that lasts is told once, also by a process that finds it so.
    fed.now_ms = 500 * PANE;
    fed.tick();
    let panes = fed.panes;
    drop(fed);
    let mut fed = Fed::start(dir.path(), panes, 0);
    fed.now_ms = 1000 * PANE;
    silent(&mut fed);
    assert_eq!(fed.verdicts(OF_FEED), ["stale", "ok", "stale"]);
    well(&mut fed, 8);
    assert_eq!(fed.verdicts(OF_FEED), ["stale", "ok", "stale", "ok"]);
}

#[tokio::test]
async fn silence_is_silence_whatever_the_last_records_were_like() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(13, false);
    fed.rejects = RECORDS;
    fed.panes(2, false);
    assert_eq!(fed.tick().models[0].quality, Quality::Fault);
    silent(&mut fed);
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "stale"]);
}

#[tokio::test]
async fn what_is_told_before_the_first_pane_is_of_the_present() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.now_ms = START;
    silent(&mut fed);
    let pending = fed.evaluate.log.ledger().pending();
    let announcement = &pending.first().unwrap().delivery.announcement;
    assert_eq!(announcement.timestamp[..10], *"2026-01-01");
    assert_eq!(announcement.data.window.end[..10], *"2026-01-01");
}

/// Half of the values are missing.
fn nulls(fed: &mut Fed, panes: i64) {
    fed.missing = RECORDS / 2;
    fed.panes_of(panes, |_| (RECORDS / 20, RECORDS / 20));
    fed.missing = 0;
    fed.tick();
}

#[tokio::test]
async fn a_fault_that_comes_back_is_told_in_the_next_period_if_it_lasts_and_else_never() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(13, false);
    nulls(&mut fed, 4);
    assert_eq!(fed.tick().models[0].faults.len(), 1);
    fed.panes(5, false);
    assert_eq!(fed.tick().models[0].faults.len(), 0);
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "ok"]);
    // Twice more within the period: it flaps.
    nulls(&mut fed, 4);
    fed.panes(5, false);
    nulls(&mut fed, 4);
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "ok"]);
    // And now it is there to stay.
    fed.now_ms = 10 * PANE;
    fed.tick();
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "ok", "fault"]);
    fed.now_ms = 100 * PANE;
    nulls(&mut fed, 4);
    let panes = fed.panes;
    drop(fed);
    let mut fed = Fed::start(dir.path(), panes, 0);
    fed.now_ms = 200 * PANE;
    nulls(&mut fed, 4);
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "ok", "fault"]);
    fed.panes(5, false);
    fed.tick();
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "ok", "fault", "ok"]);
}

#[tokio::test]
async fn a_fault_that_ends_beside_other_trouble_does_not_end_the_story() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(13, false);
    nulls(&mut fed, 4);
    silent(&mut fed);
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "stale"]);
    // The fault is over in the panes that come late; that they come again is not known for long.
    fed.panes(5, false);
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "stale", "fault"]);
    assert!(fed.evaluate.log.ledger().told(OF_FEED).is_some());
    well(&mut fed, 8);
    assert_eq!(fed.verdicts(OF_FEED), ["fault", "stale", "fault", "ok"]);
}

#[tokio::test]
async fn a_check_that_fails_again_is_told_in_the_next_period() {
    const CHECKS: &str = "driftd/fraud/checks";
    let dir = TempDir::new().unwrap();
    let check =
        "    checks:\n      - {feature: amount, between: [0, 5], mostly: 0.4}\n    drift_config:";
    let spec = spec_of(&CONFIG.replace("    drift_config:", check));
    let mut fed = Fed::start_by(spec.clone(), dir.path(), 0, 0);
    let panes = |fed: &mut Fed, panes, drifted| {
        fed.panes(panes, drifted);
        fed.tick();
    };
    panes(&mut fed, 12, false);
    panes(&mut fed, 8, true);
    panes(&mut fed, 20, false);
    assert_eq!(fed.verdicts(CHECKS), ["check", "ok"]);
    panes(&mut fed, 12, true);
    assert_eq!(fed.verdicts(CHECKS), ["check", "ok"]);
    let count = fed.panes;
    drop(fed);
    let mut fed = Fed::start_by(spec, dir.path(), count, 0);
    fed.tick();
    assert_eq!(fed.verdicts(CHECKS), ["check", "ok"]);
    fed.now_ms = 10 * PANE;
    fed.tick();
    assert_eq!(fed.verdicts(CHECKS), ["check", "ok", "check"]);
    panes(&mut fed, 3, true);
    panes(&mut fed, 20, false);
    assert_eq!(fed.verdicts(CHECKS), ["check", "ok", "check", "ok"]);
}
