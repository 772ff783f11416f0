//! The Kafka backend: compacted topics that any number of replicas share.
//!
//! `<prefix>.specs` (what is counted by) · `.state` (snapshots of input partitions) · `.partials` (closed
//! panes, progress, seals, what evaluation has come to) · `.incidents` (everything decided)
//!
//! What a record means is decided in `fold`; here it is only written and read.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::kafka;
use crate::kafka::producer::{Outgoing, Producer, RECORD_MAX};
use crate::kafka::tail::Tail;
use crate::offsets::TopicPartition;
use crate::store::kafka::fold::Assembly;
use crate::store::kafka::logs::{IncidentTail, Snapshots, SpecLog};
use crate::store::kafka::record::{Body, Heads, Incident, Owner, Pane, Record, Spec, State, Test};
use crate::store::kafka::topics::Names;
use crate::store::{Config, Error, Incidents, PaneRecord, Saved, Topics};

pub mod fold;
mod logs;
mod open;
pub mod record;
pub mod topics;
mod unread;

pub use open::create_topics;
pub use unread::{Newest, Unread, Unreads};

/// Longest wait for more of a log before its end.
const READ: Duration = Duration::from_secs(60);
/// Longest wait for a record of our own to come back.
const READ_BACK: Duration = Duration::from_secs(10);
/// How long the states of all replicas are remembered after they were asked for.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Records that are imported at once.
const IMPORTED: usize = 500;
/// A snapshot that has not changed is written again after this, so that retention leaves it.
const RENEWED: Duration = Duration::from_secs(3600);

/// What is durable for every replica. Every method blocks until the brokers have answered.
pub struct KafkaStore {
    kafka: kafka::Config,
    names: Names,
    partitions: i32,
    /// Ours alone: drawn at every start.
    writer: u64,
    written: AtomicU64,
    /// What people know this replica by, and where they reach it.
    me: Owner,
    newest: Newest,
    producer: Producer,
    states: Mutex<Snapshots>,
    specs: Mutex<SpecLog>,
    incidents: Mutex<IncidentTail>,
}

/// A partition of the partials, read.
#[derive(Debug)]
pub struct Read {
    pub assembly: Assembly,
    pub unread: Unreads,
    /// Behind the last record that was read.
    pub next_offset: i64,
}

/// What there is of a partition's states.
#[derive(Debug)]
pub struct Snapshot {
    pub states: Vec<State>,
    /// What can't be used.
    pub unread: Vec<Unread>,
    /// Models of which there is nothing else.
    pub lost: Vec<String>,
}

impl KafkaStore {
    /// The partition that a model's counts, decisions and incidents are in.
    pub fn place(&self, model: &str) -> i32 {
        place(model, self.partitions)
    }

    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn writer(&self) -> u64 {
        self.writer
    }

    pub fn name(&self) -> &str {
        &self.me.name
    }

    fn write(&self, records: Vec<(&str, i32, Body)>) -> Result<(Vec<i64>, Saved), Error> {
        let mut saved = Saved::default();
        let mut outgoing = Vec::with_capacity(records.len());
        for (topic, partition, body) in records {
            let record = Record { writer: self.writer, body };
            let key = record.key(self.written.fetch_add(1, Ordering::Relaxed));
            let value = record.encode();
            saved.bytes += (key.len() + value.len()) as u64;
            if value.len() + key.len() > RECORD_MAX - 1024 {
                let (path, bytes) = (key.into(), value.len());
                return Err(Error::TooLarge { path, bytes, limit: RECORD_MAX });
            }
            let (topic, key) = (topic.to_owned(), key.into_bytes());
            outgoing.push(Outgoing { topic, partition, key, value });
        }
        let offsets = self.producer.write(&outgoing)?;
        Ok((offsets, saved))
    }

    /// Writes the states of a partition's models, those that have changed.
    pub fn save_states(&self, states: Vec<State>) -> Result<Saved, Error> {
        let now = Instant::now();
        let mut snapshots = lock(&self.states);
        snapshots.forget_after(now);
        let mut records = Vec::new();
        let mut hashes = Vec::new();
        for mut state in states {
            state.epoch = snapshots.epochs.get(&state.partition).copied().unwrap_or(0);
            let key = (state.partition.clone(), state.model.clone());
            let hash = xxhash_rust::xxh3::xxh3_64(&state.state);
            let same = |(last, at): &(u64, Instant)| *last == hash && now - *at < RENEWED;
            if !snapshots.ours.get(&key).is_some_and(same) {
                let partition = place(&state.partition.to_string(), self.partitions);
                records.push((self.names.state.as_str(), partition, Body::State(state)));
                hashes.push((key, (hash, now)));
            }
        }
        let (_, saved) = self.write(records)?;
        snapshots.ours.extend(hashes);
        Ok(saved)
    }

