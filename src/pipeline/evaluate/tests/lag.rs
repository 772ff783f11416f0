//! A model whose records lie unread while the present goes on.

use super::*;
use crate::decide::fault::FaultKind;

const MINUTE: i64 = 60_000;
/// The wall clock at which all of this is looked at: hours behind the last record.
const PRESENT: i64 = START + 180 * MINUTE;

/// A look some time after the last record was read.
fn look(fed: &mut Fed, now_ms: i64) -> Arc<View> {
    fed.tick_by(Instant::now() + Duration::from_secs(20), now_ms)
}

/// Summaries of what people are told of the data.
fn told(fed: &Fed) -> Vec<String> {
    let pending = fed.evaluate.log.ledger().pending();
    let of = pending.iter().filter(|o| o.delivery.kind == Told::DataQuality);
    of.map(|o| o.delivery.announcement.data.summary.clone()).collect()
}

/// Twenty quiet panes that are read at once; what comes behind them lies unread.
fn lagging(dir: &Path) -> Fed {
    let mut fed = Fed::start(dir, 0, 0);
    fed.panes(20, false);
    assert_eq!(fed.tick().models[0].quality, Quality::Ok);
    (fed.unread, fed.now_ms) = (100_000, PRESENT);
    fed.panes(1, false);
    let view = look(&mut fed, PRESENT);
    assert_eq!(view.models[0].quality, Quality::Fault);
    fed
}

#[tokio::test]
async fn a_lag_is_a_fault_that_makes_triggers_wait_and_changes_no_decision() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (mut fed, mut prompt) = (lagging(dir.path()), Fed::start(other.path(), 0, 0));
    fed.panes(10, true);
    prompt.panes(21, false);
    prompt.panes(10, true);
    assert_eq!((fed.incident(), prompt.incident()), (HELD, SENT));
    // One as the other: levels, evidence, and what the incident is called.
    let (late, soon) = (&fed.evaluate.models[0], &prompt.evaluate.models[0]);
    assert_eq!(late.state, soon.state);
    assert_eq!(late.decision, soon.decision);
    let id = |fed: &Fed| fed.evaluate.log.ledger().open("fraud").unwrap().incident.id.clone();
    assert_eq!(id(&fed), id(&prompt));

    let view = look(&mut fed, PRESENT + MINUTE);
    let model = &view.models[0];
    assert_eq!((model.drift, model.faults.len()), (DriftState::Drifted, 1));
    let fault = &model.faults[0];
    assert_eq!((fault.kind, fault.feature.as_deref()), (FaultKind::Lag, None));
    assert_eq!(model.suppressed_by, [Suppression::IncidentOpen, Suppression::Lag]);
    assert_eq!(model.suppressed.get(&Suppression::Lag), Some(&1));
    assert!(model.explanation.ends_with(&fault.sentence), "{}", model.explanation);
    // A stop is mostly made up for before anybody hears of it; then they do, once.
    assert_eq!(told(&fed), [""; 0]);
    for minutes in [31, 32, 600] {
        look(&mut fed, PRESENT + minutes * MINUTE);
    }
    assert_eq!(told(&fed).len(), 1);
    assert!(
        told(&fed)[0].starts_with("fraud: what was read is 2 h 59 min behind"),
        "{:?}",
        told(&fed)
    );
    assert_eq!(fed.incident(), HELD);

    fed.unread = 0;
    fed.panes(1, true);
    let view = fed.tick_by(Instant::now(), PRESENT + 601 * MINUTE);
    assert_eq!((view.models[0].quality, fed.incident()), (Quality::Ok, SENT));
    assert_eq!((view.models[0].faults.len(), told(&fed).len()), (0, 1));
    // And once that it is over, when it has been for a while.
    fed.at_end = true;
    for minute in 602..610 {
        fed.now_ms = PRESENT + minute * MINUTE;
        fed.panes(1, true);
        fed.tick();
        fed.later += Duration::from_secs(60);
    }
    assert_eq!(told(&fed).len(), 2);
}

#[tokio::test]
async fn a_drift_that_is_over_before_the_present_is_reached_is_missed() {
    let dir = TempDir::new().unwrap();
    let mut fed = lagging(dir.path());
    fed.panes(10, true);
    fed.panes(30, false);
    look(&mut fed, PRESENT + MINUTE);
    assert_eq!(fed.incident(), HELD);
    fed.unread = 0;
    fed.panes(1, false);
    fed.tick_by(Instant::now(), PRESENT + 2 * MINUTE);
    assert_eq!(fed.incident(), closed(CloseReason::Missed));
    // What was made up for in time was no news.
    assert_eq!(told(&fed), [""; 0]);
}

#[tokio::test]
async fn a_feed_that_is_old_by_nature_and_read_at_once_has_no_lag() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    // More always comes, and it is read when it comes.
    fed.unread = 50;
    fed.panes(5, false);
    let view = fed.tick_by(Instant::now(), PRESENT);
    assert_eq!((view.models[0].quality, view.models[0].faults.len()), (Quality::Ok, 0));
    fed.panes(10, true);
    assert_eq!(fed.incident(), SENT);
}

#[tokio::test]
async fn a_lag_is_known_of_partitions_that_are_counted_elsewhere() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    let heard = |fed: &Fed, unread: i64, caught_up| Counted::Heard {
        model: 0,
        progress: vec![(Progress { caught_up, ..fed.progress() }, fed.next_offset() + unread)],
        quiet: Vec::new(),
        in_topic: Some(1),
    };
    let behind = heard(&fed, 100, false);
    fed.tell(behind);
    let view = look(&mut fed, PRESENT);
    assert_eq!(view.models[0].faults[0].kind, FaultKind::Lag);
    assert!(view.models[0].faults[0].sentence.contains("100 records"));
    let read = heard(&fed, 0, true);
    fed.tell(read);
    assert_eq!(look(&mut fed, PRESENT).models[0].faults.len(), 0);
}
