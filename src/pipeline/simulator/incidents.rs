//! Incidents of a replica that evaluates: opened, sent, ended; everything is in the log before it happens.

use crate::decide::record::{DeliveryResult, Record as Told};
use crate::dice::Dice;
use crate::pipeline::simulator::counter::{MODEL, unless_killed};
use crate::pipeline::simulator::judge::Judge;
use crate::pipeline::simulator::mutation::Mutation;
use crate::pipeline::simulator::referee::Referee;
use crate::pipeline::simulator::topics::{Fault, Name, Store};
use crate::pipeline::simulator::verdicts;
use crate::store::kafka::record::{Body, Incident, Record};

/// Steps after its attempt was written down in which a request may begin: `Schedule::fence`.
pub(super) const FENCE: i64 = 20;
/// Steps for which the answer to a request of another is waited for: `Lane::answered_by_ms`.
pub(super) const PATIENCE: i64 = 3 * FENCE;

/// A request that may be made, or was made and has no outcome yet.
pub(super) struct Flight {
    id: String,
    target: String,
    n: u32,
    /// Where its attempt stands in the log.
    at: Option<i64>,
    /// When it was asked whether that may be written.
    asked: i64,
    outcome: Option<DeliveryResult>,
}

impl Judge {
    /// `Evaluate::open_incident`; false if it is not durable, so that it is tried again before anything else
    /// is decided.
    pub(super) fn open_incident(
        &mut self,
        end_ms: i64,
        (store, referee): (&mut Store, &mut Referee),
        dice: &mut Dice,
    ) -> Result<bool, Fault> {
        // An earlier try was written though it failed.
        if self.ledger.open(MODEL).is_some() {
            return Ok(true);
        }
        let drawn = (store.mutation == Mutation::DrawnIds).then(|| dice.draw());
        let opened = verdicts::opened(&self.ledger, end_ms, drawn);
        if store.mutation == Mutation::SentFirst
            && let Told::Opened { incident, .. } = &opened
        {
            referee.received(&incident.id, None, store);
        }
        let durable = self.append(&opened, store, dice)?;
        if !durable && store.mutation != Mutation::DecidedAnyway {
            self.unopened = Some(end_ms);
            return Ok(false);
        }
        Ok(true)
    }

    /// One step of a delivery: `Evaluate::delivered`, `deliver`.
    pub(super) fn deliver(
        &mut self,
        (store, referee): (&mut Store, &mut Referee),
        dice: &mut Dice,
    ) -> Result<(), Fault> {
        if let Some(untold) = self.untold.take() {
            if !self.append(&untold, store, dice)? {
                self.untold = Some(untold);
            }
            return Ok(());
        }
        match self.flight.take() {
            None => self.attempt(store, dice),
            Some(flight) => match flight.outcome {
                None if is_late(&flight, store) => self.attempt(store, dice),
                None => {
                    self.flight = Some(send(flight, (store, referee), dice));
                    Ok(())
                }
                Some(result) => {
                    let outcome = verdicts::outcome(flight.id, flight.target, flight.n, result);
                    if !self.append(&outcome, store, dice)? {
                        self.untold = Some(outcome);
                    }
                    Ok(())
                }
            },
        }
    }

    /// `deliver::Event::Attempting`: durable, read back, and still wanted.
    fn attempt(&mut self, store: &mut Store, dice: &mut Dice) -> Result<(), Fault> {
        if !self.is_owner() {
            return Ok(());
        }
        let pending = self.ledger.pending();
        let Some(outgoing) = pending.first() else { return Ok(()) };
        let (id, target) = (outgoing.delivery.id.clone(), outgoing.delivery.target_name());
        let since = self.unanswered.since_ms(&id, &target).filter(|_| store.shared);
        if since.is_some_and(|since| store.now - since < PATIENCE)
            && store.mutation != Mutation::NotAwaited
        {
            return Ok(());
        }
        let (n, at_ms) = (outgoing.attempts + 1, store.now);
        let attempt = Told::Attempt { delivery: id.clone(), target: target.clone(), n, at_ms };
        let at = store.incidents.end();
        let counts = self.append(&attempt, store, dice)?;
        let known = self.ledger.outgoing(&id, &target).is_some_and(|outgoing| outgoing.done);
        if (counts || store.mutation == Mutation::NoFence) && !known {
            self.flight = Some(Flight { id, target, n, at: Some(at), asked: at_ms, outcome: None });
        }
        Ok(())
    }

    /// `IncidentLog::append`: true once the record was read back and counts.
    pub(super) fn append(
        &mut self,
        told: &Told,
        store: &mut Store,
        dice: &mut Dice,
    ) -> Result<bool, Fault> {
        let fact = matches!(told, Told::Outcome { .. });
        let json = serde_json::to_vec(told).unwrap();
        let incident = Incident { model: MODEL.to_owned(), fact, version: 1, json };
        let record = Record { writer: self.writer, body: Body::Incident(incident) };
        let written = store.write(Name::Incidents, &record, dice);
        let counts = self.fold(store, written.ok());
        match written {
            Ok(at) => Ok(counts.contains(&at)),
            Err(fault) => unless_killed(fault).map(|()| false),
        }
    }

    /// `Evaluate::follow_log`, `Exchange::look_at_owners`: another may have announced itself in this log alone.
    pub(super) fn follow_log(&mut self, store: &Store) {
        self.follow_incidents(store);
        let other = self.journal.owner(0).is_some_and(|(writer, _)| *writer != self.writer);
        if self.is_owner() && other && store.mutation != Mutation::OneLogWatched {
            self.release();
        }
    }

    /// Folds the incident log to its end.
    pub(super) fn follow_incidents(&mut self, store: &Store) {
        self.fold(store, None);
    }

    /// The same, what was written here just now included (`IncidentLog::append_shared`); the offsets of what
    /// counts.
    fn fold(&mut self, store: &Store, written: Option<i64>) -> Vec<i64> {
        let mut counted = Vec::new();
        let begins = self.read == 0;
        for entry in store.incidents.read(self.read) {
            let counts = self.journal.apply(0, Record::clone(&entry.record)).is_some();
            if counts || store.mutation == Mutation::NoOwners {
                counted.push(entry.offset);
                if let Some(told) = entry.told.as_ref()
                    && !(begins && store.mutation == Mutation::NotFolded)
                {
                    if written == Some(entry.offset) {
                        self.unanswered.made_here(told);
                    }
                    self.ledger.apply(told);
                    self.unanswered.apply(told);
                }
            }
        }
        self.read = store.incidents.end();
        counted
    }
}

/// Whether its attempt was written down too long ago: `Runner::attempt` asks again.
fn is_late(flight: &Flight, store: &Store) -> bool {
    store.now - flight.asked >= FENCE && store.mutation != Mutation::SentLate
}

/// What a target does with a request: all of it, nothing, or all of it without an answer.
fn send(mut flight: Flight, (store, referee): (&Store, &mut Referee), dice: &mut Dice) -> Flight {
    let result = match dice.below(10) {
        0..2 => DeliveryResult::Retry,
        2..4 => {
            referee.received(&flight.id, flight.at, store);
            DeliveryResult::Retry
        }
        _ => {
            referee.received(&flight.id, flight.at, store);
            DeliveryResult::Accepted
        }
    };
    flight.outcome = Some(result);
    flight
}
