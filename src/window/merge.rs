//! Partials of all partitions summed into closed panes, in pane order.
//!
//! A pane closes when every partition has passed it. Two rules look at the clock, so what they close
//! is sealed durably first: an idle partition does not hold the others back, and one that has been
//! stuck for too long is left behind, incomplete. After a restart the same seals give the same panes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::offsets::TopicPartition;
use crate::window::ClosedPane;
use crate::window::Pane;
use crate::window::Partial;

/// How far one partition has come, as its ingest last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub partition: TopicPartition,
    pub next_offset: i64,
    /// The supported watermark less lateness: panes that end here or earlier are closed in it.
    pub frontier_ms: Option<i64>,
    pub first_pane_ms: Option<i64>,
    /// Nothing is left to read at present.
    pub caught_up: bool,
}

/// A pane that was closed with the help of the clock, and what it was closed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    pub pane_start_ms: i64,
    /// Partition and the `applied_through` of the partial that counts.
    pub partitions: Vec<(String, i32, i64)>,
    pub complete: bool,
}

/// What the clock says about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Reading on, or it may at any moment.
    Active,
    /// Caught up, and nothing came for a while.
    Idle,
    /// Not caught up, or its owner is gone, and no progress for longer than `max_stall`.
    Stalled,
}

#[derive(Clone, Debug)]
struct Source {
    progress: Progress,
    standing: Standing,
}

/// The panes of one model that are not yet closed.
#[derive(Clone, Debug)]
pub struct Merge {
    shape: Vec<usize>,
    pane_ms: i64,
    sources: BTreeMap<TopicPartition, Source>,
    pending: BTreeMap<i64, BTreeMap<TopicPartition, Partial>>,
    seals: BTreeMap<i64, Seal>,
    /// Sealed panes that came as one sum, where their partials may be gone.
    sums: BTreeMap<i64, Pane>,
    /// End of the last closed pane.
    closed_end_ms: Option<i64>,
    /// Records that came for panes that were sealed without them.
    late_after_seal: u64,
}

/// What closing the next pane takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// No pane can close yet.
    Wait,
    /// This pane closes.
    Close(ClosedPane),
    /// The clock closes this pane: make the seal and these partials durable, then call `sealed`.
    Seal(Seal, Vec<Partial>),
}

impl Merge {
    pub fn new(shape: Vec<usize>, pane_ms: i64) -> Self {
        Self {
            shape,
            pane_ms,
            sources: BTreeMap::new(),
            pending: BTreeMap::new(),
            seals: BTreeMap::new(),
            sums: BTreeMap::new(),
            closed_end_ms: None,
            late_after_seal: 0,
        }
    }

    /// Closes again, from the partials and seals that were stored, the panes up to `end_ms` that an
    /// earlier process has closed; what comes next goes on behind them.
    pub fn resume(&mut self, end_ms: i64) -> Vec<ClosedPane> {
        let mut panes = Vec::new();
        while let Some(start) = self.next_start().filter(|start| start + self.pane_ms <= end_ms) {
            let complete = self.seals.get(&start).is_none_or(|seal| seal.complete);
            panes.push(self.close(start, complete));
        }
        self.closed_end_ms = Some(end_ms);
        panes
    }

    /// Whether a pane that ends at `end_ms` or before is there to be closed.
    pub fn reaches(&self, end_ms: i64) -> bool {
        self.next_start().is_some_and(|start| start + self.pane_ms <= end_ms)
    }

    /// End of the newest pane that a stored partial is for.
    pub fn newest_end_ms(&self) -> Option<i64> {
        self.pending.keys().next_back().map(|start| start + self.pane_ms)
    }

    /// A partition is ours, or not any more.
    pub fn assign(&mut self, progress: Progress) {
        let source = Source { progress, standing: Standing::Active };
        self.sources.insert(source.progress.partition.clone(), source);
    }

    pub fn revoke(&mut self, partition: &TopicPartition) {
        self.sources.remove(partition);
    }

    pub fn progress(&mut self, progress: Progress) {
        if let Some(source) = self.sources.get_mut(&progress.partition) {
            source.progress = progress;
        }
    }

    pub fn stand(&mut self, partition: &TopicPartition, standing: Standing) {
        if let Some(source) = self.sources.get_mut(partition) {
            source.standing = standing;
        }
    }

    /// Takes a partial in; of two for the same partition and pane the one further on counts, but a
    /// sealed pane takes only what it was sealed with (so seals are loaded before partials).
    pub fn add(&mut self, partial: Partial) {
        let start = partial.pane.start_ms;
        if self.seals.get(&start).is_some_and(|seal| !seal.covers(&partial)) {
            self.late_after_seal += partial.pane.records;
            return;
        }
        if self.closed_end_ms.is_some_and(|end| start < end) || self.sums.contains_key(&start) {
            return;
        }
        let pane = self.pending.entry(start).or_default();
        match pane.get(&partial.partition) {
            Some(known) if known.applied_through >= partial.applied_through => {}
            Some(_) | None => {
                pane.insert(partial.partition.clone(), partial);
            }
        }
    }

