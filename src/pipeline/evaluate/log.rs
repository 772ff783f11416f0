//! The incident log: a record is durable before anything that follows from it happens.

use std::sync::Arc;

use tracing::error;
use tracing::warn;

use crate::decide::ledger::Ledger;
use crate::decide::record::Record;
use crate::store;
use crate::store::FileStore;

/// Version of a record's JSON; written by this binary, and the highest that it reads.
pub(crate) const VERSION: u8 = 1;

pub(crate) struct IncidentLog {
    store: Arc<FileStore>,
    ledger: Ledger,
    /// Records that could not be read: what they decided is unknown, so nothing may be triggered.
    unreadable: usize,
}

impl IncidentLog {
    /// Folds what is stored.
    pub(crate) fn open(store: Arc<FileStore>) -> Result<Self, store::Error> {
        let stored = store.load_incidents()?;
        let mut ledger = Ledger::default();
        let mut unreadable = stored.unreadable;
        for (version, body) in &stored.records {
            match serde_json::from_slice::<Record>(body) {
                Ok(record) if *version <= VERSION => ledger.apply(&record),
                Ok(_) | Err(_) => unreadable += 1,
            }
        }
        if stored.torn_tail {
            warn!("the last incident record was cut short by a crash; it was never acted on");
        }
        if unreadable > 0 {
            error!(
                unreadable,
                "incident records can't be read: nothing will be triggered until the log is repaired or its directory reset"
            );
        }
        Ok(Self { store, ledger, unreadable })
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable > 0
    }

    /// Appends and waits for the disk; true when the record is durable and folded in.
    pub(crate) fn append(&mut self, record: &Record) -> bool {
        let body = serde_json::to_vec(record).expect("records are plain data with finite numbers");
        match self.store.append_incident(VERSION, &body) {
            Ok(_) => {
                self.ledger.apply(record);
                true
            }
            Err(error) => {
                error!(%error, "an incident record can't be written; what it would have caused waits");
                false
            }
        }
    }
}
