//! The incident log: a record is durable before anything that follows from it happens.
//!
//! Shared by replicas, it is folded in its own order, what others write too; what we write counts only
//! while we are the one who decides, so reading our record back tells whether to go on.

use std::sync::Arc;

use tracing::error;
use tracing::info;
use tracing::warn;

use crate::decide::ledger::Ledger;
use crate::decide::ledger::Outgoing;
use crate::decide::ledger::compact;
use crate::decide::record::Record;
use crate::pipeline::evaluate::log::unanswered::Unanswered;
use crate::store;
use crate::store::FileStore;
use crate::store::Incidents;
use crate::store::KafkaStore;
use crate::store::Store;
use crate::store::kafka::record::Incident;

pub(crate) mod unanswered;

/// Version of a record's JSON; written by this binary, and the highest that it reads.
pub(crate) const VERSION: u8 = 1;

/// A log of this size is looked at for what nobody needs any more: some thousand records.
const LOOK_AT: u64 = 8 << 20;

pub(crate) struct IncidentLog {
    store: Arc<Store>,
    ledger: Ledger,
    unanswered: Unanswered,
    /// Records that could not be read: what they decided is unknown, so nothing may be triggered.
    unreadable: usize,
    /// Of the records in a file of our own, which is rewritten from `look_at` on.
    bytes: u64,
    look_at: u64,
}

impl IncidentLog {
    /// Folds what is stored.
    pub(crate) fn open(store: Arc<Store>) -> Result<Self, store::Error> {
        Self::open_looking_at(store, LOOK_AT)
    }

    fn open_looking_at(store: Arc<Store>, look_at: u64) -> Result<Self, store::Error> {
        let stored = match &*store {
            Store::File(store) => store.load_incidents()?,
            Store::Kafka(store) => {
                store.read_incidents()?;
                store.take_incidents()?
            }
        };
        let bytes = stored.records.iter().map(|(_, body)| body.len() as u64).sum();
        let (ledger, unanswered) = (Ledger::default(), Unanswered::default());
        let mut log = Self { store, ledger, unanswered, unreadable: 0, bytes, look_at };
        if stored.torn_tail {
            warn!("the last incident record was cut short by a crash; it was never acted on");
        }
        log.fold(&stored);
        log.shorten();
        Ok(log)
    }

    fn fold(&mut self, stored: &Incidents) {
        let before = self.unreadable;
        self.unreadable += stored.unreadable;
        for (version, body) in &stored.records {
            match serde_json::from_slice::<Record>(body) {
                Ok(record) if *version <= VERSION => {
                    self.ledger.apply(&record);
                    self.unanswered.apply(&record);
                }
                Ok(_) | Err(_) => self.unreadable += 1,
            }
        }
        self.unanswered.tidy(&self.ledger);
        if self.unreadable > before {
            error!(
                unreadable = self.unreadable,
                "incident records can't be read: nothing will be triggered until the log is repaired or its directory reset"
            );
        }
    }

    /// Where it is kept, and everything else with it.
    pub(crate) fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// When another replica began the last attempt of a message, if its answer may still come. Of a folder's
    /// processes there is one at a time: what an earlier one has asked nobody hears the answer to.
    pub(crate) fn unanswered_ms(&self, outgoing: &Outgoing) -> Option<i64> {
        self.store.kafka()?;
        self.unanswered.since_ms(&outgoing.delivery.id, &outgoing.delivery.target_name())
    }

    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable > 0
    }

    /// Takes in what others have written; true if there was something.
    pub(crate) fn follow(&mut self) -> bool {
        let Some(store) = self.store.kafka() else { return false };
        match store.take_incidents() {
            Ok(news) => {
                let some = !news.records.is_empty() || news.unreadable > 0;
                self.fold(&news);
                some
            }
            Err(error) => {
                warn!(%error, "the incident log can't be read; trying again");
                false
            }
        }
    }

    /// Appends and waits until it is durable; true when the record is folded in and may be acted on.
    pub(crate) fn append(&mut self, record: &Record) -> bool {
        let body = encode(record);
        let store = self.store.clone();
        let counts = match &*store {
            Store::File(store) => store.append_incident(VERSION, &body).map(|saved| {
                self.ledger.apply(record);
                self.bytes += saved.bytes;
                self.shorten();
                true
            }),
            Store::Kafka(store) => self.append_shared(store, record, body),
        };
        match counts {
            Ok(true) => true,
            Ok(false) => {
                warn!("another replica decides about this model by now; nothing is sent from here");
                false
            }
            Err(error) => {
                error!(%error, "an incident record can't be written; what it would have caused waits");
                false
            }
        }
    }

    /// Rewrites a log that has grown long without the incidents that the ledger has forgotten. Never one
    /// with records that can't be read.
    fn shorten(&mut self) {
        if self.bytes < self.look_at || self.is_unreadable() {
            return;
        }
        let shared = self.store.clone();
        let Store::File(store) = &*shared else { return };
        let before = self.bytes;
        match self.rewrite(store) {
            Ok(bytes) => {
                info!(before, bytes, "the incident log was rewritten without its oldest incidents");
                self.bytes = bytes;
            }
            Err(error) => warn!(%error, "the incident log could not be rewritten; it stays long"),
        }
        self.look_at = self.look_at.max(2 * self.bytes);
    }

    fn rewrite(&self, store: &FileStore) -> Result<u64, store::Error> {
        let stored = store.load_incidents()?;
        let (records, bad) = read(&stored.records);
        if stored.unreadable + bad > 0 {
            warn!("incident records have become unreadable; the log is left as it is");
            return Ok(self.bytes);
        }
        let short = compact(records);
        let bodies: Vec<_> = short.iter().map(|record| (VERSION, encode(record))).collect();
        store.rewrite_incidents(&bodies).map(|saved| saved.bytes)
    }

    fn append_shared(
        &mut self,
        store: &KafkaStore,
        record: &Record,
        json: Vec<u8>,
    ) -> Result<bool, store::Error> {
        let Some(model) = model_of(&self.ledger, record) else { return Ok(false) };
        // A target has been asked, whoever asked it: knowing that spares it a repeat.
        let fact = matches!(record, Record::Outcome { .. });
        let counts = store.append_incident(Incident { model, fact, version: VERSION, json });
        // Another replica may use the number of one that does not count, or that nobody knows to be written.
        if matches!(counts, Ok(true)) {
            self.unanswered.made_here(record);
        }
        self.follow();
        counts
    }
}

