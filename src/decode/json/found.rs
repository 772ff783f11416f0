//! What one pass over a record finds, kept from record to record.

use super::super::columns::Slot;
use super::super::paths::{Paths, Targets};

/// What one pass has found. Reused from record to record.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) slots: Vec<Slot>,
    pub(super) prediction: Slot,
    /// Unescaped and canonical texts that slots refer to.
    pub(super) scratch: String,
    /// Where the value of each single target starts.
    pub(super) starts: [Option<usize>; Targets::COUNT],
    /// Which nodes of the paths were met.
    pub(super) met: Vec<bool>,
    /// The features have an object or array of their own.
    pub(super) nested: bool,
    pub(super) duplicate: bool,
    pub(super) imprecise: u64,
    pub(super) key: String,
    pub(super) order: Order,
}

/// The order in which the last record had its features; the next one most likely has the same.
#[derive(Debug, Default)]
pub(super) struct Order {
    features: Vec<u32>,
    /// How many features of the present record were met.
    pub(super) met: usize,
    /// Guesses that failed in the present record.
    failed: usize,
    /// Records for which nothing is guessed, because guesses failed.
    pause: u32,
}

impl Order {
    /// After a record whose guesses mostly failed, so many are read without.
    const PAUSE: u32 = 63;
    /// Duplicate keys must not make it grow for ever.
    const LONGEST: usize = 1 << 16;

    fn next_record(&mut self) {
        if self.failed > self.met / 4 {
            self.pause = Self::PAUSE;
        } else {
            self.pause = self.pause.saturating_sub(1);
        }
        self.met = 0;
        self.failed = 0;
    }

    #[inline]
    pub(super) fn guess(&self) -> Option<u32> {
        if self.pause == 0 { self.features.get(self.met).copied() } else { None }
    }

    /// The feature that came in fact.
    #[inline]
    pub(super) fn learn(&mut self, feature: u32) {
        if let Some(expected) = self.features.get_mut(self.met) {
            self.failed += usize::from(*expected != feature);
            *expected = feature;
        } else if self.features.len() < Self::LONGEST {
            self.features.push(feature);
        }
        self.met += 1;
    }
}

impl Found {
    pub(super) fn new(n_features: usize, paths: &Paths) -> Self {
        Self {
            slots: vec![Slot::Missing; n_features],
            prediction: Slot::Missing,
            scratch: String::new(),
            starts: [None; Targets::COUNT],
            met: vec![false; paths.len()],
            nested: false,
            duplicate: false,
            imprecise: 0,
            key: String::new(),
            order: Order::default(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill(Slot::Missing);
        self.prediction = Slot::Missing;
        self.scratch.clear();
        self.starts = [None; Targets::COUNT];
        self.met.fill(false);
        self.nested = false;
        self.duplicate = false;
        self.imprecise = 0;
        self.order.next_record();
    }

    pub(super) fn start(&self, target: Targets) -> Option<usize> {
        self.starts[target.position()]
    }

    /// Of two values under one key the last one counts, with everything in it.
    pub(super) fn forget(&mut self, targets: Targets) {
        self.duplicate = true;
        for position in targets.positions() {
            self.starts[position] = None;
        }
        if targets.has(Targets::PREDICTION) {
            self.prediction = Slot::Missing;
        }
        if targets.has(Targets::FEATURES) {
            self.nested = false;
            self.slots.fill(Slot::Missing);
        }
    }
}