    /// Takes in a seal that is durable.
    pub fn sealed(&mut self, seal: Seal) {
        self.seals.entry(seal.pane_start_ms).or_insert(seal);
    }

    /// Takes in a durable seal with the sum of what it covers; of two for a pane the first counts.
    pub fn freeze(&mut self, seal: Seal, sum: Pane) {
        if let Entry::Vacant(entry) = self.seals.entry(seal.pane_start_ms) {
            self.sums.insert(*entry.key(), sum);
            entry.insert(seal);
        }
    }

    /// What partials come to together.
    pub fn sum(&self, start_ms: i64, partials: &[Partial]) -> Pane {
        let mut sum = Pane::empty(start_ms, &self.shape);
        partials.iter().for_each(|partial| sum.add(&partial.pane));
        sum
    }

    pub fn late_after_seal(&self) -> u64 {
        self.late_after_seal
    }

    pub fn sources(&self) -> impl Iterator<Item = &Progress> {
        self.sources.values().map(|source| &source.progress)
    }

    /// The next pane in order, if it can close now. `n_partitions` is how many partitions the
    /// model's topic has: a process that does not own all of them closes incomplete panes.
    pub fn next(&mut self, n_partitions: usize) -> Next {
        let Some(start) = self.next_start() else { return Next::Wait };
        let end = start + self.pane_ms;
        if let Some(complete) = self.seals.get(&start).map(|seal| seal.complete) {
            return Next::Close(self.close(start, complete));
        }
        let passed = |s: &Source| s.progress.frontier_ms.is_some_and(|f| f >= end);
        if !self.sources.values().any(passed) {
            return Next::Wait;
        }
        let behind = || self.sources.values().filter(|s| !passed(s));
        if behind().any(|s| s.standing == Standing::Active) {
            return Next::Wait;
        }
        let complete =
            self.sources.len() >= n_partitions && behind().all(|s| s.standing == Standing::Idle);
        if behind().next().is_none() && complete {
            return Next::Close(self.close(start, true));
        }
        let partials: Vec<Partial> =
            self.pending.get(&start).into_iter().flat_map(BTreeMap::values).cloned().collect();
        let through =
            |p: &Partial| (p.partition.topic.to_string(), p.partition.partition, p.applied_through);
        let partitions = partials.iter().map(through).collect();
        Next::Seal(Seal { pane_start_ms: start, partitions, complete }, partials)
    }

    /// The pane behind the last closed one; at first the earliest that any partition has.
    fn next_start(&self) -> Option<i64> {
        self.closed_end_ms.or_else(|| {
            let first = self.sources.values().filter_map(|s| s.progress.first_pane_ms).min();
            let pending = self.pending.keys().next().copied();
            let sealed = self.sums.keys().next().copied();
            first.into_iter().chain(pending).chain(sealed).min()
        })
    }

    fn close(&mut self, start: i64, complete: bool) -> ClosedPane {
        let partials: Vec<Partial> =
            self.pending.remove(&start).unwrap_or_default().into_values().collect();
        let pane = self.sums.remove(&start).unwrap_or_else(|| self.sum(start, &partials));
        self.closed_end_ms = Some(start + self.pane_ms);
        ClosedPane::new(&pane, complete)
    }

    /// Forgets seals of panes that are no longer kept.
    pub fn expire(&mut self, before_ms: i64) {
        self.seals = self.seals.split_off(&before_ms);
        self.sums = self.sums.split_off(&before_ms);
    }
}

