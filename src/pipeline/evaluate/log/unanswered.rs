//! Attempts that another process has begun, and whose answer nobody has told yet.

use std::collections::BTreeMap;

use crate::decide::ledger::Ledger;
use crate::decide::record::Record;

/// By message and target.
type Attempts<T> = BTreeMap<(String, String), T>;

/// Folded from the same records as the ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unanswered {
    /// The last attempt of another process: its number, and when it was begun.
    others: Attempts<(u32, i64)>,
    /// The number of the last one of this process, which knows itself what became of it.
    ours: Attempts<u32>,
}

impl Unanswered {
    /// An attempt was written by this process; called before it is folded in.
    pub(crate) fn made_here(&mut self, record: &Record) {
        if let Record::Attempt { delivery, target, n, .. } = record {
            self.ours.insert((delivery.clone(), target.clone()), *n);
        }
    }

    /// Folds one more record in.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Attempt { delivery, target, n, at_ms } => {
                let key = (delivery.clone(), target.clone());
                match self.ours.get(&key) == Some(n) {
                    true => drop(self.others.remove(&key)),
                    false => drop(self.others.insert(key, (*n, *at_ms))),
                }
            }
            Record::Outcome { delivery, target, n, .. } => {
                let key = (delivery.clone(), target.clone());
                if self.others.get(&key).is_some_and(|(last, _)| last <= n) {
                    self.others.remove(&key);
                }
            }
            Record::Baseline { .. }
            | Record::Opened { .. }
            | Record::Released { .. }
            | Record::Queued { .. }
            | Record::Run { .. }
            | Record::Marked { .. }
            | Record::Accepted { .. }
            | Record::Forgotten { .. }
            | Record::Closed { .. } => {}
        }
    }

    /// Forgets what is on its way no more.
    pub(crate) fn tidy(&mut self, ledger: &Ledger) {
        let waits = |(delivery, target): &(String, String)| {
            ledger.outgoing(delivery, target).is_some_and(|outgoing| !outgoing.done)
        };
        self.others.retain(|key, _| waits(key));
        self.ours.retain(|key, _| waits(key));
    }

    /// When another process began the last attempt, if its answer is not known.
    pub(crate) fn since_ms(&self, delivery: &str, target: &str) -> Option<i64> {
        let key = (delivery.to_owned(), target.to_owned());
        self.others.get(&key).map(|(_, at_ms)| *at_ms)
    }
}

#[cfg(test)]
mod tests {
    use crate::decide::record::DeliveryResult;

    use super::*;

    fn attempt(n: u32, at_ms: i64) -> Record {
        Record::Attempt { delivery: "a".to_owned(), target: "t".to_owned(), n, at_ms }
    }

    fn outcome(n: u32) -> Record {
        Record::Outcome {
            delivery: "a".to_owned(),
            target: "t".to_owned(),
            n,
            at_ms: 0,
            status: None,
            result: DeliveryResult::Retry,
            detail: String::new(),
            reference: None,
        }
    }

    #[test]
    fn an_attempt_of_another_is_unanswered_until_its_own_outcome() {
        let mut unanswered = Unanswered::default();
        unanswered.apply(&attempt(1, 5));
        unanswered.apply(&attempt(2, 7));
        assert_eq!(unanswered.since_ms("a", "t"), Some(7));
        unanswered.apply(&outcome(1));
        assert_eq!(unanswered.since_ms("a", "t"), Some(7));
        assert_eq!(unanswered.since_ms("a", "another"), None);
        unanswered.apply(&outcome(2));
        assert_eq!(unanswered.since_ms("a", "t"), None);
    }

    #[test]
    fn what_this_process_has_begun_is_not_waited_for() {
        let mut unanswered = Unanswered::default();
        unanswered.apply(&attempt(1, 5));
        unanswered.made_here(&attempt(2, 9));
        unanswered.apply(&attempt(2, 9));
        assert_eq!(unanswered.since_ms("a", "t"), None);
        // It was another's for a while.
        unanswered.apply(&attempt(3, 11));
        assert_eq!(unanswered.since_ms("a", "t"), Some(11));
        unanswered.tidy(&Ledger::default());
        assert!(unanswered.others.is_empty() && unanswered.ours.is_empty());
    }
}
