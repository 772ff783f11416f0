//! Partitions that need something: their queue led to ours again, a new place in the log, or a push.

use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use tokio::time::Instant;

use crate::offsets::TopicPartition;
use crate::source::Event;
use crate::source::LossCause;
use crate::source::hole::Hole;
use crate::source::kafka::ASK;
use crate::source::kafka::KafkaSource;
use crate::source::kafka::slots::Slot;
use crate::source::kafka::starts;

impl KafkaSource {
    pub(super) fn tend(&mut self) {
        let mut quiet = Vec::new();
        for index in 0..self.slots.len() {
            let slot = self.slots.at(index);
            if slot.is_forwarding() {
                self.link.forward(&slot.c_topic, slot.partition.partition);
            }
            if slot.astray {
                self.bring_back(index);
            } else if slot.stuck {
                self.step_over(index);
            } else if slot.moved {
                self.restart(index);
            } else if slot.is_quiet() {
                slot.rest();
                quiet.push(index);
            }
        }
        if !quiet.is_empty() {
            self.wake(&quiet);
        }
        if let Some(topics) = self.watch.due(Instant::now()) {
            // Not known now is asked again later.
            let told = self.link.topic_ids(topics.iter().map(|topic| &**topic), ASK);
            for (topic, id) in told.into_iter().flatten() {
                id.into_iter().for_each(|id| self.watch.hear(&topic, id));
            }
        }
    }

    /// Starts those partitions again that are quiet although their log has more.
    fn wake(&mut self, quiet: &[usize]) {
        // What the last fetch told is old where fetching itself has stopped, so brokers are asked.
        let partitions: Vec<_> =
            quiet.iter().map(|&index| self.slots.at(index).partition.clone()).collect();
        let ends = partitions.iter().map(|partition| (partition, Offset::End));
        let ends = match starts::ask(&self.link.consumer, ends, ASK) {
            Ok(ends) => Some(ends),
            Err(error) => {
                self.put_off(format!("can't ask where quiet partitions end: {error}"));
                None
            }
        };
        for (&index, partition) in quiet.iter().zip(&partitions) {
            let asked = ends.as_ref().and_then(|ends| starts::found(ends, partition).ok()?);
            if self.is_behind(index, asked) {
                self.stalls += 1;
                self.slots.at(index).be_patient();
                self.restart(index);
            }
        }
    }

    /// Whether the log has more than was handed out. An end that holds no records (the ends of
    /// transactions) was passed by librdkafka, if not by us.
    fn is_behind(&mut self, index: usize, asked: Option<i64>) -> bool {
        let slot = self.slots.at(index);
        let partition = slot.partition.partition;
        let told = self.link.watermarks(&slot.c_topic, partition).map(|(_, high)| high);
        let high = told.max(asked);
        let positions = self.link.positions();
        let position = positions.iter().find(|(partition, _)| *partition == slot.partition);
        let passed = position.map_or(slot.next, |(_, at)| slot.next.max(*at));
        let behind = high.is_some_and(|high| high > passed);
        if behind {
            tracing::warn!(partition = %slot.partition, next = slot.next, high, "no records although the log has more; asking again");
        }
        behind
    }

    /// A partition whose offset the log does not have: resumes where it does, and says what is gone.
    fn bring_back(&mut self, index: usize) {
        if Instant::now() < self.ask_after {
            return;
        }
        let slot = self.slots.at(index);
        let name = slot.partition.clone();
        let (low, high) =
            match self.link.consumer.fetch_watermarks(&name.topic, name.partition, ASK) {
                Ok(marks) => marks,
                Err(error) => {
                    return self.put_off(format!("can't ask where {name} starts: {error}"));
                }
            };
        slot.astray = false;
        slot.proof = None;
        let from = slot.next;
        if let Some(cause) = starts::outside(from, low, high) {
            // Of a topic that was made anew it would have been heard.
            let is_cut = cause == LossCause::BeyondEnd && self.watch.knows(&name.topic);
            let (to, cause) = if is_cut { (high, LossCause::Truncated) } else { (low, cause) };
            slot.next = to;
            self.lose(name, from, to, cause);
        }
        self.restart(index);
    }

    /// Looks for the end of a batch that cannot be decoded.
    fn step_over(&mut self, index: usize) {
        if Instant::now() < self.ask_after {
            return;
        }
        let slot = self.slots.at(index);
        let name = slot.partition.clone();
        // Behind the end of the log nothing may be asked for.
        let high = match self.link.consumer.fetch_watermarks(&name.topic, name.partition, ASK) {
            Ok((_, high)) => high,
            Err(error) => return self.put_off(format!("can't ask where {name} ends: {error}")),
        };
        slot.stuck = false;
        slot.proof = None;
        let at = slot.next;
        slot.next = slot.hole.get_or_insert(Hole::new(at)).failed(at, high);
        tracing::debug!(partition = %name, at, next = slot.next, high, "undecodable");
        self.restart(index);
    }

