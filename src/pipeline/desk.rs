//! What ingest and its source both look at: the models, their baselines in force, and stored states.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tracing::error;
use tracing::warn;

use crate::clock::now_ms;
use crate::clock::since_epoch_ms;
use crate::metrics::Metrics;
use crate::offsets::TopicPartition;
use crate::pipeline::snapshot;
use crate::pipeline::snapshot::Decoded;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::source::Start;
use crate::store;
use crate::store::Store;
use crate::window::PartitionState;

/// A partition that is added is noticed within this time; librdkafka looks every half a minute.
const NOTICED_MS: i64 = 5 * 60 * 1000;
/// Time between attempts to read a state that could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Shared between the ingest loop and the callback that says where partitions start.
pub(super) struct Desk {
    pub specs: Arc<Vec<Spec>>,
    pub store: Arc<Store>,
    pub metrics: Metrics,
    watched: Mutex<Vec<Option<Watched>>>,
    /// States that were read when it was asked where their partitions start.
    read: Mutex<BTreeMap<TopicPartition, BTreeMap<usize, PartitionState>>>,
    /// Partitions whose states could not be read, and when it was tried last.
    unreadable: Mutex<BTreeMap<TopicPartition, Instant>>,
    /// Models whose state in a partition is lost, where states were read.
    lost: Mutex<BTreeMap<TopicPartition, BTreeSet<usize>>>,
    /// Others count some model by a configuration that is not ours: we count nothing until that ends.
    barred: AtomicBool,
}

impl Desk {
    pub(super) fn new(
        specs: Arc<Vec<Spec>>,
        store: Arc<Store>,
        metrics: Metrics,
        watched: Vec<Option<Watched>>,
    ) -> Self {
        let watched = Mutex::new(watched);
        let (read, unreadable, lost) = (Mutex::default(), Mutex::default(), Mutex::default());
        let barred = AtomicBool::new(false);
        Self { specs, store, metrics, watched, read, unreadable, lost, barred }
    }

    /// Whether this process must count and decide nothing for now.
    pub(super) fn is_barred(&self) -> bool {
        self.barred.load(Ordering::Acquire)
    }

    pub(super) fn bar(&self, barred: bool) {
        self.barred.store(barred, Ordering::Release);
    }

