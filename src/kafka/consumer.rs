//! The consumer: what librdkafka calls back, kept until its own thread asks for it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::error::KafkaResult;
use rdkafka::metadata::MetadataBroker;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::ffi::Queue;
use crate::kafka::ffi::cached_watermarks;
use crate::kafka::ffi::topic_ids;
use crate::kafka::message::RawBatch;
use crate::kafka::options::is_cooperative;
use crate::kafka::token;
use crate::kafka::trouble;
use crate::offsets::TopicId;
use crate::offsets::TopicPartition;

/// How often a closing consumer looks whether it is done.
const POLL: Duration = Duration::from_millis(20);

pub(crate) type Consumer = BaseConsumer<Context>;

/// Something that librdkafka told while it was polled.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The group gives these partitions; it waits until they are taken (`Link::assign`).
    Assign(Vec<(String, i32)>),
    /// These were taken away, and have been given up already.
    Revoke(Vec<(String, i32)>),
    /// Something is wrong for now; librdkafka keeps trying.
    Trouble(String),
    /// librdkafka has heard of a topic under this id, and will read that one from now on.
    Topic(String, TopicId),
}

/// What the callbacks share with the thread that polls (it is the same one).
pub(crate) struct Context {
    signals: Mutex<Vec<Signal>>,
    cooperative: bool,
    /// The group waits for an answer to its last assignment.
    unanswered: AtomicBool,
    /// Nobody will ask for signals any more: answer by ourselves.
    closing: AtomicBool,
    tokens: token::Source,
    /// Tokens that could not be had.
    token_failures: AtomicU64,
    group: String,
}

impl Context {
    fn tell(&self, signal: Signal) {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).push(signal);
    }

    /// What was told since the last call, in order.
    pub(super) fn take_signals(&self) -> Vec<Signal> {
        std::mem::take(&mut *self.signals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds to or replaces the assignment, as the group's protocol wants it.
    fn assign(&self, consumer: &Consumer, list: &TopicPartitionList) -> KafkaResult<()> {
        if self.cooperative { consumer.incremental_assign(list) } else { consumer.assign(list) }
    }

    /// Gives partitions up, those that we have; librdkafka refuses to give up others.
    fn unassign(&self, consumer: &Consumer, list: &TopicPartitionList) -> KafkaResult<()> {
        if !self.cooperative {
            return consumer.unassign();
        }
        let ours = consumer.assignment()?;
        let mut held = TopicPartitionList::new();
        for element in list.elements() {
            if ours.find_partition(element.topic(), element.partition()).is_some() {
                held.add_partition(element.topic(), element.partition());
            }
        }
        consumer.incremental_unassign(&held)
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        if let Some((topic, id)) = topic_id(message) {
            self.tell(Signal::Topic(topic.to_owned(), id));
        }
        log_line(level, fac, message);
    }

    /// Not asked for; should a user ask for them, they are not for the log.
    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.tell(Signal::Trouble(trouble::told(&error, reason, &self.group)));
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let token = self.tokens.token();
        if let Err(error) = &token {
            self.token_failures.fetch_add(1, Ordering::Relaxed);
            self.tell(Signal::Trouble(error.clone()));
        }
        token.map_err(Into::into)
    }
}

/// The only word of librdkafka's on a topic that was made anew: it goes on where it was in the old one.
fn topic_id(message: &str) -> Option<(&str, TopicId)> {
    let (before, ids) = message.split_once(" changed id from ")?;
    let (_, topic) = before.rsplit_once(' ')?;
    let (_, id) = ids.split_once(" to ")?;
    Some((topic, TopicId::parse(id)?))
}

/// librdkafka's log lines are ours, under their own target.
pub(super) fn log_line(level: RDKafkaLogLevel, fac: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(target: "librdkafka", fac, "{message}"),
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", fac, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", fac, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", fac, "{message}"),
    }
}

