//! Answers to what the group gives: a partition is taken as soon as it is known where it starts.

use std::collections::BTreeSet;
use std::sync::Arc;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::offsets::TopicPartition;
use crate::source::Assigned;
use crate::source::Event;
use crate::source::kafka::ASK;
use crate::source::kafka::KafkaSource;
use crate::source::kafka::slots;
use crate::source::kafka::slots::Slot;
use crate::source::kafka::starts::Place;
use crate::source::kafka::starts::Taking;

impl KafkaSource {
    /// Takes what the group gives. One partition of which nobody can say yet where it starts keeps no other
    /// waiting, nor the other members: the group has its answer, and this one is taken later.
    pub(super) fn take_over(&mut self) {
        if Instant::now() < self.ask_after {
            return;
        }
        let Some(mut taking) = self.taking.take() else { return };
        let taken = self.take(&mut taking);
        if !taking.is_empty() || self.link.is_unanswered() {
            self.taking = Some(taking);
        }
        if let Err(why) = taken {
            self.put_off(why);
        }
    }

    fn take(&mut self, taking: &mut Taking) -> Result<(), String> {
        let resolved = taking.resolve(&self.link, &mut self.starts, ASK);
        resolved
            .map_err(|(partition, error)| format!("can't ask where {partition} starts: {error}"))?;
        if self.link.is_unanswered() {
            // Before anything is fetched: an answer would wait behind that on the broker's connection,
            // for half a second when there is nothing to fetch.
            self.measure(taking.topics());
        } else if taking.places().is_empty() {
            return Ok(());
        }
        let refused = |error: KafkaError| format!("can't take partitions: {error}");
        let list = self.forwarded(taking.places()).map_err(refused)?;
        self.link.assign(&list).map_err(refused)?;
        let mut assigned = Vec::new();
        let mut lost = Vec::new();
        for place in taking.take_places() {
            let mut slot = Slot::new(place.assigned.partition.clone(), place.first);
            slot.proof = place.proof;
            self.slots.insert(slot);
            let Assigned { partition, topic, .. } = &place.assigned;
            self.watch.know(&partition.topic, *topic);
            lost.extend(place.lost.into_iter().map(|lost| (partition.clone(), lost)));
            assigned.push(place.assigned);
        }
        if !assigned.is_empty() {
            self.ready.push_back(Event::Assigned(assigned));
        }
        for (partition, (from, to, cause)) in lost {
            self.lose(partition, from, to, cause);
        }
        Ok(())
    }

    /// The list to assign; its partitions' queues already lead to ours. Without a cooperative protocol it
    /// takes the place of the list before, so what is ours already is in it, too.
    fn forwarded(&mut self, places: &[Place]) -> Result<TopicPartitionList, KafkaError> {
        let mut list = if self.link.is_cooperative() {
            TopicPartitionList::new()
        } else {
            self.slots.iter_mut().for_each(Slot::forward_again);
            self.slots.as_list()?
        };
        for place in places {
            let TopicPartition { topic, partition } = &place.assigned.partition;
            self.link.forward(&slots::c_name(topic), *partition);
            let from = place.proof.map_or(place.first, |(at, _)| at);
            list.add_partition_offset(topic, *partition, Offset::Offset(from))?;
        }
        Ok(list)
    }

    /// Asks for the sizes of topics; waits up to a second for each.
    pub(crate) fn measure(&mut self, topics: BTreeSet<Arc<str>>) {
        for topic in topics {
            let metadata = self.link.consumer.fetch_metadata(Some(&topic), ASK).ok();
            let found = metadata.as_ref().and_then(|all| {
                let found = all.topics().iter().find(|t| *t.name() == *topic)?;
                Some(found.partitions().len()).filter(|&n| n > 0)
            });
            match found {
                Some(size) => drop(self.sizes.insert(topic, size)),
                None => drop(self.sizes.remove(&topic)),
            }
        }
    }
}
