//! A batch of messages as readers see it: grouped by partition, borrowed from librdkafka, never copied.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rdkafka::Message as _;
use rdkafka::message::Headers as _;
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
    /// From `poll`, or read by another process: of one partition and rare.
    Copied(Vec<OwnedMessage>),
}

impl RawBatch {
    pub(super) fn new(messages: ffi::Messages) -> Self {
        Self(Arc::new(Held::Queued(messages)))
    }

    pub(crate) fn polled(message: OwnedMessage) -> Self {
        Self(Arc::new(Held::Copied(vec![message])))
    }

    pub(crate) fn len(&self) -> usize {
        match &*self.0 {
            Held::Queued(messages) => messages.len(),
            Held::Copied(messages) => messages.len(),
        }
    }

    /// Tells partitions of this batch apart without looking at names.
    pub(crate) fn key(&self, index: usize) -> (usize, i32) {
        match &*self.0 {
            Held::Queued(messages) => {
                let message = messages.get(index);
                (message.topic_key(), message.partition())
            }
            Held::Copied(messages) => (0, messages[index].partition()),
        }
    }

    pub(crate) fn topic(&self, index: usize) -> &str {
        match &*self.0 {
            Held::Queued(messages) => messages.get(index).topic(),
            Held::Copied(messages) => messages[index].topic(),
        }
    }

    pub(crate) fn offset(&self, index: usize) -> i64 {
        match &*self.0 {
            Held::Queued(messages) => messages.get(index).offset(),
            Held::Copied(messages) => messages[index].offset(),
        }
    }

    /// The longest stretch from `index` on of one partition's messages, in ascending offsets and
    /// without errors; the first of them is of the stretch whatever it is.
    pub(crate) fn stretch(&self, index: usize) -> Stretch {
        match &*self.0 {
            Held::Queued(messages) => {
                let first = messages.get(index);
                let mut stretch = Stretch {
                    start: index,
                    end: index + 1,
                    last_offset: first.offset(),
                    bytes: first.payload_len(),
                };
                let rest = messages.from(stretch.end);
                for message in rest.take_while(|message| message.goes_on(first)) {
                    if message.offset() <= stretch.last_offset {
                        break;
                    }
                    stretch.end += 1;
                    stretch.last_offset = message.offset();
                    stretch.bytes += message.payload_len();
                }
                stretch
            }
            Held::Copied(messages) => Stretch {
                start: index,
                end: messages.len(),
                last_offset: messages.last().map_or(-1, |message| message.offset()),
                bytes: messages[index..].iter().filter_map(|m| m.payload()).map(<[u8]>::len).sum(),
            },
        }
    }

    /// Epoch of the leader that wrote a message, where that is known.
    pub(crate) fn leader_epoch(&self, index: usize) -> Option<i32> {
        match &*self.0 {
            Held::Queued(messages) => messages.get(index).leader_epoch(),
            Held::Copied(_) => None,
        }
    }