    /// Assigns a partition anew at its next offset. Not `seek` and not `pause`: both have lost
    /// partitions in librdkafka.
    fn restart(&mut self, index: usize) {
        let slot = self.slots.at(index);
        slot.forward_again();
        slot.moved = false;
        let result = if self.link.is_cooperative() {
            slot.as_list().and_then(|list| {
                self.link.consumer.incremental_unassign(&list)?;
                self.link.consumer.incremental_assign(&list)
            })
        } else {
            self.slots.iter_mut().for_each(Slot::forward_again);
            self.slots.as_list().and_then(|list| self.link.consumer.assign(&list))
        };
        if let Err(error) = result {
            let slot = self.slots.at(index);
            slot.astray = true;
            let partition = slot.partition.clone();
            self.put_off(format!("can't restart {partition}: {error}"));
        }
    }

    pub(super) fn lose(&mut self, partition: TopicPartition, from: i64, to: i64, cause: LossCause) {
        self.lost += u64::try_from(to - from).unwrap_or(0);
        tracing::error!(%partition, from, to, %cause, "records are gone before they were read");
        self.ready.push_back(Event::Lost { partition, from, to, cause });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use rdkafka::TopicPartitionList;

    use super::*;
    use crate::kafka::Config;
    use crate::kafka::mock::{MockBroker, Producer};
    use crate::source::Start;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn fill(producer: &Producer, records: usize) {
        for _ in 0..records {
            for partition in 0..2 {
                producer.produce("t", partition, None, 1, Some(b"x")).unwrap();
            }
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Reads until every partition has come to its number of records.
    fn read_to(source: &mut KafkaSource, read: &mut BTreeMap<i32, i64>, to: [i64; 2]) {
        for _ in 0..600 {
            if let Event::Batch(batch) = source.next(Duration::from_millis(50)) {
                for (partition, records) in batch.groups() {
                    let next = read.entry(partition.partition).or_default();
                    assert_eq!(records.first_offset(), *next, "nothing is skipped or comes twice");
                    *next = records.last_offset() + 1;
                }
            }
            if (0..).zip(to).all(|(partition, to)| read.get(&partition) == Some(&to)) {
                return;
            }
        }
        panic!("waited in vain for {to:?}: {read:?}, {:?}", source.trouble());
    }

    fn start() -> (MockBroker, Producer, KafkaSource, BTreeMap<i32, i64>) {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("t", 2).unwrap();
        let producer = Producer::connect(&broker.bootstrap_servers()).unwrap();
        let config = Config::new([broker.bootstrap_servers()]);
        let starts = Box::new(|_: &TopicPartition| Some(vec![Start::Earliest]));
        let mut source = KafkaSource::connect(&config, &["t".to_owned()], starts).unwrap();
        let mut read = BTreeMap::new();
        fill(&producer, 10);
        read_to(&mut source, &mut read, [10, 10]);
        (broker, producer, source, read)
    }

    fn pass(source: &mut KafkaSource, seconds: u32) {
        (0..seconds).for_each(|_| source.slots.pass(Duration::from_secs(1)));
    }

    /// What librdkafka fetches goes to a queue that nobody reads, as when a forwarding is lost.
    #[test]
    fn a_frozen_partition_is_found_after_a_minute_and_read_on() {
        let (_broker, producer, mut source, mut read) = start();
        let lost = source.link.consumer.split_partition_queue("t", 1).unwrap();
        fill(&producer, 10);
        read_to(&mut source, &mut read, [20, 10]);
        pass(&mut source, 58);
        assert_eq!(source.stalls(), 0, "a minute is not over");
        pass(&mut source, 2);
        read_to(&mut source, &mut read, [20, 20]);
        assert_eq!(source.stalls(), 1);
        fill(&producer, 5);
        read_to(&mut source, &mut read, [25, 25]);
        assert_eq!(source.stalls(), 1);
        drop(lost);
        source.close(PATIENCE).unwrap();
    }

    /// Nothing is fetched any more, so no fetch tells that the log has grown.
    #[test]
    fn a_partition_that_is_not_even_fetched_is_found_by_asking() {
        let (_broker, producer, mut source, mut read) = start();
        let mut frozen = TopicPartitionList::new();
        frozen.add_partition("t", 1);
        source.link.consumer.pause(&frozen).unwrap();
        fill(&producer, 10);
        read_to(&mut source, &mut read, [20, 10]);
        assert_eq!(source.link.watermarks(c"t", 1).map(|(_, high)| high), Some(10));
        pass(&mut source, 60);
        for _ in 0..600 {
            if source.stalls() > 0 {
                break;
            }
            source.next(Duration::from_millis(50));
        }
        assert_eq!(source.stalls(), 1);
        // A quiet partition at its end is none.
        pass(&mut source, 60);
        (0..5).for_each(|_| drop(source.next(Duration::from_millis(20))));
        assert_eq!(source.stalls(), 1);
    }
}
