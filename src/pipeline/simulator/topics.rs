//! What is durable: logs of driftd's own records, with every fault that a write can have.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::decide::record::Record as Told;
use crate::dice::Dice;
use crate::pipeline::simulator::mutation::Mutation;
use crate::store::kafka::record::{Body, Record};

/// Why a write did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process has ended; what it was writing is there or not.
    Killed,
    /// An error; what was written is there or not.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    State,
    Partials,
    Incidents,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub offset: i64,
    key: Rc<str>,
    pub record: Rc<Record>,
    /// An incident record, read.
    pub told: Option<Rc<Told>>,
}

/// One log. Its records have been through their bytes.
#[derive(Default)]
pub(super) struct Topic {
    entries: Vec<Entry>,
    next: i64,
    /// A frame that was cut by a crash stands behind this many entries.
    torn: Option<usize>,
    /// Everything that was ever in it, for the judge of the simulation alone.
    pub history: Vec<Entry>,
}

impl Topic {
    fn append(&mut self, key: String, record: &Record) -> i64 {
        let record = Record::decode(&record.encode()).unwrap().unwrap();
        let told = match &record.body {
            Body::Incident(incident) => Some(serde_json::from_slice(&incident.json).unwrap()),
            _ => None,
        };
        let (offset, key) = (self.next, Rc::from(key));
        let entry = Entry { offset, key, record: Rc::new(record), told: told.map(Rc::new) };
        self.next += 1;
        self.history.push(entry.clone());
        self.entries.push(entry);
        offset
    }

    /// What a reader finds from an offset on.
    pub(super) fn read(&self, from: i64) -> impl Iterator<Item = &Entry> {
        let readable = self.torn.unwrap_or(self.entries.len());
        let at = self.entries.partition_point(|entry| entry.offset < from);
        self.entries[at.min(readable)..readable].iter()
    }

    pub(super) fn end(&self) -> i64 {
        self.next
    }

    /// Keeps the last of each key in a part of the log that begins at its start.
    pub(super) fn compact(&mut self, dice: &mut Dice) {
        let head = dice.below(self.entries.len() + 1);
        let mut later = BTreeSet::new();
        let mut kept: Vec<Entry> = Vec::with_capacity(self.entries.len());
        for (at, entry) in self.entries.drain(..).enumerate().rev() {
            if at >= head || later.insert(entry.key.clone()) {
                kept.push(entry);
            }
        }
        kept.reverse();
        self.entries = kept;
    }

    /// A tombstone that has done its work.
    pub(super) fn delete(&mut self, key: &str) {
        self.entries.retain(|entry| &*entry.key != key);
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.entries.iter().map(|entry| (&*entry.key, &*entry.record))
    }
}

pub(super) struct Store {
    pub state: Topic,
    pub partials: Topic,
    pub incidents: Topic,
    /// Topics that replicas share; else files of one process.
    pub shared: bool,
    /// So many writes until the process that writes is killed.
    pub fuse: Option<usize>,
    /// Of a hundred writes, so many are refused.
    pub refused: usize,
    /// Offsets of the consumer group, which only people look at.
    pub committed: BTreeMap<usize, i64>,
    pub mutation: Mutation,
    /// The clock of deliveries: steps that have passed.
    pub now: i64,
    seq: u64,
}

impl Store {
    pub(super) fn new(shared: bool, refused: usize, mutation: Mutation) -> Self {
        Self {
            state: Topic::default(),
            partials: Topic::default(),
            incidents: Topic::default(),
            shared,
            fuse: None,
            refused,
            committed: BTreeMap::new(),
            mutation,
            now: 0,
            seq: 0,
        }
    }

    fn topic(&mut self, name: Name) -> &mut Topic {
        match name {
            Name::State => &mut self.state,
            Name::Partials => &mut self.partials,
            Name::Incidents => &mut self.incidents,
        }
    }

    /// Writes one record; its offset, once it is acknowledged.
    pub(super) fn write(
        &mut self,
        name: Name,
        record: &Record,
        dice: &mut Dice,
    ) -> Result<i64, Fault> {
        self.seq += 1;
        let key = record.key(self.seq);
        let fault = match self.fuse {
            Some(0) => Some(Fault::Killed),
            _ if dice.in_hundred(self.refused) => Some(Fault::Refused),
            _ => None,
        };
        self.fuse = self.fuse.map(|left| left.saturating_sub(1));
        let Some(fault) = fault else { return Ok(self.topic(name).append(key, record)) };
        if !self.shared && fault == Fault::Killed {
            self.tear(name, record, dice);
        } else if dice.in_hundred(50) {
            self.topic(name).append(key, record);
        }
        Err(fault)
    }

    /// The process ends within a frame of a file: what is there of it must not be taken for a record.
    fn tear(&mut self, name: Name, record: &Record, dice: &mut Dice) {
        let bytes = record.encode();
        let cut = dice.below(bytes.len());
        assert!(Record::decode(&bytes[..cut]).is_err(), "{cut} of {} bytes", bytes.len());
        let topic = self.topic(name);
        if cut > 0 {
            topic.torn.get_or_insert(topic.entries.len());
        }
    }

    /// A process starts: what a crash has left of a frame is cut away before anything follows it.
    pub(super) fn open(&mut self) {
        if self.mutation != Mutation::TornTailStays {
            for name in [Name::State, Name::Partials, Name::Incidents] {
                self.topic(name).torn = None;
            }
        }
    }
}