    /// The states of a partition to go on from, of all models that have one; `rules` are those in
    /// force. Of what is damaged another one is used, since all are true at their offsets.
    ///
    /// # Errors
    /// Also when a newer release wrote one of these.
    pub fn load_states(
        &self,
        partition: &TopicPartition,
        rules: impl Fn(&str) -> Option<u64>,
    ) -> Result<Snapshot, Error> {
        let mut snapshots = lock(&self.states);
        snapshots.catch_up(self)?;
        let Snapshots { fold, unread, epochs, .. } = &mut *snapshots;
        epochs.insert(partition.clone(), fold.epoch(partition));
        let chosen = fold.models(partition).filter_map(|model| {
            let rules = rules(model)?;
            fold.choose(partition, model, rules).cloned()
        });
        let mut found = Snapshot { states: chosen.collect(), unread: Vec::new(), lost: Vec::new() };
        let prefix = format!("state/{partition}/");
        for record in unread.of(&prefix) {
            let model = record.key[prefix.len()..].rsplit_once('/').map(|(model, _)| model);
            let Some(model) = model.filter(|model| rules(model).is_some()) else { continue };
            if record.is_newer() {
                return Err(record.refusal());
            }
            found.unread.push(record.clone());
            let has = found.states.iter().any(|state| state.model == model);
            if !has && !found.lost.iter().any(|lost| lost == model) {
                found.lost.push(model.to_owned());
            }
        }
        Ok(found)
    }

    /// Every state that is the best of its rules.
    ///
    /// # Errors
    /// Also when a newer release wrote one.
    pub fn all_states(&self) -> Result<Vec<State>, Error> {
        let mut snapshots = lock(&self.states);
        snapshots.catch_up(self)?;
        if let Some(newer) = snapshots.unread.iter().find(|record| record.is_newer()) {
            return Err(newer.refusal());
        }
        Ok(snapshots.fold.all().cloned().collect())
    }

    /// The partition's log has begun anew: what was stored of it is not further on than what follows.
    pub fn begun_anew(&self, partition: &TopicPartition) {
        *lock(&self.states).epochs.entry(partition.clone()).or_default() += 1;
    }

    /// Appends closed panes of a model, each with the partition that it is of.
    pub fn append_panes(
        &self,
        model: &str,
        rules: u64,
        records: &[(TopicPartition, PaneRecord)],
    ) -> Result<Saved, Error> {
        let to = self.place(model);
        let pane = |(of, record): &(TopicPartition, PaneRecord)| {
            let (model, of, record) = (model.to_owned(), of.to_string(), record.clone());
            let body = Body::Pane(Pane { model, rules, of, record });
            (self.names.partials.as_str(), to, body)
        };
        self.write(records.iter().map(pane).collect()).map(|(_, saved)| saved)
    }

    /// Appends what the clock has closed; it counts once it has been read back.
    pub fn append_seal(&self, model: &str, rules: u64, record: PaneRecord) -> Result<(), Error> {
        let (to, model) = (self.place(model), model.to_owned());
        let body = Body::Seal(Pane { model, rules, of: String::new(), record });
        self.write(vec![(&self.names.partials, to, body)]).map(|_| ())
    }

    /// Tells evaluators how far we have come, of one or more models.
    pub fn append_progress(&self, all: Vec<Heads>) -> Result<(), Error> {
        let record = |heads: Heads| {
            let to = self.place(&heads.model);
            (self.names.partials.as_str(), to, Body::Progress(heads))
        };
        self.write(all.into_iter().map(record).collect()).map(|_| ())
    }

    pub fn save_test(&self, test: Test) -> Result<Saved, Error> {
        let to = self.place(&test.model);
        self.write(vec![(&self.names.partials, to, Body::Test(test))]).map(|(_, saved)| saved)
    }

    /// From here on we decide about the models of a partition. Durable, and everything that was decided
    /// before has been read, when it returns.
    pub fn announce(&self, partition: i32) -> Result<(), Error> {
        let record = |topic| (topic, partition, Body::Owner(self.me.clone()));
        let records = vec![record(self.names.incidents.as_str()), record(&self.names.partials)];
        let (offsets, _) = self.write(records)?;
        let at = offsets.first().copied().unwrap_or(0);
        lock(&self.incidents).reach(self, (partition, at)).map(|_| ())
    }

