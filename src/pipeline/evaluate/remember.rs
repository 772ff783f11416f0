//! The past of a model, for readers: a point for each pane as it is decided, and some of the stored ones.

use crate::baseline::Baseline;
use crate::decide::history::History;
use crate::decide::history::Seen;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::window::ClosedPane;

/// Features that are scored again at a start, over all panes: a fraction of a second.
const SCORED_AGAIN: usize = 5_000;

impl ModelEvaluator {
    /// A baseline is in force: the past of the same features stays.
    pub(super) fn watch_history(&mut self, baseline: &Baseline) {
        if self.watched.is_none() {
            self.history = History::new(&self.spec.policy.thresholds, self.kept_panes());
        }
        self.replaced = self.watched.is_some();
        self.history.watch(baseline.features.iter().map(|f| f.name.clone()).collect());
    }

    pub(super) fn seen(&self, pane: &ClosedPane) -> Seen {
        Seen {
            start_ms: pane.start_ms,
            end_ms: pane.start_ms + self.spec.policy.pane_ms,
            records: pane.records,
            rejects: pane.rejects,
            complete: pane.complete,
            drift: None,
        }
    }

    /// The pane that was decided, with the verdicts at its end.
    pub(super) fn remember(&mut self, seen: Seen) {
        self.history.push(seen, std::mem::take(&mut self.replaced), &self.verdicts);
    }

    /// Puts a stored pane back into the window. Of all that come back, from `first_ms` to `end_ms`, as many
    /// are scored again as takes no time to speak of, evenly.
    pub(super) fn resume_pane(&mut self, pane: ClosedPane, first_ms: i64, end_ms: i64) {
        let seen = self.seen(&pane);
        let pane_ms = self.spec.policy.pane_ms;
        let panes = |ms: i64| usize::try_from(ms.max(0) / pane_ms).unwrap_or(0);
        let features = self.watched.as_ref().map_or(0, |w| w.baseline.features.len());
        let step = (panes(end_ms - first_ms) * features).div_ceil(SCORED_AGAIN).max(1);
        self.push(pane);
        // The newest one is always scored: it is what the page shows.
        if panes(end_ms - seen.end_ms).is_multiple_of(step) {
            self.score();
        } else {
            self.verdicts.clear();
        }
        self.history.push(seen, false, &self.verdicts);
    }
}
