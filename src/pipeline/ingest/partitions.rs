//! Partitions that come, go, and lose records: their states are taken up and given back.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::offsets::TopicPartition;
use crate::pipeline::counted::Counted;
use crate::pipeline::ingest::Ingest;
use crate::pipeline::publish::progress_of;
use crate::source::Assigned;
use crate::source::LossCause;
use crate::source::kafka::KafkaSource;
use crate::window::PartitionState;
use crate::window::Progress;

impl Ingest<'_> {
    pub(super) fn measure(&mut self, source: &KafkaSource, assigned: &[Assigned]) {
        let topics: BTreeSet<&Arc<str>> = assigned.iter().map(|a| &a.partition.topic).collect();
        for topic in topics {
            match source.n_partitions(topic) {
                Some(n) => drop(self.topic_sizes.insert(topic.clone(), n)),
                None => warn!(topic = &**topic, "no broker says how many partitions it has"),
            }
        }
    }

    pub(super) fn in_topic(&self, model: usize) -> Option<usize> {
        self.topic_sizes.get(self.desk.specs[model].model.topic.as_str()).copied()
    }

    pub(super) fn assign(&mut self, assigned: Vec<Assigned>) {
        let mut told: BTreeMap<usize, Vec<(Progress, i64)>> = BTreeMap::new();
        for Assigned { partition, starts, low, high, topic } in assigned {
            // What a reader of its own hands over comes without it.
            if topic.is_some() || !self.topic_ids.contains_key(&partition.topic) {
                self.topic_ids.insert(partition.topic.clone(), topic);
            }
            let readers = self.desk.readers(&partition.topic);
            let mut states = match self.desk.take_states(&partition) {
                Ok(states) => states,
                Err(error) => {
                    error!(%partition, %error, "a partition is left alone: it is not counted, and its state is kept");
                    continue;
                }
            };
            states.retain(|model, _| readers.contains(model));
            let known = states.len();
            for (&model, &start) in readers.iter().zip(&starts) {
                let Some(watched) = self.desk.watched(model) else { continue };
                let new = || {
                    let mut state = PartitionState::new(&watched.rules, start);
                    if self.desk.is_lost(&partition, model) {
                        state.lose(start, 0);
                    }
                    state
                };
                let state = states.entry(model).or_insert_with(new);
                // An earlier release did not keep it.
                state.lineage.topic = state.lineage.topic.or(topic);
                let caught_up = state.next_offset >= high;
                let progress = progress_of(&partition, state, &watched, caught_up);
                self.publisher.forget(model, &partition);
                self.publisher.taken(model, &partition, high);
                told.entry(model).or_default().push((progress, high));
            }
            info!(%partition, ?starts, low, high, consumer = self.number, "partition taken");
            let begun = states.len() > known;
            if let Some(next) = states.values().map(|state| state.next_offset).min() {
                let lag = (high - next).max(0).cast_unsigned();
                self.desk.metrics.lag(&partition.topic, partition.partition, lag);
            }
            self.partitions.insert(partition.clone(), states);
            // Where a model starts is what everything else follows from. After a death it must be known
            // at the next start, too, to pass over what may have been the cause.
            if begun && (self.desk.store.kafka().is_some() || self.breaker.is_wary()) {
                self.snapshot(&partition);
            }
        }
        self.note_reached(Instant::now());
        for (model, partitions) in told {
            let in_topic = self.in_topic(model);
            self.publisher.measured(model, in_topic);
            self.publisher.tell(Counted::Assigned { model, partitions, in_topic });
        }
    }

    /// For the next start, should this process end without a word.
    pub(super) fn note_reached(&mut self, now: Instant) {
        self.noted = now;
        let counted = |states: &BTreeMap<usize, PartitionState>| {
            states.values().map(|state| state.next_offset).min()
        };
        let reached = self.partitions.iter().filter_map(|(p, s)| Some((p.clone(), counted(s)?)));
        self.breaker.note(now, reached);
    }

    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) {
        self.publish();
        let mut told: BTreeMap<usize, Vec<TopicPartition>> = BTreeMap::new();
        let mut given_up = Vec::with_capacity(partitions.len());
        for partition in partitions {
            self.snapshot(partition);
            let states = self.partitions.remove(partition);
            if states.is_some() {
                info!(%partition, consumer = self.number, "partition given up");
            }
            let states = states.unwrap_or_default();
            for &model in states.keys() {
                told.entry(model).or_default().push(partition.clone());
            }
            given_up.push((partition, states));
            self.desk.metrics.revoked(&partition.topic, partition.partition);
        }
        for (model, partitions) in told {
            self.publisher.tell(Counted::Revoked { model, partitions });
        }
        // Last: who takes one now finds its state, and what is told of it comes behind this.
        for (partition, states) in given_up {
            let highest = states.iter().filter_map(|(&m, s)| Some((m, s.watermark.highest()?)));
            self.crew.release(partition, self.number, highest);
        }
    }

    pub(super) fn rebalanced(&self) {
        self.desk.metrics.rebalanced();
        self.tell_assigned();
    }

    /// How many partitions of each topic are ours: 0 is told as well, also where no broker ever answers.
    pub(super) fn tell_assigned(&self) {
        for topic in self.desk.topics() {
            let tell = |ours| self.desk.metrics.assigned_partitions(&topic, ours);
            self.crew.tell_assigned(&topic, tell);
        }
    }

    pub(super) fn lose(
        &mut self,
        partition: &TopicPartition,
        from: i64,
        to: i64,
        cause: LossCause,
    ) {
        // Of an unknown number one is counted, so that it shows.
        let lost = match cause {
            LossCause::Retention | LossCause::Undecodable | LossCause::Deadly => {
                to.saturating_sub(from).max(0)
            }
            LossCause::BeyondEnd | LossCause::Recreated | LossCause::Truncated => 1,
        };
        let lost = lost.cast_unsigned();
        error!(%partition, from, to, %cause, "records are gone from the log");
        self.desk.metrics.records_lost(&partition.topic, cause.as_str(), lost);
        match cause {
            LossCause::BeyondEnd | LossCause::Recreated | LossCause::Truncated => {
                self.desk.store.begun_anew(partition);
                self.breaker.begun_anew(partition);
            }
            LossCause::Retention | LossCause::Undecodable | LossCause::Deadly => {}
        }
        let topic = self.topic_ids.get(&partition.topic).copied().flatten();
        for state in self.partitions.get_mut(partition).into_iter().flat_map(BTreeMap::values_mut) {
            match cause {
                LossCause::Retention | LossCause::Undecodable | LossCause::Deadly => {
                    let missed = to.saturating_sub(state.next_offset.max(from)).max(0);
                    state.lose(to.max(state.next_offset), missed.cast_unsigned());
                }
                // The log was made anew: its offsets begin again.
                LossCause::BeyondEnd => state.break_off(to, topic),
                LossCause::Recreated if state.lineage.is_foreign(topic) => {
                    state.break_off(to, topic);
                }
                LossCause::Recreated => {}
                // One that is not that far goes on where it is.
                LossCause::Truncated => state.break_off(to.min(state.next_offset), topic),
            }
        }
    }
}
