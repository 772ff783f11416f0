//! A batch of messages as readers see it: grouped by partition, borrowed from librdkafka, never copied.

use std::fmt;
use std::sync::Arc;

use rdkafka::Message as _;
use rdkafka::message::OwnedMessage;
use rdkafka::types::RDKafkaErrorCode;

use crate::decode::Message;
use crate::kafka::ffi;
use crate::offsets::TopicPartition;

/// Messages as they came, errors among them; several `MessageBatch`es may be cut from one.
pub(crate) struct RawBatch(Arc<Held>);

enum Held {
    /// From our own queue.
    Queued(ffi::Messages),
    /// From `poll`: copied, and rare.
    Polled(OwnedMessage),
}

impl RawBatch {
    pub(super) fn new(messages: ffi::Messages) -> Self {
        Self(Arc::new(Held::Queued(messages)))
    }

    pub(crate) fn polled(message: OwnedMessage) -> Self {
        Self(Arc::new(Held::Polled(message)))
    }

    pub(crate) fn len(&self) -> usize {
        match &*self.0 {
            Held::Queued(messages) => messages.len(),
            Held::Polled(_) => 1,
        }
    }

    /// Tells partitions of this batch apart without looking at names.
    pub(crate) fn key(&self, index: usize) -> (usize, i32) {
        match &*self.0 {
            Held::Queued(messages) => {
                let message = messages.get(index);
                (message.topic_key(), message.partition())
            }
            Held::Polled(message) => (0, message.partition()),
        }
    }

    pub(crate) fn topic(&self, index: usize) -> &str {
        match &*self.0 {
            Held::Queued(messages) => messages.get(index).topic(),
            Held::Polled(message) => message.topic(),
        }
    }

    pub(crate) fn offset(&self, index: usize) -> i64 {
        match &*self.0 {
            Held::Queued(messages) => messages.get(index).offset(),
            Held::Polled(message) => message.offset(),
        }
    }

    /// The error that stands in a message's place.
    pub(crate) fn error(&self, index: usize) -> Option<(RDKafkaErrorCode, String)> {
        match &*self.0 {
            Held::Queued(messages) => messages.get(index).error(),
            Held::Polled(_) => None,
        }
    }
}

/// Consecutive messages of one partition.
#[derive(Clone, Copy)]
struct Run {
    group: usize,
    start: usize,
    end: usize,
}

/// Collects which messages of a raw batch are to be read, and whose they are.
#[derive(Default)]
pub(crate) struct Sorter {
    runs: Vec<Run>,
    groups: Vec<TopicPartition>,
}

impl Sorter {
    /// Message `index` belongs to `partition`; indices only grow.
    pub(crate) fn push(&mut self, index: usize, partition: &TopicPartition) {
        if let Some(run) = self.runs.last_mut()
            && run.end == index
            && self.groups[run.group] == *partition
        {
            run.end += 1;
            return;
        }
        let group = self.groups.iter().position(|known| known == partition);
        let group = group.unwrap_or_else(|| {
            self.groups.push(partition.clone());
            self.groups.len() - 1
        });
        self.runs.push(Run { group, start: index, end: index + 1 });
    }

    /// Message `index` goes on with the run of the message before it.
    pub(crate) fn extend(&mut self, index: usize) {
        if let Some(run) = self.runs.last_mut() {
            debug_assert_eq!(run.end, index);
            run.end = index + 1;
        }
    }

    /// The batch so far, if anything is in it; starts over.
    pub(crate) fn cut(&mut self, raw: &RawBatch) -> Option<MessageBatch> {
        let Sorter { runs, groups } = std::mem::take(self);
        (!runs.is_empty()).then(|| MessageBatch { held: Arc::clone(&raw.0), runs, groups })
    }
}

/// Records of some partitions, in offset order in each. The memory is librdkafka's and goes back to
/// it on drop, so a batch must not be kept.
pub struct MessageBatch {
    held: Arc<Held>,
    runs: Vec<Run>,
    groups: Vec<TopicPartition>,
}

impl MessageBatch {
    /// Records in the batch; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// Each partition once, with its records in offset order.
    pub fn groups(&self) -> impl Iterator<Item = (&TopicPartition, Group<'_>)> {
        self.groups.iter().enumerate().map(|(group, partition)| {
            (partition, Group { batch: self, group, next_run: 0, at: 0, end: 0 })
        })
    }

    fn message(&self, index: usize) -> Message<'_> {
        match &*self.held {
            Held::Queued(messages) => {
                let message = messages.get(index);
                Message {
                    offset: message.offset(),
                    timestamp_ms: message.timestamp_ms(),
                    payload: message.payload(),
                }
            }
            Held::Polled(message) => Message {
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                payload: message.payload(),
            },
        }
    }
}

impl fmt::Debug for MessageBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBatch")
            .field("partitions", &self.groups)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// One partition's records of a batch, in offset order.
#[derive(Clone)]
pub struct Group<'a> {
    batch: &'a MessageBatch,
    group: usize,
    next_run: usize,
    at: usize,
    end: usize,
}

impl<'a> Iterator for Group<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        while self.at == self.end {
            let run = self.batch.runs.get(self.next_run)?;
            self.next_run += 1;
            if run.group == self.group {
                (self.at, self.end) = (run.start, run.end);
            }
        }
        self.at += 1;
        Some(self.batch.message(self.at - 1))
    }
}
