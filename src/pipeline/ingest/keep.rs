//! What makes ingest survive: what is due by the clock, snapshots of its partitions, and the change to a new baseline.

use tokio::time::Instant;
use tracing::error;

use crate::clock::now_ms;
use crate::offsets::TopicPartition;
use crate::pipeline::breaker::NOTE;
use crate::pipeline::counted::Counted;
use crate::pipeline::ingest::Adoption;
use crate::pipeline::ingest::Ingest;
use crate::pipeline::ingest::commit;
use crate::pipeline::publish::progress_of;
use crate::pipeline::snapshot;
use crate::pipeline::spec::Watched;
use crate::source::kafka::KafkaSource;
use crate::window::PartitionState;
use crate::window::pane_start;
use crate::window::watermark::believable;

impl Ingest<'_> {
    /// What is due by the clock.
    pub(super) fn keep_time(&mut self, source: &mut KafkaSource) {
        let now = Instant::now();
        if now.duration_since(self.published) >= self.publisher.interval() {
            self.published = now;
            self.publish();
            let positions = source.positions();
            for (partition, states) in &self.partitions {
                let Some((_, high)) = source.watermarks(partition) else { continue };
                // Markers of transactions take offsets that are never delivered: where the source
                // stands, not what was counted, says whether the end was reached. It stands nowhere
                // when it has started at the end.
                let counted = states.values().map(|s| s.next_offset).min();
                let caught_up = positions.get(partition).copied().max(counted) >= Some(high);
                for (&model, state) in states {
                    self.publisher.progress(model, partition, state, (caught_up, high));
                }
                if let Some(next) = counted {
                    let behind = if caught_up { 0 } else { high - next };
                    let lag = behind.max(0).cast_unsigned();
                    self.desk.metrics.lag(&partition.topic, partition.partition, lag);
                }
            }
            self.publisher.flush_progress();
            (self.stalls..source.stalls()).for_each(|_| self.desk.metrics.stall_recovered());
            self.stalls = source.stalls();
            let failures = source.token_failures();
            (self.token_failures..failures).for_each(|_| self.desk.metrics.token_failed());
            self.token_failures = failures;
        }
        if now.duration_since(self.noted) >= NOTE {
            self.note_reached(now);
        }
        if now.duration_since(self.snapshotted) >= self.snapshot_interval {
            self.snapshotted = now;
            self.keep_again();
            let offsets = self.snapshot_all();
            commit(source, &offsets);
        }
    }

    pub(super) fn snapshot_all(&mut self) -> Vec<(TopicPartition, i64)> {
        self.publish();
        let partitions: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        partitions.into_iter().filter_map(|p| Some((p.clone(), self.snapshot(&p)?))).collect()
    }

    /// Writes a partition's state, unless closed panes of it could not be published; the offset that
    /// a restart would begin at.
    pub(super) fn snapshot(&self, partition: &TopicPartition) -> Option<i64> {
        let states = self.partitions.get(partition)?;
        if states.values().any(PartitionState::has_closed) {
            return None;
        }
        let named = states.iter().map(|(&model, state)| (self.desk.specs[model].name(), state));
        let states_now = named.map(|(name, state)| snapshot::encode(name, state)).collect();
        match self.desk.store.save_partition(partition, snapshot::VERSION, states_now) {
            Ok(saved) => self.desk.metrics.snapshot_written(saved.bytes, now_ms()),
            Err(error) => {
                error!(%partition, %error, "a snapshot could not be written; counting goes on");
                self.desk.metrics.snapshot_failed();
                return None;
            }
        }
        states.values().map(|state| state.next_offset).min()
    }

    /// Stores the baseline that the model starts with.
    pub(super) fn keep(&mut self, model: usize, watched: &Watched) {
        let Err(error) = self.publisher.keep_profile(model, watched) else {
            self.unkept.remove(&model);
            return;
        };
        if self.unkept.insert(model) {
            error!(model = self.desk.specs[model].name(), %error, "the baseline can't be stored; a restart would read it again; trying again");
        }
        self.desk.metrics.snapshot_failed();
    }

    /// Stores what the disk has refused before.
    pub(super) fn keep_again(&mut self) {
        for model in self.unkept.clone() {
            if let Some(watched) = self.desk.watched(model) {
                self.keep(model, &watched);
            }
        }
    }

    /// Goes over to a new baseline with all other threads: durable first, then counted by. True if
    /// the model was not read before.
    pub(super) fn adopt(&mut self, adoption: &Adoption) -> bool {
        let model = adoption.model;
        let ours = self.partitions.values().filter_map(|s| s.get(&model)?.watermark.highest());
        let highest = ours.chain(self.crew.left_behind(model)).max();
        let in_force = |highest| self.put_in_force(adoption, highest);
        if !adoption.meet(self.crew, highest, in_force) {
            return false;
        }
        let first = !self.readers.contains_key(&model);
        let Some(watched) = self.desk.watched(model) else { return false };
        for states in self.partitions.values_mut() {
            if let Some(state) = states.get_mut(&model) {
                state.adopt(&watched.rules);
                state.miss(&watched.rules, now_ms());
            }
        }
        self.prepare(model);
        self.announce(model);
        first
    }

    /// Makes the baseline durable and tells of it; `highest_ms` is how far any record of the model is.
    fn put_in_force(&self, adoption: &Adoption, highest_ms: Option<i64>) -> bool {
        let model = adoption.model;
        if let Some(watched) = &adoption.decided {
            self.desk.watch(model, watched.clone());
            return true;
        }
        let spec = &self.desk.specs[model];
        let pane_ms = spec.model.pane.as_ms();
        let stored_ms = match self.desk.furthest(model) {
            Ok(stored_ms) => stored_ms,
            Err(error) => {
                error!(model = spec.name(), %error, "the state does not tell how far the old baseline has come, so it stays in force");
                return false;
            }
        };
        // Behind everything that was ever read, so that its first pane is whole in each partition, and
        // no record that the old baseline has decided is judged again by this one.
        let active_from = behind(highest_ms.max(stored_ms), now_ms(), pane_ms);
        let watched = Watched::new(spec, adoption.baseline.clone(), active_from);
        let watched = Watched { place: adoption.place.clone(), ..watched };
        if let Err(error) = self.publisher.keep_profile(model, &watched) {
            error!(model = spec.name(), %error, "the new baseline can't be stored; the old one stays in force, and it is tried again");
            self.desk.metrics.baseline_refresh_failed(spec.name());
            return false;
        }
        self.desk.watch(model, watched.clone());
        self.publisher.tell(Counted::Adopted { model, watched });
        true
    }

    /// Tells evaluation again which partitions a model has.
    fn announce(&mut self, model: usize) {
        let Some(watched) = self.desk.watched(model) else { return };
        let mut partitions = Vec::new();
        for (partition, states) in &self.partitions {
            if let Some(state) = states.get(&model) {
                // Evaluation begins anew: everything is news to it, even what has not changed.
                self.publisher.forget(model, partition);
                let progress = progress_of(partition, state, &watched, false);
                partitions.push((progress, state.next_offset));
            }
        }
        let in_topic = self.in_topic(model);
        self.publisher.tell(Counted::Assigned { model, partitions, in_topic });
    }
}

/// The pane behind an event time; a record may say any, so at most as far as the clock bears it out.
fn behind(highest_ms: Option<i64>, now_ms: i64, pane_ms: i64) -> i64 {
    let start_ms = |ms| pane_start(believable(ms, now_ms), pane_ms);
    highest_ms.map_or(i64::MIN, |ms| start_ms(ms) + pane_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_baseline_counts_from_behind_what_was_read_and_not_from_years_ahead() {
        let now_ms = 1_800_000_000_000;
        assert_eq!(behind(None, now_ms, 60_000), i64::MIN);
        assert_eq!(behind(Some(now_ms - 60_001), now_ms, 60_000), now_ms - 60_000);
        assert_eq!(behind(Some(now_ms + 1), now_ms, 60_000), now_ms + 60_000);
        assert_eq!(behind(Some(now_ms * 2), now_ms, 60_000), now_ms + 6 * 60_000);
    }
}
