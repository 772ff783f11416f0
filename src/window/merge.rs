//! Partials of all partitions summed into closed panes, in pane order.
//!
//! A pane closes when every partition has passed it. Two rules look at the clock, so what they close
//! is sealed durably first: an idle partition does not hold the others back, and one that has been
//! stuck for too long is left behind, incomplete. After a restart the same seals give the same panes.
//! Neither rule goes further than the clock: a record may say any time, and what is sealed stays closed.

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
    /// Panes from here to this one had nothing when it was sealed, and were passed over for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_from_ms: Option<i64>,
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
    /// For so long empty panes are closed one by one; the rest of a longer silence is passed over.
    silence_ms: Option<i64>,
    sources: BTreeMap<TopicPartition, Source>,
    pending: BTreeMap<i64, BTreeMap<TopicPartition, Partial>>,
    seals: BTreeMap<i64, Seal>,
    /// Sealed panes that came as one sum, where their partials may be gone.
    sums: BTreeMap<i64, Pane>,
    /// End of the last closed pane.
    closed_end_ms: Option<i64>,
    /// End of the last one that had something; `None` if nothing is kept that tells.
    filled_end_ms: Option<i64>,
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
            silence_ms: None,
            sources: BTreeMap::new(),
            pending: BTreeMap::new(),
            seals: BTreeMap::new(),
            sums: BTreeMap::new(),
            closed_end_ms: None,
            filled_end_ms: None,
            late_after_seal: 0,
        }
    }

    /// The same, closing at most `panes` empty panes in a row. Then nothing closes until a pane that has
    /// something can: which panes there are follows from the panes alone, not from when it is asked.
    pub fn with_silence(mut self, panes: usize) -> Self {
        let panes = i64::try_from(panes).unwrap_or(i64::MAX);
        self.silence_ms = Some(panes.saturating_mul(self.pane_ms));
        self
    }

    /// The first pane that `resume` closes again, if there are none before it or they are not kept.
    pub fn begin(&mut self, start_ms: i64) {
        (self.closed_end_ms, self.filled_end_ms) = (Some(start_ms), Some(start_ms));
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

    /// End of the last closed pane that had something.
    pub fn filled_end_ms(&self) -> Option<i64> {
        self.filled_end_ms
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
        let next_seal = self.seals.range(start..).next();
        let without = next_seal.is_some_and(|(at, seal)| match *at == start {
            true => !seal.covers(&partial),
            false => seal.passes(start),
        });
        if without {
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
        self.pending.retain(|start, _| !seal.passes(*start));
        self.seals.entry(seal.pane_start_ms).or_insert(seal);
    }

    /// Takes in a durable seal with the sum of what it covers; of two for a pane the first counts.
    pub fn freeze(&mut self, seal: Seal, sum: Pane) {
        if let Entry::Vacant(entry) = self.seals.entry(seal.pane_start_ms) {
            self.pending.retain(|start, _| !seal.passes(*start));
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

    /// How many panes can close at least, if it stays as it is: all partitions have passed them.
    pub fn due(&self) -> usize {
        let passed = self.sources.values().map(|source| source.progress.frontier_ms).min();
        let (Some(start), Some(Some(passed))) = (self.next_start(), passed) else { return 0 };
        usize::try_from(passed.saturating_sub(start) / self.pane_ms).unwrap_or(0)
    }

    /// The next pane in order, if it can close now. `n_partitions` is how many partitions the
    /// model's topic has: a process that does not own all of them closes incomplete panes. What ends
    /// after `clock_ms` is not sealed.
    pub fn next(&mut self, n_partitions: usize, clock_ms: i64) -> Next {
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
        if end > clock_ms {
            return Next::Wait;
        }
        let partials: Vec<Partial> =
            self.pending.get(&start).into_iter().flat_map(BTreeMap::values).cloned().collect();
        let through =
            |p: &Partial| (p.partition.topic.to_string(), p.partition.partition, p.applied_through);
        let partitions = partials.iter().map(through).collect();
        let before = self.closed_end_ms.unwrap_or(i64::MIN);
        let passed_from_ms = (before < start).then_some(before);
        Next::Seal(Seal { pane_start_ms: start, partitions, complete, passed_from_ms }, partials)
    }

    /// The pane behind the last closed one; behind a long silence the next that has something.
    fn next_start(&self) -> Option<i64> {
        let Some(end) = self.closed_end_ms else {
            // One record may say any time, so history begins with one that has support.
            return self.first_filled(i64::MIN, |partial| {
                let source = self.sources.get(&partial.partition);
                source.is_none_or(|source| source.progress.frontier_ms.is_some())
                    || self.seals.contains_key(&partial.pane.start_ms)
            });
        };
        let silent = self.silence_ms.is_some_and(|most| {
            self.filled_end_ms.is_none_or(|filled| end.saturating_sub(filled) >= most)
        });
        if !silent {
            return Some(end);
        }
        let lacking = self.seals.range(end..).find(|(_, seal)| !seal.complete).map(|(at, _)| *at);
        self.first_filled(end, |_| true).into_iter().chain(lacking).min()
    }

    /// The first pane from a time on that has something of a partial that counts.
    fn first_filled(&self, from_ms: i64, counts: impl Fn(&Partial) -> bool) -> Option<i64> {
        let has = |partials: &BTreeMap<TopicPartition, Partial>| {
            partials.values().any(|partial| !partial.pane.is_empty() && counts(partial))
        };
        let pending = self.pending.range(from_ms..).find(|(_, partials)| has(partials));
        let sum = self.sums.range(from_ms..).find(|(_, sum)| !sum.is_empty());
        pending.map(|(at, _)| *at).into_iter().chain(sum.map(|(at, _)| *at)).min()
    }

    fn close(&mut self, start: i64, complete: bool) -> ClosedPane {
        // What lies before it is passed over.
        self.pending = self.pending.split_off(&start);
        let partials: Vec<Partial> =
            self.pending.remove(&start).unwrap_or_default().into_values().collect();
        let sum = self.sums.remove(&start).unwrap_or_else(|| self.sum(start, &partials));
        let end_ms = Some(start + self.pane_ms);
        self.closed_end_ms = end_ms;
        if !sum.is_empty() || !complete {
            self.filled_end_ms = end_ms;
        }
        ClosedPane::new(&sum, complete)
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

    /// The pane that begins at `start_ms` was passed over.
    pub fn passes(&self, start_ms: i64) -> bool {
        self.passed_from_ms.is_some_and(|from| (from..self.pane_start_ms).contains(&start_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANE: i64 = 1000;
    /// Later than everything.
    const NOW: i64 = i64::MAX;

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
        assert_eq!(merge.next(2, NOW), Next::Wait);
        merge.add(partial(1, 0, 4, 10));
        merge.progress(at(1, Some(2000)));
        let Next::Close(pane) = merge.next(2, NOW) else { panic!("must close") };
        assert_eq!((pane.start_ms, pane.records, pane.complete), (0, 7, true));
        assert_eq!(merge.next(2, NOW), Next::Wait);
    }

    #[test]
    fn of_two_partials_the_one_further_on_counts_once() {
        let mut merge = merge_of(&[Some(1000)]);
        merge.add(partial(0, 0, 3, 10));
        merge.add(partial(0, 0, 5, 12));
        merge.add(partial(0, 0, 3, 10));
        let Next::Close(pane) = merge.next(1, NOW) else { panic!("must close") };
        assert_eq!(pane.records, 5);
        merge.add(partial(0, 0, 5, 12));
        assert_eq!(merge.next(1, NOW), Next::Wait);
    }

    #[test]
    fn empty_panes_between_are_closed_too() {
        let mut merge = merge_of(&[Some(3000)]);
        merge.add(partial(0, 0, 1, 1));
        merge.add(partial(0, 2000, 1, 2));
        let starts: Vec<_> = std::iter::from_fn(|| match merge.next(1, NOW) {
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
        let Next::Seal(seal, partials) = merge.next(2, NOW) else { panic!("must seal") };
        assert!(seal.complete);
        assert_eq!(partials.len(), 2);
        merge.sealed(seal.clone());
        let Next::Close(pane) = merge.next(2, NOW) else { panic!("must close") };
        assert_eq!(pane.records, 7);
        // What comes later is not mixed in, and neither is it after a restart.
        merge.add(partial(1, 0, 6, 25));
        assert_eq!(merge.late_after_seal(), 6);
        let mut restarted = merge_of(&[None, None]);
        restarted.sealed(seal);
        partials.into_iter().for_each(|p| restarted.add(p));
        restarted.add(partial(1, 0, 6, 25));
        assert_eq!(restarted.late_after_seal(), 6);
        let Next::Close(pane) = restarted.next(2, NOW) else { panic!("must close") };
        assert_eq!((pane.records, pane.complete), (7, true));
    }

    #[test]
    fn a_seal_with_its_sum_counts_whatever_partials_say_before_or_after() {
        let mut merge = merge_of(&[Some(1000), Some(1000)]);
        let sealed = [partial(0, 0, 3, 10), partial(1, 0, 4, 20)];
        let through = vec![("t".to_owned(), 0, 10), ("t".to_owned(), 1, 20)];
        let seal =
            Seal { pane_start_ms: 0, partitions: through, complete: true, passed_from_ms: None };
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
        let Next::Close(pane) = merge.next(2, NOW) else { panic!("must close") };
        assert_eq!((pane.records, pane.complete), (7, true));
        assert_eq!(pane.counts(&[1]).unwrap()[0].cells, [7]);
    }

    #[test]
    fn a_stalled_or_foreign_partition_leaves_the_pane_incomplete() {
        let mut merge = merge_of(&[Some(1000), Some(500)]);
        merge.add(partial(0, 0, 3, 10));
        merge.stand(&partition(1), Standing::Stalled);
        let Next::Seal(seal, _) = merge.next(2, NOW) else { panic!("must seal") };
        assert!(!seal.complete);
        let mut merge = merge_of(&[Some(1000)]);
        merge.add(partial(0, 0, 3, 10));
        let Next::Seal(seal, _) = merge.next(2, NOW) else { panic!("must seal") };
        assert!(!seal.complete);
    }

    #[test]
    fn when_all_are_idle_nothing_closes() {
        let mut merge = merge_of(&[Some(500)]);
        merge.add(partial(0, 0, 3, 10));
        merge.stand(&partition(0), Standing::Idle);
        assert_eq!(merge.next(1, NOW), Next::Wait);
    }

    /// Closes and seals all that it can by a clock: start and records of each pane.
    fn close_all(merge: &mut Merge, n: usize, clock_ms: i64) -> Vec<(i64, u64)> {
        let mut closed = Vec::new();
        loop {
            match merge.next(n, clock_ms) {
                Next::Close(pane) => closed.push((pane.start_ms, pane.records)),
                Next::Seal(seal, _) => merge.sealed(seal),
                Next::Wait => return closed,
            }
        }
    }

    #[test]
    fn nothing_is_sealed_that_the_clock_has_not_come_to() {
        // The first partition has had one record of a clock that is an hour ahead.
        let mut merge = merge_of(&[Some(3_600_000), Some(500)]);
        merge.add(partial(0, 0, 3, 10));
        merge.add(partial(0, 3_600_000, 1, 11));
        merge.stand(&partition(1), Standing::Idle);
        assert_eq!(close_all(&mut merge, 2, 2500), [(0, 3), (1000, 0)]);
        // What the other brings for the present counts.
        merge.add(partial(1, 2000, 5, 20));
        merge.stand(&partition(1), Standing::Active);
        merge.progress(at(1, Some(3000)));
        assert_eq!(close_all(&mut merge, 2, 3100), [(2000, 5)]);
        assert_eq!(merge.late_after_seal(), 0);
        // Incomplete panes wait as well.
        merge.stand(&partition(1), Standing::Stalled);
        assert_eq!(close_all(&mut merge, 2, 3999), []);
        assert_eq!(close_all(&mut merge, 2, 4000), [(3000, 0)]);
    }

    #[test]
    fn a_long_silence_is_passed_over_whenever_it_is_asked() {
        let start = 1_000_000_000;
        let panes = [partial(0, 0, 1, 1), partial(0, start, 2, 2), partial(0, start + 1000, 0, 3)];
        let expected = [(0, 1), (1000, 0), (2000, 0), (start, 2), (start + 1000, 0)];
        let mut at_once = merge_of(&[Some(start + 2000)]).with_silence(2);
        panes.iter().for_each(|pane| at_once.add(pane.clone()));
        assert_eq!(at_once.due(), 1_000_002);
        assert_eq!(close_all(&mut at_once, 1, NOW), expected);
        // Bit by bit, as far as event time comes.
        let mut merge = merge_of(&[Some(1000)]).with_silence(2);
        let mut closed = Vec::new();
        merge.add(panes[0].clone());
        for frontier in [1000, 2000, 500_000, start, start + 1000, start + 2000] {
            let come = panes.iter().filter(|p| p.pane.start_ms + PANE <= frontier);
            come.for_each(|pane| merge.add(pane.clone()));
            merge.progress(at(0, Some(frontier)));
            closed.extend(close_all(&mut merge, 1, NOW));
        }
        assert_eq!(closed, expected);
        // Another process, from what is stored: the oldest panes may be gone.
        for begin in [0, start - 2000, start] {
            let mut resumed = Merge::new(vec![1], PANE).with_silence(2);
            resumed.begin(begin);
            panes.iter().for_each(|pane| resumed.add(pane.clone()));
            let again = resumed.resume(start + 2000);
            let again: Vec<_> = again.iter().map(|pane| (pane.start_ms, pane.records)).collect();
            assert!(again.ends_with(&expected[3..]), "{again:?}");
            assert!(begin > 0 || again == expected, "{again:?}");
        }
    }

    #[test]
    fn what_comes_for_panes_that_a_seal_has_passed_over_comes_too_late() {
        let sealed = |merge: &mut Merge| match merge.next(2, NOW) {
            Next::Seal(seal, partials) => (seal, partials),
            other => panic!("must seal, not {other:?}"),
        };
        let mut merge = merge_of(&[Some(8000), Some(500)]).with_silence(2);
        merge.add(partial(0, 0, 3, 10));
        merge.add(partial(0, 7000, 4, 11));
        merge.stand(&partition(1), Standing::Idle);
        let mut seals = Vec::new();
        while seals.len() < 4 {
            let (seal, _) = sealed(&mut merge);
            merge.sealed(seal.clone());
            let Next::Close(_) = merge.next(2, NOW) else { panic!("must close") };
            seals.push(seal);
        }
        let passed: Vec<_> = seals.iter().map(|s| (s.pane_start_ms, s.passed_from_ms)).collect();
        let expected = [(0, Some(i64::MIN)), (1000, None), (2000, None), (7000, Some(3000))];
        assert_eq!(passed, expected);
        // The idle partition wakes up; also for who starts from what is stored.
        let mut restarted = Merge::new(vec![1], PANE).with_silence(2);
        restarted.add(partial(1, 5000, 6, 9));
        seals.into_iter().for_each(|seal| restarted.sealed(seal));
        for late in [partial(1, -1000, 6, 9), partial(1, 5000, 6, 9)] {
            merge.add(late.clone());
            restarted.add(late);
        }
        assert_eq!((merge.late_after_seal(), restarted.late_after_seal()), (12, 12));
        restarted.add(partial(0, 0, 3, 10));
        restarted.add(partial(0, 7000, 4, 11));
        let again: Vec<_> = restarted.resume(8000).iter().map(|pane| pane.start_ms).collect();
        assert_eq!(again, [0, 1000, 2000, 7000]);
        assert_eq!((merge.next(2, NOW), restarted.next(2, NOW)), (Next::Wait, Next::Wait));
    }

    #[test]
    fn history_begins_with_a_partition_whose_time_has_support() {
        // The second partition has had a single record, of long ago.
        let mut merge = merge_of(&[Some(101_000), None]);
        merge.add(partial(1, 0, 1, 1));
        merge.add(partial(0, 100_000, 3, 10));
        merge.add(partial(1, 100_000, 2, 5));
        merge.stand(&partition(1), Standing::Idle);
        assert_eq!(close_all(&mut merge, 2, NOW), [(100_000, 5)]);
    }

    #[test]
    fn what_is_taken_back_of_a_pane_is_no_pane() {
        let mut merge = merge_of(&[None]);
        merge.add(partial(0, 0, 1, 1));
        merge.add(partial(0, 0, 0, 9));
        merge.progress(at(0, Some(101_000)));
        merge.add(partial(0, 100_000, 3, 9));
        assert_eq!(close_all(&mut merge, 1, NOW), [(100_000, 3)]);
    }
}
