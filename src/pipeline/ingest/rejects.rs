//! Rejects in the log: a sampled line, never a payload; the counters have them all.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::decode::Reason;
use crate::decode::Reject;
use crate::offsets::TopicPartition;
use crate::pipeline::ingest::Ingest;

/// One line a model and reason in so long.
const REJECT_LINE: Duration = Duration::from_secs(60);

impl Ingest<'_> {
    /// One line a minute and reason, without payload; the counter has them all.
    pub(super) fn report_reject(
        &mut self,
        partition: &TopicPartition,
        model: usize,
        reason: Reason,
        (new, sample): (u64, Option<Reject>),
    ) {
        let now = Instant::now();
        let last = self.reject_lines.entry((model, reason)).or_insert(now - REJECT_LINE);
        if now.duration_since(*last) < REJECT_LINE {
            return;
        }
        *last = now;
        let model = self.desk.specs[model].name();
        let offset = sample.as_ref().map(|s| s.offset);
        let hint = sample.and_then(|s| s.hint).unwrap_or_default();
        warn!(model, %partition, offset, reason = reason.as_str(), records = new, %hint, "records rejected");
    }
}
