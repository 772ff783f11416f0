//! One model's counting in one input partition: a pure function of the partition's log.
//!
//! No wall clock and no other partition is looked at, so a restart, a second owner or a replay
//! counts the same, bit for bit. The offset lives inside the state.

use std::collections::BTreeMap;
use std::mem;

use crate::decode::Batch;
use crate::decode::Reason;
use crate::histogram::Cells;
use crate::histogram::count;
use crate::offsets::Lineage;
use crate::offsets::TopicId;
use crate::offsets::TopicPartition;
use crate::window::Pane;
use crate::window::Partial;
use crate::window::Watermark;
use crate::window::pane_start;
use crate::window::partition::repeats::Repeats;
use crate::window::partition::runs::Runs;
use crate::window::watermark::Judgement;
use crate::window::watermark::believable;

mod repeats;
mod runs;
mod stored;

pub use stored::LINEAGE_BYTES;

/// Panes that can be missed at once; a baseline that comes later than that is no longer news.
const MISSED_MOST: i64 = 1000;
/// No log comes to so many records that its offsets need more bits.
const BREAK_BITS: u32 = 48;
/// Bytes that a state's memory of records that may come again takes at most.
pub const REPEATS_BYTES: u64 = Repeats::BYTES_MAX;

/// Everything that decides what is counted where; two states with other rules never mix.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Hash over all of it; in the key of every record.
    pub hash: u64,
    pub pane_ms: i64,
    pub lateness_ms: i64,
    /// Event time from which these rules count; earlier records are the last baseline's.
    pub active_from_ms: i64,
    /// One per feature, in the model's order.
    pub cells: Vec<Cells>,
}

impl Rules {
    /// The number of cells of every feature: the shape of each pane.
    pub fn shape(&self) -> Vec<usize> {
        self.cells.iter().map(Cells::len).collect()
    }
}

/// Running totals of one model in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub records: u64,
    pub late: u64,
    /// Before `active_from_ms`: the last baseline's.
    pub before_active: u64,
    /// One per `Reason`, in the order of `Reason::ALL`.
    pub rejects: [u64; Reason::ALL.len()],
    /// Records that the log no longer had.
    pub lost: u64,
}

/// The state of one model in one partition after all records below `next_offset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub rules: u64,
    pub next_offset: i64,
    /// The log that `next_offset` is one of.
    pub lineage: Lineage,
    pub watermark: Watermark,
    /// Pane of the first record that was counted; the model's history begins there.
    pub first_pane_ms: Option<i64>,
    pub totals: Totals,
    open: BTreeMap<i64, Pane>,
    /// Panes that have closed and are not yet published.
    closed: Vec<Pane>,
    /// Rejects seen before any pane was there to carry them.
    unplaced_rejects: u64,
    /// Records were lost and the next pane must say so.
    gap: bool,
    /// What may come a second time.
    repeats: Repeats,
}

impl PartitionState {
    pub fn new(rules: &Rules, next_offset: i64) -> Self {
        Self {
            rules: rules.hash,
            next_offset,
            lineage: Lineage::default(),
            watermark: Watermark::default(),
            first_pane_ms: None,
            totals: Totals::default(),
            open: BTreeMap::new(),
            closed: Vec::new(),
            unplaced_rejects: 0,
            gap: false,
            repeats: Repeats::default(),
        }
    }

    /// Applies a batch of this partition's log. `next_offset` is the offset behind its last record,
    /// whoever it belonged to; the caller has left out records below `self.next_offset`.
    pub fn apply(&mut self, rules: &Rules, batch: &Batch, next_offset: i64) {
        self.apply_telling(rules, batch, next_offset, &mut |_, _| {});
    }

    /// The same, telling the offsets of records that are rejected for their event time. Those that a
    /// reset takes back later are not told: nobody knows any more which they were.
    pub fn apply_telling(
        &mut self,
        rules: &Rules,
        batch: &Batch,
        next_offset: i64,
        rejected: &mut impl FnMut(i64, Reason),
    ) {
        let mut runs = Runs::default();
        let mut rejects = batch.rejects.iter().peekable();
        let mut strangers = batch.strangers.iter().peekable();
        let times = batch.event_ms.iter().zip(&batch.kafka_ms);
        for (row, (&offset, (&event_ms, &kafka_ms))) in (0..).zip(batch.offsets.iter().zip(times)) {
            while let Some(reject) = rejects.next_if(|r| r.offset <= offset) {
                self.reject(rules, reject.reason);
            }
            let strangers = strangers.next_if(|(at, _)| *at == row);
            let mut rejected = |reason| rejected(offset, reason);
            let pane = self.place(rules, event_ms, kafka_ms, &mut runs, &mut rejected);
            if let Some(pane) = pane {
                runs.push(pane, row);
                if let Some((_, names)) = strangers
                    && let Some(pane) = self.open.get_mut(&pane)
                {
                    pane.strangers.add(names);
                }
                if let Some(&fingerprint) = batch.fingerprints.get(row as usize)
                    && self.repeats.samples(fingerprint)
                {
                    self.sample(pane, fingerprint);
                }
            }
        }
        for reject in rejects {
            self.reject(rules, reject.reason);
        }
        self.settle(&mut runs);
        self.count(rules, batch, runs);
        self.next_offset = next_offset;
        self.close_behind(rules);
    }

