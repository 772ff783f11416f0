//! What gates ask of a model's incidents.

use crate::decide::incident::CloseReason;
use crate::decide::ledger::{Entry, Ledger};

impl Ledger {
    /// Triggers of a model that were decided after `event_ms` and were meant to be sent.
    pub fn triggers_after(&self, model: &str, event_ms: i64) -> usize {
        let counts =
            |e: &&Entry| e.incident.model == model && e.opened_event_ms > event_ms && !e.silent;
        let sent = |e: &&Entry| e.incident.closed_as != Some(CloseReason::Missed);
        self.entries.iter().filter(counts).filter(sent).count()
    }

    /// Whether an incident of a model was opened by the pane that ends there.
    pub fn was_opened_at(&self, model: &str, pane_end_ms: i64) -> bool {
        let mut mine = self.entries.iter().filter(|e| e.incident.model == model);
        mine.any(|e| e.opened_event_ms == pane_end_ms)
    }

    /// End of the pane at which the last incident of a model was closed. Those of a dry run count only in
    /// a dry run: nothing was retrained for them.
    pub fn last_closed_event_ms(&self, model: &str, is_dry_run: bool) -> Option<i64> {
        let mine = self.entries.iter().filter(|e| e.incident.model == model);
        mine.filter(|e| is_dry_run || !e.silent).filter_map(|e| e.closed_event_ms).max()
    }

    /// Whether people were told of what has lasted since the pane that ends there by an incident that is
    /// closed by now.
    pub fn was_told_since(&self, model: &str, since_ms: i64) -> bool {
        let mine = self.entries.iter().filter(|e| e.incident.model == model);
        mine.filter(|e| !e.silent && !e.held).any(|e| e.closed_event_ms >= Some(since_ms))
    }
}
