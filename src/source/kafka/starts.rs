//! Where partitions start: what models ask for, as offsets that their logs have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::consumer::Consumer;
use crate::kafka::consumer::Link;
use crate::offsets::TopicId;
use crate::offsets::TopicPartition;
use crate::source::Assigned;
use crate::source::LossCause;
use crate::source::Start;
use crate::source::StartsFn;

/// Partitions on their way: brokers are asked about all of which it is known what models want, and asked
/// again when they did not answer.
#[derive(Default)]
pub(super) struct Taking {
    asked: Vec<(TopicPartition, Option<Vec<Start>>)>,
    places: Vec<Place>,
}

/// Where a partition starts.
pub(super) struct Place {
    pub(super) assigned: Assigned,
    /// The smallest start.
    pub(super) first: i64,
    /// The record before it and the epoch of its leader, as whoever starts there has seen it.
    pub(super) proof: Option<(i64, i32)>,
    /// Offsets that were asked for and that the log does not have: `(from, to, cause)`.
    pub(super) lost: Vec<(i64, i64, LossCause)>,
}

impl Taking {
    /// The group gives these, too.
    pub(super) fn add(&mut self, partitions: Vec<TopicPartition>, starts: &mut StartsFn) {
        for partition in partitions {
            self.forget(&partition);
            let wanted = starts(&partition);
            self.asked.push((partition, wanted));
        }
    }

    /// Asks for what is not known yet; each question to a broker waits at most `timeout`. Partitions of
    /// which nobody can say where the models want to start are left for the next call.
    pub(super) fn resolve(
        &mut self,
        link: &Link,
        starts: &mut StartsFn,
        timeout: Duration,
    ) -> Result<(), (TopicPartition, KafkaError)> {
        let consumer = &link.consumer;
        for (partition, wanted) in &mut self.asked {
            if wanted.is_none() {
                *wanted = starts(partition);
            }
        }
        let ready = self.asked.iter().filter(|(_, wanted)| wanted.is_some());
        let ready: Vec<&TopicPartition> = ready.map(|(partition, _)| partition).collect();
        let Some(&first) = ready.first() else { return Ok(()) };
        let ends = |end| ask(consumer, ready.iter().map(|&partition| (partition, end)), timeout);
        let whole = |error| (first.clone(), error);
        // Before the ends: should the topic be made anew between the two, the next look finds it.
        let names = ready.iter().map(|partition| &*partition.topic);
        let topics = link.topic_ids(names, timeout).map_err(whole)?;
        let low = ends(Offset::Beginning).map_err(whole)?;
        let high = ends(Offset::End).map_err(whole)?;
        let mut failed = None;
        self.asked.retain(|(partition, wanted)| {
            let Some(wanted) = wanted.as_ref().filter(|_| failed.is_none()) else { return true };
            let topic = topics.get(&*partition.topic).copied().flatten();
            match place(consumer, (partition, topic), wanted, (&low, &high), timeout) {
                Ok(place) => self.places.push(place),
                Err(error) => failed = Some((partition.clone(), error)),
            }
            failed.is_some()
        });
        failed.map_or(Ok(()), Err)
    }

