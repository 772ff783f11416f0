//! The Kafka backend: compacted topics that any number of replicas share.
//!
//! `<prefix>.specs` (what is counted by) · `.state` (snapshots of input partitions) · `.partials` (closed
//! panes, progress, seals, what evaluation has come to) · `.incidents` (everything decided)
//!
//! What a record means is decided in `fold`; here it is only written and read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::kafka;
use crate::kafka::producer::{Outgoing, Producer, RECORD_MAX};
use crate::kafka::tail::{Entry, Tail};
use crate::offsets::TopicPartition;
use crate::store::kafka::fold::{Assembly, Journal, Specs, States};
use crate::store::kafka::record::{Body, FORMAT, Heads, Incident, Owner, Pane, Record};
use crate::store::kafka::record::{Spec, State, Test, Unreadable};
use crate::store::kafka::topics::Names;
use crate::store::{Config, Error, Incidents, PaneRecord, Saved, Topics};

pub mod fold;
mod open;
pub mod record;
pub mod topics;

pub use open::create_topics;

/// Longest wait for a log's end; what it holds of one partition is read in seconds.
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
    producer: Producer,
    states: Mutex<Snapshots>,
    specs: Mutex<SpecLog>,
    incidents: Mutex<IncidentTail>,
}

/// A partition of the partials, read.
#[derive(Debug)]
pub struct Read {
    pub assembly: Assembly,
    pub unreadable: usize,
    /// Behind the last record that was read.
    pub next_offset: i64,
}

#[derive(Default)]
struct Snapshots {
    tail: Option<Tail>,
    fold: States,
    /// When `fold` was last asked; it holds the states of all replicas, so it is not kept for long.
    asked: Option<Instant>,
    /// Hash and time of what we wrote last.
    ours: HashMap<(TopicPartition, String), (u64, Instant)>,
    epochs: HashMap<TopicPartition, u64>,
    rejected: u64,
}

#[derive(Default)]
struct SpecLog {
    tail: Option<Tail>,
    fold: Specs,
    /// Models whose spec has changed and nobody was told of.
    news: Vec<String>,
    unreadable: Option<Unreadable>,
}

#[derive(Default)]
struct IncidentTail {
    tail: Option<Tail>,
    fold: Journal,
    /// What counts and was not taken yet.
    news: Incidents,
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
    /// force. Also how many records could not be used.
    pub fn load_states(
        &self,
        partition: &TopicPartition,
        rules: impl Fn(&str) -> Option<u64>,
    ) -> Result<(Vec<State>, u64), Error> {
        let mut snapshots = lock(&self.states);
        snapshots.catch_up(self)?;
        let Snapshots { fold, rejected, epochs, .. } = &mut *snapshots;
        epochs.insert(partition.clone(), fold.epoch(partition));
        let chosen = fold.models(partition).filter_map(|model| {
            let rules = rules(model)?;
            fold.choose(partition, model, rules).cloned()
        });
        Ok((chosen.collect(), std::mem::take(rejected)))
    }

    /// Every state that is the best of its rules.
    pub fn all_states(&self) -> Result<Vec<State>, Error> {
        let mut snapshots = lock(&self.states);
        snapshots.catch_up(self)?;
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
        let mut unreadable = 0;
        let mut tail = Tail::open(&self.kafka, &self.names.partials, [partition])?;
        tail.catch_up(READ, |entry| match decode(&entry) {
            Ok(Some(record)) => assembly.apply(record),
            Ok(None) => {}
            Err(_) => unreadable += 1,
        })?;
        Ok(Read { assembly, unreadable, next_offset: tail.next(partition) })
    }

    /// Writes what another backend has held, in this order; `announce` every partition before.
    pub fn import(&self, bodies: Vec<Body>) -> Result<(), Error> {
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

    /// Who decides about a model, as far as the log was read; and whether that is us.
    pub fn owner(&self, model: &str) -> Option<(Owner, bool)> {
        let incidents = lock(&self.incidents);
        let (writer, owner) = incidents.fold.owner(self.place(model))?;
        Some((owner.clone(), *writer == self.writer))
    }
}

impl Snapshots {
    /// Partitions come together, so what was read for one serves the others.
    fn forget_after(&mut self, now: Instant) {
        if self.asked.is_some_and(|asked| now - asked > REMEMBERED) {
            (self.asked, self.tail, self.fold) = (None, None, States::default());
        }
    }