/// The model that a record is about, by what came before it.
pub(crate) fn model_of(ledger: &Ledger, record: &Record) -> Option<String> {
    let of = |incident: &str| Some(ledger.entry(incident)?.incident.model.clone());
    match record {
        Record::Baseline { model, .. }
        | Record::Accepted { model, .. }
        | Record::Forgotten { model, .. } => Some(model.clone()),
        Record::Opened { incident, .. } => Some(incident.model.clone()),
        Record::Queued { delivery, .. } => Some(delivery.model.clone()),
        Record::Attempt { delivery, target, .. } | Record::Outcome { delivery, target, .. } => {
            Some(ledger.outgoing(delivery, target)?.delivery.model.clone())
        }
        Record::Released { incident, .. }
        | Record::Run { incident, .. }
        | Record::Marked { incident, .. }
        | Record::Closed { incident, .. } => of(incident),
    }
}

/// The records, and how many are none of ours or of a newer release.
fn read(stored: &[(u8, Vec<u8>)]) -> (Vec<Record>, usize) {
    let good = |(version, body): &(u8, Vec<u8>)| {
        serde_json::from_slice::<Record>(body).ok().filter(|_| *version <= VERSION)
    };
    let records: Vec<Record> = stored.iter().filter_map(good).collect();
    let bad = stored.len() - records.len();
    (records, bad)
}

fn encode(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("records are plain data with finite numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(n: i64) -> Record {
        Record::Baseline {
            model: "fraud".to_owned(),
            digest: format!("digest {n}"),
            source: "s3://bucket/key".to_owned(),
            active_from_ms: n,
            at_ms: n,
        }
    }

    #[test]
    fn a_log_that_has_grown_long_is_rewritten_while_running_and_at_a_start() {
        let root = tempfile::tempdir().unwrap();
        let stored = || {
            let store = FileStore::open(root.path()).unwrap();
            store.load_incidents().unwrap().records.len()
        };
        let open = |look_at| {
            let store = Store::File(Box::new(FileStore::open(root.path()).unwrap()));
            IncidentLog::open_looking_at(Arc::new(store), look_at).unwrap()
        };
        let mut log = open(2000);
        (0..200).for_each(|n| assert!(log.append(&baseline(n))));
        assert_eq!(log.ledger().baseline("fraud"), Some("digest 199"));
        drop(log);
        assert!(stored() < 20, "rewritten while it was written");

        let mut log = open(u64::MAX);
        (200..400).for_each(|n| assert!(log.append(&baseline(n))));
        drop(log);
        assert!(stored() > 200);
        assert_eq!(open(2000).ledger().baseline("fraud"), Some("digest 399"));
        assert_eq!(stored(), 1);
    }

    #[test]
    fn a_log_with_what_cannot_be_read_is_never_rewritten() {
        let root = tempfile::tempdir().unwrap();
        let store = FileStore::open(root.path()).unwrap();
        store.append_incident(VERSION + 1, b"of a newer release").unwrap();
        (0..50).for_each(|n| drop(store.append_incident(VERSION, &encode(&baseline(n)))));
        let store = Arc::new(Store::File(Box::new(store)));
        let mut log = IncidentLog::open_looking_at(store.clone(), 100).unwrap();
        assert!(log.is_unreadable() && log.append(&baseline(50)));
        let Store::File(store) = &*store else { panic!("a file store") };
        assert_eq!(store.load_incidents().unwrap().records.len(), 52);
    }
}