    /// The group took it away again; whether it was on its way.
    pub(super) fn forget(&mut self, partition: &TopicPartition) -> bool {
        let before = self.asked.len() + self.places.len();
        self.asked.retain(|(asked, _)| asked != partition);
        self.places.retain(|place| place.assigned.partition != *partition);
        self.asked.len() + self.places.len() < before
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(super) fn take_places(&mut self) -> Vec<Place> {
        let mut places = std::mem::take(&mut self.places);
        places.sort_by(|a, b| a.assigned.partition.cmp(&b.assigned.partition));
        places
    }

    /// The topics of all partitions on their way.
    pub(super) fn topics(&self) -> BTreeSet<Arc<str>> {
        let asked = self.asked.iter().map(|(partition, _)| partition);
        let placed = self.places.iter().map(|place| &place.assigned.partition);
        asked.chain(placed).map(|partition| partition.topic.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.places.is_empty()
    }
}

/// Whether the log `[low, high]` lacks the offset, and why.
pub(super) fn outside(offset: i64, low: i64, high: i64) -> Option<LossCause> {
    if offset < low {
        Some(LossCause::Retention)
    } else if offset > high {
        Some(LossCause::BeyondEnd)
    } else {
        None
    }
}

fn place(
    consumer: &Consumer,
    (partition, topic): (&TopicPartition, Option<TopicId>),
    starts: &[Start],
    (low, high): (&TopicPartitionList, &TopicPartitionList),
    timeout: Duration,
) -> Result<Place, KafkaError> {
    let high = found(high, partition)?.ok_or(NO_OFFSET)?;
    // An empty log has one offset, its end.
    let low = found(low, partition)?.unwrap_or(high);
    let mut offsets = Vec::with_capacity(starts.len());
    let (mut foreign, mut cut) = (None, None);
    for start in starts {
        offsets.push(match start {
            Start::Offset(offset, lineage) if lineage.is_foreign(topic) => {
                foreign = foreign.max(Some(*offset));
                low
            }
            // It is the same topic, so the log was cut.
            Start::Offset(offset, lineage)
                if *offset > high && topic.is_some() && lineage.topic == topic =>
            {
                cut = cut.max(Some(*offset));
                high
            }
            Start::Offset(offset, _) => *offset,
            Start::Earliest => low,
            Start::Latest => high,
            Start::Time(ms) => {
                let time = Offset::Offset((*ms).max(0));
                let answer = ask(consumer, [(partition, time)].into_iter(), timeout)?;
                found(&answer, partition)?.unwrap_or(high).clamp(low, high)
            }
        });
    }
    let mut place = settle(partition, offsets, low, high);
    place.assigned.topic = topic;
    place.lost.extend(foreign.map(|from| (from, low, LossCause::Recreated)));
    place.lost.extend(cut.map(|from| (from, high, LossCause::Truncated)));
    let first = place.first;
    place.proof = starts.iter().find_map(|start| match start {
        Start::Offset(offset, lineage)
            if *offset == first && first > low && place.lost.is_empty() =>
        {
            lineage.leader_epoch.map(|epoch| (first - 1, epoch))
        }
        Start::Offset(..) | Start::Earliest | Start::Latest | Start::Time(_) => None,
    });
    Ok(place)
}

/// Offsets that the log lacks become its first one. The farthest of them is what is reported: a
/// model that asked for less lost less, and knows its own offset.
fn settle(partition: &TopicPartition, mut starts: Vec<i64>, low: i64, high: i64) -> Place {
    let lacking = |offset: &i64| outside(*offset, low, high).map(|cause| (*offset, low, cause));
    let behind = starts.iter().filter(|offset| **offset < low).min().and_then(lacking);
    let lost = behind.or_else(|| starts.iter().max().and_then(lacking)).into_iter().collect();
    for start in &mut starts {
        if outside(*start, low, high).is_some() {
            *start = low;
        }
    }
    // Nobody reads it: from the end, so that little comes.
    let first = starts.iter().copied().min().unwrap_or(high);
    let assigned = Assigned { partition: partition.clone(), starts, low, high, topic: None };
    Place { assigned, first, proof: None, lost }
}

const NO_OFFSET: KafkaError = KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset);

/// Asks each leader once where its partitions begin or end, or from where on records have a time
/// stamp: that is an offset whose number is ms since the epoch.
pub(super) fn ask<'a>(
    consumer: &Consumer,
    questions: impl Iterator<Item = (&'a TopicPartition, Offset)>,
    timeout: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (TopicPartition { topic, partition }, question) in questions {
        list.add_partition_offset(topic, *partition, question)?;
    }
    consumer.offsets_for_times(list, timeout)
}

/// What was answered about a partition; `None` is no such offset.
pub(super) fn found(
    answer: &TopicPartitionList,
    partition: &TopicPartition,
) -> Result<Option<i64>, KafkaError> {
    let Some(found) = answer.find_partition(&partition.topic, partition.partition) else {
        return Ok(None);
    };
    found.error()?;
    Ok(match found.offset() {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning
        | Offset::End
        | Offset::Stored
        | Offset::Invalid
        | Offset::OffsetTail(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(starts: &[i64]) -> (Vec<i64>, i64, Vec<(i64, i64, LossCause)>) {
        let place = settle(&TopicPartition::new("t", 0), starts.to_vec(), 10, 20);
        (place.assigned.starts, place.first, place.lost)
    }

    #[test]
    fn every_offset_of_the_log_and_its_end_is_a_start() {
        assert_eq!(settled(&[10, 20, 15]), (vec![10, 20, 15], 10, vec![]));
    }

    #[test]
    fn an_offset_that_retention_took_is_counted_from_the_earliest() {
        let lost = vec![(3, 10, LossCause::Retention)];
        assert_eq!(settled(&[7, 15, 3]), (vec![10, 15, 10], 10, lost));
    }

    #[test]
    fn an_offset_beyond_the_end_starts_over() {
        let lost = vec![(25, 10, LossCause::BeyondEnd)];
        assert_eq!(settled(&[25, 15]), (vec![10, 15], 10, lost));
    }

    #[test]
    fn a_partition_that_nobody_reads_starts_at_its_end() {
        assert_eq!(settled(&[]), (vec![], 20, vec![]));
    }
}
