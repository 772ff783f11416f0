//! Kafka as a source: the group's partitions, each from where its models want it, in batches.
//!
//! Everything runs on the thread that calls `next`. librdkafka's events (rebalances, errors, logs)
//! are served first; messages come from a queue of our own, which every partition is forwarded to
//! before it is assigned, because batch-consuming the consumer's queue would swallow rebalances.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::CommitMode;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::consumer::Link;
use crate::kafka::consumer::Polled;
use crate::kafka::consumer::Signal;
use crate::kafka::is_topic;
use crate::kafka::message::RawBatch;
use crate::kafka::renewal::Renewal;
use crate::kafka::trouble::says_little;
use crate::offsets::TopicPartition;
use crate::source::Event;
use crate::source::StartsFn;
use crate::source::kafka::slots::Slots;
use crate::source::kafka::starts::Taking;
use crate::source::kafka::watch::Watch;

mod care;
mod slots;
mod sort;
mod starts;
mod take;
mod watch;

/// Messages taken at once. Larger batches gained nothing; this many fit the caches.
const BATCH: usize = 4096;
/// Longest wait for a broker's answer before the loop turns again.
const ASK: Duration = Duration::from_secs(1);
/// Longest wait for messages while partitions are on their way.
const SOON: Duration = Duration::from_millis(5);
/// Time between questions when one was not answered.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A member of a consumer group. Not to be shared: one thread calls everything.
pub struct KafkaSource {
    link: Link,
    renewal: Renewal,
    starts: StartsFn,
    slots: Slots,
    /// What the group gives and is not taken yet.
    taking: Option<Taking>,
    ready: VecDeque<Event>,
    /// How many partitions each topic has.
    sizes: BTreeMap<Arc<str>, usize>,
    /// What tells whether the topics are still those that were taken.
    watch: Watch,
    /// No broker is asked anything before: waiting for answers would starve the other partitions.
    ask_after: Instant,
    fatal: Option<(RDKafkaErrorCode, String)>,
    trouble: Option<String>,
    rebalances: u64,
    stalls: u64,
    lost: u64,
}

impl KafkaSource {
    /// Joins the group; brokers need not be there yet.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or a name that no topic can have.
    pub fn connect(config: &Config, topics: &[String], starts: StartsFn) -> Result<Self, Error> {
        if let Some(bad) = topics.iter().find(|topic| !is_topic(topic)) {
            return Err(Error::BadTopic(bad.clone()));
        }
        let link = Link::open(config)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        link.consumer
            .subscribe(&names)
            .map_err(|cause| Error::Subscribe { topics: topics.join(", "), cause })?;
        Ok(Self {
            link,
            renewal: Renewal::of(config),
            starts,
            slots: Slots::new(topics),
            taking: None,
            ready: VecDeque::new(),
            sizes: BTreeMap::new(),
            watch: Watch::new(),
            ask_after: Instant::now(),
            fatal: None,
            trouble: None,
            rebalances: 0,
            stalls: 0,
            lost: 0,
        })
    }

    /// What happened next; blocks at most `timeout`, or a second more while a broker that was asked
    /// where a partition starts does not answer.
    pub fn next(&mut self, timeout: Duration) -> Event {
        let until = Instant::now() + timeout;
        self.slots.turn();
        if self.ready.is_empty() && self.renewal.is_due(Instant::now()) {
            return Event::Failed(Error::Renewed);
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            self.serve();
            self.take_over();
            self.tend();
            if !self.ready.is_empty() {
                continue;
            }
            if let Some(topic) = self.watch.recreated() {
                return Event::Failed(Error::Recreated { topic: topic.to_owned() });
            }
            if let Some((code, reason)) = &self.fatal {
                return Event::Failed(Error::Fatal { code: *code, reason: reason.clone() });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && self.slots.is_empty() {
                return Event::Idle;
            }
            // What is being taken may be ready any moment.
            let left = if self.taking.is_some() { left.min(SOON) } else { left };
            if self.slots.is_empty() {
                // Nothing can come but events, so wait for them.
                let early = self.poll(left);
                early.into_iter().for_each(|raw| self.sort(&raw));
            } else {
                match self.link.take(BATCH, left) {
                    Some(raw) => self.confirm(&raw),
                    None if left.is_zero() => return Event::Idle,
                    None => {}
                }
            }
        }
    }

    /// Serves everything that is not a message of our own queue. What `poll` returns as messages
    /// precedes what the queue holds of that partition, so all of it must be out before the queue
    /// is touched.
    fn serve(&mut self) {
        loop {
            let early = self.poll(Duration::ZERO);
            early.into_iter().for_each(|raw| self.sort(&raw));
            if !self.link.has_events() || self.ready.len() >= BATCH {
                return;
            }
        }
    }

    /// Sorts what was taken from our queue, if it is of the topics that we know: that a topic has another id
    /// is told before the first of its messages can come, but maybe after the last look.
    fn confirm(&mut self, taken: &RawBatch) {
        let mut late = Vec::new();
        while self.link.has_events() {
            late.extend(self.poll(Duration::ZERO));
        }
        if self.watch.recreated().is_none() {
            self.sort(taken);
            late.iter().for_each(|raw| self.sort(raw));
        }
    }

    /// Serves one event; gives back a message that came past our queue.
    fn poll(&mut self, timeout: Duration) -> Option<RawBatch> {
        let polled = self.link.poll(timeout);
        // A rebalance precedes the message that came with it.
        for signal in self.link.signals() {
            self.apply(signal);
        }
        match polled {
            Polled::Message(message) => {
                let raw = RawBatch::polled(message);
                if let Some(slot) = self.slots.find(raw.topic(0), raw.key(0).1) {
                    // It should have come through our queue.
                    self.slots.at(slot).forward_again();
                }
                return Some(raw);
            }
            Polled::Error(KafkaError::MessageConsumptionFatal(code)) => {
                let told = self.link.consumer.client().fatal_error();
                self.fatal = Some(told.unwrap_or((code, code.to_string())));
            }
            Polled::Error(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)) => {
                // It does not say whose offset: look at all.
                self.slots.iter_mut().for_each(|slot| slot.astray = true);
            }
            // Told already, as trouble with its reason.
            Polled::Error(_) | Polled::Nothing => {}
        }
        None
    }

