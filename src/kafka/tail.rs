//! Everything that a topic of driftd's own holds, and then what comes: read from the beginning,
//! without a group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::consumer;
use crate::kafka::consumer::Consumer;
use crate::kafka::renewal::Renewal;
use crate::kafka::trouble::refused;

/// Longest time for the client to be put away; nothing depends on it.
const CLOSE: Duration = Duration::from_secs(2);
/// Longest wait for one answer.
const ASK: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(20);

/// One record of a topic.
#[derive(Debug)]
pub struct Entry<'a> {
    pub partition: i32,
    pub offset: i64,
    /// ms since the epoch.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// Reads some partitions of one topic.
pub struct Tail {
    config: Config,
    /// Made anew when a password or a certificate has changed.
    consumer: Option<Arc<Consumer>>,
    renewal: Renewal,
    topic: String,
    /// Behind the last record that was handed out.
    next: BTreeMap<i32, i64>,
    /// Brokers told where the logs end, but do not give what is in them.
    denied: bool,
}

impl Tail {
    /// Starts with the first record of each partition that is still there.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses.
    pub fn open(
        config: &Config,
        topic: &str,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<Self, Error> {
        let next: BTreeMap<i32, i64> = partitions.into_iter().map(|p| (p, 0)).collect();
        // Before the client: a file that changes between the two is then seen to have changed.
        let renewal = Renewal::of(config);
        let consumer = Some(Self::connect(config, topic, &next)?);
        Ok(Self {
            config: config.clone(),
            consumer,
            renewal,
            topic: topic.to_owned(),
            next,
            denied: false,
        })
    }

    /// A client that goes on with what comes `next`.
    fn connect(
        config: &Config,
        topic: &str,
        next: &BTreeMap<i32, i64>,
    ) -> Result<Arc<Consumer>, Error> {
        let mut client = config.client_config()?;
        // What retention or compaction took is gone for good, so there is nothing to be told of it.
        client.set("auto.offset.reset", "earliest");
        // Somebody waits for a record of ours to come back.
        client.set("fetch.wait.max.ms", "100");
        client.remove("group.instance.id");
        let consumer = Arc::new(consumer::create(config, &client)?);
        let starts = next.iter().map(|(&partition, &next)| {
            (partition, if next == 0 { Offset::Beginning } else { Offset::Offset(next) })
        });
        let list = list(topic, starts);
        list.and_then(|list| consumer.assign(&list)).map_err(|cause| request(topic, cause))?;
        Ok(consumer)
    }

    /// Goes on with another client once passwords or certificates have changed.
    fn renew(&mut self) {
        if !self.renewal.is_due(Instant::now()) {
            return;
        }
        self.renewal = Renewal::of(&self.config);
        match Self::connect(&self.config, &self.topic, &self.next) {
            Ok(fresh) => retire(self.consumer.replace(fresh), &self.topic),
            Err(error) => tracing::error!(topic = self.topic, %error, "no new reader"),
        }
    }

    /// Hands out what has come, after waiting for the first of it for at most `timeout`.
    pub fn read(&mut self, timeout: Duration, mut visit: impl FnMut(Entry<'_>)) {
        let mut wait = timeout;
        while self.one(wait, &mut visit) {
            wait = Duration::ZERO;
        }
    }

    /// Hands out everything up to where each log ends now.
    ///
    /// # Errors
    /// When brokers have given nothing more for `timeout`.
    pub fn catch_up(
        &mut self,
        timeout: Duration,
        mut visit: impl FnMut(Entry<'_>),
    ) -> Result<(), Error> {
        let mut until = Instant::now() + timeout;
        // Without being polled, librdkafka gets no token to connect with.
        self.one(Duration::ZERO, &mut visit);
        let ends = self.ends()?;
        loop {
            let behind = |(partition, end): (&i32, &i64)| {
                self.next.get(partition).is_some_and(|next| next < end)
            };
            if !ends.iter().any(behind) {
                return Ok(());
            }
            if self.denied || Instant::now() >= until {
                return Err(self.late(timeout));
            }
            if self.one(SOON, &mut visit) {
                until = Instant::now() + timeout;
            }
        }
    }

    /// Hands out everything up to and with the record at `offset` of a partition.
    ///
    /// # Errors
    /// When brokers do not give it within `timeout`.
    pub fn reach(
        &mut self,
        (partition, offset): (i32, i64),
        timeout: Duration,
        mut visit: impl FnMut(Entry<'_>),
    ) -> Result<(), Error> {
        let until = Instant::now() + timeout;
        while self.next.get(&partition).is_some_and(|next| *next <= offset) {
            if self.denied || Instant::now() >= until {
                return Err(self.late(timeout));
            }
            self.one(SOON, &mut visit);
        }
        Ok(())
    }

    /// Behind the last record of a partition that was handed out.
    pub fn next(&self, partition: i32) -> i64 {
        self.next.get(&partition).copied().unwrap_or(0)
    }

    fn late(&self, timeout: Duration) -> Error {
        if self.denied {
            let denied = RDKafkaErrorCode::TopicAuthorizationFailed;
            return request(&self.topic, KafkaError::MessageConsumption(denied));
        }
        let why = format!("{} could not be read to its end in {timeout:?}", self.topic);
        Error::Unreachable { brokers: "the cluster".to_owned(), why }
    }

    /// Where the logs end now; one that is empty has nothing to be read.
    fn ends(&mut self) -> Result<BTreeMap<i32, i64>, Error> {
        let low = self.ask(Offset::Beginning)?;
        let high = self.ask(Offset::End)?;
        for (partition, next) in &mut self.next {
            *next = low.get(partition).copied().unwrap_or(0).max(*next);
        }
        Ok(high)
    }

    fn ask(&self, question: Offset) -> Result<BTreeMap<i32, i64>, Error> {
        let Some(consumer) = &self.consumer else { return Ok(BTreeMap::new()) };
        let found = list(&self.topic, self.next.keys().map(|&partition| (partition, question)))
            .and_then(|list| consumer.offsets_for_times(list, ASK))
            .map_err(|cause| request(&self.topic, cause))?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            element.error().map_err(|cause| request(&self.topic, cause))?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        Ok(offsets)
    }

    /// Hands out at most one record; false if there was nothing.
    fn one(&mut self, timeout: Duration, visit: &mut impl FnMut(Entry<'_>)) -> bool {
        let Some(consumer) = &self.consumer else { return false };
        match consumer.poll(timeout) {
            Some(Ok(message)) => {
                self.denied = false;
                self.next.insert(message.partition(), message.offset() + 1);
                visit(Entry {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                    key: message.key(),
                    payload: message.payload(),
                });
                true
            }
            Some(Err(error)) => {
                let code = error.rdkafka_error_code();
                self.denied |= code == Some(RDKafkaErrorCode::TopicAuthorizationFailed);
                tracing::debug!(topic = self.topic, %error, "reading");
                false
            }
            // Only now: what still comes needs no other client.
            None => {
                self.renew();
                false
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        retire(self.consumer.take(), &self.topic);
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("topic", &self.topic).field("next", &self.next).finish()
    }
}

fn retire(consumer: Option<Arc<Consumer>>, topic: &str) {
    if let Err(error) = consumer::retire(move || drop(consumer), CLOSE) {
        tracing::debug!(topic, %error, "a reader is still closing");
    }
}

fn list(
    topic: &str,
    partitions: impl Iterator<Item = (i32, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}

fn request(topic: &str, cause: KafkaError) -> Error {
    refused(format!("read topic `{topic}`"), cause, || format!("Read on topic `{topic}`"))
}

#[cfg(test)]
mod tests {
    use crate::kafka::mock::MockBroker;
    use crate::kafka::producer::{Outgoing, Producer};

    use super::*;

    #[test]
    fn everything_up_to_the_end_is_handed_out_once() {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("own", 3).unwrap();
        let config = Config::new([broker.bootstrap_servers()]);
        let producer = Producer::open(&config).unwrap();
        let mut tail = Tail::open(&config, "own", 0..3).unwrap();
        let mut all = Vec::new();
        let patience = Duration::from_secs(60);
        for round in 0..3u8 {
            let record = |partition| Outgoing {
                topic: "own".to_owned(),
                partition,
                key: Vec::new(),
                value: vec![round],
            };
            producer.write(&[record(0), record(2), record(0)]).unwrap();
            let mut visit = |e: Entry<'_>| all.push((e.partition, e.offset, e.payload.unwrap()[0]));
            tail.catch_up(patience, &mut visit).unwrap();
            tail.catch_up(patience, &mut visit).unwrap();
        }
        all.sort_unstable();
        let expected = [
            (0, 0, 0),
            (0, 1, 0),
            (0, 2, 1),
            (0, 3, 1),
            (0, 4, 2),
            (0, 5, 2),
            (2, 0, 0),
            (2, 1, 1),
            (2, 2, 2),
        ];
        assert_eq!(all, expected);
    }
}
