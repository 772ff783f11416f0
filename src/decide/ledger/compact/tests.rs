//! A log that was rewritten tells what it told before, and goes on as it would have.

use proptest::prelude::*;

use super::*;
use crate::decide::announcement::Kind;
use crate::decide::incident::CloseReason;
use crate::decide::ledger::forget::{CLOSED_KEPT, MESSAGES_KEPT};
use crate::decide::ledger::tests::{closed, delivery, fold, id, opened, record};
use crate::decide::record::DeliveryResult;

fn warning(number: i64) -> [Record; 3] {
    let told = delivery("fraud", &format!("w{number:05}.warning"), Kind::Warning);
    let (delivery, target) = (told.id.clone(), told.target_name());
    [
        Record::Queued { delivery: Box::new(told), at_ms: number },
        Record::Attempt { delivery: delivery.clone(), target: target.clone(), n: 1, at_ms: number },
        Record::Outcome {
            delivery,
            target,
            n: 1,
            at_ms: number,
            status: Some(200),
            result: DeliveryResult::Accepted,
            detail: String::new(),
            reference: None,
        },
    ]
}

/// Years of one model with a drift a day, a rare one of another, and warnings in between.
fn history() -> Vec<Record> {
    let mut log = vec![opened("churn", 1, 1, false, true)];
    for ordinal in 1..900 {
        let day = i64::try_from(ordinal).unwrap();
        log.push(opened("fraud", ordinal, day, false, ordinal % 3 == 0));
        log.push(closed(ordinal, CloseReason::Replaced, day + 1));
        log.extend(warning(2 * day));
        log.extend(warning(2 * day + 1));
        log.push(Record::Baseline {
            model: "fraud".to_owned(),
            digest: format!("{ordinal}"),
            source: "s3://bucket/key".to_owned(),
            active_from_ms: day,
            at_ms: day,
        });
    }
    log.push(opened("fraud", 900, 5000, false, false));
    log
}

#[test]
fn years_become_what_is_still_needed() {
    let log = history();
    let (before, bytes) = (fold(&log), serde_json::to_vec(&log).unwrap().len());
    let short = compact(log);
    let after = fold(&short);
    assert!(after == before, "the same ledger");
    assert!(serde_json::to_vec(&short).unwrap().len() < bytes * 2 / 3, "{bytes}");
    assert_eq!((after.opened("fraud"), after.opened("churn")), (900, 1));
    let id = &id(900);
    assert_eq!(after.open("fraud").map(|e| &e.incident.id), Some(id));
    assert_eq!(after.next_ordinal("fraud", "9f86d081884c7d65"), 901);
    let known = |number: i64| match &warning(number)[0] {
        Record::Queued { delivery, .. } => after.knows(delivery),
        other => panic!("{other:?}"),
    };
    assert!(known(1799) && !known(2));
    assert!(after.incidents().len() <= CLOSED_KEPT + 2);
    assert!(compact(short.clone()) == short, "nothing is left to leave out");
    let done = after.outgoing.values().filter(|o| o.delivery.kind == Kind::Warning).count();
    // And the one that people still have before them.
    assert_eq!(done, MESSAGES_KEPT + 1);
    assert_eq!(after.pending().len(), before.pending().len());
}

#[test]
fn a_model_that_is_rarely_told_of_is_not_forgotten_for_the_others() {
    let mut log = vec![opened("churn", 1, 10, false, false)];
    log.push(Record::Closed {
        incident: match &log[0] {
            Record::Opened { incident, .. } => incident.id.clone(),
            other => panic!("{other:?}"),
        },
        closed_as: CloseReason::Replaced,
        event_ms: 20,
        at_ms: 20,
        by: String::new(),
    });
    log.extend(history().into_iter().skip(1));
    let ledger = fold(&compact(log));
    assert_eq!(ledger.last_closed_event_ms("churn", false), Some(20));
    assert_eq!(ledger.triggers_after("churn", 0), 1, "its budget is still used");
}

proptest! {
    #[test]
    fn any_log_that_was_rewritten_goes_on_as_before(
        first in proptest::collection::vec(record(), 0..40),
        later in proptest::collection::vec(record(), 0..20),
    ) {
        let short = compact(first.clone());
        prop_assert_eq!(fold(&short), fold(&first));
        prop_assert!(short.len() <= first.len() + 4);
        prop_assert_eq!(fold(short.iter().chain(&later)), fold(first.iter().chain(&later)));
    }
}
