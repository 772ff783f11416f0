//! The logs as they are followed: what has been read, folded, and who has yet to hear of it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use crate::kafka::tail::{Entry, Tail};
use crate::offsets::TopicPartition;
use crate::store::kafka::fold::{Journal, Specs, States};
use crate::store::kafka::record::{Body, Record, Spec};
use crate::store::kafka::unread::{Unread, Unreads};
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
    pub(super) unread: Unreads,
}

#[derive(Default)]
pub(super) struct SpecLog {
    pub(super) tail: Option<Tail>,
    pub(super) fold: Specs,
    /// Models whose spec has changed and nobody was told of.
    pub(super) news: Vec<String>,
    pub(super) unread: Unreads,
}

#[derive(Default)]
pub(super) struct IncidentTail {
    pub(super) tail: Option<Tail>,
    pub(super) fold: Journal,
    /// What counts and was not taken yet.
    pub(super) news: Incidents,
    /// Where records of ours count, until who wrote them has heard so: another thread may have read them.
    counted: BTreeSet<(i32, i64)>,
}

impl Snapshots {
    /// Partitions come together, so what was read for one serves the others.
    pub(super) fn forget_after(&mut self, now: Instant) {
        if self.asked.is_some_and(|asked| now - asked > REMEMBERED) {
            (self.asked, self.tail, self.fold) = (None, None, States::default());
            self.unread = Unreads::default();
        }
    }

    pub(super) fn catch_up(&mut self, store: &KafkaStore) -> Result<(), Error> {
        self.asked = Some(Instant::now());
        let Snapshots { tail, fold, unread, .. } = self;
        let topic = &store.names.state;
        let tail = opened(tail, store, topic, store.partitions)?;
        tail.catch_up(READ, |entry| {
            if let Ok(Some(record)) = unread.decode(topic, &entry, store.newest)
                && let Body::State(state) = record.body
            {
                fold.apply(state);
            }
        })?;
        Ok(())
    }
}

impl SpecLog {
    pub(super) fn catch_up(&mut self, store: &KafkaStore) -> Result<(), Error> {
        let mut news = Vec::new();
        let SpecLog { tail, unread, .. } = self;
        let topic = &store.names.specs;
        let tail = opened(tail, store, topic, 1)?;
        tail.catch_up(READ, |entry| news.push(unread.decode(topic, &entry, store.newest)))?;
        self.apply(news, store)
    }

    pub(super) fn read(&mut self, store: &KafkaStore, wait: Duration) -> Result<(), Error> {
        let mut news = Vec::new();
        let SpecLog { tail, unread, .. } = self;
        let topic = &store.names.specs;
        let tail = opened(tail, store, topic, 1)?;
        tail.read(wait, |entry| news.push(unread.decode(topic, &entry, store.newest)));
        self.apply(news, store)
    }

    fn apply(
        &mut self,
        news: Vec<Result<Option<Record>, Unread>>,
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
                Err(record) => error!(%record, "a baseline that replicas count by can't be read"),
            }
        }
        let newer = self.unread.iter().find(|record| record.is_newer());
        newer.map_or(Ok(()), |newer| Err(newer.refusal()))
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
        let (tail, mut told) = self.folding(store)?;
        tail.catch_up(READ, |entry| told.apply(&entry))?;
        Ok(())
    }

    pub(super) fn read(&mut self, store: &KafkaStore) -> Result<(), Error> {
        let (tail, mut told) = self.folding(store)?;
        tail.read(Duration::ZERO, |entry| told.apply(&entry));
        Ok(())
    }

    /// Reads up to a record of ours; whether it counts.
    pub(super) fn reach(&mut self, store: &KafkaStore, at: (i32, i64)) -> Result<bool, Error> {
        let (tail, mut told) = self.folding(store)?;
        tail.reach(at, READ_BACK, |entry| told.apply(&entry))?;
        Ok(self.counted.remove(&at))
    }

    fn folding<'a>(
        &'a mut self,
        store: &'a KafkaStore,
    ) -> Result<(&'a mut Tail, Folding<'a>), Error> {
        let IncidentTail { tail, fold, news, counted } = self;
        let tail = opened(tail, store, &store.names.incidents, store.partitions)?;
        Ok((tail, Folding { store, fold, news, counted }))
    }
}

/// What the records of the incident log are folded into.
struct Folding<'a> {
    store: &'a KafkaStore,
    fold: &'a mut Journal,
    news: &'a mut Incidents,
    counted: &'a mut BTreeSet<(i32, i64)>,
}

impl Folding<'_> {
    fn apply(&mut self, entry: &Entry<'_>) {
        match entry.payload.map_or(Ok(None), Record::decode) {
            Ok(Some(record)) => {
                let is_ours = record.writer == self.store.writer;
                let Some(incident) = self.fold.apply(entry.partition, record) else { return };
                self.news.records.push((incident.version, incident.json));
                if is_ours {
                    self.counted.insert((entry.partition, entry.offset));
                }
            }
            Ok(None) => {}
            Err(why) => {
                let record = Unread::new(&self.store.names.incidents, entry, why);
                error!(%record, "what it decided is unknown, so nothing may be triggered");
                self.news.unreadable += 1;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka;
    use crate::kafka::mock::MockBroker;
    use crate::store::kafka::record::{Incident, Owner};
    use crate::store::kafka::{Newest, lock};
    use crate::store::{Config, Topics};

    #[tokio::test]
    async fn a_record_of_ours_that_another_thread_has_read_counts_all_the_same() {
        let broker = MockBroker::start().unwrap();
        for topic in ["specs", "state", "partials", "incidents"] {
            broker.create_topic(&format!("own.{topic}"), 1).unwrap();
        }
        let topics = Topics { prefix: "own".to_owned(), partitions: 1, create: false };
        let config = Config { topics, ..Config::default() };
        let brokers = kafka::Config::new([broker.bootstrap_servers()]);
        let newest = Newest { state: 1, test: 1 };
        let opened =
            KafkaStore::open(&config, &brokers, Duration::ZERO, Owner::default(), newest).await;
        let store = opened.unwrap();
        let incident =
            Incident { model: "m".to_owned(), fact: false, version: 1, json: Vec::new() };
        let body = || Body::Incident(incident.clone());
        let (offsets, _) = store.write(vec![(&store.names.incidents, 0, body())]).unwrap();
        // As one does that announces itself meanwhile.
        store.read_incidents().unwrap();
        assert!(lock(&store.incidents).reach(&store, (0, offsets[0])).unwrap());
        assert!(store.append_incident(incident).unwrap());
        assert_eq!(store.take_incidents().unwrap().records.len(), 2);
        assert!(lock(&store.incidents).counted.is_empty());
    }
}