    /// The baseline in force of a model.
    pub(super) fn watched(&self, model: usize) -> Option<Watched> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.get(model).cloned().flatten()
    }

    pub(super) fn watch(&self, model: usize, watched: Watched) {
        let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = all.get_mut(model) {
            *slot = Some(watched);
        }
    }

    /// The models that read a topic and have a baseline, by index.
    pub(super) fn readers(&self, topic: &str) -> Vec<usize> {
        let reads = |&i: &usize| self.specs[i].model.topic == topic && self.watched(i).is_some();
        (0..self.specs.len()).filter(reads).collect()
    }

    /// The topics that some model with a baseline reads.
    pub(super) fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = (0..self.specs.len())
            .filter(|&i| self.watched(i).is_some())
            .map(|i| self.specs[i].model.topic.clone())
            .collect();
        topics.sort();
        topics.dedup();
        topics
    }

    /// The stored states of a partition, by index of the model.
    ///
    /// # Errors
    /// When they can't be read at present, which must not pass for there being none, or a newer release
    /// wrote them: they must be neither misread nor written over.
    pub(super) fn states(
        &self,
        partition: &TopicPartition,
    ) -> Result<BTreeMap<usize, PartitionState>, store::Error> {
        let by_name = |name: &str| self.specs.iter().position(|spec| spec.name() == name);
        let rules = |name: &str| Some(self.watched(by_name(name)?)?.rules);
        let hash = |name: &str| rules(name).map(|rules| rules.hash);
        let loaded = self.store.load_partition(partition, hash)?;
        for rejected in &loaded.rejected {
            warn!(%partition, %rejected, "a snapshot is damaged; the one before it is used");
            self.metrics.state_rejected("snapshot", 1);
        }
        for record in &loaded.unread {
            warn!(%partition, %record, "a snapshot can't be used; counting goes on from another one, if there is one");
            self.metrics.state_rejected("snapshot", 1);
        }
        let decoded = match loaded.supported(snapshot::VERSION)? {
            None => Ok(Decoded::default()),
            Some((_, body)) => snapshot::decode(body, rules),
        };
        let Decoded { states, mut malformed } = decoded.unwrap_or_else(|error| {
            error!(%partition, %error, "the state of a partition makes no sense; counting starts anew");
            self.metrics.state_rejected("snapshot", 1);
            Decoded::default()
        });
        for model in &malformed {
            error!(%partition, model, "the state of a model in a partition makes no sense");
            self.metrics.state_rejected("snapshot", 1);
        }
        malformed.extend(loaded.lost);
        let lost = malformed.iter().filter_map(|name| by_name(name)).collect();
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(partition.clone(), lost);
        Ok(states
            .into_iter()
            .filter_map(|(name, state)| Some((by_name(&name)?, self.follow(state, &name))))
            .collect())
    }

    /// Whether a model has been counted in a partition and nobody knows how far.
    pub(super) fn is_lost(&self, partition: &TopicPartition, model: usize) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get(partition).is_some_and(|models| models.contains(&model))
    }

    /// A state that other rules have left, of a partition that is past the pane from which ours count.
    fn follow(&self, mut state: PartitionState, name: &str) -> PartitionState {
        let model = self.specs.iter().position(|spec| spec.name() == name);
        let watched = model.and_then(|model| self.watched(model));
        if let Some(watched) = watched.filter(|_| self.store.kafka().is_some())
            && state.first_pane_ms.is_none()
        {
            state.miss(&watched.rules, now_ms());
        }
        state
    }

    fn read(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, BTreeMap<usize, PartitionState>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreadable(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Instant>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states that were read when it was asked where the partition starts, or else now.
    ///
    /// # Errors
    /// As `states`.
    pub(super) fn take_states(
        &self,
        partition: &TopicPartition,
    ) -> Result<BTreeMap<usize, PartitionState>, store::Error> {
        let read = self.read().remove(partition);
        let is_ours = |(&model, state): (&usize, &PartitionState)| {
            self.watched(model).is_some_and(|watched| watched.rules.hash == state.rules)
        };
        match read.filter(|states| states.iter().all(is_ours)) {
            Some(states) => Ok(states),
            None => self.states(partition),
        }
    }

    /// The highest event time of a model that the stored state knows of. An earlier process may have
    /// read and decided it, and no thread of this one may have come there yet.
    ///
    /// # Errors
    /// When a part of the state can't be read: nobody knows then how far it went.
    pub(super) fn furthest(&self, model: usize) -> Result<Option<i64>, store::Error> {
        let spec = &self.specs[model];
        let Some(store) = self.store.file() else { return Ok(None) };
        let mut furthest = store.newest_pane(spec.name())?;
        for partition in store.partitions()? {
            if *partition.topic == spec.model.topic {
                let states = self.states(&partition)?;
                let highest = states.get(&model).and_then(|state| state.watermark.highest());
                furthest = furthest.max(highest);
            }
        }
        Ok(furthest)
    }

    /// Where each reader of a partition's topic starts, in the order of `readers`; `None` while nobody
    /// tells what is stored.
    pub(super) fn starts(&self, partition: &TopicPartition) -> Option<Vec<Start>> {
        let now = Instant::now();
        if self.unreadable().get(partition).is_some_and(|failed| now - *failed < AGAIN) {
            return None;
        }
        match self.find_starts(partition) {
            Ok(starts) => {
                self.unreadable().remove(partition);
                Some(starts)
            }
            // One that may not be touched is read from its end: nothing of it is counted.
            Err(error) if error.is_newer() => {
                error!(%partition, %error, "nothing of the partition is counted");
                Some(vec![Start::Latest])
            }
            Err(error) => {
                let error = &error as &dyn Error;
                error!(%partition, error, "the state of a partition can't be read: it is not counted until it can; trying again; if it stays so, move the file away, and counting starts anew");
                self.unreadable().insert(partition.clone(), now);
                None
            }
        }
    }

    fn find_starts(&self, partition: &TopicPartition) -> Result<Vec<Start>, store::Error> {
        let states = self.states(partition)?;
        let now = now_ms();
        let start = |model: usize| match (states.get(&model), self.specs[model].start(now)) {
            (Some(state), _) => Ok(Start::Offset(state.next_offset, state.lineage)),
            (None, _) if self.is_lost(partition, model) => {
                let model = self.specs[model].name();
                error!(%partition, model, "how far a model was counted in a partition is lost: what its log still holds is counted again, and the panes around its beginning say that something may be missing");
                Ok(Start::Earliest)
            }
            (None, Start::Latest) => self.latest(&partition.topic),
            (None, start) => Ok(start),
        };
        let starts: Result<_, _> = self.readers(&partition.topic).into_iter().map(start).collect();
        self.read().insert(partition.clone(), states);
        starts
    }

    /// The end of the log, unless the topic has been read before: then a partition without a state is one
    /// that was added since, and its first records came before anyone could know of it.
    fn latest(&self, topic: &str) -> Result<Start, store::Error> {
        let time = |written| Start::Time((since_epoch_ms(written) - NOTICED_MS).max(0));
        Ok(self.store.last_written(topic)?.map_or(Start::Latest, time))
    }
}

#[cfg(test)]
mod tests;
