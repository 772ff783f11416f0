//! Where partitions start: what models ask for, as offsets that their logs have.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::consumer::Consumer;
use crate::offsets::TopicPartition;
use crate::source::Assigned;
use crate::source::LossCause;
use crate::source::Start;
use crate::source::StartsFn;

/// An assignment on its way: brokers are asked one partition at a time, and asked again when they
/// did not answer.
pub(super) struct Taking {
    asked: Vec<(TopicPartition, Vec<Start>)>,
    places: Vec<Place>,
}

/// Where a partition starts.
pub(super) struct Place {
    pub(super) assigned: Assigned,
    /// The smallest start.
    pub(super) first: i64,
    /// An offset that was asked for and that the log does not have: `(from, to, cause)`.
    pub(super) lost: Option<(i64, i64, LossCause)>,
}

impl Taking {
    pub(super) fn new(partitions: Vec<TopicPartition>, starts: &mut StartsFn) -> Self {
        let ask = |partition: TopicPartition| {
            let starts = starts(&partition);
            (partition, starts)
        };
        Self { asked: partitions.into_iter().map(ask).collect(), places: Vec::new() }
    }

    /// Asks for what is not known yet; each question waits at most `timeout`.
    pub(super) fn resolve(
        &mut self,
        consumer: &Consumer,
        timeout: Duration,
    ) -> Result<(), (TopicPartition, KafkaError)> {
        while let Some((partition, starts)) = self.asked.last() {
            let place = place(consumer, partition, starts, timeout);
            self.places.push(place.map_err(|error| (partition.clone(), error))?);
            self.asked.pop();
        }
        Ok(())
    }

    /// The group took it away again.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.asked.retain(|(asked, _)| asked != partition);
        self.places.retain(|place| place.assigned.partition != *partition);
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(super) fn into_places(mut self) -> Vec<Place> {
        self.places.sort_by(|a, b| a.assigned.partition.cmp(&b.assigned.partition));
        self.places
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
    partition: &TopicPartition,
    starts: &[Start],
    timeout: Duration,
) -> Result<Place, KafkaError> {
    let (low, high) = consumer.fetch_watermarks(&partition.topic, partition.partition, timeout)?;
    let mut offsets = Vec::with_capacity(starts.len());
    for start in starts {
        offsets.push(match start {
            Start::Offset(offset) => *offset,
            Start::Earliest => low,
            Start::Latest => high,
            Start::Time(ms) => at_time(consumer, partition, *ms, high, timeout)?.clamp(low, high),
        });
    }
    Ok(settle(partition, offsets, low, high))
}

/// Offsets that the log lacks become its first one. The farthest of them is what is reported: a
/// model that asked for less lost less, and knows its own offset.
fn settle(partition: &TopicPartition, mut starts: Vec<i64>, low: i64, high: i64) -> Place {
    let lacking = |offset: &i64| outside(*offset, low, high).map(|cause| (*offset, low, cause));
    let behind = starts.iter().filter(|offset| **offset < low).min().and_then(lacking);
    let lost = behind.or_else(|| starts.iter().max().and_then(lacking));
    for start in &mut starts {
        if outside(*start, low, high).is_some() {
            *start = low;
        }
    }
    // Nobody reads it: from the end, so that little comes.
    let first = starts.iter().copied().min().unwrap_or(high);
    let assigned = Assigned { partition: partition.clone(), starts, low, high };
    Place { assigned, first, lost }
}

/// The first offset whose time stamp is `ms` or later; `high` when there is none.
fn at_time(
    consumer: &Consumer,
    partition: &TopicPartition,
    ms: i64,
    high: i64,
    timeout: Duration,
) -> Result<i64, KafkaError> {
    let mut list = TopicPartitionList::new();
    let time = Offset::Offset(ms.max(0));
    list.add_partition_offset(&partition.topic, partition.partition, time)?;
    let answer = consumer.offsets_for_times(list, timeout)?;
    let Some(found) = answer.find_partition(&partition.topic, partition.partition) else {
        return Ok(high);
    };
    found.error()?;
    Ok(match found.offset() {
        Offset::Offset(offset) => offset,
        Offset::Beginning
        | Offset::End
        | Offset::Stored
        | Offset::Invalid
        | Offset::OffsetTail(_) => high,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(starts: &[i64]) -> (Vec<i64>, i64, Option<(i64, i64, LossCause)>) {
        let place = settle(&TopicPartition::new("t", 0), starts.to_vec(), 10, 20);
        (place.assigned.starts, place.first, place.lost)
    }

    #[test]
    fn every_offset_of_the_log_and_its_end_is_a_start() {
        assert_eq!(settled(&[10, 20, 15]), (vec![10, 20, 15], 10, None));
    }

    #[test]
    fn an_offset_that_retention_took_is_counted_from_the_earliest() {
        let lost = Some((3, 10, LossCause::Retention));
        assert_eq!(settled(&[7, 15, 3]), (vec![10, 15, 10], 10, lost));
    }

    #[test]
    fn an_offset_beyond_the_end_starts_over() {
        let lost = Some((25, 10, LossCause::BeyondEnd));
        assert_eq!(settled(&[25, 15]), (vec![10, 15], 10, lost));
    }

    #[test]
    fn a_partition_that_nobody_reads_starts_at_its_end() {
        assert_eq!(settled(&[]), (vec![], 20, None));
    }
}
