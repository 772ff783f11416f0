//! A stretch of a topic, read once from its start to its end: no group is joined, nothing is committed.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use crate::decode::Message;
use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::consumer::Consumer;
use crate::kafka::consumer::Link;
use crate::kafka::consumer::Polled;
use crate::kafka::consumer::Signal;
use crate::kafka::is_topic;
use crate::kafka::message::Group;
use crate::kafka::message::RawBatch;
use crate::kafka::message::Sorter;
use crate::kafka::sample::partitions;
use crate::offsets::TopicPartition;

/// Messages taken at once, as the daemon does.
const BATCH: usize = 4096;
/// Longest wait for messages, so that news of the brokers is heard between them.
const WAIT: Duration = Duration::from_millis(100);
/// So long nothing may come before the reader gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest time for the client to be put away; nothing depends on it.
const CLOSE: Duration = Duration::from_secs(2);

/// Which records are asked for, by their Kafka time stamps: `[from, to)`, ms since the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// `None` is the oldest record that is there.
    pub from_ms: Option<i64>,
    /// `None` is what has been written by now.
    pub to_ms: Option<i64>,
}

/// What is read of one partition: offsets `[from, to)`, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub partition: TopicPartition,
    pub from: i64,
    pub to: i64,
}

/// The partitions of a topic that have something in the range, and a client that reads them.
pub struct Range {
    link: Link,
    brokers: String,
    topic: String,
    stretches: Vec<Stretch>,
    places: Vec<Place>,
    heard: Option<String>,
}

/// How far one stretch has been read.
#[derive(Clone, Copy, Debug)]
struct Place {
    next: i64,
    /// From here on records could not be read.
    hole: Option<i64>,
    ended: bool,
}

/// What came of one stretch.
pub enum Piece<'a> {
    Records(Records<'a>),
    /// Records `[from, to)` could not be read.
    Lost {
        from: i64,
        to: i64,
    },
    /// Nothing comes any more.
    End,
}

/// Records of one stretch, in offset order; never none.
#[derive(Clone)]
pub struct Records<'a> {
    group: Group<'a>,
    to: i64,
}

impl Records<'_> {
    /// The offset behind the last one.
    pub fn next_offset(&self) -> i64 {
        (self.group.last_offset() + 1).min(self.to)
    }

    /// Of all payloads together, some behind the end perhaps.
    pub fn bytes(&self) -> u64 {
        self.group.bytes() as u64
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Message<'a>;

    #[inline]
    fn next(&mut self) -> Option<Message<'a>> {
        self.group.next().filter(|message| message.offset < self.to)
    }
}

impl Range {
    /// Asks where the range lies in each partition; reads nothing.
    ///
    /// # Errors
    /// A topic that is unknown or forbidden, brokers that don't answer within `timeout`, a bad
    /// configuration.
    pub fn open(
        config: &Config,
        topic: &str,
        asked: Asked,
        timeout: Duration,
    ) -> Result<Self, Error> {
        if !is_topic(topic) {
            return Err(Error::BadTopic(topic.to_owned()));
        }
        let until = Instant::now() + timeout;
        let link = Link::to_read(config)?;
        let found = partitions(config, &link.consumer, topic, until)
            .and_then(|all| stretches(&link.consumer, topic, all, asked, until));
        let stretches = match found {
            Ok(stretches) => stretches,
            Err(error) => {
                put_away(link);
                return Err(error);
            }
        };
        Ok(Self {
            link,
            brokers: config.broker_list(),
            topic: topic.to_owned(),
            places: stretches
                .iter()
                .map(|stretch| Place { next: stretch.from, hole: None, ended: false })
                .collect(),
            stretches,
            heard: None,
        })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// By partition; those without a record are left out.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Offsets in the range, which may not all be records.
    pub fn offsets(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.to.abs_diff(stretch.from)).sum()
    }

