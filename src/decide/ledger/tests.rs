//! The incident log folded: any prefix, repeat and order that a crash can leave.

use proptest::prelude::*;

use super::*;
use crate::decide::announcement::Announcement;
use crate::decide::announcement::Audience;
use crate::decide::announcement::Data;
use crate::decide::incident::Evidence;
use crate::decide::ledger::forget::CLOSED_KEPT;

const DIGEST: &str = "9f86d081884c7d65";
const TARGET: &str = "retraining_trigger/fraud";

pub(super) fn delivery(model: &str, id: &str, kind: Kind) -> Delivery {
    let trigger = kind == Kind::Trigger;
    Delivery {
        id: id.to_owned(),
        target: if trigger { "retraining_trigger" } else { "slack" }.to_owned(),
        channel: (!trigger).then(|| "ml".to_owned()),
        model: model.to_owned(),
        kind,
        audience: Audience::Ml,
        announcement: Announcement {
            event_type: "driftd.drift.detected".to_owned(),
            id: id.to_owned(),
            timestamp: rfc3339(0),
            data: Data::default(),
        },
    }
}

pub(super) fn opened(model: &str, ordinal: u64, event_ms: i64, held: bool, silent: bool) -> Record {
    let id = incident_id(model, DIGEST, ordinal);
    let told = delivery(model, &format!("{id}.triggered"), Kind::Triggered);
    let deliveries =
        if silent { Vec::new() } else { vec![delivery(model, &id, Kind::Trigger), told] };
    let incident = Incident {
        id,
        model: model.to_owned(),
        ordinal,
        state: IncidentState::Triggered,
        opened: rfc3339(event_ms),
        onset: None,
        closed: None,
        closed_as: None,
        attempts: Vec::new(),
        run: None,
        evidence: Evidence {
            baseline_digest: DIGEST.to_owned(),
            window_start: rfc3339(0),
            window_end: rfc3339(event_ms),
            records: 1000,
            explanation: String::new(),
            features: Vec::new(),
            more_features: 0,
        },
    };
    let incident = Box::new(incident);
    let digest = DIGEST.to_owned();
    Record::Opened { incident, digest, event_ms, at_ms: event_ms, held, deliveries }
}

pub(super) fn id(ordinal: u64) -> String {
    incident_id("fraud", DIGEST, ordinal)
}

pub(super) fn attempt(n: u32) -> Record {
    Record::Attempt { delivery: id(1), target: TARGET.to_owned(), n, at_ms: 10 * i64::from(n) }
}

pub(super) fn outcome(n: u32, result: DeliveryResult) -> Record {
    Record::Outcome {
        delivery: id(1),
        target: TARGET.to_owned(),
        n,
        at_ms: 10 * i64::from(n) + 1,
        status: Some(200),
        result,
        detail: "so it was".to_owned(),
        reference: None,
    }
}

pub(super) fn closed(ordinal: u64, closed_as: CloseReason, event_ms: i64) -> Record {
    let by = "driftd".to_owned();
    Record::Closed { incident: id(ordinal), closed_as, event_ms, at_ms: event_ms, by }
}

pub(super) fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Ledger {
    let mut ledger = Ledger::default();
    records.into_iter().for_each(|record| ledger.apply(record));
    ledger
}

/// Made by Python's `uuid.uuid5`. It must never change: after an upgrade the same drift is the same
/// incident, or a retraining would be started twice.
#[test]
fn the_same_drift_has_the_same_id_for_ever() {
    assert_eq!(id(1), "c221cc6e-055f-5ced-aa10-0ada955afd05");
    assert_eq!(id(2), "98eca8a9-64a5-5c01-9b4d-672e2047769e");
}

#[test]
fn after_a_crash_at_any_step_what_has_no_outcome_is_sent_again_under_its_id() {
    let log = [
        opened("fraud", 1, 0, false, false),
        attempt(1),
        outcome(1, DeliveryResult::Retry),
        attempt(2),
        outcome(2, DeliveryResult::Accepted),
    ];
    let pending = |steps: usize| {
        let ledger = fold(&log[..steps]);
        let triggers = ledger.pending().into_iter().filter(|o| o.delivery.kind == Kind::Trigger);
        triggers.map(|o| (o.delivery.id.clone(), o.attempts)).collect::<Vec<_>>()
    };
    assert_eq!(pending(0), []);
    assert_eq!(pending(1), [(id(1), 0)]);
    assert_eq!(pending(2), [(id(1), 1)]);
    assert_eq!(pending(3), [(id(1), 1)]);
    assert_eq!(pending(4), [(id(1), 2)]);
    assert_eq!(pending(5), []);
    let ledger = fold(&log);
    let entry = ledger.open("fraud").unwrap();
    assert_eq!((entry.incident.state, entry.accepted_at_ms), (IncidentState::Accepted, Some(21)));
    let oks: Vec<_> = entry.incident.attempts.iter().map(|a| (a.n, a.ok)).collect();
    assert_eq!(oks, [(1, Some(false)), (2, Some(true))]);
    assert!(entry.incident.attempts.iter().all(|a| a.message == Some(Kind::Trigger)));
    // The message for people is on its own.
    assert_eq!(ledger.pending().len(), 1);
}

