//! One way of counting a file, and every policy that judges by it.

use std::collections::BTreeMap;

use crate::decode::Batch;
use crate::decode::Reason;
use crate::offsets::TopicPartition;
use crate::pipeline::replay::After;
use crate::pipeline::replay::judge::Judge;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::report::replay::Run;
use crate::window::Pane;
use crate::window::Partial;
use crate::window::PartitionState;
use crate::window::Progress;
use crate::window::partition::Totals;

/// What was seen of the file besides the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub time: String,
    pub other_models: u64,
    pub hints: BTreeMap<&'static str, String>,
}

pub(super) struct Track {
    watched: Watched,
    parts: Vec<Part>,
    judges: Vec<Judge>,
    seen: Seen,
}

/// One partition; a file is one.
struct Part {
    partition: TopicPartition,
    state: PartitionState,
    /// Nothing comes of it any more.
    ended: bool,
}

impl Track {
    /// `time` is where the rows' time is, for people; `starts` the first offset of each partition.
    pub(super) fn new(watched: Watched, time: String, starts: &[(TopicPartition, i64)]) -> Self {
        let part = |(partition, first): &(TopicPartition, i64)| Part {
            partition: partition.clone(),
            state: PartitionState::new(&watched.rules, *first),
            ended: false,
        };
        let parts = starts.iter().map(part).collect();
        let seen = Seen { time, ..Seen::default() };
        Self { watched, parts, judges: Vec::new(), seen }
    }

    /// Adds a policy that counts by the same rules; `at` is its place among all.
    pub(super) fn judge(
        &mut self,
        (at, label): (usize, &str),
        spec: Spec,
        watched: Watched,
        after: After,
    ) {
        let first = self.parts.iter().map(|part| part.progress(None)).collect();
        self.judges.push(Judge::new((at, label), spec, watched, first, after));
    }

    /// Counts the next rows of a partition and decides what has closed.
    pub(super) fn apply(&mut self, part: usize, batch: &Batch, next: i64) {
        self.seen.other_models += batch.other_models;
        for reject in &batch.rejects {
            if let Some(hint) = &reject.hint {
                let reason = reject.reason.as_str();
                self.seen.hints.entry(reason).or_insert_with(|| hint.clone().into_owned());
            }
        }
        let state = &mut self.parts[part].state;
        let first_pane_ms = state.first_pane_ms;
        state.apply(&self.watched.rules, batch, next);
        // Where a partition begins, another may begin, too.
        if state.has_closed() || state.first_pane_ms != first_pane_ms {
            let closed = state.take_closed();
            let frontier = state.watermark.get();
            let frontier = frontier.map(|ms| ms.saturating_sub(self.watched.rules.lateness_ms));
            self.pass_on(part, closed, frontier);
        }
    }

    /// Records of a partition up to the offset `to` could not be read.
    pub(super) fn lose(&mut self, part: usize, to: i64, records: u64) {
        self.parts[part].state.lose(to, records);
    }

    fn pass_on(&mut self, part: usize, panes: Vec<Pane>, frontier_ms: Option<i64>) {
        let part = &self.parts[part];
        let partial = |pane| part.state.partial(&part.partition, pane);
        let partials: Vec<Partial> = panes.into_iter().map(partial).collect();
        let progress = part.progress(frontier_ms);
        for judge in &mut self.judges {
            judge.take(&partials, progress.clone());
        }
    }

    /// Nothing comes of a partition any more, so nothing of it is late. When all have ended, panes that some
    /// partition has got past are decided; the last one, which the records may have begun only, is not.
    pub(super) fn end(&mut self, part: usize) {
        self.parts[part].ended = true;
        let limit = match self.parts.iter().all(|part| part.ended) {
            true => self.parts.iter().filter_map(|part| part.state.watermark.get()).max(),
            // The others say how far it goes.
            false => Some(i64::MAX),
        };
        let panes: Vec<Pane> = self.parts[part].state.open().cloned().collect();
        if limit.is_some() {
            self.pass_on(part, panes, limit);
        }
    }

    pub(super) fn finish(self, after: After) -> Vec<(usize, Run)> {
        let Self { parts, judges, seen, .. } = self;
        let mut totals = Totals::default();
        for Part { state, .. } in &parts {
            let Totals { records, late, before_active, rejects, lost } = &state.totals;
            totals.records += records;
            totals.late += late;
            totals.before_active += before_active;
            totals.lost += lost;
            totals.rejects.iter_mut().zip(rejects).for_each(|(sum, n)| *sum += n);
        }
        judges.into_iter().map(|judge| judge.finish(&totals, &seen, after.shuffles)).collect()
    }
}

impl Part {
    fn progress(&self, frontier_ms: Option<i64>) -> Progress {
        Progress {
            partition: self.partition.clone(),
            next_offset: self.state.next_offset,
            frontier_ms,
            first_pane_ms: self.state.first_pane_ms,
            caught_up: false,
        }
    }
}

/// Rejects by reason, without those that never came.
pub(super) fn rejects(counts: &[u64]) -> BTreeMap<&'static str, u64> {
    let named = Reason::ALL.iter().zip(counts).filter(|(_, n)| **n > 0);
    named.map(|(reason, n)| (reason.as_str(), *n)).collect()
}
