//! The logs as they are followed: what has been read, folded, and who has yet to hear of it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::kafka::tail::{Entry, Tail};
use crate::offsets::TopicPartition;
use crate::store::kafka::fold::{Journal, Specs, States};
use crate::store::kafka::record::{Body, FORMAT, Record, Spec, Unreadable};
use crate::store::kafka::{KafkaStore, READ, READ_BACK, REMEMBERED};
use crate::store::{Error, Incidents};

#[derive(Default)]
pub(super) struct Snapshots {
    pub(super) tail: Option<Tail>,
    pub(super) fold: States,
    /// When `fold` was last asked; it holds the states of all replicas, so it is not kept for long.
    pub(super) asked: Option<Instant>,
    /// Hash and time of what we wrote last.
    pub(super) ours: HashMap<(TopicPartition, String), (u64, Instant)>,
    pub(super) epochs: HashMap<TopicPartition, u64>,
    pub(super) rejected: u64,
}

#[derive(Default)]
pub(super) struct SpecLog {
    pub(super) tail: Option<Tail>,
    pub(super) fold: Specs,
    /// Models whose spec has changed and nobody was told of.
    pub(super) news: Vec<String>,
    pub(super) unreadable: Option<Unreadable>,
}

#[derive(Default)]
pub(super) struct IncidentTail {
    pub(super) tail: Option<Tail>,
    pub(super) fold: Journal,
    /// What counts and was not taken yet.
    pub(super) news: Incidents,
}

impl Snapshots {
    /// Partitions come together, so what was read for one serves the others.
    pub(super) fn forget_after(&mut self, now: Instant) {
        if self.asked.is_some_and(|asked| now - asked > REMEMBERED) {
            (self.asked, self.tail, self.fold) = (None, None, States::default());
        }
    }

    pub(super) fn catch_up(&mut self, store: &KafkaStore) -> Result<(), Error> {
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
    pub(super) fn catch_up(&mut self, store: &KafkaStore) -> Result<(), Error> {
        let mut news = Vec::new();
        let tail = opened(&mut self.tail, store, &store.names.specs, 1)?;
        tail.catch_up(READ, |entry| news.push(decode(&entry)))?;
        self.apply(news, store)
    }

    pub(super) fn read(&mut self, store: &KafkaStore, wait: Duration) -> Result<(), Error> {
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
    pub(super) fn catch_up(&mut self, store: &KafkaStore) -> Result<(), Error> {
        let IncidentTail { tail, fold, news } = self;
        let tail = opened(tail, store, &store.names.incidents, store.partitions)?;
        tail.catch_up(READ, |entry| {
            told(fold, news, &entry);
        })?;
        Ok(())
    }

    pub(super) fn read(&mut self, store: &KafkaStore) -> Result<(), Error> {
        let IncidentTail { tail, fold, news } = self;
        let tail = opened(tail, store, &store.names.incidents, store.partitions)?;
        tail.read(Duration::ZERO, |entry| {
            told(fold, news, &entry);
        });
        Ok(())
    }

    /// Reads up to a record of ours; whether it counts.
    pub(super) fn reach(&mut self, store: &KafkaStore, at: (i32, i64)) -> Result<bool, Error> {
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

/// A record; `None` is a tombstone, or of a kind that only a newer release knows.
pub(super) fn decode(entry: &Entry<'_>) -> Result<Option<Record>, Unreadable> {
    entry.payload.map_or(Ok(None), Record::decode)
}

fn newer_version(topic: &str, found: u8) -> Error {
    Error::NewerVersion { path: topic.into(), found, supported: FORMAT }
}
