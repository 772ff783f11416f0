//! A model's partitions by the clock: which are ours, idle or stalled, whether all has been read, and how
//! far behind the present that is.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::decide::fault::Lag;
use crate::offsets::TopicPartition;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::evaluate::model::behind::Behind;
use crate::window::Progress;
use crate::window::merge::Standing;

/// A partition by the clock.
pub(super) struct Seen {
    next_offset: i64,
    caught_up: bool,
    /// What its open panes hold is known here: without it they must not be sealed.
    open_known: bool,
    /// When its position last changed.
    moved: Instant,
    /// Where its log ended when it was taken; up to there it is catching up.
    high_at_start: i64,
    /// When whoever counts it elsewhere last gave a sign of life.
    heard: Option<Instant>,
    /// How long records lie in its log before they are read.
    behind: Behind,
    /// The supported watermark less lateness.
    frontier_ms: Option<i64>,
}

/// Without a sign of life for so long nobody knows whether a partition is quiet.
const SILENT: Duration = Duration::from_secs(30);
/// Records that are read within so long are read at once, whatever the hour they tell of: a busy machine
/// is no lag, and nor is a feed that is a day old by nature.
const AT_ONCE: Duration = Duration::from_secs(10);

impl ModelEvaluator {
    pub(crate) fn assign(&mut self, progress: Progress, high: i64, now: Instant) {
        let seen = Seen {
            next_offset: progress.next_offset,
            caught_up: progress.caught_up,
            open_known: false,
            moved: now,
            high_at_start: high,
            heard: None,
            behind: Behind::new(progress.next_offset, high, now),
            frontier_ms: progress.frontier_ms,
        };
        self.partitions.insert(progress.partition.clone(), seen);
        self.merge.assign(progress);
    }

    pub(crate) fn revoke(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
        self.merge.revoke(partition);
    }

    /// How many of the topic's partitions are ours: for `max_stall` the others are waited for, then
    /// panes close without them, incomplete. `in_topic: None` is as many as before.
    pub(crate) fn measure(&mut self, in_topic: Option<usize>, now: Instant) {
        self.in_topic = in_topic.unwrap_or(self.in_topic);
        let unknown = self.remote && self.in_topic == 0;
        if self.partitions.len() >= self.in_topic && !unknown {
            self.short_since = None;
            self.holding = false;
            return;
        }
        if self.short_since.is_none() {
            warn!(
                model = self.spec.name(),
                ours = self.partitions.len(),
                of = self.in_topic,
                "not every partition of the topic is ours: no pane closes for max_stall, then they are incomplete and nothing is triggered"
            );
        }
        let since = *self.short_since.get_or_insert(now);
        self.holding = now.duration_since(since) < self.spec.model.drift_config.max_stall.0;
    }

    /// Whether partitions of the topic are missing and are still waited for.
    pub(crate) fn is_holding(&self) -> bool {
        self.holding
    }

    /// How far a partition has come, and where its log ends.
    pub(crate) fn progress(&mut self, progress: Progress, high: i64, now: Instant) {
        if let Some(seen) = self.partitions.get_mut(&progress.partition) {
            if seen.next_offset != progress.next_offset {
                seen.moved = now;
                seen.open_known = false;
                self.last_record = now;
                self.merge.stand(&progress.partition, Standing::Active);
            }
            seen.next_offset = progress.next_offset;
            seen.caught_up = progress.caught_up;
            seen.frontier_ms = progress.frontier_ms;
            seen.behind.reads(progress.next_offset, high, progress.caught_up, now);
        }
        self.merge.progress(progress);
    }

    /// How far a partition has come elsewhere. One that nobody has spoken of before is taken in.
    pub(crate) fn hear(&mut self, progress: Progress, high: i64, now: Instant) {
        let partition = progress.partition.clone();
        if self.partitions.contains_key(&partition) {
            self.progress(progress, high, now);
        } else {
            self.assign(progress, high, now);
        }
        if let Some(seen) = self.partitions.get_mut(&partition) {
            seen.heard = Some(now);
        }
    }

    /// Nothing came in the partition lately, and its open panes have been handed over.
    pub(crate) fn quiet(&mut self, partition: &TopicPartition) {
        if let Some(seen) = self.partitions.get_mut(partition) {
            seen.open_known = true;
        }
    }

    /// Idle and stalled partitions, a stream that has gone silent, and one that is behind the present. True
    /// if something changed.
    pub(crate) fn look_at_clock(&mut self, now: Instant, now_ms: i64) -> bool {
        let pane = Duration::from_millis(self.spec.policy.pane_ms.cast_unsigned());
        let max_stall = self.spec.model.drift_config.max_stall.0;
        for (partition, seen) in &self.partitions {
            let quiet = now.duration_since(seen.moved);
            let alive = seen.heard.is_some_and(|heard| now.duration_since(heard) < SILENT);
            let known = seen.open_known && (alive || !self.remote);
            let standing = if seen.caught_up && known && quiet >= 2 * pane {
                Standing::Idle
            } else if quiet >= max_stall && (!seen.caught_up || (self.remote && !alive)) {
                Standing::Stalled
            } else {
                Standing::Active
            };
            self.merge.stand(partition, standing);
        }
        self.measure(None, now);
        let stale = self.watched.is_some() && now.duration_since(self.last_record) >= 3 * pane;
        let lag = self.find_lag(now, now_ms);
        let lagged = std::mem::replace(&mut self.lag, lag).is_some();
        std::mem::replace(&mut self.stale, stale) != stale || lagged != lag.is_some()
    }

    /// Whether partitions whose next records have lain there for long are further behind the present than
    /// `max_lag` allows. One that has read everything is as old as its feed, which no reading mends.
    fn find_lag(&self, now: Instant, now_ms: i64) -> Option<Lag> {
        let most = self.spec.model.drift_config.max_lag();
        let least = most.0.min(AT_ONCE);
        let lateness = self.spec.model.lateness.as_ms();
        let behind_ms = |seen: &Seen| Some(now_ms - seen.frontier_ms?.saturating_add(lateness));
        let (mut behind, mut records) = (None, 0u64);
        for seen in self.partitions.values().filter(|s| s.behind.for_how_long(now) >= least) {
            if let Some(ms) = behind_ms(seen).filter(|ms| *ms > most.as_ms()) {
                behind = behind.max(Some(ms));
                records = records.saturating_add(seen.behind.records());
            }
        }
        let since_ms = self.lag.map_or(now_ms, |lag| lag.since_ms);
        Some(Lag { since_ms, now_ms, behind_ms: behind?, records })
    }

    /// Every partition has been read up to where its log ended when it was taken, none is behind the
    /// present since, and what was read is decided.
    pub(crate) fn is_caught_up(&self) -> bool {
        !self.partitions.is_empty()
            && self.lag.is_none()
            && !self.overdue
            && self.partitions.values().all(|s| s.caught_up || s.next_offset >= s.high_at_start)
    }

    pub(crate) fn n_partitions(&self) -> usize {
        self.partitions.len().max(self.in_topic)
    }
}
