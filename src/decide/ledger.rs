//! The incident log, folded: open incidents, what is still to be delivered, what was used up.
//!
//! Any order of crash and repeat gives a legal state: records that are already known change nothing.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::decide::announcement::Act;
use crate::decide::announcement::Delivery;
use crate::decide::announcement::Kind;
use crate::decide::incident::Attempt;
use crate::decide::incident::CloseReason;
use crate::decide::incident::Incident;
use crate::decide::incident::IncidentState;
use crate::decide::incident::Run;
use crate::decide::incident::RunState;
use crate::decide::record::DeliveryResult;
use crate::decide::record::Record;
use crate::decide::time::millis;
use crate::decide::time::rfc3339;

mod compact;
mod figures;
mod forget;
mod past;
mod stories;

pub use compact::compact;
pub use figures::{Durations, EDGES_S, Figures, Runs};
use forget::Forgotten;

/// Name space of incident ids. Fixed for ever: the same data gives the same id on any machine.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1e_5b0c_9a43_5d7e_8c21_d41f_7d00_0001);

/// `UUIDv5(model | baseline digest | ordinal)`: computed, not drawn.
pub fn incident_id(model: &str, digest: &str, ordinal: u64) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{model}|{digest}|{ordinal}").as_bytes()).to_string()
}

/// An incident with what the log knows beyond what readers see.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub incident: Incident,
    pub digest: String,
    /// End of the pane that it was decided in; of the pane it was closed at.
    pub opened_event_ms: i64,
    pub closed_event_ms: Option<i64>,
    pub opened_at_ms: i64,
    pub accepted_at_ms: Option<i64>,
    pub closed_at_ms: Option<i64>,
    /// Event time at which the drift began, where the evidence says.
    pub onset_ms: Option<i64>,
    /// What the pipeline has said of its run.
    pub runs: Runs,
    pub held: bool,
    /// Nothing was or will be sent for it.
    pub silent: bool,
}

impl Entry {
    pub fn is_open(&self) -> bool {
        self.incident.state != IncidentState::Closed
    }
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub delivery: Delivery,
    pub attempts: u32,
    pub queued_at_ms: i64,
    pub first_attempt_ms: Option<i64>,
    pub done: bool,
    /// When its target took it, and what it calls it.
    pub taken_at_ms: Option<i64>,
    pub reference: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    entries: Vec<Entry>,
    outgoing: BTreeMap<(String, String), Outgoing>,
    baselines: BTreeMap<String, String>,
    ordinals: BTreeMap<(String, String), u64>,
    /// Incidents that are no longer among the entries, by model.
    forgotten: BTreeMap<String, Forgotten>,
    /// What people were told of and is not over, by its name: the id of the message that began it.
    stories: BTreeMap<String, String>,
}