impl Seal {
    /// The partial is the very one that the pane was sealed with.
    pub fn covers(&self, partial: &Partial) -> bool {
        self.partitions.iter().any(|(topic, partition, through)| {
            *partition == partial.partition.partition
                && *topic == *partial.partition.topic
                && *through == partial.applied_through
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANE: i64 = 1000;

    fn partition(n: i32) -> TopicPartition {
        TopicPartition::new("t", n)
    }

    fn partial(n: i32, start_ms: i64, records: u64, applied_through: i64) -> Partial {
        let mut pane = Pane::empty(start_ms, &[1]);
        pane.records = records;
        pane.features[0].cells = vec![records];
        Partial { partition: partition(n), rules: 1, applied_through, pane }
    }

    fn at(n: i32, frontier_ms: Option<i64>) -> Progress {
        Progress {
            partition: partition(n),
            next_offset: 0,
            frontier_ms,
            first_pane_ms: frontier_ms.map(|_| 0),
            caught_up: true,
        }
    }

    fn merge_of(frontiers: &[Option<i64>]) -> Merge {
        let mut merge = Merge::new(vec![1], PANE);
        for (n, frontier) in (0..).zip(frontiers) {
            merge.assign(at(n, *frontier));
        }
        merge
    }

    #[test]
    fn a_pane_waits_for_every_partition() {
        let mut merge = merge_of(&[Some(1000), Some(999)]);
        merge.add(partial(0, 0, 3, 10));
        assert_eq!(merge.next(2), Next::Wait);
        merge.add(partial(1, 0, 4, 10));
        merge.progress(at(1, Some(2000)));
        let Next::Close(pane) = merge.next(2) else { panic!("must close") };
        assert_eq!((pane.start_ms, pane.records, pane.complete), (0, 7, true));
        assert_eq!(merge.next(2), Next::Wait);
    }

    #[test]
    fn of_two_partials_the_one_further_on_counts_once() {
        let mut merge = merge_of(&[Some(1000)]);
        merge.add(partial(0, 0, 3, 10));
        merge.add(partial(0, 0, 5, 12));
        merge.add(partial(0, 0, 3, 10));
        let Next::Close(pane) = merge.next(1) else { panic!("must close") };
        assert_eq!(pane.records, 5);
        merge.add(partial(0, 0, 5, 12));
        assert_eq!(merge.next(1), Next::Wait);
    }

    #[test]
    fn empty_panes_between_are_closed_too() {
        let mut merge = merge_of(&[Some(3000)]);
        merge.add(partial(0, 0, 1, 1));
        merge.add(partial(0, 2000, 1, 2));
        let starts: Vec<_> = std::iter::from_fn(|| match merge.next(1) {
            Next::Close(pane) => Some((pane.start_ms, pane.records)),
            Next::Wait | Next::Seal(..) => None,
        })
        .collect();
        assert_eq!(starts, [(0, 1), (1000, 0), (2000, 1)]);
    }

    #[test]
    fn an_idle_partition_is_sealed_with_what_it_had() {
        let mut merge = merge_of(&[Some(1000), Some(500)]);
        merge.add(partial(0, 0, 3, 10));
        merge.add(partial(1, 0, 4, 20));
        merge.stand(&partition(1), Standing::Idle);
        let Next::Seal(seal, partials) = merge.next(2) else { panic!("must seal") };
        assert!(seal.complete);
        assert_eq!(partials.len(), 2);
        merge.sealed(seal.clone());
        let Next::Close(pane) = merge.next(2) else { panic!("must close") };
        assert_eq!(pane.records, 7);
        // What comes later is not mixed in, and neither is it after a restart.
        merge.add(partial(1, 0, 6, 25));
        assert_eq!(merge.late_after_seal(), 6);
        let mut restarted = merge_of(&[None, None]);
        restarted.sealed(seal);
        partials.into_iter().for_each(|p| restarted.add(p));
        restarted.add(partial(1, 0, 6, 25));
        assert_eq!(restarted.late_after_seal(), 6);
        let Next::Close(pane) = restarted.next(2) else { panic!("must close") };
        assert_eq!((pane.records, pane.complete), (7, true));
    }

    #[test]
    fn a_seal_with_its_sum_counts_whatever_partials_say_before_or_after() {
        let mut merge = merge_of(&[Some(1000), Some(1000)]);
        let sealed = [partial(0, 0, 3, 10), partial(1, 0, 4, 20)];
        let through = vec![("t".to_owned(), 0, 10), ("t".to_owned(), 1, 20)];
        let seal = Seal { pane_start_ms: 0, partitions: through, complete: true };
        // One partition has come further before the seal was read back.
        merge.add(partial(1, 0, 9, 25));
        let sum = merge.sum(0, &sealed);
        merge.freeze(seal.clone(), sum);
        merge.add(partial(0, 0, 3, 10));
        // A process that knows nothing else begins with it.
        let mut taken_over = merge_of(&[None, None]);
        let sum = merge.sum(0, &sealed);
        taken_over.freeze(seal.clone(), sum);
        assert!(taken_over.reaches(1000) && !taken_over.reaches(999));
        assert_eq!(taken_over.resume(1000)[0].records, 7);
        let late = Seal { partitions: Vec::new(), complete: false, ..seal };
        merge.freeze(late, Pane::empty(0, &[1]));
        let Next::Close(pane) = merge.next(2) else { panic!("must close") };
        assert_eq!((pane.records, pane.complete), (7, true));
        assert_eq!(pane.counts(&[1]).unwrap()[0].cells, [7]);
    }

    #[test]
    fn a_stalled_or_foreign_partition_leaves_the_pane_incomplete() {
        let mut merge = merge_of(&[Some(1000), Some(500)]);
        merge.stand(&partition(1), Standing::Stalled);
        let Next::Seal(seal, _) = merge.next(2) else { panic!("must seal") };
        assert!(!seal.complete);
        let mut merge = merge_of(&[Some(1000)]);
        let Next::Seal(seal, _) = merge.next(2) else { panic!("must seal") };
        assert!(!seal.complete);
    }

    #[test]
    fn when_all_are_idle_nothing_closes() {
        let mut merge = merge_of(&[Some(500)]);
        merge.add(partial(0, 0, 3, 10));
        merge.stand(&partition(0), Standing::Idle);
        assert_eq!(merge.next(1), Next::Wait);
    }
}
