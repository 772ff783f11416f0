//! One way of counting a file, and every policy that judges by it.

use std::collections::BTreeMap;

use crate::decode::Batch;
use crate::decode::Reason;
use crate::offsets::TopicPartition;
use crate::pipeline::replay::Request;
use crate::pipeline::replay::judge::Judge;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::report::replay::Run;
use crate::window::Pane;
use crate::window::Partial;
use crate::window::PartitionState;
use crate::window::Progress;

/// What was seen of the file besides the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub time: String,
    pub other_models: u64,
    pub hints: BTreeMap<&'static str, String>,
}

pub(super) struct Track {
    watched: Watched,
    partition: TopicPartition,
    state: PartitionState,
    judges: Vec<Judge>,
    seen: Seen,
}

impl Track {
    /// `time` is where the rows' time is, for people.
    pub(super) fn new(watched: Watched, time: String) -> Self {
        let state = PartitionState::new(&watched.rules, 0);
        let partition = TopicPartition::new("replay", 0);
        let seen = Seen { time, ..Seen::default() };
        Self { watched, partition, state, judges: Vec::new(), seen }
    }

    /// Adds a policy that counts by the same rules; `at` is its place among all.
    pub(super) fn judge(
        &mut self,
        (at, label): (usize, &str),
        spec: Spec,
        watched: Watched,
        request: &Request,
    ) {
        let first = self.progress(None);
        self.judges.push(Judge::new((at, label), spec, watched, first, request));
    }

    /// Counts the next rows and decides what has closed.
    pub(super) fn apply(&mut self, batch: &Batch, next: i64) {
        self.seen.other_models += batch.other_models;
        for reject in &batch.rejects {
            if let Some(hint) = &reject.hint {
                let reason = reject.reason.as_str();
                self.seen.hints.entry(reason).or_insert_with(|| hint.clone().into_owned());
            }
        }
        self.state.apply(&self.watched.rules, batch, next);
        if self.state.has_closed() {
            let closed = self.state.take_closed();
            let frontier = self.state.watermark.get();
            let frontier = frontier.map(|ms| ms.saturating_sub(self.watched.rules.lateness_ms));
            self.pass_on(closed, frontier);
        }
    }

    fn pass_on(&mut self, panes: Vec<Pane>, frontier_ms: Option<i64>) {
        let partial = |pane: Pane| Partial {
            partition: self.partition.clone(),
            rules: self.state.rules,
            applied_through: self.state.next_offset,
            pane,
        };
        let partials: Vec<Partial> = panes.into_iter().map(partial).collect();
        let progress = self.progress(frontier_ms);
        for judge in &mut self.judges {
            judge.take(&partials, progress.clone());
        }
    }

    fn progress(&self, frontier_ms: Option<i64>) -> Progress {
        Progress {
            partition: self.partition.clone(),
            next_offset: self.state.next_offset,
            frontier_ms,
            first_pane_ms: self.state.first_pane_ms,
            caught_up: false,
        }
    }

    /// Nothing comes any more, so nothing is late: panes that the file has got past are decided. The
    /// last one, which it may have begun only, is not.
    pub(super) fn finish(mut self, request: &Request) -> Vec<(usize, Run)> {
        if let Some(watermark) = self.state.watermark.get() {
            let ended = |pane: &&Pane| pane.start_ms + self.watched.rules.pane_ms <= watermark;
            let panes: Vec<Pane> = self.state.open().filter(ended).cloned().collect();
            self.pass_on(panes, Some(watermark));
        }
        let Self { state, judges, seen, .. } = self;
        let shuffles = request.shuffles;
        judges.into_iter().map(|judge| judge.finish(&state.totals, &seen, shuffles)).collect()
    }
}

/// Rejects by reason, without those that never came.
pub(super) fn rejects(counts: &[u64]) -> BTreeMap<&'static str, u64> {
    let named = Reason::ALL.iter().zip(counts).filter(|(_, n)| **n > 0);
    named.map(|(reason, n)| (reason.as_str(), *n)).collect()
}