impl ConsumerContext for Context {
    /// Start offsets need brokers to be asked, which takes time and can fail, so an assignment is
    /// only noted here; the group waits until `Link::assign` answers it.
    fn rebalance(&self, consumer: &Consumer, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let names = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        let closing = self.closing.load(Ordering::Acquire);
        let answered = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS if closing => {
                self.assign(consumer, &TopicPartitionList::new())
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.unanswered.store(true, Ordering::Release);
                self.tell(Signal::Assign(names));
                Ok(())
            }
            _ => {
                let answered = self.unassign(consumer, list);
                self.tell(Signal::Revoke(names));
                answered
            }
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "a rebalance could not be answered; the group will repeat it");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offsets for people who watch lag were not committed");
        }
    }
}

/// A message that came past our own queue, an error without a partition, or nothing.
pub(crate) enum Polled {
    Message(rdkafka::message::OwnedMessage),
    Error(KafkaError),
    Nothing,
}

/// A consumer with a queue of its own for messages.
pub(crate) struct Link {
    messages: Queue,
    events: Queue,
    pub(crate) consumer: Arc<Consumer>,
}

impl Link {
    /// A client that has not joined anything yet; connects in the background.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let mut client = config.client_config()?;
        // What tells of a topic's id (`topic_id`).
        let asked = client.get("debug").filter(|asked| !asked.is_empty());
        let debug = asked.map_or("metadata".to_owned(), |asked| format!("{asked},metadata"));
        client.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
        Self::with(config, &client)
    }

    /// The same for one that will join nothing, and is told of the end of a partition.
    pub(super) fn to_read(config: &Config) -> Result<Self, Error> {
        let mut client = config.client_config()?;
        client.set("enable.partition.eof", "true");
        Self::with(config, &client)
    }

    fn with(config: &Config, client: &ClientConfig) -> Result<Self, Error> {
        let consumer = Arc::new(create(config, client)?);
        let events = Queue::of_consumer(&consumer).ok_or(Error::NoGroup)?;
        Ok(Self { messages: Queue::new(&consumer), events, consumer })
    }

    /// Serves one thing that is not in our own queue.
    pub(crate) fn poll(&self, timeout: Duration) -> Polled {
        match self.consumer.poll(timeout) {
            None => Polled::Nothing,
            Some(Ok(message)) => Polled::Message(message.detach()),
            Some(Err(error)) => Polled::Error(error),
        }
    }

    /// Whether `poll` has more to serve; it may return nothing although it has.
    pub(crate) fn has_events(&self) -> bool {
        self.events.len() > 0
    }

    pub(crate) fn signals(&self) -> Vec<Signal> {
        self.consumer.context().take_signals()
    }

    /// Bearer tokens that could not be fetched or read.
    pub(crate) fn token_failures(&self) -> u64 {
        self.consumer.context().token_failures.load(Ordering::Relaxed)
    }

    pub(crate) fn forward(&self, topic: &CStr, partition: i32) {
        self.messages.forward(topic, partition);
    }

    pub(crate) fn take(&mut self, most: usize, timeout: Duration) -> Option<RawBatch> {
        self.messages.take(most, timeout).map(RawBatch::new)
    }

    pub(crate) fn watermarks(&self, topic: &CStr, partition: i32) -> Option<(i64, i64)> {
        cached_watermarks(&self.consumer, topic, partition)
    }

    /// What the brokers know these topics by; `None` where they know of no ids. Waits up to `timeout`.
    pub(crate) fn topic_ids<'a>(
        &self,
        topics: impl IntoIterator<Item = &'a str>,
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<String, Option<TopicId>>> {
        let topics: BTreeSet<&str> = topics.into_iter().collect();
        let Some(first) = topics.first() else { return Ok(BTreeMap::new()) };
        let metadata = self.consumer.fetch_metadata(Some(first), timeout)?;
        let known = metadata.brokers().first().map(MetadataBroker::id);
        let answers = Some(metadata.orig_broker_id()).filter(|&id| id >= 0).or(known);
        let broker = answers.ok_or(KafkaError::AdminOp(RDKafkaErrorCode::BrokerNotAvailable))?;
        // No topic has a NUL in its name; one that had would match nothing.
        let names: Vec<CString> =
            topics.iter().map(|topic| CString::new(*topic).unwrap_or_default()).collect();
        let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
        let ids = match topic_ids(&self.consumer, broker, &names, timeout) {
            Err(RDKafkaErrorCode::UnsupportedFeature) => vec![None; names.len()],
            told => told.map_err(KafkaError::AdminOp)?,
        };
        let ids = ids.into_iter().map(|id| id.and_then(TopicId::known));
        Ok(topics.into_iter().map(str::to_owned).zip(ids).collect())
    }

    /// Of every partition that is ours, where it stands: behind everything that was handed out, and
    /// behind records that are not for readers (those that end transactions).
    pub(crate) fn positions(&self) -> Vec<(TopicPartition, i64)> {
        let Ok(positions) = self.consumer.position() else { return Vec::new() };
        let elements = positions.elements();
        let known = elements.iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => {
                Some((TopicPartition::new(element.topic(), element.partition()), offset))
            }
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => None,
        });
        known.collect()
    }

    pub(crate) fn is_cooperative(&self) -> bool {
        self.consumer.context().cooperative
    }

    /// Answers an assignment of the group, or takes what was left out of an answer. Every partition carries
    /// the offset to start from.
    pub(crate) fn assign(&self, list: &TopicPartitionList) -> KafkaResult<()> {
        let context = self.consumer.context();
        context.assign(&self.consumer, list)?;
        context.unanswered.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether the group waits for an answer to its last assignment.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.consumer.context().unanswered.load(Ordering::Acquire)
    }

    /// Leaves the group and frees the client.
    ///
    /// # Errors
    /// `CloseTimedOut` when it took longer; what is left goes on in the background and dies with the
    /// process, and the group notices when the session ends.
    pub(crate) fn close(self, deadline: Duration) -> Result<(), Error> {
        retire(move || self.leave(), deadline)
    }

    /// Waits for the group without a limit, as dropping the last reference to a consumer does.
    /// Batches that are still held have references of their own, so it can't be left to that.
    fn leave(self) {
        let consumer = Arc::clone(&self.consumer);
        drop(self);
        if consumer.close_queue().is_ok() {
            while !consumer.closed() {
                let _event = consumer.poll(POLL);
            }
        }
    }
}

