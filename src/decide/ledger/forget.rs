//! What the ledger lets go of, and what stays known of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::announcement::Act;
use crate::decide::ledger::{Entry, Figures, Ledger, Outgoing, incident_of};

/// Closed incidents that are kept for readers, of all models together.
pub(super) const CLOSED_KEPT: usize = 200;
/// Of each model as many stay, because what it may start depends on its last ones.
const OF_MODEL_KEPT: usize = 16;
/// Messages that are done and belong to no incident that is kept: that they were sent is still known.
pub(super) const MESSAGES_KEPT: usize = 1000;

/// Incidents of a model that are no longer among the entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Forgotten {
    pub(super) incidents: u64,
    pub(super) figures: Figures,
}

impl Forgotten {
    fn add(&mut self, entry: &Entry) {
        self.incidents += 1;
        self.figures.add(entry);
    }

    /// What a log that was rewritten says: the one that knows of more is right.
    pub(super) fn learn(&mut self, incidents: u64, figures: &Figures) {
        if incidents > self.incidents {
            *self = Self { incidents, figures: figures.clone() };
        }
    }
}

impl Ledger {
    /// Bounded memory: old closed incidents, and their delivered messages, go.
    pub(super) fn forget_old(&mut self) {
        let mut closed: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in self.entries.iter().filter(|e| !e.is_open()) {
            *closed.entry(&entry.incident.model).or_default() += 1;
        }
        if closed.values().sum::<usize>() <= CLOSED_KEPT {
            return;
        }
        let spare = |e: &Entry| !e.is_open() && closed[e.incident.model.as_str()] > OF_MODEL_KEPT;
        if let Some(at) = self.entries.iter().position(spare) {
            let entry = self.entries.remove(at);
            let gone = entry.incident.id.clone();
            self.forgotten.entry(entry.incident.model.clone()).or_default().add(&entry);
            self.outgoing.retain(|_, o| !o.done || incident_of(&o.delivery) != gone);
        }
    }

    /// The same for messages that belong to no incident, such as warnings.
    pub(super) fn forget_messages(&mut self) {
        if self.outgoing.len() <= MESSAGES_KEPT {
            return;
        }
        let known: BTreeSet<&str> = self.entries.iter().map(|e| &*e.incident.id).collect();
        // What began something that is not over stays, and what ends it until its beginning is told.
        let untold = self.outgoing.values().filter(|o| !o.done).filter_map(|o| o.delivery.story());
        let untold: BTreeSet<String> = untold.map(|(story, _)| story).collect();
        let lasts = |o: &Outgoing| {
            o.delivery.story().is_some_and(|(story, act)| match act {
                Act::Begins => self.stories.get(&story) == Some(&o.delivery.id),
                Act::Acknowledged => false,
                Act::Ends => untold.contains(&story),
            })
        };
        let loose = |o: &Outgoing| o.done && !known.contains(incident_of(&o.delivery)) && !lasts(o);
        let loose = self.outgoing.iter().filter(|(_, o)| loose(o));
        let mut loose: Vec<_> = loose.map(|(key, o)| (o.queued_at_ms, key.clone())).collect();
        loose.sort();
        let gone = loose.len().saturating_sub(MESSAGES_KEPT);
        for (_, key) in &loose[..gone] {
            self.outgoing.remove(key);
        }
    }
}