    /// The pane that a row is counted in, if it is counted.
    #[inline]
    fn place(
        &mut self,
        rules: &Rules,
        event_ms: i64,
        kafka_ms: i64,
        runs: &mut Runs,
        rejected: &mut impl FnMut(Reason),
    ) -> Option<i64> {
        match self.watermark.observe(event_ms, kafka_ms) {
            Judgement::Accept => {}
            Judgement::Future => {
                self.reject(rules, Reason::Future);
                rejected(Reason::Future);
                return None;
            }
            Judgement::TimeJump => {
                self.reject(rules, Reason::TimeJump);
                rejected(Reason::TimeJump);
                return None;
            }
            Judgement::Reset { lowest_ms, highest_ms } => {
                self.take_back(rules, (lowest_ms, highest_ms), runs);
            }
        }
        let same = runs.pane().filter(|start| (0..rules.pane_ms).contains(&(event_ms - start)));
        let start = same.unwrap_or_else(|| pane_start(event_ms, rules.pane_ms));
        if start + rules.pane_ms <= self.frontier(rules) {
            self.totals.late += 1;
            return None;
        }
        if same.is_none() || self.unplaced_rejects > 0 || self.gap {
            return self.enter(rules, start);
        }
        same
    }

    /// Opens the pane of a row, so that rejects behind it land there however the log is cut in batches.
    fn enter(&mut self, rules: &Rules, start: i64) -> Option<i64> {
        if start < rules.active_from_ms {
            self.totals.before_active += 1;
            return None;
        }
        let first = self.first_pane_ms.get_or_insert(start);
        *first = start.min(*first);
        let pane = self.open.entry(start).or_insert_with(|| Pane::empty(start, &rules.shape()));
        pane.rejects += mem::take(&mut self.unplaced_rejects);
        pane.gap |= mem::take(&mut self.gap);
        Some(start)
    }

    /// Notes a row of the sample, which is counted in the pane that begins at `start_ms`.
    fn sample(&mut self, start_ms: i64, fingerprint: u64) {
        let watermark_ms = self.watermark.highest().unwrap_or(start_ms);
        let repeated = self.repeats.note(fingerprint, watermark_ms);
        let pane = self.open.get_mut(&start_ms).expect("opened when its first row was placed");
        pane.sampled += 1;
        pane.repeated += u64::from(repeated);
    }

    /// Adds the rows that have been placed to the records of their panes.
    fn settle(&mut self, runs: &mut Runs) {
        for run in runs.take_unsettled() {
            let records = u64::from(run.to - run.from);
            self.totals.records += records;
            let pane = self.open.get_mut(&run.start_ms);
            pane.expect("opened when its first row was placed").records += records;
        }
    }

    /// Panes that end here or earlier are closed.
    fn frontier(&self, rules: &Rules) -> i64 {
        self.watermark.get().map_or(i64::MIN, |wm| wm.saturating_sub(rules.lateness_ms))
    }

    /// Eight records in a row tell of these times, and fewer told of others: those are taken back.
    fn take_back(&mut self, rules: &Rules, (lowest_ms, highest_ms): (i64, i64), runs: &mut Runs) {
        self.settle(runs);
        let stays = |start: i64| start <= highest_ms && lowest_ms < start + rules.pane_ms;
        let (open, gone): (BTreeMap<i64, Pane>, BTreeMap<i64, Pane>) =
            mem::take(&mut self.open).into_iter().partition(|(start, _)| stays(*start));
        self.open = open;
        let time_jump = &mut self.totals.rejects[Reason::TimeJump as usize];
        for (start, pane) in gone {
            self.totals.records -= pane.records;
            self.unplaced_rejects += pane.records + pane.rejects;
            *time_jump += pane.records;
            self.gap |= pane.gap;
            // It may have been told of while it was open, and what is further on counts.
            self.closed.push(Pane::empty(start, &rules.shape()));
        }
        runs.retain(stays);
        self.first_pane_ms = self.open.keys().next().copied();
    }

