//! Rejected records on their way to the dead-letter topic.

use std::borrow::Cow;

use crate::decode::Reason;
use crate::decode::Reject;
use crate::kafka::dead_letter::Verdict;
use crate::kafka::message::Group;
use crate::offsets::TopicPartition;
use crate::pipeline::ingest::Ingest;

/// A record that a model could not use.
pub(super) struct Dead {
    offset: i64,
    model: usize,
    reason: Reason,
    hint: Option<Cow<'static, str>>,
}

impl Dead {
    pub(super) fn new(model: usize, reject: &Reject) -> Self {
        let Reject { offset, reason, hint } = reject.clone();
        Self { offset, model, reason, hint }
    }

    /// Well formed, but its event time cannot be.
    pub(super) fn of_time(model: usize, offset: i64, reason: Reason) -> Self {
        Self { offset, model, reason, hint: None }
    }
}

impl Ingest<'_> {
    /// Copies rejected records, once a model however many of its rows were bad.
    pub(super) fn bury(
        &self,
        partition: &TopicPartition,
        records: &Group<'_>,
        mut dead: Vec<Dead>,
    ) {
        let Some(dead_letters) = self.dead_letters.as_ref().filter(|_| !dead.is_empty()) else {
            return;
        };
        dead.sort_by_key(|dead| (dead.offset, dead.model));
        dead.dedup_by_key(|dead| (dead.offset, dead.model));
        let mut dead = dead.iter().peekable();
        for record in records.clone().originals() {
            let offset = record.offset();
            while let Some(Dead { model, reason, hint, .. }) =
                dead.next_if(|dead| dead.offset == offset)
            {
                let model = self.desk.specs[*model].name();
                let verdict = Verdict { model, reason: reason.as_str(), hint: hint.as_deref() };
                dead_letters.copy(&record, &partition.topic, partition.partition, verdict);
            }
        }
    }
}
