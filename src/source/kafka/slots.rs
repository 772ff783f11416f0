//! The partitions that are ours: where each is, and how long it has been quiet.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::offsets::TopicPartition;
use crate::source::hole::Hole;

/// Quiet for this long although its log has more: started again.
const PATIENCE: Duration = Duration::from_secs(60);
/// An end of the log without records (transaction markers) looks like a stall for ever.
const MOST_PATIENCE: Duration = Duration::from_secs(3600);
/// How long a partition's queue is led to ours again and again, until its first message: librdkafka
/// undoes it when it gets to stopping the fetcher of before, and does not redo it when it starts one.
const FORWARDING: Duration = Duration::from_secs(10);
/// Most that one turn counts: a reader that was away is no stall of the partition's.
const TURN: Duration = Duration::from_secs(1);

/// One partition of ours.
pub(super) struct Slot {
    pub(super) partition: TopicPartition,
    pub(super) c_topic: CString,
    /// Offset of the next message to hand out.
    pub(super) next: i64,
    /// An undecodable batch whose end is searched.
    pub(super) hole: Option<Hole>,
    /// From `next` on nothing can be decoded.
    pub(super) stuck: bool,
    /// `next` has moved: what comes before the partition is restarted there is not wanted.
    pub(super) moved: bool,
    /// The last record that was counted, and the epoch of its leader: while the log has it no other took its
    /// place below `next`. It is fetched once more, to see.
    pub(super) proof: Option<(i64, i32)>,
    /// The log does not have `next`.
    pub(super) astray: bool,
    quiet: Duration,
    patience: Duration,
    forwarding: Duration,
}

impl Slot {
    pub(super) fn new(partition: TopicPartition, next: i64) -> Self {
        let c_topic = c_name(&partition.topic);
        Self {
            partition,
            c_topic,
            next,
            hole: None,
            stuck: false,
            moved: false,
            proof: None,
            astray: false,
            quiet: Duration::ZERO,
            patience: PATIENCE,
            forwarding: FORWARDING,
        }
    }

    /// Whether the log has another record in the place of the last that was counted. Asked of the first
    /// message that comes.
    pub(super) fn is_disproved(&mut self, offset: i64, epoch: impl Fn() -> Option<i32>) -> bool {
        let proof = self.proof.take();
        proof.is_some_and(|(at, of)| offset == at && epoch().is_some_and(|epoch| epoch != of))
    }

    /// Where fetching begins.
    pub(super) fn fetched_from(&self) -> i64 {
        self.proof.map_or(self.next, |(at, _)| at)
    }

    /// A message was handed out.
    pub(super) fn advance(&mut self, next: i64) {
        self.next = next;
        self.quiet = Duration::ZERO;
        self.patience = PATIENCE;
        self.forwarding = Duration::ZERO;
    }

    /// A message came although something could not be decoded: where that began, if the message is the
    /// first behind it. Else the search goes on from another `next`.
    pub(super) fn behind_hole(&mut self) -> Option<i64> {
        // Librdkafka went on by itself.
        if std::mem::take(&mut self.stuck) && self.hole.is_none() {
            return Some(self.next);
        }
        match self.hole.as_mut()?.worked(self.next) {
            Some(next) => {
                self.next = next;
                self.moved = true;
                None
            }
            None => self.hole.take().map(|hole| hole.from),
        }
    }

    pub(super) fn forward_again(&mut self) {
        self.forwarding = FORWARDING;
    }

    pub(super) fn is_forwarding(&self) -> bool {
        !self.forwarding.is_zero()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet >= self.patience
    }

    /// Looked at: quiet from now on.
    pub(super) fn rest(&mut self) {
        self.quiet = Duration::ZERO;
    }

    /// Was restarted; should that not help, the next time is later.
    pub(super) fn be_patient(&mut self) {
        self.patience = (self.patience * 2).min(MOST_PATIENCE);
    }

    pub(super) fn as_list(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        self.add_to(&mut list)?;
        Ok(list)
    }

    fn add_to(&self, list: &mut TopicPartitionList) -> Result<(), KafkaError> {
        let TopicPartition { topic, partition } = &self.partition;
        list.add_partition_offset(topic, *partition, Offset::Offset(self.fetched_from()))
    }
}

/// All of them. There are few, so a scan beats hashing names.
pub(super) struct Slots {
    slots: Vec<Slot>,
    topics: Vec<Arc<str>>,
    turned: Instant,
}

