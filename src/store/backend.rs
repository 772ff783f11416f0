//! Either backend, behind what the stages ask of both.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::codec::Writer;
use crate::offsets::TopicPartition;
use crate::store::kafka::Snapshot;
use crate::store::kafka::record::{State, Test};
use crate::store::{Error, FileStore, KafkaStore, Kept, Loaded, PaneRecord, Saved};

/// Where what must survive is kept.
#[derive(Debug)]
pub enum Store {
    File(Box<FileStore>),
    Kafka(Box<KafkaStore>),
}

/// One model's state in a partition, to be stored.
#[derive(Debug)]
pub struct ModelState {
    pub model: String,
    pub rules: u64,
    pub next_offset: i64,
    pub state: Vec<u8>,
}

impl Store {
    pub fn kafka(&self) -> Option<&KafkaStore> {
        match self {
            Store::File(_) => None,
            Store::Kafka(store) => Some(store),
        }
    }

    pub fn file(&self) -> Option<&FileStore> {
        match self {
            Store::File(store) => Some(store),
            Store::Kafka(_) => None,
        }
    }

    /// Stores the states of all models in a partition.
    pub fn save_partition(
        &self,
        partition: &TopicPartition,
        version: u8,
        states: Vec<ModelState>,
    ) -> Result<Saved, Error> {
        match self {
            Store::File(store) => store.save_states(partition, version, &states),
            Store::Kafka(store) => {
                let state = |s: ModelState| State {
                    partition: partition.clone(),
                    model: s.model,
                    rules: s.rules,
                    epoch: 0,
                    next_offset: s.next_offset,
                    version,
                    state: s.state,
                };
                store.save_states(states.into_iter().map(state).collect())
            }
        }
    }

    /// When the state of some partition of the topic was last written. Topics do not tell: there it is the
    /// beginning of time as soon as one is known.
    ///
    /// # Errors
    /// When some state can't be read at present.
    pub fn last_written(&self, topic: &str) -> Result<Option<SystemTime>, Error> {
        match self {
            Store::File(store) => {
                let mut last = None;
                let known = store.partitions()?;
                for partition in known.iter().filter(|partition| *partition.topic == *topic) {
                    match store.load_partition(partition) {
                        Ok(loaded) => last = last.max(loaded.modified),
                        // It tells nothing to this release.
                        Err(error) if error.is_newer() => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(last)
            }
            Store::Kafka(store) => {
                let states = store.all_states()?;
                Ok(states.iter().any(|s| *s.partition.topic == *topic).then_some(UNIX_EPOCH))
            }
        }
    }

    /// The states of a partition to go on from; `rules` are those in force, by model.
    pub fn load_partition(
        &self,
        partition: &TopicPartition,
        rules: impl Fn(&str) -> Option<u64>,
    ) -> Result<Loaded, Error> {
        match self {
            Store::File(store) => store.load_partition(partition),
            Store::Kafka(store) => {
                let Snapshot { states, unread, lost } = store.load_states(partition, rules)?;
                let all = states.iter().map(|s| (s.model.as_str(), s.state.as_slice()));
                let version = states.iter().map(|s| s.version).max();
                let body = version.map(|version| (version, joined(all)));
                let path = Some(store.names().state.clone().into());
                Ok(Loaded { body, path, unread, lost, ..Loaded::default() })
            }
        }
    }

    /// Appends closed panes, each with the partition that it is of. Durable on return; after an error
    /// any of them may have been kept, and all are to be appended again.
    pub fn append_panes(
        &self,
        model: &str,
        rules: u64,
        records: Vec<(TopicPartition, PaneRecord)>,
    ) -> Result<Saved, Error> {
        match self {
            Store::File(store) => {
                let records: Vec<PaneRecord> = records.into_iter().map(|(_, r)| r).collect();
                store.append_panes(model, &records)
            }
            Store::Kafka(store) => store.append_panes(model, rules, &records),
        }
    }

    /// What is stored of a model's evaluation; that of the Kafka backend comes with its partition.
    pub fn kept(&self, model: &str) -> Result<Kept, Error> {
        let Store::File(store) = self else { return Ok(Kept::default()) };
        let mut panes = Vec::new();
        let rejected = store.load_panes(model, i64::MIN, |record| panes.push(record))?.len();
        Ok(Kept { panes, rejected, test: store.load_test(model)? })
    }

    /// Stores what deciding about a model has come to.
    pub fn save_test(
        &self,
        model: &str,
        rules: u64,
        version: u8,
        state: Vec<u8>,
    ) -> Result<Saved, Error> {
        match self {
            Store::File(store) => store.save_test(model, version, &state),
            Store::Kafka(store) => {
                let model = model.to_owned();
                store.save_test(Test { model, rules, version, state })
            }
        }
    }

    /// Panes that begin before this are not needed any more. Topics have their retention.
    pub fn expire_panes(&self, model: &str, before_ms: i64) -> Result<usize, Error> {
        match self {
            Store::File(store) => store.expire_panes(model, before_ms),
            Store::Kafka(_) => Ok(0),
        }
    }

    /// The partition's log has begun anew.
    pub fn begun_anew(&self, partition: &TopicPartition) {
        match self {
            Store::File(_) => {}
            Store::Kafka(store) => store.begun_anew(partition),
        }
    }
}

impl FileStore {
    /// Stores the states of all models in a partition as one record.
    pub fn save_states(
        &self,
        partition: &TopicPartition,
        version: u8,
        states: &[ModelState],
    ) -> Result<Saved, Error> {
        let all = states.iter().map(|s| (s.model.as_str(), s.state.as_slice()));
        self.save_partition(partition, version, &joined(all))
    }
}

/// States of models, one behind the other: `n | (model, state)*`.
fn joined<'a>(states: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut out = Writer::default();
    out.u64(states.len() as u64);
    for (model, state) in states {
        out.str(model);
        out.bytes(state);
    }
    out.into_bytes()
}
