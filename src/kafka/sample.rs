//! The newest records of a topic, read without joining a group: what `driftd init` looks at.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::consumer;
use crate::kafka::consumer::Consumer;
use crate::kafka::consumer::Signal;
use crate::kafka::is_topic;
use crate::kafka::trouble;

/// Longest time for the client to be put away; nothing depends on it.
const CLOSE: Duration = Duration::from_secs(2);
/// Longest wait for one answer, so that news of a refused connection is heard between them.
const ASK: Duration = Duration::from_millis(500);

/// One record as it lies in the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled {
    pub partition: i32,
    pub offset: i64,
    /// ms since the epoch.
    pub timestamp_ms: i64,
    /// `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
}

/// A stretch of one partition.
struct Stretch {
    partition: i32,
    next: i64,
    end: i64,
}

/// At most `n` of the newest records of `topic`, spread over its partitions as far as they reach,
/// sorted by partition and offset. A topic without records gives none.
///
/// # Errors
/// A topic that is unknown or forbidden, brokers that don't answer within `timeout`, a bad
/// configuration.
pub fn sample(
    config: &Config,
    topic: &str,
    n: usize,
    timeout: Duration,
) -> Result<Vec<Sampled>, Error> {
    if !is_topic(topic) {
        return Err(Error::BadTopic(topic.to_owned()));
    }
    let mut client = config.client_config()?;
    // Tells when a partition ends although its last offsets hold no records.
    client.set("enable.partition.eof", "true");
    let consumer = Arc::new(consumer::create(config, &client)?);
    let until = Instant::now() + timeout;
    let read = partitions(config, &consumer, topic, until)
        .and_then(|partitions| newest(config, &consumer, topic, &partitions, n, until))
        .and_then(|stretches| read(&consumer, topic, stretches, n, until));
    if let Err(error) = consumer::retire(move || drop(consumer), CLOSE) {
        tracing::debug!(%error, "the sampling client is still closing");
    }
    read
}

/// The topic's partitions.
pub(super) fn partitions(
    config: &Config,
    consumer: &Consumer,
    topic: &str,
    until: Instant,
) -> Result<Vec<i32>, Error> {
    let brokers = config.broker_list();
    let mut heard = None;
    loop {
        // Serves logs, errors and the token of OAUTHBEARER, without which nothing connects.
        if let Some(Err(error)) = consumer.poll(Duration::ZERO) {
            heard.get_or_insert(error.to_string());
        }
        let told = [heard, last_trouble(consumer)].into_iter().flatten();
        heard = told.max_by_key(|why| trouble::remedy(why).is_some());
        let error = match consumer.fetch_metadata(Some(topic), ASK) {
            Ok(metadata) => {
                let found = metadata.topics().iter().find(|t| t.name() == topic);
                match found.map(|t| (t.error(), t.partitions())) {
                    Some((None, partitions)) if !partitions.is_empty() => {
                        return Ok(partitions.iter().map(|p| p.id()).collect());
                    }
                    Some((
                        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
                        _,
                    )) => {
                        return Err(Error::Forbidden { topic: topic.to_owned() });
                    }
                    Some((Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE), _)) => {
                        "the topic has no leader yet".to_owned()
                    }
                    Some(_) | None => {
                        return Err(Error::UnknownTopic { topic: topic.to_owned(), brokers });
                    }
                }
            }
            Err(error) => error.to_string(),
        };
        if Instant::now() >= until {
            return Err(Error::Unreachable { brokers, why: heard.unwrap_or(error) });
        }
    }
}

/// What librdkafka complained about last, and rather what something can be done about than that all
/// brokers are down.
fn last_trouble(consumer: &Consumer) -> Option<String> {
    let told = consumer.context().take_signals().into_iter().filter_map(|signal| match signal {
        Signal::Trouble(why) => Some(why),
        Signal::Assign(_) | Signal::Revoke(_) | Signal::Topic(..) => None,
    });
    told.max_by_key(|why| trouble::remedy(why).is_some())
}

/// Where the newest `n` records lie: short partitions give what they have, the others share the rest.
fn newest(
    config: &Config,
    consumer: &Consumer,
    topic: &str,
    partitions: &[i32],
    n: usize,
    until: Instant,
) -> Result<Vec<Stretch>, Error> {
    let mut logs = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let left = until.saturating_duration_since(Instant::now());
        let marks = consumer.fetch_watermarks(topic, *partition, left.max(ASK));
        let (low, high) = marks.map_err(|cause| match last_trouble(consumer) {
            Some(why) => Error::Unreachable { brokers: config.broker_list(), why },
            None => Error::Request {
                doing: format!("ask for the first and last offset of {topic}-{partition}"),
                cause,
            },
        })?;
        logs.push((*partition, low, high));
    }
    Ok(share(logs, i64::try_from(n).unwrap_or(i64::MAX)))
}

/// `logs` are (partition, low, high).
fn share(mut logs: Vec<(i32, i64, i64)>, n: i64) -> Vec<Stretch> {
    logs.sort_by_key(|(_, low, high)| high - low);
    let mut stretches = Vec::with_capacity(logs.len());
    let mut wanted = n;
    let mut others = i64::try_from(logs.len()).unwrap_or(i64::MAX);
    for (partition, low, high) in logs {
        let fair = wanted.div_euclid(others) + i64::from(wanted.rem_euclid(others) > 0);
        let taken = fair.min(high - low).max(0);
        wanted -= taken;
        others -= 1;
        stretches.push(Stretch { partition, next: high - taken, end: high });
    }
    stretches.retain(|stretch| stretch.next < stretch.end);
    stretches
}

fn read(
    consumer: &Consumer,
    topic: &str,
    mut stretches: Vec<Stretch>,
    n: usize,
    until: Instant,
) -> Result<Vec<Sampled>, Error> {
    let request = |cause| Error::Request { doing: format!("read topic `{topic}`"), cause };
    let mut list = TopicPartitionList::new();
    for stretch in &stretches {
        list.add_partition_offset(topic, stretch.partition, Offset::Offset(stretch.next))
            .map_err(request)?;
    }
    consumer.assign(&list).map_err(request)?;
    let mut records = Vec::new();
    while !stretches.is_empty() && records.len() < n && Instant::now() < until {
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => {
                records.push(Sampled {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                    payload: message.payload().map(<[u8]>::to_vec),
                });
                let end = message.offset() + 1;
                stretches.retain(|s| s.partition != message.partition() || end < s.end);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                stretches.retain(|s| s.partition != partition);
            }
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::TopicAuthorizationFailed,
            ))) => {
                return Err(Error::Forbidden { topic: topic.to_owned() });
            }
            Some(Err(error)) => tracing::debug!(%error, "sampling"),
            None => {}
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_partitions_leave_their_share_to_the_others() {
        let taken = |logs: &[(i32, i64, i64)], n| {
            let mut taken: Vec<_> =
                share(logs.to_vec(), n).iter().map(|s| (s.partition, s.end - s.next)).collect();
            taken.sort_unstable();
            taken
        };
        assert_eq!(taken(&[(0, 0, 100), (1, 50, 60), (2, 7, 7)], 100), [(0, 90), (1, 10)]);
        assert_eq!(taken(&[(0, 0, 100), (1, 0, 100)], 5), [(0, 3), (1, 2)]);
        assert_eq!(taken(&[(0, 0, 2)], 100), [(0, 2)]);
    }
}