impl Drop for Link {
    /// Without an answer the group would never let the client go.
    fn drop(&mut self) {
        let context = self.consumer.context();
        context.closing.store(true, Ordering::Release);
        if context.unanswered.swap(false, Ordering::AcqRel)
            && let Err(error) = context.assign(&self.consumer, &TopicPartitionList::new())
        {
            tracing::debug!(%error, "the last assignment was not answered");
        }
    }
}

/// A consumer that calls back into a `Context`.
pub(super) fn create(config: &Config, client: &ClientConfig) -> Result<Consumer, Error> {
    let context = Context {
        signals: Mutex::new(Vec::new()),
        cooperative: is_cooperative(config),
        unanswered: AtomicBool::new(false),
        closing: AtomicBool::new(false),
        tokens: token::Source::of(config),
        token_failures: AtomicU64::new(0),
        group: config.group.clone(),
    };
    client.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientCreation(why) => Error::Combination(why),
        KafkaError::ClientConfig(_, why, name, _) => Error::BadOption { name, why },
        other => Error::Combination(other.to_string()),
    })
}

/// Puts a consumer away on a thread of its own: that waits for the group without any limit, and in
/// the worst case for ever.
pub(super) fn retire(
    leave: impl FnOnce() + Send + 'static,
    deadline: Duration,
) -> Result<(), Error> {
    let until = Instant::now() + deadline;
    let (done, gone) = mpsc::sync_channel(1);
    let dropping = thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
        leave();
        // Nobody listens when the deadline has passed.
        let _late = done.send(());
    });
    let left = until.saturating_duration_since(Instant::now());
    if dropping.is_err() || gone.recv_timeout(left).is_err() {
        return Err(Error::CloseTimedOut(deadline));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_changed_its_id_is_heard_of() {
        let line = "[thrd:main]: Topic fraud.inferences changed id from AAAAAAAAAAAAAAAAAAAAAA to \
                    +/8BAgMEBQYHCAkKCwwNDg";
        let (topic, id) = topic_id(line).unwrap();
        assert_eq!(
            (topic, id.to_string().as_str()),
            ("fraud.inferences", "-_8BAgMEBQYHCAkKCwwNDg")
        );
        assert_eq!(topic_id("[thrd:main]: Topic t [0] Leader 1 Epoch 0"), None);
    }
}
