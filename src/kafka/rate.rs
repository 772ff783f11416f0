//! How many records a topic gets in an hour, by its offsets alone: nothing is read.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::consumer;
use crate::kafka::is_topic;
use crate::kafka::sample::partitions;
use crate::setting::HOUR_MS;

/// Stretches that are looked back over, the longest first: a day has its own rhythm, a week its own.
const BACK_MS: [i64; 5] = [168 * HOUR_MS, 24 * HOUR_MS, 6 * HOUR_MS, HOUR_MS, HOUR_MS / 6];
/// Longest time for the client to be put away; nothing depends on it.
const CLOSE: Duration = Duration::from_secs(2);

/// Records an hour over the longest stretch before `now_ms` that the whole topic still has: a week, a day,
/// 6 h, 1 h or 10 min. `None` for a topic that is younger, or that got nothing in that time.
///
/// Offsets count what was compacted away and the marks of transactions, too.
///
/// # Errors
/// A topic that is unknown or forbidden, brokers that don't answer within `timeout`, a bad
/// configuration.
pub fn per_hour(
    config: &Config,
    topic: &str,
    now_ms: i64,
    timeout: Duration,
) -> Result<Option<f64>, Error> {
    if !is_topic(topic) {
        return Err(Error::BadTopic(topic.to_owned()));
    }
    let until = Instant::now() + timeout;
    let consumer = Arc::new(consumer::create(config, &config.client_config()?)?);
    let asked = partitions(config, &consumer, topic, until).and_then(|partitions| {
        let at = |place: Offset| -> Result<Vec<Option<i64>>, Error> {
            let request =
                |cause| Error::Request { doing: format!("ask for offsets of {topic}"), cause };
            let mut list = TopicPartitionList::new();
            for partition in &partitions {
                list.add_partition_offset(topic, *partition, place).map_err(request)?;
            }
            let left = until.saturating_duration_since(Instant::now());
            let answer = consumer.offsets_for_times(list, left).map_err(request)?;
            let offset = |partition: &i32| match answer.find_partition(topic, *partition)?.offset()
            {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Ok(partitions.iter().map(offset).collect())
        };
        let (low, high) = (at(Offset::Beginning)?, at(Offset::End)?);
        for back_ms in BACK_MS {
            let then = at(Offset::Offset((now_ms - back_ms).max(0)))?;
            if let Some(records) = since(&low, &then, &high) {
                let hours = back_ms as f64 / HOUR_MS as f64;
                return Ok((records > 0).then(|| records as f64 / hours));
            }
        }
        Ok(None)
    });
    if let Err(error) = consumer::retire(move || drop(consumer), CLOSE) {
        tracing::debug!(%error, "the asking client is still closing");
    }
    asked
}

/// Records from `then` to `high`, over all partitions; `None` when some partition may have lost records
/// from after `then`, or does not say.
fn since(low: &[Option<i64>], then: &[Option<i64>], high: &[Option<i64>]) -> Option<i64> {
    let of_one = |((low, then), high): ((&Option<i64>, &Option<i64>), &Option<i64>)| {
        let high = (*high)?;
        let low = low.unwrap_or(high);
        // Nothing has come since: no offset has such a time.
        let then = then.unwrap_or(high).clamp(low, high);
        // The log begins there: it may have begun later than that time.
        (then > low || low == high).then_some(high - then)
    };
    low.iter().zip(then).zip(high).map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stretch_that_the_log_still_has_is_counted() {
        let log = |low: &[i64], then: &[Option<i64>], high: &[i64]| {
            let some = |all: &[i64]| all.iter().copied().map(Some).collect::<Vec<_>>();
            since(&some(low), then, &some(high))
        };
        assert_eq!(log(&[0, 5], &[Some(40), Some(10)], &[100, 25]), Some(75));
        // A partition that got nothing since then, and one that never had anything.
        assert_eq!(log(&[0, 7], &[Some(40), None], &[100, 7]), Some(60));
        // Retention took the beginning of the stretch.
        assert_eq!(log(&[40, 5], &[Some(40), Some(10)], &[100, 25]), None);
        assert_eq!(since(&[Some(0)], &[None], &[None]), None);
    }
}