impl Slots {
    pub(super) fn new(topics: &[String]) -> Self {
        let topics = topics.iter().map(|topic| Arc::from(topic.as_str())).collect();
        Self { slots: Vec::new(), topics, turned: Instant::now() }
    }

    /// The partition with the one copy of its topic's name.
    pub(super) fn name(&mut self, topic: &str, partition: i32) -> TopicPartition {
        let known = self.topics.iter().find(|known| &***known == topic).cloned();
        let topic = known.unwrap_or_else(|| {
            let topic: Arc<str> = Arc::from(topic);
            self.topics.push(Arc::clone(&topic));
            topic
        });
        TopicPartition { topic, partition }
    }

    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<usize> {
        let is_it = |s: &Slot| s.partition.partition == partition && &*s.partition.topic == topic;
        self.slots.iter().position(is_it)
    }

    pub(super) fn insert(&mut self, slot: Slot) {
        match self.find(&slot.partition.topic, slot.partition.partition) {
            Some(index) => self.slots[index] = slot,
            None => self.slots.push(slot),
        }
    }

    pub(super) fn remove(&mut self, partition: &TopicPartition) -> bool {
        let found = self.find(&partition.topic, partition.partition);
        found.map(|index| self.slots.swap_remove(index)).is_some()
    }

    /// Time passes for quiet partitions.
    pub(super) fn turn(&mut self) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.turned);
        self.turned = now;
        self.pass(passed);
    }

    pub(super) fn pass(&mut self, passed: Duration) {
        let passed = passed.min(TURN);
        for slot in &mut self.slots {
            slot.quiet += passed;
            slot.forwarding = slot.forwarding.saturating_sub(passed);
        }
    }

    pub(super) fn at(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn as_list(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(self.slots.len());
        self.slots.iter().try_for_each(|slot| slot.add_to(&mut list))?;
        Ok(list)
    }
}

/// A topic's name for C. No topic has a NUL in its name; one that had would match nothing.
pub(super) fn c_name(topic: &str) -> CString {
    CString::new(topic).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Slots {
        let mut slots = Slots::new(&["t".to_owned()]);
        let partition = slots.name("t", 0);
        slots.insert(Slot::new(partition, 5));
        slots
    }

    #[test]
    fn a_partition_is_quiet_after_its_patience() {
        let mut slots = one();
        (0..59).for_each(|_| slots.pass(TURN));
        assert!(!slots.at(0).is_quiet());
        slots.pass(TURN);
        assert!(slots.at(0).is_quiet());
        slots.at(0).advance(6);
        assert!(!slots.at(0).is_quiet());
    }

    #[test]
    fn another_epoch_in_the_place_of_the_last_record_disproves_it() {
        let mut slots = one();
        for (offset, epoch, disproved) in
            [(4, Some(2), false), (4, Some(3), true), (4, None, false), (5, Some(3), false)]
        {
            let slot = slots.at(0);
            slot.proof = Some((4, 2));
            assert_eq!(slot.fetched_from(), 4);
            assert_eq!(slot.is_disproved(offset, || epoch), disproved);
            assert!(!slot.is_disproved(4, || Some(9)), "only the first message says it");
            assert_eq!(slot.fetched_from(), 5);
        }
    }

    #[test]
    fn a_reader_that_was_away_finds_no_stall() {
        let mut slots = one();
        slots.pass(MOST_PATIENCE);
        assert!(!slots.at(0).is_quiet());
    }

    #[test]
    fn a_restart_that_did_not_help_is_repeated_later_and_later() {
        let mut slots = one();
        let mut turns_until_quiet = || {
            let turns = (0..10_000)
                .take_while(|_| {
                    slots.pass(TURN);
                    !slots.at(0).is_quiet()
                })
                .count();
            slots.at(0).rest();
            slots.at(0).be_patient();
            turns + 1
        };
        assert_eq!((turns_until_quiet(), turns_until_quiet(), turns_until_quiet()), (60, 120, 240));
        (0..9).for_each(|_| {
            turns_until_quiet();
        });
        assert_eq!(turns_until_quiet(), 3600);
    }

    #[test]
    fn a_partition_is_found_by_topic_and_number() {
        let mut slots = one();
        let other = slots.name("u", 0);
        slots.insert(Slot::new(other.clone(), 0));
        assert_eq!(
            (slots.find("t", 0), slots.find("u", 0), slots.find("t", 1)),
            (Some(0), Some(1), None)
        );
        assert!(slots.remove(&other) && !slots.remove(&other));
        assert_eq!(slots.len(), 1);
    }
}