    /// The error that stands in a message's place.
    pub(crate) fn error(&self, index: usize) -> Option<(RDKafkaErrorCode, String)> {
        match &*self.0 {
            Held::Queued(messages) => messages.get(index).error(),
            Held::Copied(_) => None,
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

/// Messages of one partition in a raw batch, one behind the other, none of them an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Offset of the last of them.
    pub(crate) last_offset: i64,
    /// Of all payloads together.
    pub(crate) bytes: usize,
}

/// What a batch has of one partition.
#[derive(Debug)]
struct Part {
    partition: TopicPartition,
    first_offset: i64,
    last_offset: i64,
    /// Of the last of them.
    leader_epoch: Option<i32>,
    records: usize,
    bytes: usize,
    /// Its runs, once they are sorted.
    runs: Range<usize>,
}

/// Collects which messages of a raw batch are to be read, and whose they are.
#[derive(Default)]
pub(crate) struct Sorter {
    runs: Vec<Run>,
    parts: Vec<Part>,
}

impl Sorter {
    /// These messages belong to `partition`; they come in the order of the raw batch.
    pub(crate) fn push(
        &mut self,
        Stretch { start, end, last_offset, bytes }: Stretch,
        (first_offset, leader_epoch): (i64, Option<i32>),
        partition: &TopicPartition,
    ) {
        let records = end - start;
        let known = self.parts.iter().position(|known| known.partition == *partition);
        let group = known.unwrap_or(self.parts.len());
        match known.map(|group| &mut self.parts[group]) {
            Some(part) => {
                part.last_offset = last_offset;
                part.leader_epoch = leader_epoch;
                part.records += records;
                part.bytes += bytes;
            }
            None => {
                let partition = partition.clone();
                let runs = 0..0;
                self.parts.push(Part {
                    partition,
                    first_offset,
                    last_offset,
                    leader_epoch,
                    records,
                    bytes,
                    runs,
                });
            }
        }
        self.runs.push(Run { group, start, end });
    }

    /// The batch so far, if anything is in it; starts over.
    pub(crate) fn cut(&mut self, raw: &RawBatch) -> Option<MessageBatch> {
        let Sorter { mut runs, mut parts } = std::mem::take(self);
        // Stable: a partition's own runs stay in their order.
        runs.sort_by_key(|run| run.group);
        let mut at = 0;
        for (group, part) in parts.iter_mut().enumerate() {
            let end = at + runs[at..].partition_point(|run| run.group == group);
            part.runs = at..end;
            at = end;
        }
        (!runs.is_empty()).then(|| MessageBatch { held: Arc::clone(&raw.0), runs, parts })
    }
}

/// Records of some partitions, in offset order in each. The memory is librdkafka's and goes back to
/// it on drop, so a batch must not be kept.
pub struct MessageBatch {
    held: Arc<Held>,
    runs: Vec<Run>,
    parts: Vec<Part>,
}

impl MessageBatch {
    /// Records of one partition in ascending offsets, and the offset behind them; `None` of none.
    pub(crate) fn copied(
        partition: &TopicPartition,
        messages: Vec<OwnedMessage>,
    ) -> Option<(Self, i64)> {
        let first_offset = messages.first()?.offset();
        let raw = RawBatch(Arc::new(Held::Copied(messages)));
        let (stretch, mut sorter) = (raw.stretch(0), Sorter::default());
        sorter.push(stretch, (first_offset, None), partition);
        Some((sorter.cut(&raw)?, stretch.last_offset + 1))
    }

    /// Records in the batch; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.records).sum()
    }

    /// Each partition once, with its records in offset order.
    pub fn groups(&self) -> impl Iterator<Item = (&TopicPartition, Group<'_>)> {
        self.parts.iter().map(|part| {
            let runs = &self.runs[part.runs.clone()];
            (&part.partition, Group { held: &self.held, part, runs, at: 0, end: 0 })
        })
    }
}

impl Held {
    #[inline]
    fn message(&self, index: usize) -> Message<'_> {
        match self {
            Held::Queued(messages) => {
                let message = messages.get(index);
                Message {
                    offset: message.offset(),
                    timestamp_ms: message.timestamp_ms(),
                    payload: message.payload(),
                }
            }
            Held::Copied(messages) => {
                let message = &messages[index];
                Message {
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                    payload: message.payload(),
                }
            }
        }
    }
}

impl fmt::Debug for MessageBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBatch")
            .field("partitions", &self.parts)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// One partition's records of a batch, in offset order.
#[derive(Clone)]
pub struct Group<'a> {
    held: &'a Held,
    part: &'a Part,
    /// Those that have not begun.
    runs: &'a [Run],
    at: usize,
    end: usize,
}

impl Group<'_> {
    /// How many records, read or not.
    pub fn records(&self) -> usize {
        self.part.records
    }

    /// Of all payloads together.
    pub fn bytes(&self) -> usize {
        self.part.bytes
    }

    pub fn first_offset(&self) -> i64 {
        self.part.first_offset
    }

    pub fn last_offset(&self) -> i64 {
        self.part.last_offset
    }

    /// Epoch of the leader that wrote the last of them, where that is known.
    pub fn leader_epoch(&self) -> Option<i32> {
        self.part.leader_epoch
    }
}

impl<'a> Group<'a> {
    /// The same records with everything that came with them.
    pub fn originals(mut self) -> impl Iterator<Item = Original<'a>> {
        std::iter::from_fn(move || Some(Original { held: self.held, index: self.advance()? }))
    }

    #[inline]
    fn advance(&mut self) -> Option<usize> {
        while self.at == self.end {
            let (run, later) = self.runs.split_first()?;
            self.runs = later;
            (self.at, self.end) = (run.start, run.end);
        }
        self.at += 1;
        Some(self.at - 1)
    }
}

impl<'a> Iterator for Group<'a> {
    type Item = Message<'a>;

    #[inline]
    fn next(&mut self) -> Option<Message<'a>> {
        self.advance().map(|index| self.held.message(index))
    }
}

/// A record with everything that came with it.
pub struct Original<'a> {
    held: &'a Held,
    index: usize,
}

impl<'a> Original<'a> {
    pub fn offset(&self) -> i64 {
        self.held.message(self.index).offset
    }

    /// ms since the epoch; -1 when the record has none.
    pub fn timestamp_ms(&self) -> i64 {
        self.held.message(self.index).timestamp_ms
    }

    pub fn payload(&self) -> Option<&'a [u8]> {
        self.held.message(self.index).payload
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        match self.held {
            Held::Queued(messages) => messages.get(self.index).key(),
            Held::Copied(messages) => messages[self.index].key(),
        }
    }

    /// Names and values, in order; a value may be null.
    pub fn headers(&self) -> Vec<(String, Option<&'a [u8]>)> {
        match self.held {
            Held::Queued(messages) => messages.headers(self.index),
            Held::Copied(messages) => {
                let headers = messages[self.index].headers();
                let headers = headers.into_iter().flat_map(|headers| headers.iter());
                headers.map(|header| (header.key.to_owned(), header.value)).collect()
            }
        }
    }
}
