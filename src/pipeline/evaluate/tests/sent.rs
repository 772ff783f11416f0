//! Messages whose target is not there, and attempts that were called back.

use super::*;
use crate::decide::Kind as Told;
use crate::decide::ledger::Outgoing;
use crate::decide::record::{DeliveryResult, Record};
use crate::deliver::Outcome;

/// A model that has drifted: a trigger and messages to Slack wait.
fn drifted(dir: &Path) -> (Fed, String) {
    let mut fed = Fed::start(dir, 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    let id = fed.evaluate.log.ledger().open("fraud").unwrap().incident.id.clone();
    (fed, id)
}

fn waiting(fed: &Fed) -> Vec<Told> {
    let pending = fed.evaluate.log.ledger().pending();
    pending.iter().map(|outgoing| outgoing.delivery.kind).collect()
}

/// The outcomes in the log that were not wanted any more, by target.
fn cancelled(dir: &Path) -> Vec<String> {
    let stored = FileStore::open(dir).unwrap().load_incidents().unwrap().records;
    let of = |(_, json): &(u8, Vec<u8>)| match serde_json::from_slice(json).unwrap() {
        Record::Outcome { target, result: DeliveryResult::Cancelled, .. } => Some(target),
        _ => None,
    };
    stored.iter().filter_map(of).collect()
}

#[tokio::test]
async fn what_is_for_a_target_that_was_taken_out_is_cancelled_once_and_a_trigger_waits() {
    let dir = TempDir::new().unwrap();
    let (fed, _) = drifted(dir.path());
    let waited = waiting(&fed);
    assert!(waited.contains(&Told::Trigger) && waited.contains(&Told::Triggered), "{waited:?}");
    drop(fed);
    assert_eq!(cancelled(dir.path()), [""; 0]);

    let bare = Spec { people: Vec::new(), trigger: None, ..spec() };
    let mut fed = Fed::start_by(bare.clone(), dir.path(), 30, 0);
    for later in [0, 6, 12] {
        fed.tick_at(Instant::now() + Duration::from_secs(later));
        fed.evaluate.send_pending();
    }
    assert_eq!((waiting(&fed), fed.evaluate.waiting), (vec![Told::Trigger], None));
    drop(fed);
    let people = waited.iter().filter(|kind| **kind != Told::Trigger).count();
    assert_eq!(cancelled(dir.path()), vec!["slack/ops"; people]);

    // Back in the configuration, the trigger is sent; what people were not told then is past.
    let fed = Fed::start(dir.path(), 30, 0);
    assert_eq!((waiting(&fed), fed.incident()), (vec![Told::Trigger], SENT));
    let queued = |target: &str| {
        let mut waiting = fed.evaluate.deliverer.waiting();
        waiting.find(|(name, _)| *name == target).map(|(_, n)| n)
    };
    assert_eq!(queued("retraining_trigger/fraud"), Some(1));
    assert_eq!(queued("slack/ops"), Some(0));
}

/// An attempt that its target called back before it was sent.
fn called_back(fed: &mut Fed, id: &str) {
    let target = "retraining_trigger/fraud".to_owned();
    let attempt =
        Record::Attempt { delivery: id.to_owned(), target: target.clone(), n: 1, at_ms: 5 };
    assert!(fed.evaluate.log.append(&attempt));
    let event = deliver::Event::Outcome {
        id: id.to_owned(),
        target,
        n: 1,
        at_ms: 5,
        status: None,
        result: Outcome::Cancelled,
        detail: "called back before it was sent".to_owned(),
        reference: None,
        next_attempt_ms: None,
        elapsed: Duration::ZERO,
    };
    fed.evaluate.apply(Event::Delivery(event), (Instant::now(), 5));
}

#[tokio::test]
async fn an_attempt_that_nobody_waits_for_any_more_is_not_written_down() {
    let dir = TempDir::new().unwrap();
    let (mut fed, id) = drifted(dir.path());
    let mut asks = |gone: bool| {
        let (ack, mut answer) = oneshot::channel();
        if gone {
            answer.close();
        }
        let (id, target) = (id.clone(), "retraining_trigger/fraud".to_owned());
        let event = deliver::Event::Attempting { id, target, n: 1, ack };
        fed.evaluate.apply(Event::Delivery(event), (Instant::now(), 5));
        fed.evaluate.log.ledger().was_attempted(&fed.evaluate.log.ledger().incidents()[0].id)
    };
    assert!(!asks(true), "a stop in this moment: the next start makes the first attempt");
    assert!(asks(false));
}

#[tokio::test]
async fn an_attempt_that_was_called_back_is_no_failure() {
    let dir = TempDir::new().unwrap();
    let (mut fed, id) = drifted(dir.path());
    let before = waiting(&fed);
    // Given back, and not closed: the trigger is still to be sent, by whoever has the model.
    called_back(&mut fed, &id);
    assert_eq!((waiting(&fed), fed.incident()), (before, SENT));
    let by = "someone";
    assert!(fed.evaluate.close(&id, CloseReason::Dismissed, (0, 5), by));
    called_back(&mut fed, &id);
    assert_eq!(fed.incident(), closed(CloseReason::Dismissed));
    let failed = |outgoing: &&Outgoing| outgoing.delivery.kind == Told::DeliveryFailed;
    assert_eq!(fed.evaluate.log.ledger().pending().into_iter().find(failed), None);
    let incident = fed.evaluate.log.ledger().incidents().remove(0);
    assert_eq!(incident.attempts[0].ok, Some(false));
    drop(fed);
    assert_eq!(cancelled(dir.path()), ["retraining_trigger/fraud"]);
}
