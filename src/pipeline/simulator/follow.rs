//! The records of the partials as they come, and what the clock says of partitions: `exchange`, and
//! `evaluate::model`.

use crate::dice::Dice;
use crate::pipeline::exchange::furthest;
use crate::pipeline::panes::{self, Logged};
use crate::pipeline::simulator::RULES;
use crate::pipeline::simulator::judge::{Heard, Judge, Stage};
use crate::pipeline::simulator::mutation::Mutation;
use crate::pipeline::simulator::stream::{SHAPE, number, partition};
use crate::pipeline::simulator::topics::{Entry, Store};
use crate::store::PaneRecord;
use crate::store::kafka::record::{Body, Head};
use crate::window::Progress;
use crate::window::merge::Standing;

impl Judge {
    /// Where the fold of partials is another than the protocol's.
    pub(super) fn take_otherwise(&mut self, store: &Store) {
        if matches!(store.mutation, Mutation::LastWins | Mutation::Changelog | Mutation::Deltas) {
            let entries: Vec<Entry> = store.partials.read(0).cloned().collect();
            for entry in entries {
                if let Body::Pane(pane) = &entry.record.body {
                    self.take_pane(&pane.record, store, Some(entry.offset));
                }
            }
        }
    }

    /// `at` is where a partial stands in the log, where that decides.
    pub(super) fn take_pane(&mut self, record: &PaneRecord, store: &Store, at: Option<i64>) {
        let otherwise =
            matches!(store.mutation, Mutation::LastWins | Mutation::Changelog | Mutation::Deltas);
        match panes::read(record, RULES, &SHAPE).unwrap() {
            Some(Logged::Partial(_)) if otherwise && at.is_none() => {}
            Some(Logged::Partial(mut partial)) => {
                if let (Some(at), true) = (at, otherwise) {
                    partial.applied_through = at;
                }
                if store.mutation == Mutation::Deltas {
                    let key = (partial.partition.clone(), partial.pane.start_ms);
                    if let Some(before) = self.sums.get(&key) {
                        partial.pane.add(&before.pane);
                    }
                    self.sums.insert(key, partial.clone());
                }
                self.merge.add(partial);
            }
            Some(Logged::Sum(seal, sum)) => {
                self.merge.freeze(seal, sum);
                self.sealing = None;
            }
            Some(Logged::Seal(_)) | None => unreachable!("no file holds these"),
        }
    }

    /// `Exchange::read`: at most so many records of the partials.
    pub(super) fn follow(&mut self, most: usize, store: &Store) {
        if self.stage != Stage::Owner {
            return;
        }
        let entries: Vec<Entry> = store.partials.read(self.through).take(most).cloned().collect();
        for entry in entries {
            self.through = entry.offset + 1;
            match &entry.record.body {
                Body::Owner(owner) => {
                    self.owners.announce(entry.record.writer, owner.clone());
                    if entry.record.writer != self.writer {
                        return self.release();
                    }
                }
                Body::Pane(pane) => self.take_pane(&pane.record, store, Some(entry.offset)),
                Body::Seal(pane) if self.owners.accepts(entry.record.writer) => {
                    self.take_pane(&pane.record, store, None);
                }
                Body::Progress(heads) => heads.heads.iter().for_each(|head| self.hear(head)),
                _ => {}
            }
        }
    }

    /// `ModelEvaluator::hear`, `quiet`.
    pub(super) fn hear(&mut self, head: &Head) {
        let progress: Progress = furthest(&mut self.frontiers, head);
        let n = number(&progress.partition);
        let next = progress.next_offset;
        match self.heard.get_mut(&n) {
            Some(heard) => {
                if heard.next != next {
                    heard.quiet = false;
                    self.merge.stand(&progress.partition, Standing::Active);
                }
                (heard.next, heard.caught_up) = (next, progress.caught_up);
                heard.furthest = heard.furthest.max(next);
                self.merge.progress(progress);
            }
            None => {
                let caught_up = progress.caught_up;
                self.heard.insert(n, Heard { next, furthest: next, caught_up, quiet: false });
                self.merge.assign(progress);
            }
        }
        if let (true, Some(heard)) = (head.quiet, self.heard.get_mut(&n)) {
            heard.quiet = true;
        }
    }

    /// `ModelEvaluator::look_at_clock`, at a moment of chance's choice.
    pub(super) fn look_at_clock(&mut self, dice: &mut Dice) {
        for (&n, heard) in &self.heard {
            let standing = if heard.caught_up && heard.quiet && dice.in_hundred(80) {
                Standing::Idle
            } else if !heard.caught_up && dice.in_hundred(4) {
                Standing::Stalled
            } else {
                Standing::Active
            };
            self.merge.stand(&partition(n), standing);
        }
    }
}