    /// Reads a partition of the partials from its beginning to where it ends now.
    pub fn assemble(&self, partition: i32, wanted: BTreeMap<String, u64>) -> Result<Read, Error> {
        let mut assembly = Assembly::new(wanted);
        let mut unread = Unreads::default();
        let topic = &self.names.partials;
        let mut tail = Tail::open(&self.kafka, topic, [partition])?;
        tail.catch_up(READ, |entry| {
            if let Ok(Some(record)) = unread.decode(topic, &entry, self.newest) {
                assembly.apply(record);
            }
        })?;
        Ok(Read { assembly, unread, next_offset: tail.next(partition) })
    }

    /// Writes what another backend has held, in this order; `announce` every partition before.
    pub fn import(&self, bodies: &[Body]) -> Result<(), Error> {
        for some in bodies.chunks(IMPORTED) {
            let records = some.iter().filter_map(|body| {
                let (topic, model) = match body {
                    Body::State(s) => (&self.names.state, s.partition.to_string()),
                    Body::Pane(p) | Body::Seal(p) => (&self.names.partials, p.model.clone()),
                    Body::Test(t) => (&self.names.partials, t.model.clone()),
                    Body::Incident(i) => (&self.names.incidents, i.model.clone()),
                    Body::Spec(s) => {
                        let spec = Spec { partitions: self.partitions, ..s.clone() };
                        return Some((self.names.specs.as_str(), 0, Body::Spec(spec)));
                    }
                    Body::Owner(_) | Body::Progress(_) => return None,
                };
                Some((topic.as_str(), self.place(&model), body.clone()))
            });
            self.write(records.collect())?;
        }
        Ok(())
    }

    /// The spec in force of a model, as far as it was read.
    pub fn spec(&self, model: &str) -> Option<Spec> {
        lock(&self.specs).fold.get(model).cloned()
    }

    /// Reads the specs to their end.
    ///
    /// # Errors
    /// Also when a newer release wrote one: its baseline must not be counted by another.
    pub fn read_specs(&self) -> Result<(), Error> {
        lock(&self.specs).catch_up(self)
    }

    /// The models whose spec has changed since the last call, after waiting a little for one.
    pub fn new_specs(&self, wait: Duration) -> Result<Vec<String>, Error> {
        let mut specs = lock(&self.specs);
        specs.read(self, wait)?;
        Ok(std::mem::take(&mut specs.news))
    }

    /// Proposes what a model is counted by; another's may be in force when it returns.
    pub fn propose(&self, spec: Spec) -> Result<(), Error> {
        let spec = Spec { partitions: self.partitions, ..spec };
        self.write(vec![(&self.names.specs, 0, Body::Spec(spec))])?;
        self.read_specs()
    }

    /// Appends to the incident log and reads it back; false if it does not count, because another
    /// decides by now.
    pub fn append_incident(&self, incident: Incident) -> Result<bool, Error> {
        let to = self.place(&incident.model);
        let (offsets, _) =
            self.write(vec![(&self.names.incidents, to, Body::Incident(incident))])?;
        let at = offsets.first().copied().unwrap_or(0);
        lock(&self.incidents).reach(self, (to, at))
    }

    /// What counts of the incident log and was not taken before, in its order.
    pub fn take_incidents(&self) -> Result<Incidents, Error> {
        let mut incidents = lock(&self.incidents);
        incidents.read(self)?;
        Ok(std::mem::take(&mut incidents.news))
    }

    /// Reads the whole incident log.
    pub fn read_incidents(&self) -> Result<(), Error> {
        lock(&self.incidents).catch_up(self)
    }

    /// Whether the incident log, as far as it was read, has no other who decides in a partition.
    pub fn decides(&self, partition: i32) -> bool {
        let incidents = lock(&self.incidents);
        incidents.fold.owner(partition).is_none_or(|(writer, _)| *writer == self.writer)
    }

    /// Who decides about a model, as far as the log was read; and whether that is us.
    pub fn owner(&self, model: &str) -> Option<(Owner, bool)> {
        let incidents = lock(&self.incidents);
        let (writer, owner) = incidents.fold.owner(self.place(model))?;
        Some((owner.clone(), *writer == self.writer))
    }
}

/// Which partition something is in, for ever.
pub fn place(name: &str, partitions: i32) -> i32 {
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    i32::try_from(hash % u64::from(partitions.max(1).unsigned_abs())).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for KafkaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaStore").field("names", &self.names).finish_non_exhaustive()
    }
}

/// A number that no other process has drawn.
fn drawn() -> u64 {
    RandomState::new().build_hasher().finish()
}