    fn apply(&mut self, signal: Signal) {
        match signal {
            Signal::Assign(names) => {
                self.rebalances += 1;
                let partitions: Vec<_> =
                    names.iter().map(|(t, p)| self.slots.name(t, *p)).collect();
                let taking = self.taking.get_or_insert_default();
                taking.add(partitions, &mut self.starts);
            }
            Signal::Revoke(names) => {
                let mut revoked = Vec::new();
                for (topic, partition) in &names {
                    let name = self.slots.name(topic, *partition);
                    let taken = self.taking.as_mut().is_some_and(|taking| taking.forget(&name));
                    if self.slots.remove(&name) || taken {
                        revoked.push(name);
                    }
                }
                if !revoked.is_empty() {
                    self.ready.push_back(Event::Revoked(revoked));
                }
            }
            Signal::Trouble(why) => self.note(why),
            Signal::Topic(topic, id) => self.watch.hear(&topic, id),
        }
    }

    /// What is wrong for now, said once until records flow again.
    fn note(&mut self, why: String) {
        // librdkafka says it again after each reason, and the reason only once in a while.
        let known = self.trouble.is_some() && says_little(&why);
        if !known && self.trouble.as_ref() != Some(&why) {
            tracing::warn!(trouble = %why, "Kafka");
            self.trouble = Some(why);
        }
    }

    fn put_off(&mut self, why: String) {
        self.ask_after = Instant::now() + ASK_AGAIN;
        self.note(why);
    }

    /// First and next-to-be-written offset of a partition of ours as its last fetch told them, for
    /// lag; `None` until there was one. Asks no broker.
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<(i64, i64)> {
        self.link.watermarks(&slots::c_name(&partition.topic), partition.partition)
    }

    /// Where librdkafka stands in each partition of ours: behind everything handed out and behind
    /// records that are not for readers, such as the ends of transactions. Without those of which
    /// nothing was handed out. For telling whether the end of the log was reached.
    pub fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        self.link.positions().into_iter().collect()
    }

    /// How many partitions a topic has, ours or not, as a broker said when some were taken last;
    /// `None` when none did.
    pub fn n_partitions(&self, topic: &str) -> Option<usize> {
        self.sizes.get(topic).copied()
    }

    /// Commits next offsets to the group, in the background. Only for people who watch lag: driftd
    /// never reads them.
    ///
    /// # Errors
    /// When librdkafka does not take the request.
    pub fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        let mut add = |(TopicPartition { topic, partition }, offset): &(TopicPartition, i64)| {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
        };
        let added = offsets.iter().try_for_each(&mut add);
        added
            .and_then(|()| self.link.consumer.commit(&list, CommitMode::Async))
            .map_err(|cause| Error::Request { doing: "commit offsets".to_owned(), cause })
    }

    /// Leaves the group. Batches should be dropped before: they keep the client's memory.
    ///
    /// # Errors
    /// `CloseTimedOut` after `deadline`; the process may exit regardless.
    pub fn close(self, deadline: Duration) -> Result<(), Error> {
        self.link.close(deadline)
    }

    /// Partitions that are ours.
    pub fn assigned(&self) -> usize {
        self.slots.len()
    }

    /// Assignments that the group has made to us.
    pub fn rebalances(&self) -> u64 {
        self.rebalances
    }

    /// Partitions that had stopped without a word and were started again.
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Bearer tokens of OAUTHBEARER that could not be fetched or read.
    pub fn token_failures(&self) -> u64 {
        self.link.token_failures()
    }

    /// Offsets reported as `Lost`.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// What is wrong with Kafka for now; `None` once records flow.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}