    fn catch_up(&mut self, store: &KafkaStore) -> Result<(), Error> {
        self.asked = Some(Instant::now());
        let Snapshots { tail, fold, rejected, .. } = self;
        let tail = opened(tail, store, &store.names.state, store.partitions)?;
        let mut newer = None;
        let read = tail.catch_up(READ, |entry| match decode(&entry) {
            Ok(Some(Record { body: Body::State(state), .. })) => fold.apply(state),
            Ok(_) => {}
            Err(Unreadable::Newer(found)) => newer = Some(found),
            Err(Unreadable::Damaged) => *rejected += 1,
        });
        read?;
        newer.map_or(Ok(()), |found| Err(newer_version(&store.names.state, found)))
    }
}

impl SpecLog {
    fn catch_up(&mut self, store: &KafkaStore) -> Result<(), Error> {
        let mut news = Vec::new();
        let tail = opened(&mut self.tail, store, &store.names.specs, 1)?;
        tail.catch_up(READ, |entry| news.push(decode(&entry)))?;
        self.apply(news, store)
    }

    fn read(&mut self, store: &KafkaStore, wait: Duration) -> Result<(), Error> {
        let mut news = Vec::new();
        let tail = opened(&mut self.tail, store, &store.names.specs, 1)?;
        tail.read(wait, |entry| news.push(decode(&entry)));
        self.apply(news, store)
    }

    fn apply(
        &mut self,
        news: Vec<Result<Option<Record>, Unreadable>>,
        store: &KafkaStore,
    ) -> Result<(), Error> {
        for record in news {
            match record {
                Ok(Some(Record { body: Body::Spec(spec), .. })) => {
                    if spec.partitions != store.partitions {
                        return Err(repartitioned(&spec, store));
                    }
                    let model = spec.model.clone();
                    if self.fold.apply(spec) {
                        self.news.push(model);
                    }
                }
                Ok(_) => {}
                Err(unreadable) => self.unreadable = Some(unreadable),
            }
        }
        match self.unreadable {
            Some(Unreadable::Newer(found)) => Err(newer_version(&store.names.specs, found)),
            Some(Unreadable::Damaged) | None => Ok(()),
        }
    }
}

fn repartitioned(spec: &Spec, store: &KafkaStore) -> Error {
    let (model, then, now) = (&spec.model, spec.partitions, store.partitions);
    Error::Topics {
        faults: vec![format!(
            "model {model} was shared out over {then} partitions, and the topics have {now}: \
             partitions were added by hand; set another state.topics.prefix and move the state there \
             with `driftd state export` and `import`"
        )],
    }
}

impl IncidentTail {
    fn catch_up(&mut self, store: &KafkaStore) -> Result<(), Error> {
        let IncidentTail { tail, fold, news } = self;
        let tail = opened(tail, store, &store.names.incidents, store.partitions)?;
        tail.catch_up(READ, |entry| {
            told(fold, news, &entry);
        })?;
        Ok(())
    }

    fn read(&mut self, store: &KafkaStore) -> Result<(), Error> {
        let IncidentTail { tail, fold, news } = self;
        let tail = opened(tail, store, &store.names.incidents, store.partitions)?;
        tail.read(Duration::ZERO, |entry| {
            told(fold, news, &entry);
        });
        Ok(())
    }

    /// Reads up to a record of ours; whether it counts.
    fn reach(&mut self, store: &KafkaStore, at: (i32, i64)) -> Result<bool, Error> {
        let IncidentTail { tail, fold, news } = self;
        let tail = opened(tail, store, &store.names.incidents, store.partitions)?;
        let mut counts = false;
        tail.reach(at, READ_BACK, |entry| {
            let told = told(fold, news, &entry);
            counts |= told && (entry.partition, entry.offset) == at;
        })?;
        Ok(counts)
    }
}

/// Folds a record of the incident log in; whether it counts.
fn told(fold: &mut Journal, news: &mut Incidents, entry: &Entry<'_>) -> bool {
    match decode(entry) {
        Ok(Some(record)) => {
            let incident = fold.apply(entry.partition, record);
            let counts = incident.is_some();
            news.records.extend(incident.map(|incident| (incident.version, incident.json)));
            counts
        }
        Ok(None) => false,
        Err(_) => {
            news.unreadable += 1;
            false
        }
    }
}

/// A tail, opened at its first use.
fn opened<'a>(
    tail: &'a mut Option<Tail>,
    store: &KafkaStore,
    topic: &str,
    partitions: i32,
) -> Result<&'a mut Tail, Error> {
    let open = match tail.take() {
        Some(open) => open,
        None => Tail::open(&store.kafka, topic, 0..partitions)?,
    };
    Ok(tail.insert(open))
}

/// Which partition something is in, for ever.
pub fn place(name: &str, partitions: i32) -> i32 {
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    i32::try_from(hash % u64::from(partitions.max(1).unsigned_abs())).unwrap_or(0)
}

/// A record; `None` is a tombstone, or of a kind that only a newer release knows.
fn decode(entry: &Entry<'_>) -> Result<Option<Record>, Unreadable> {
    entry.payload.map_or(Ok(None), Record::decode)
}

fn newer_version(topic: &str, found: u8) -> Error {
    Error::NewerVersion { path: topic.into(), found, supported: FORMAT }
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
