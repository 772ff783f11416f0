//! The input topic, and an account of it that knows nothing of how driftd counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::StringArray;

use crate::decode::Batch;
use crate::dice::Dice;
use crate::feature::Column;
use crate::histogram::{CategoricalCells, Cells};
use crate::offsets::TopicPartition;
use crate::window::Rules;

pub(super) const PANE: i64 = 1000;
pub(super) const LATENESS: i64 = 1500;
/// Records that must agree before a watermark counts, or a time that is far from it.
const SUPPORT: usize = 8;
const DAY: i64 = 24 * 3_600_000;
const FAR: i64 = 7 * DAY;

pub(super) fn partition(n: usize) -> TopicPartition {
    TopicPartition::new("in", i32::try_from(n).unwrap())
}

pub(super) fn number(partition: &TopicPartition) -> usize {
    usize::try_from(partition.partition).unwrap()
}

/// Cells of the one feature: what is expected, what drift looks like, and anything else.
pub(super) const SHAPE: [usize; 1] = [3];

pub(super) fn rules() -> Rules {
    let categories = vec!["expected".to_owned(), "drifted".to_owned()];
    let cells = CategoricalCells::new(categories, Vec::new(), false);
    Rules {
        hash: 7,
        pane_ms: PANE,
        lateness_ms: LATENESS,
        active_from_ms: i64::MIN,
        cells: vec![Cells::Categorical(cells)],
    }
}

#[derive(Clone, Copy)]
struct Row {
    offset: i64,
    event_ms: i64,
    drifted: bool,
}

/// Partitions with records; offsets have holes, as transactions and compaction leave them.
#[derive(Clone)]
pub(super) struct Stream {
    partitions: Vec<Vec<Row>>,
    /// What retention has left begins here.
    low: Vec<i64>,
    clock: Vec<i64>,
}

impl Stream {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            partitions: vec![Vec::new(); partitions],
            low: vec![0; partitions],
            clock: vec![100 * PANE; partitions],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Event time goes on for about so many panes; from `onset_ms` on all values have drifted.
    pub(super) fn extend(&mut self, dice: &mut Dice, panes: i64, onset_ms: i64) {
        let end = self.now() + panes * PANE;
        for (rows, clock) in self.partitions.iter_mut().zip(&mut self.clock) {
            let push = |rows: &mut Vec<Row>, event_ms, skipped| {
                let offset = rows.last().map_or(0, |row| row.offset + 1) + skipped;
                rows.push(Row { offset, event_ms, drifted: event_ms >= onset_ms });
            };
            // A first record of long ago, and a liar whose clock is ahead.
            if rows.is_empty() && dice.in_hundred(15) {
                push(rows, *clock - 9000 * DAY, 0);
            }
            let liar_from =
                if dice.in_hundred(8) { *clock + dice.up_to(8 * PANE) } else { i64::MAX };
            let mut liar_ms = (liar_from < i64::MAX).then(|| liar_from + dice.up_to(60 * PANE));
            // Some partitions stop early: nobody closes their panes but the clock.
            let end = if dice.in_hundred(25) { end - 3 * PANE } else { end };
            while *clock < end {
                *clock += dice.up_to(600);
                let straggles = dice.in_hundred(20);
                let event_ms = *clock - if straggles { dice.up_to(4 * PANE) } else { 0 };
                push(rows, event_ms, if dice.in_hundred(10) { 2 } else { 0 });
                if let Some(liar_ms) = liar_ms.take_if(|_| *clock >= liar_from) {
                    push(rows, liar_ms, 0);
                }
            }
        }
    }

    /// Nothing comes for months, or for some panes but in partitions that are late.
    pub(super) fn pause(&mut self, dice: &mut Dice) {
        let (now, months) = (self.now(), dice.in_hundred(40));
        for clock in &mut self.clock {
            match months {
                true => *clock = now + 90 * DAY,
                false if dice.in_hundred(60) => *clock = now + 8 * PANE,
                false => {}
            }
        }
    }

    /// How far honest event time has come in any partition, which is what clocks say.
    pub(super) fn now(&self) -> i64 {
        self.clock.iter().copied().max().unwrap()
    }

    pub(super) fn low(&self, partition: usize) -> i64 {
        self.low[partition]
    }

    pub(super) fn high(&self, partition: usize) -> i64 {
        self.partitions[partition].last().map_or(0, |row| row.offset + 1)
    }

    /// Records below this offset are gone.
    pub(super) fn expire(&mut self, partition: usize, below: i64) {
        self.low[partition] = self.low[partition].max(below);
    }

    /// At most `most` records from an offset on, and the offset behind them.
    pub(super) fn read(&self, partition: usize, from: i64, most: usize) -> Option<(Batch, i64)> {
        let rows = &self.partitions[partition];
        let at = rows.partition_point(|row| row.offset < from.max(self.low[partition]));
        let rows = &rows[at..(at + most).min(rows.len())];
        let next = rows.last()?.offset + 1;
        let values = rows.iter().map(|row| if row.drifted { "drifted" } else { "expected" });
        let array = Arc::new(StringArray::from_iter_values(values));
        let batch = Batch {
            offsets: rows.iter().map(|row| row.offset).collect(),
            kafka_ms: vec![i64::MAX; rows.len()],
            event_ms: rows.iter().map(|row| row.event_ms).collect(),
            fingerprints: Vec::new(),
            strangers: Vec::new(),
            columns: vec![Column { array, absent: Vec::new() }],
            rejects: Vec::new(),
            duplicate_keys: 0,
            other_models: 0,
            imprecise: 0,
            looked_up: 0,
        };
        Some((batch, next))
    }

    /// Counts a partition again, record by record, by the definition: what each pane has of expected and of
    /// drifted values below `through`, and where panes end that are closed then.
    pub(super) fn account(&self, partition: usize, through: i64) -> Account {
        let mut account = Account::default();
        let (mut highest, mut seen) = (None, 0);
        let mut far: Vec<i64> = Vec::new();
        let rows = self.partitions[partition].iter().take_while(|row| row.offset < through);
        for row in rows {
            let at = row.event_ms;
            let is_far = |known: i64| at > known + FAR || at < known - FAR && seen < SUPPORT;
            if highest.is_some_and(is_far) {
                far.retain(|other| (at - other).abs() <= FAR);
                far.push(at);
                if far.len() < SUPPORT {
                    continue;
                }
                if seen < SUPPORT {
                    account.panes.clear();
                }
                (highest, seen) = (far.iter().copied().max(), SUPPORT);
            } else {
                (highest, seen) = (highest.max(Some(at)), seen + 1);
            }
            far.clear();
            let start = at.div_euclid(PANE) * PANE;
            if seen >= SUPPORT {
                account.frontier = highest.map(|highest| highest - LATENESS);
            }
            if account.frontier.is_some_and(|frontier| start + PANE <= frontier) {
                continue;
            }
            let cells = account.panes.entry(start).or_default();
            cells[usize::from(row.drifted)] += 1;
        }
        account
    }
}

/// What a partition has by the definition.
#[derive(Default)]
pub(super) struct Account {
    pub panes: BTreeMap<i64, [u64; 2]>,
    /// Panes that end here or earlier are closed.
    pub frontier: Option<i64>,
}
