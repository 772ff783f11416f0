//! One partition that is looked into: how far that has come, and what ingest is told of it.

use std::sync::mpsc::SyncSender;

use tracing::info;

use crate::kafka::message::MessageBatch;
use crate::kafka::probe::Stretch;
use crate::offsets::TopicPartition;
use crate::source::hole::Hole;
use crate::source::{Assigned, Event, LossCause};

/// A process that was ended had at most so much ahead of what it had counted: the queue, the batch
/// in hand, and what was counted since that was last noted.
const AHEAD: u64 = 512 << 20;
/// Places in one partition that may be passed over in one go; more are no accident of a batch.
const MOST: usize = 16;

/// What is done next.
#[derive(Debug)]
pub(super) enum Stage {
    /// It is read as ever.
    Read,
    /// A reader was ended: one batch a request tells where that begins.
    Narrow,
    /// What begins at `hole` ends every reader; whether it still does is tried from `at` on.
    End { hole: Hole, at: i64, steps: usize },
    /// There is nothing more to do.
    Over,
}

pub(super) struct Case {
    pub(super) partition: TopicPartition,
    /// To the thread that has it, until it is given back.
    events: Option<SyncSender<Event>>,
    /// Whoever was told of it has given it up.
    unheard: bool,
    /// How far it was ever read.
    furthest: i64,
    /// Where each of its models goes on; empty until that is known.
    starts: Vec<i64>,
    /// Ingest has it.
    told: bool,
    pub(super) next: i64,
    pub(super) high: i64,
    /// Bytes that are still to be read before it is clear of suspicion.
    left: u64,
    passed: usize,
    /// Readers in a row that could not work.
    pub(super) tries: usize,
    pub(super) stage: Stage,
}

impl Case {
    pub(super) fn new(partition: TopicPartition, furthest: i64, events: SyncSender<Event>) -> Self {
        Self {
            partition,
            events: Some(events),
            unheard: false,
            furthest,
            starts: Vec::new(),
            told: false,
            next: 0,
            high: 0,
            left: AHEAD,
            passed: 0,
            tries: 0,
            stage: Stage::Read,
        }
    }

    /// Whether it is known where its models go on.
    pub(super) fn is_open(&self) -> bool {
        !self.starts.is_empty()
    }

    pub(super) fn open(&mut self, starts: Vec<i64>) {
        self.next = starts.iter().copied().min().unwrap_or(0);
        self.starts = starts;
    }

    /// Whether somebody still waits for it.
    pub(super) fn is_wanted(&mut self) -> bool {
        self.tell(Event::Idle);
        !self.unheard && !self.is_over()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    fn tell(&mut self, event: Event) {
        let heard = self.events.as_ref().is_some_and(|events| events.send(event).is_ok());
        self.unheard = self.unheard || !heard;
    }

    pub(super) fn stretch(&self) -> Stretch {
        Stretch::new(&self.partition, self.next)
    }

    /// A reader begins to hand it over, from a log `[low, high)`.
    pub(super) fn begin(&mut self, low: i64, high: i64) {
        self.high = high;
        // What there is nothing of ends nobody; its source finds out why.
        if self.next >= high {
            return;
        }
        let partition = self.partition.clone();
        if !self.told {
            self.told = true;
            let starts = self.starts.iter().map(|start| *start.max(&low)).collect();
            let assigned =
                Assigned { partition: partition.clone(), starts, low, high, topic: None };
            self.tell(Event::Assigned(vec![assigned]));
        }
        if self.next < low {
            let (from, to) = (std::mem::replace(&mut self.next, low), low);
            self.tell(Event::Lost { partition, from, to, cause: LossCause::Retention });
        }
    }

    pub(super) fn hand_over(&mut self, batch: MessageBatch, next: i64) {
        let bytes: u64 = batch.groups().map(|(_, records)| records.bytes() as u64).sum();
        self.next = next;
        if next > self.furthest {
            self.left = self.left.saturating_sub(bytes);
        }
        self.tell(Event::Batch(batch));
    }

    /// A reader came to the end of the log, or of what it was asked for. What is clear is given back at
    /// once: it does not wait for what the same reader reads next.
    pub(super) fn came_through(&mut self, end: bool) {
        if end || self.left == 0 {
            self.stage = Stage::Over;
            if self.passed == 0 {
                info!(partition = %self.partition, "nothing was found that ends a process that reads it");
            }
            self.conclude();
        }
    }

    /// Records that end every process are passed over; whether it is looked for more.
    pub(super) fn pass(&mut self, from: i64, to: i64) {
        let (partition, cause) = (self.partition.clone(), LossCause::Deadly);
        self.tell(Event::Lost { partition, from, to, cause });
        (self.next, self.left) = (to, AHEAD);
        self.passed += 1;
        self.stage = if self.passed == MOST { Stage::Over } else { Stage::Read };
    }

    /// Gives it back; nothing is told of it any more.
    pub(super) fn conclude(&mut self) {
        if std::mem::take(&mut self.told) {
            self.tell(Event::Revoked(vec![self.partition.clone()]));
        }
        self.events = None;
    }
}
