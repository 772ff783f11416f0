//! What ingest and its source both look at: the models, their baselines in force, and stored states.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tracing::error;
use tracing::warn;

use crate::metrics::Metrics;
use crate::offsets::TopicPartition;
use crate::pipeline::clock::now_ms;
use crate::pipeline::snapshot;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::source::Start;
use crate::store;
use crate::store::FileStore;
use crate::window::PartitionState;

/// Shared between the ingest loop and the callback that says where partitions start.
pub(super) struct Desk {
    pub specs: Arc<Vec<Spec>>,
    pub store: Arc<FileStore>,
    pub metrics: Metrics,
    watched: Mutex<Vec<Option<Watched>>>,
}

impl Desk {
    pub(super) fn new(
        specs: Arc<Vec<Spec>>,
        store: Arc<FileStore>,
        metrics: Metrics,
        watched: Vec<Option<Watched>>,
    ) -> Self {
        Self { specs, store, metrics, watched: Mutex::new(watched) }
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
    /// When a newer release wrote them: they must be neither misread nor written over.
    pub(super) fn states(
        &self,
        partition: &TopicPartition,
    ) -> Result<BTreeMap<usize, PartitionState>, store::Error> {
        let by_name = |name: &str| self.specs.iter().position(|spec| spec.name() == name);
        let rules = |name: &str| Some(self.watched(by_name(name)?)?.rules);
        let loaded = match self.store.load_partition(partition) {
            Ok(loaded) => loaded,
            Err(error) => {
                error!(%partition, %error, "the state of a partition can't be read; counting starts anew");
                return Ok(BTreeMap::new());
            }
        };
        for rejected in &loaded.rejected {
            warn!(%partition, %rejected, "a snapshot is damaged; the one before it is used");
            self.metrics.state_rejected("snapshot", 1);
        }
        let Some((_, body)) = loaded.supported(snapshot::VERSION)? else {
            return Ok(BTreeMap::new());
        };
        match snapshot::decode(body, rules) {
            Ok(states) => Ok(states
                .into_iter()
                .filter_map(|(name, state)| Some((by_name(&name)?, state)))
                .collect()),
            Err(error) => {
                error!(%partition, %error, "the state of a partition makes no sense; counting starts anew");
                self.metrics.state_rejected("snapshot", 1);
                Ok(BTreeMap::new())
            }
        }
    }

    /// The highest event time of a model that the stored state knows of. An earlier process may have
    /// read and decided it, and no thread of this one may have come there yet.
    ///
    /// # Errors
    /// When a part of the state can't be read: nobody knows then how far it went.
    pub(super) fn furthest(&self, model: usize) -> Result<Option<i64>, store::Error> {
        let spec = &self.specs[model];
        let mut furthest = self.store.newest_pane(spec.name())?;
        for partition in self.store.partitions()? {
            if *partition.topic == spec.model.topic {
                let states = self.states(&partition)?;
                let highest = states.get(&model).and_then(|state| state.watermark.highest());
                furthest = furthest.max(highest);
            }
        }
        Ok(furthest)
    }

    /// Where each reader of a partition's topic starts, in the order of `readers`.
    pub(super) fn starts(&self, partition: &TopicPartition) -> Vec<Start> {
        // One that may not be touched is read from its end: nothing of it is counted.
        let Ok(states) = self.states(partition) else { return vec![Start::Latest] };
        let now = now_ms();
        let start = |model: usize| match states.get(&model) {
            Some(state) => Start::Offset(state.next_offset),
            None => self.specs[model].start(now),
        };
        self.readers(&partition.topic).into_iter().map(start).collect()
    }
}
