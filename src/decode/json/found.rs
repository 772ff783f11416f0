//! What one pass over a record finds, kept from record to record.

use super::super::columns::{Row, Slot};
use super::super::paths::{Paths, Targets};
use super::order::Order;
use super::walk::OUTPUTS;

/// What one pass has found. Reused from record to record.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) row: Row,
    /// What pointers to outputs led to.
    pub(super) outputs: [Slot; OUTPUTS.len()],
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
    /// The keys of the object at each node, as they came last.
    pub(super) orders: Vec<Order>,
}

impl Found {
    pub(super) fn new(n_features: usize, paths: &Paths) -> Self {
        Self {
            row: Row::new(n_features),
            outputs: [Slot::Missing; OUTPUTS.len()],
            scratch: String::new(),
            starts: [None; Targets::COUNT],
            met: vec![false; paths.len()],
            nested: false,
            duplicate: false,
            imprecise: 0,
            key: String::new(),
            orders: (0..paths.len()).map(|_| Order::default()).collect(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.row.clear();
        self.outputs = [Slot::Missing; OUTPUTS.len()];
        self.scratch.clear();
        self.starts = [None; Targets::COUNT];
        self.met.fill(false);
        self.nested = false;
        self.duplicate = false;
        self.imprecise = 0;
    }

    /// Has every key looked up from now on.
    pub(super) fn never_guess(&mut self) {
        self.orders.iter_mut().for_each(Order::never_guess);
    }

    /// Keys that were looked up by name since the last call.
    pub(super) fn take_looked_up(&mut self) -> u64 {
        self.orders.iter_mut().map(Order::take_looked_up).sum()
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
        for ((target, _), output) in OUTPUTS.iter().zip(&mut self.outputs) {
            if targets.has(*target) {
                *output = Slot::Missing;
            }
        }
        if targets.has(Targets::FEATURES) {
            self.nested = false;
            self.row.clear();
        }
    }
}