    fn reject(&mut self, rules: &Rules, reason: Reason) {
        self.totals.rejects[reason as usize] += 1;
        // A reject has no event time of its own: it counts where the watermark stands.
        let pane = self.watermark.highest().map(|wm| pane_start(wm, rules.pane_ms));
        match pane.and_then(|start| self.open.get_mut(&start)) {
            Some(pane) => pane.rejects += 1,
            None => self.unplaced_rejects += 1,
        }
    }

    fn count(&mut self, rules: &Rules, batch: &Batch, runs: Runs) {
        let n_rows = batch.offsets.len();
        for (start_ms, rows) in runs.by_pane() {
            let pane = self.open.get_mut(&start_ms).expect("opened when its first row was placed");
            let columns = rules.cells.iter().zip(&batch.columns);
            for ((cells, column), counts) in columns.zip(&mut pane.features) {
                rows.each_part(n_rows, column, |part| count(cells, part, counts));
            }
        }
    }

    fn close_behind(&mut self, rules: &Rules) {
        let frontier = self.frontier(rules);
        while let Some(entry) = self.open.first_entry() {
            if entry.key() + rules.pane_ms > frontier {
                break;
            }
            self.closed.push(entry.remove());
        }
    }

    /// Records `[next_offset, to)` are gone from the log: counted, and the panes around say so.
    pub fn lose(&mut self, to: i64, lost: u64) {
        self.next_offset = to;
        self.lineage.leader_epoch = None;
        self.totals.lost += lost;
        self.gap = true;
        for pane in self.open.values_mut() {
            pane.gap = true;
        }
    }

    /// The log is not the one that was read until now: reading goes on at `to`. What is missing nobody
    /// knows, so the panes around say that something is.
    pub fn break_off(&mut self, to: i64, topic: Option<TopicId>) {
        self.lose(to, 1);
        let topic = topic.or(self.lineage.topic);
        self.lineage =
            Lineage { topic, leader_epoch: None, breaks: self.lineage.breaks.saturating_add(1) };
    }

    /// `next_offset` on a scale that never goes back, whatever becomes of the log: what was counted
    /// through more is further on.
    pub fn applied_through(&self) -> i64 {
        let breaks = i64::from(self.lineage.breaks).min(i64::MAX >> BREAK_BITS);
        (breaks << BREAK_BITS).saturating_add(self.next_offset)
    }

    /// What `pane`, of this state, is to everybody else.
    pub fn partial(&self, partition: &TopicPartition, pane: Pane) -> Partial {
        Partial {
            partition: partition.clone(),
            rules: self.rules,
            applied_through: self.applied_through(),
            pane,
        }
    }

    /// Panes that closed since the last call; they must be durable before the next snapshot.
    pub fn take_closed(&mut self) -> Vec<Pane> {
        mem::take(&mut self.closed)
    }

    /// Closed panes that could not be made durable stay with the state.
    pub fn put_back(&mut self, panes: Vec<Pane>) {
        self.closed.splice(0..0, panes);
    }

    pub fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Panes that may still change.
    pub fn open(&self) -> impl Iterator<Item = &Pane> {
        self.open.values()
    }

    /// Goes over to the rules of a new baseline; what was counted by the old ones is dropped.
    pub fn adopt(&mut self, rules: &Rules) {
        self.rules = rules.hash;
        self.open.clear();
        self.closed.clear();
        self.first_pane_ms = None;
        self.unplaced_rejects = 0;
        self.repeats = Repeats::default();
    }

    /// Panes from which on `rules` count, and that were passed before they were known here, which is at
    /// `now_ms`: each says that something of it is missing. What is passed of the future is a liar's.
    pub fn miss(&mut self, rules: &Rules, now_ms: i64) {
        let highest = self.watermark.highest().map(|highest| believable(highest, now_ms));
        let from = rules.active_from_ms;
        let Some(highest) = highest.filter(|&highest| from > i64::MIN && highest >= from) else {
            return;
        };
        let last = pane_start(highest, rules.pane_ms);
        let first = pane_start(from, rules.pane_ms).max(last - MISSED_MOST * rules.pane_ms);
        let mut start = first;
        while start <= last {
            let pane = self.open.entry(start).or_insert_with(|| Pane::empty(start, &rules.shape()));
            pane.gap = true;
            start += rules.pane_ms;
        }
        self.first_pane_ms = Some(self.first_pane_ms.unwrap_or(first).min(first));
        self.close_behind(rules);
    }
}

#[cfg(test)]
mod tests;
