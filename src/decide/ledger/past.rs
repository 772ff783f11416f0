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

    /// End of the pane at which the last incident of a model was closed.
    pub fn last_closed_event_ms(&self, model: &str) -> Option<i64> {
        let mine = self.entries.iter().filter(|e| e.incident.model == model);
        mine.filter_map(|e| e.closed_event_ms).max()
    }
}