#[test]
fn what_is_held_waits_until_it_is_released() {
    let mut ledger = fold(&[opened("fraud", 1, 0, true, false)]);
    assert!(ledger.pending().is_empty());
    assert!(ledger.open("fraud").is_some());
    ledger.apply(&Record::Released { incident: id(1), at_ms: 5 });
    assert_eq!(ledger.pending()[0].delivery.kind, Kind::Trigger);
    assert_eq!(ledger.pending().len(), 2);
}

#[test]
fn a_failed_delivery_leaves_the_incident_open_and_sends_nothing_more() {
    let ledger = fold(&[
        opened("fraud", 1, 0, false, false),
        attempt(1),
        outcome(1, DeliveryResult::Failed),
    ]);
    assert_eq!(ledger.open("fraud").unwrap().incident.state, IncidentState::DeliveryFailed);
    assert!(ledger.was_attempted(&id(1)));
    assert!(ledger.pending().iter().all(|o| o.delivery.kind != Kind::Trigger));
}

#[test]
fn a_closed_incident_is_not_triggered_any_more() {
    for closed_as in [CloseReason::Recovered, CloseReason::Replaced, CloseReason::Dismissed] {
        let ledger = fold(&[opened("fraud", 1, 7, false, false), closed(1, closed_as, 9)]);
        assert!(ledger.open("fraud").is_none());
        assert!(!ledger.was_attempted(&id(1)));
        assert!(ledger.pending().iter().all(|o| o.delivery.kind != Kind::Trigger));
        let incident = &ledger.incidents()[0];
        assert_eq!((incident.state, incident.closed_as), (IncidentState::Closed, Some(closed_as)));
        assert_eq!(ledger.last_closed_event_ms("fraud", false), Some(9));
        assert_eq!(ledger.next_ordinal("fraud", DIGEST), 2);
    }
}

#[test]
fn only_triggers_that_were_meant_to_be_sent_use_up_the_budget() {
    let ledger = fold(&[
        opened("fraud", 1, 10, false, false),
        closed(1, CloseReason::Replaced, 11),
        opened("fraud", 2, 20, true, false),
        closed(2, CloseReason::Missed, 21),
        opened("fraud", 3, 30, false, true),
        closed(3, CloseReason::Recovered, 31),
        opened("fraud", 4, 40, false, false),
        opened("churn", 1, 50, false, false),
    ]);
    assert_eq!(ledger.triggers_after("fraud", 0), 2);
    assert_eq!(ledger.triggers_after("fraud", 10), 1);
    assert_eq!(ledger.triggers_after("fraud", 40), 0);
    assert_eq!(ledger.next_ordinal("fraud", DIGEST), 5);
    assert_eq!(ledger.next_ordinal("fraud", "another"), 1);
}

#[test]
fn of_what_was_missed_nothing_is_left_to_be_told_nor_to_be_ended() {
    let mut ledger = fold(&[opened("fraud", 1, 0, true, false)]);
    ledger.apply(&closed(1, CloseReason::Missed, 5));
    assert!(ledger.outgoing.values().all(|outgoing| outgoing.done));
    assert_eq!((ledger.begun().count(), ledger.told(&id(1))), (0, None));
    // Also when the incident itself is forgotten.
    for ordinal in 2..1000 {
        ledger.apply(&opened("fraud", ordinal, 0, false, true));
        ledger.apply(&closed(ordinal, CloseReason::Recovered, 1));
    }
    assert!(ledger.entry(&id(1)).is_none() && ledger.pending().is_empty());
}

#[test]
fn a_drift_was_told_by_the_incident_that_was_open_during_it_and_by_no_other() {
    let told = |held, silent| {
        let ledger =
            fold(&[opened("fraud", 1, 10, held, silent), closed(1, CloseReason::Dismissed, 20)]);
        [9, 20, 21].map(|since_ms| ledger.was_told_since("fraud", since_ms))
    };
    assert_eq!(told(false, false), [true, true, false]);
    // Nobody heard of one that was held to its end, or of one of a dry run.
    assert_eq!(told(true, false), [false; 3]);
    assert_eq!(told(false, true), [false; 3]);
}