impl Ledger {
    /// Folds one more record in.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Baseline { model, digest, .. } => {
                self.baselines.insert(model.clone(), digest.clone());
            }
            Record::Opened { .. } => self.open_entry(record),
            Record::Released { incident, .. } => {
                if let Some(entry) = self.entry_mut(incident) {
                    entry.held = false;
                }
            }
            Record::Queued { delivery, at_ms } => self.queue(delivery, *at_ms),
            Record::Attempt { delivery, target, n, at_ms } => {
                self.attempted(delivery, target, *n, *at_ms);
            }
            Record::Outcome { .. } => self.learnt(record),
            Record::Run { incident, run, .. } => self.run(incident, run),
            Record::Marked { incident, state, .. } => {
                if let Some(entry) = self.entry_mut(incident).filter(|e| e.is_open()) {
                    entry.incident.state = *state;
                }
            }
            // For people: what it changes is in the model's state.
            Record::Accepted { .. } => {}
            Record::Forgotten { model, digest, ordinal, incidents, figures } => {
                let known = self.ordinals.entry((model.clone(), digest.clone())).or_default();
                *known = (*known).max(*ordinal);
                if *incidents > 0 {
                    self.forgotten.entry(model.clone()).or_default().learn(*incidents, figures);
                }
            }
            Record::Closed { incident, closed_as, event_ms, at_ms, .. } => {
                self.closed(incident, *closed_as, *event_ms, *at_ms);
            }
        }
    }

    fn open_entry(&mut self, record: &Record) {
        let Record::Opened { incident, digest, event_ms, at_ms, held, deliveries } = record else {
            return;
        };
        // Known already; or decided beside one that is open, which no writer of ours does.
        if self.entry(&incident.id).is_some() || self.open(&incident.model).is_some() {
            return;
        }
        let ordinal = self.ordinals.entry((incident.model.clone(), digest.clone())).or_default();
        *ordinal = (*ordinal).max(incident.ordinal);
        self.entries.push(Entry {
            incident: Incident::clone(incident),
            digest: digest.clone(),
            opened_event_ms: *event_ms,
            closed_event_ms: None,
            opened_at_ms: *at_ms,
            accepted_at_ms: None,
            closed_at_ms: None,
            onset_ms: incident.onset.as_deref().and_then(millis),
            runs: Runs::default(),
            held: *held,
            silent: deliveries.is_empty(),
        });
        for delivery in deliveries {
            self.queue(delivery, *at_ms);
        }
    }

    fn queue(&mut self, delivery: &Delivery, at_ms: i64) {
        let key = (delivery.id.clone(), delivery.target_name());
        if let (Some((story, act)), false) = (delivery.story(), self.outgoing.contains_key(&key)) {
            match act {
                Act::Begins => self.stories.insert(story, delivery.id.clone()),
                Act::Acknowledged => None,
                Act::Ends => self.stories.remove(&story),
            };
        }
        self.outgoing.entry(key).or_insert_with(|| Outgoing {
            delivery: delivery.clone(),
            attempts: 0,
            queued_at_ms: at_ms,
            first_attempt_ms: None,
            done: false,
            taken_at_ms: None,
            reference: None,
        });
    }

    fn attempted(&mut self, delivery: &str, target: &str, n: u32, at_ms: i64) {
        let Some(outgoing) = self.outgoing.get_mut(&(delivery.to_owned(), target.to_owned()))
        else {
            return;
        };
        if n <= outgoing.attempts {
            return;
        }
        outgoing.attempts = n;
        outgoing.first_attempt_ms.get_or_insert(at_ms);
        let (incident, kind) = (incident_of(&outgoing.delivery).to_owned(), outgoing.delivery.kind);
        if let Some(entry) = self.entry_mut(&incident) {
            entry.incident.attempts.push(Attempt {
                target: target.to_owned(),
                message: Some(kind),
                n,
                at: rfc3339(at_ms),
                status: None,
                ok: None,
                detail: None,
            });
        }
    }

    fn learnt(&mut self, record: &Record) {
        let Record::Outcome { delivery, target, n, at_ms, status, result, detail, reference } =
            record
        else {
            return;
        };
        let key = (delivery.clone(), target.clone());
        let Some(outgoing) = self.outgoing.get_mut(&key) else { return };
        let was_done = outgoing.done;
        outgoing.done |= *result != DeliveryResult::Retry;
        if matches!(result, DeliveryResult::Accepted | DeliveryResult::AlreadyThere) {
            outgoing.taken_at_ms.get_or_insert(*at_ms);
            outgoing.reference = outgoing.reference.take().or_else(|| reference.clone());
        }
        let (incident, kind) = (incident_of(&outgoing.delivery).to_owned(), outgoing.delivery.kind);
        let Some(entry) = self.entry_mut(&incident) else { return self.forget_messages() };
        let ok = matches!(result, DeliveryResult::Accepted | DeliveryResult::AlreadyThere);
        let tries = entry.incident.attempts.iter_mut();
        if let Some(attempt) = tries.rev().find(|a| a.target == *target && a.n == *n) {
            attempt.status = *status;
            attempt.ok = Some(ok);
            attempt.detail = Some(detail.clone());
        }
        if kind != Kind::Trigger || !entry.is_open() || was_done {
            return;
        }
        if ok {
            entry.incident.state = IncidentState::Accepted;
            entry.accepted_at_ms.get_or_insert(*at_ms);
        } else if *result == DeliveryResult::Failed {
            entry.incident.state = IncidentState::DeliveryFailed;
        }
    }

    fn run(&mut self, incident: &str, run: &Run) {
        let Some(entry) = self.entry_mut(incident).filter(|e| e.is_open()) else { return };
        entry.incident.state = match run.state {
            RunState::Missing => entry.incident.state,
            RunState::Running | RunState::Succeeded | RunState::Failed => IncidentState::Retraining,
        };
        if entry.incident.run.as_ref().is_none_or(|known| known.state != run.state) {
            entry.runs.count(run.state);
        }
        entry.incident.run = Some(run.clone());
    }

    fn closed(&mut self, id: &str, closed_as: CloseReason, event_ms: i64, at_ms: i64) {
        let mut unsaid = false;
        if let Some(entry) = self.entry_mut(id).filter(|e| e.is_open()) {
            unsaid = entry.held;
            entry.incident.state = IncidentState::Closed;
            entry.incident.closed = Some(rfc3339(at_ms));
            entry.incident.closed_as = Some(closed_as);
            entry.closed_event_ms = Some(event_ms);
            entry.closed_at_ms = Some(at_ms);
        }
        // A trigger that is not wanted any more is not sent.
        for ((delivery, _), outgoing) in &mut self.outgoing {
            if delivery == id && outgoing.delivery.kind == Kind::Trigger {
                outgoing.done = true;
            }
            // Nor is it told of any more where nobody has heard of it.
            outgoing.done |= unsaid && incident_of(&outgoing.delivery) == id;
        }
        if unsaid {
            self.stories.remove(id);
        }
        self.forget_old();
    }

    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.incident.id == id)
    }

    fn entry_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| e.incident.id == id)
    }

    /// The open incident of a model; there is at most one.
    pub fn open(&self, model: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|e| e.incident.model == model && e.is_open())
    }

    pub fn open_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|e| e.is_open())
    }

    /// Newest first.
    pub fn incidents(&self) -> Vec<Incident> {
        self.entries.iter().rev().map(|e| e.incident.clone()).collect()
    }

    /// The ordinal of the next incident of this baseline.
    pub fn next_ordinal(&self, model: &str, digest: &str) -> u64 {
        self.ordinals.get(&(model.to_owned(), digest.to_owned())).map_or(1, |n| n + 1)
    }

    /// Incidents that a model has ever had.
    pub fn opened(&self, model: &str) -> u64 {
        let here = self.entries.iter().filter(|e| e.incident.model == model).count();
        self.forgotten.get(model).map_or(0, |gone| gone.incidents) + here as u64
    }

    /// The digest of the baseline that a model last took up.
    pub fn baseline(&self, model: &str) -> Option<&str> {
        self.baselines.get(model).map(String::as_str)
    }

    /// This message is known, sent or not.
    pub fn knows(&self, delivery: &Delivery) -> bool {
        self.outgoing.contains_key(&(delivery.id.clone(), delivery.target_name()))
    }

    /// Messages that were taken by their targets and are about something that is not over, oldest first.
    pub fn taken(&self) -> Vec<&Outgoing> {
        let is_open = |o: &Outgoing| match o.delivery.kind {
            Kind::Trigger => self.entry(&o.delivery.id).is_some_and(Entry::is_open),
            _ => o.delivery.story().is_some_and(|(story, _)| self.stories.contains_key(&story)),
        };
        let taken = self.outgoing.values();
        let mut taken: Vec<&Outgoing> =
            taken.filter(|o| o.taken_at_ms.is_some() && is_open(o)).collect();
        taken.sort_by_key(|o| o.queued_at_ms);
        taken
    }

    /// The message on its way under this id to this target.
    pub fn outgoing(&self, delivery: &str, target: &str) -> Option<&Outgoing> {
        self.outgoing.get(&(delivery.to_owned(), target.to_owned()))
    }

    /// A trigger of this incident may have reached its target.
    pub fn was_attempted(&self, incident: &str) -> bool {
        let sent = |o: &&Outgoing| o.delivery.kind == Kind::Trigger && o.attempts > 0;
        self.outgoing.values().filter(sent).any(|o| o.delivery.id == incident)
    }

    /// Messages without an outcome that are not held, oldest first.
    pub fn pending(&self) -> Vec<&Outgoing> {
        let held = |o: &Outgoing| self.entry(incident_of(&o.delivery)).is_some_and(|e| e.held);
        let mut pending: Vec<&Outgoing> =
            self.outgoing.values().filter(|o| !o.done && !held(o)).collect();
        pending.sort_by_key(|o| (o.queued_at_ms, o.delivery.kind != Kind::Trigger));
        pending
    }
}

/// The incident that a message belongs to: its id up to the first dot.
fn incident_of(delivery: &Delivery) -> &str {
    delivery.id.split('.').next().unwrap_or(&delivery.id)
}

#[cfg(test)]
mod tests;