    /// Reads all of it: calls `visit` with the index of a stretch and what came of it, each stretch in offset
    /// order and ended once.
    ///
    /// # Errors
    /// When records are gone that were there, or nothing comes for half a minute.
    pub fn read(mut self, visit: &mut dyn FnMut(usize, Piece<'_>)) -> Result<(), Error> {
        let read = self.start().and_then(|()| self.read_on(visit));
        put_away(self.link);
        read
    }

    fn request(&self, cause: KafkaError) -> Error {
        Error::Request { doing: format!("read topic `{}`", self.topic), cause }
    }

    fn start(&self) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for Stretch { partition, from, .. } in &self.stretches {
            self.link.forward(&c_name(&partition.topic), partition.partition);
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*from))
                .map_err(|cause| self.request(cause))?;
        }
        self.link.consumer.assign(&list).map_err(|cause| self.request(cause))
    }

    fn read_on(&mut self, visit: &mut dyn FnMut(usize, Piece<'_>)) -> Result<(), Error> {
        let mut until = Instant::now() + PATIENCE;
        while self.places.iter().any(|place| !place.ended) {
            let polled = self.link.poll(Duration::ZERO);
            for signal in self.link.signals() {
                if let Signal::Trouble(why) = signal {
                    self.heard = Some(why);
                }
            }
            let raw = match polled {
                Polled::Message(message) => {
                    // It should have come through our queue.
                    self.forward_again();
                    Some(RawBatch::polled(message))
                }
                Polled::Error(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset,
                )) => return Err(Error::Gone { topic: self.topic.clone() }),
                Polled::Error(KafkaError::PartitionEOF(partition)) => {
                    self.forward_again();
                    let at = self.stretches.iter().position(|s| s.partition.partition == partition);
                    at.into_iter().for_each(|at| self.end(at, visit));
                    continue;
                }
                Polled::Error(_) | Polled::Nothing => self.link.take(BATCH, WAIT),
            };
            if let Some(raw) = raw {
                until = Instant::now() + PATIENCE;
                self.sort(&raw, visit)?;
            } else if Instant::now() >= until {
                let silence = || format!("nothing has come for {} s", PATIENCE.as_secs());
                let why = self.heard.take().unwrap_or_else(silence);
                return Err(Error::Unreachable { brokers: self.brokers.clone(), why });
            }
        }
        Ok(())
    }

    /// librdkafka undoes it when it starts to fetch.
    fn forward_again(&self) {
        for Stretch { partition, .. } in &self.stretches {
            self.link.forward(&c_name(&partition.topic), partition.partition);
        }
    }

    fn sort(
        &mut self,
        raw: &RawBatch,
        visit: &mut dyn FnMut(usize, Piece<'_>),
    ) -> Result<(), Error> {
        let mut sorter = Sorter::default();
        let mut next = 0;
        while next < raw.len() {
            let (index, partition) = (next, raw.key(next).1);
            next += 1;
            let at = self.stretches.iter().position(|s| s.partition.partition == partition);
            let Some(at) = at.filter(|&at| !self.places[at].ended) else { continue };
            if let Some((code, text)) = raw.error(index) {
                self.pass_on(&mut sorter, raw, visit);
                self.stumble(at, code, &text, visit)?;
                continue;
            }
            let offset = raw.offset(index);
            let to = self.stretches[at].to;
            if let Some(from) = self.places[at].hole.take() {
                self.pass_on(&mut sorter, raw, visit);
                visit(at, Piece::Lost { from, to: offset.min(to) });
                let partition = &self.stretches[at].partition;
                tracing::warn!(%partition, from, to = offset, "records could not be read");
            }
            let stretch = raw.stretch(index);
            next = stretch.end;
            self.places[at].next = stretch.last_offset + 1;
            let is_last = stretch.last_offset + 1 >= to;
            if offset < to {
                sorter.push(stretch, (offset, None), &self.stretches[at].partition);
            }
            if is_last {
                self.pass_on(&mut sorter, raw, visit);
                self.end(at, visit);
            }
        }
        self.pass_on(&mut sorter, raw, visit);
        Ok(())
    }

    fn pass_on(
        &self,
        sorter: &mut Sorter,
        raw: &RawBatch,
        visit: &mut dyn FnMut(usize, Piece<'_>),
    ) {
        let Some(batch) = sorter.cut(raw) else { return };
        for (partition, group) in batch.groups() {
            let at = self.stretches.iter().position(|stretch| stretch.partition == *partition);
            if let Some(at) = at {
                visit(at, Piece::Records(Records { group, to: self.stretches[at].to }));
            }
        }
    }

    fn stumble(
        &mut self,
        at: usize,
        code: RDKafkaErrorCode,
        text: &str,
        visit: &mut dyn FnMut(usize, Piece<'_>),
    ) -> Result<(), Error> {
        match code {
            // The rest of the range may be marks of transactions, which are no records.
            RDKafkaErrorCode::PartitionEOF => self.end(at, visit),
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => {
                return Err(Error::Gone { topic: self.topic.clone() });
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                return Err(Error::Forbidden { topic: self.topic.clone() });
            }
            RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::NotImplemented => {
                // librdkafka goes on behind the batch; how far that is the next message tells.
                let place = &mut self.places[at];
                place.hole.get_or_insert(place.next);
            }
            _ => self.heard = Some(format!("{code}: {text}")),
        }
        Ok(())
    }

    fn end(&mut self, at: usize, visit: &mut dyn FnMut(usize, Piece<'_>)) {
        let to = self.stretches[at].to;
        let place = &mut self.places[at];
        if std::mem::replace(&mut place.ended, true) {
            return;
        }
        if let Some(from) = place.hole.take() {
            visit(at, Piece::Lost { from, to });
        }
        visit(at, Piece::End);
        // A busy topic goes on; nothing of it is wanted.
        let mut list = TopicPartitionList::new();
        let Stretch { partition, .. } = &self.stretches[at];
        list.add_partition(&partition.topic, partition.partition);
        if let Err(error) = self.link.consumer.pause(&list) {
            tracing::debug!(%error, "what comes behind the range is fetched and left out");
        }
    }
}

fn put_away(link: Link) {
    if let Err(error) = link.close(CLOSE) {
        tracing::debug!(%error, "the reading client is still closing");
    }
}

fn c_name(topic: &str) -> CString {
    CString::new(topic).expect("the name of a topic has no zero byte")
}

/// Where the range lies in each partition that has something in it.
fn stretches(
    consumer: &Consumer,
    topic: &str,
    mut partitions: Vec<i32>,
    asked: Asked,
    until: Instant,
) -> Result<Vec<Stretch>, Error> {
    partitions.sort_unstable();
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
    let request = |cause| Error::Request { doing: format!("ask for offsets of {topic}"), cause };
    let at = |time: Option<i64>| -> Result<Vec<Option<i64>>, Error> {
        let Some(ms) = time else { return Ok(vec![None; partitions.len()]) };
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            let offset = Offset::Offset(ms.max(0));
            list.add_partition_offset(topic, *partition, offset).map_err(request)?;
        }
        let answer = consumer.offsets_for_times(list, left()).map_err(request)?;
        let offset = |partition: &i32| match answer.find_partition(topic, *partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok(partitions.iter().map(offset).collect())
    };
    let (from, to) = (at(asked.from_ms)?, at(asked.to_ms)?);
    let mut stretches = Vec::new();
    for (partition, (from, to)) in partitions.iter().zip(from.into_iter().zip(to)) {
        let (low, high) = consumer.fetch_watermarks(topic, *partition, left()).map_err(request)?;
        // No record is as young as that: the partition ends before it.
        let from = if asked.from_ms.is_some() { from.unwrap_or(high) } else { low };
        let (from, to) = (from.clamp(low, high), to.unwrap_or(high).clamp(low, high));
        if from < to {
            stretches.push(Stretch { partition: TopicPartition::new(topic, *partition), from, to });
        }
    }
    Ok(stretches)
}