#[test]
fn a_message_has_ended_when_its_story_has() {
    let mut warning = delivery("fraud", "w.warning", Kind::Warning);
    let queued =
        |delivery: &Delivery| Record::Queued { delivery: Box::new(delivery.clone()), at_ms: 1 };
    let mut ledger = fold(&[queued(&warning)]);
    assert!(!ledger.has_ended("w.warning") && !ledger.has_ended("unknown"));
    let began = ledger.began("driftd/fraud/warning").map(|told| told.delivery.id.as_str());
    assert_eq!((began, ledger.begun().count()), (Some("w.warning"), 1));
    (warning.id, warning.kind) = ("w.warning.over".to_owned(), Kind::Recovered);
    ledger.apply(&queued(&warning));
    assert!(ledger.has_ended("w.warning") && !ledger.has_ended("w.warning.over"));
    assert_eq!(ledger.began("driftd/fraud/warning"), None);
}

#[test]
fn memory_does_not_grow_with_history() {
    let mut ledger = Ledger::default();
    for ordinal in 1..1000 {
        ledger.apply(&opened("fraud", ordinal, 0, false, true));
        ledger.apply(&closed(ordinal, CloseReason::Recovered, 1));
    }
    assert_eq!(ledger.incidents().len(), CLOSED_KEPT);
    assert_eq!(ledger.incidents()[0].ordinal, 999);
    assert_eq!(ledger.next_ordinal("fraud", DIGEST), 1000);
}

pub(super) fn record() -> impl Strategy<Value = Record> {
    let model = prop_oneof![Just("fraud"), Just("churn")];
    let result = prop_oneof![
        Just(DeliveryResult::Accepted),
        Just(DeliveryResult::AlreadyThere),
        Just(DeliveryResult::Retry),
        Just(DeliveryResult::Failed),
        Just(DeliveryResult::Cancelled),
    ];
    let reason = prop_oneof![Just(CloseReason::Replaced), Just(CloseReason::Missed)];
    let state = prop_oneof![Just(IncidentState::Unconfirmed), Just(IncidentState::Stuck)];
    prop_oneof![
        (model, 1..4u64, any::<bool>(), any::<bool>())
            .prop_map(|(model, n, held, silent)| opened(model, n, 5, held, silent)),
        (1..4u32).prop_map(attempt),
        (1..4u32, result).prop_map(|(n, result)| outcome(n, result)),
        (1..4u64, reason).prop_map(|(n, reason)| closed(n, reason, 6)),
        (1..4u64).prop_map(|n| Record::Released { incident: id(n), at_ms: 7 }),
        (1..4u64, state).prop_map(|(n, state)| Record::Marked { incident: id(n), state, at_ms: 8 }),
        (any::<bool>(), 1..3u64, 1..9u64).prop_map(|(fraud, ordinal, incidents)| {
            let model = if fraud { "fraud" } else { "churn" }.to_owned();
            let figures = Figures::default();
            Record::Forgotten { model, digest: DIGEST.to_owned(), ordinal, incidents, figures }
        }),
        (1..4u64).prop_map(|n| {
            let told = delivery("fraud", &format!("{}.closed", id(n)), Kind::Closed);
            Record::Queued { delivery: Box::new(told), at_ms: 9 }
        }),
    ]
}

proptest! {
    #[test]
    fn any_log_folds_to_a_legal_state(records in proptest::collection::vec(record(), 0..40)) {
        let mut ledger = Ledger::default();
        for record in &records {
            ledger.apply(record);
            for model in ["fraud", "churn"] {
                let open = ledger.open_entries().filter(|e| e.incident.model == model).count();
                prop_assert!(open <= 1, "{} open of {}", open, model);
            }
            for entry in &ledger.entries {
                prop_assert_eq!(entry.is_open(), entry.incident.closed.is_none());
                prop_assert_eq!(entry.is_open(), entry.incident.closed_as.is_none());
                prop_assert_eq!(entry.is_open(), entry.closed_event_ms.is_none());
            }
            for outgoing in ledger.pending() {
                let entry = ledger.entry(incident_of(&outgoing.delivery));
                let trigger = outgoing.delivery.kind == Kind::Trigger;
                prop_assert!(!trigger || entry.is_some_and(Entry::is_open));
                prop_assert!(entry.is_none_or(|entry| !entry.held));
            }
        }
    }

    /// An append that failed may have been written all the same, and is then made again.
    #[test]
    fn a_repeated_record_changes_nothing(records in proptest::collection::vec(record(), 0..40)) {
        let twice = records.iter().flat_map(|record| [record, record]);
        prop_assert_eq!(fold(twice), fold(&records));
    }

    #[test]
    fn a_record_reads_back_as_it_was_written(record in record()) {
        let json = serde_json::to_vec(&record).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Record>(&json).unwrap(), record);
    }
}
