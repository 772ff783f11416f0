//! What follows from a decision: one incident, one trigger, and people who are told. Everything is in
//! the log before it happens.

use tracing::info;
use tracing::warn;

use crate::decide::Audience;
use crate::decide::CloseReason;
use crate::decide::Delivery;
use crate::decide::IncidentState;
use crate::decide::Kind;
use crate::decide::announce::announce;
use crate::decide::ledger::incident_id;
use crate::decide::model::Decision;
use crate::decide::record::Record;
use crate::pipeline::evaluate::Closing;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::Request;
use crate::pipeline::spec::Watched;

/// Accepted for so long without a new baseline: people are shown that nothing has confirmed it.
const UNCONFIRMED_MS: i64 = 3_600_000;
const STUCK_MS: i64 = 72 * 3_600_000;
const RETRAINING_TRIGGER: &str = "retraining_trigger";

impl Evaluate {
    /// Carries a pane's decision out.
    pub(super) fn act(&mut self, model: usize, decision: &Decision, end_ms: i64, now_ms: i64) {
        if decision.trigger {
            self.open_incident(model, decision, end_ms, now_ms);
        } else if decision.cleared {
            self.recover(model, end_ms, now_ms);
        }
        self.tell_warnings(model, now_ms);
    }

    pub(super) fn open_incident(
        &mut self,
        model: usize,
        decision: &Decision,
        end_ms: i64,
        now_ms: i64,
    ) {
        let Some(digest) = self.models[model].watched.as_ref().map(|w| w.baseline.digest.clone())
        else {
            return;
        };
        let name = self.specs[model].name().to_owned();
        // An earlier try was written though it failed.
        if self.log.ledger().open(&name).is_some() {
            return self.send_pending();
        }
        let ordinal = self.log.ledger().next_ordinal(&name, &digest);
        let id = incident_id(&name, &digest, ordinal);
        let held = !self.models[model].is_caught_up();
        let mut deliveries = self.opening(model, &id, &decision.explanation, end_ms);
        let unsent = match self.specs[model].policy.dry_run {
            true => std::mem::take(&mut deliveries),
            false => Vec::new(),
        };
        let Some(incident) = self.models[model].incident(&id, ordinal, decision, end_ms) else {
            return;
        };
        let opened = Record::Opened {
            incident: Box::new(incident),
            digest,
            event_ms: end_ms,
            at_ms: now_ms,
            held,
            deliveries: deliveries.clone(),
        };
        if !self.log.append(&opened) {
            self.models[model].unopened = Some((decision.clone(), end_ms));
            return;
        }
        info!(
            model = name,
            incident = id,
            held,
            dry_run = self.specs[model].policy.dry_run,
            why = decision.explanation,
            "incident opened"
        );
        if held {
            self.held_by_lag(model);
        } else {
            self.enqueue_all(deliveries);
            self.leave_unsent(model, &unsent);
        }
    }

    /// What is sent of an incident that opens: the trigger, and word to the people of the model.
    fn opening(&self, model: usize, id: &str, why: &str, end_ms: i64) -> Vec<Delivery> {
        let summary = format!("{} has drifted: {why}", self.specs[model].name());
        let trigger = self.trigger_delivery(model, id, &summary, end_ms);
        let about = (Kind::Triggered, format!("{id}.triggered"), Some(id));
        let people =
            self.people_deliveries(model, about, (summary, "drifted"), end_ms, Audience::Ml);
        trigger.into_iter().chain(people).collect()
    }

    fn trigger_delivery(
        &self,
        model: usize,
        id: &str,
        summary: &str,
        end_ms: i64,
    ) -> Option<Delivery> {
        let spec = &self.specs[model];
        let settings = spec.model.drift_config.retraining_trigger.as_ref()?;
        let about = (Kind::Trigger, id.to_owned(), Some(id));
        let mut announcement =
            announce(self.occasion(model, about, (summary.to_owned(), "drifted"), end_ms)?);
        if settings.include_drift_report {
            announcement.data.report = Some(self.report(model));
        }
        Some(Delivery {
            id: id.to_owned(),
            target: RETRAINING_TRIGGER.to_owned(),
            channel: None,
            model: spec.name().to_owned(),
            kind: Kind::Trigger,
            audience: Audience::Ml,
            announcement,
        })
    }

    pub(super) fn settle_held(&mut self, model: usize, id: &str, drifted: bool, now_ms: i64) {
        if drifted {
            let released = Record::Released { incident: id.to_owned(), at_ms: now_ms };
            if self.log.append(&released) {
                self.send_pending();
                self.leave_released(model, id);
            }
        } else {
            let end_ms = self.decided_end_ms(model);
            self.close(id, CloseReason::Missed, (end_ms, now_ms), "driftd");
        }
    }

    /// What would be sent now that an incident is held no more.
    fn leave_released(&mut self, model: usize, id: &str) {
        let entry = self.log.ledger().entry(id).filter(|_| self.specs[model].policy.dry_run);
        let Some(entry) = entry else { return };
        let (why, end_ms) = (&entry.incident.evidence.explanation, entry.opened_event_ms);
        let unsent = self.opening(model, id, why, end_ms);
        self.leave_unsent(model, &unsent);
    }

    /// A new baseline closes the loop.
    pub(super) fn replace_baseline(&mut self, model: usize, watched: &Watched, now_ms: i64) {
        let name = self.specs[model].name().to_owned();
        if let Some(entry) = self.log.ledger().open(&name) {
            let id = entry.incident.id.clone();
            let end_ms = self.decided_end_ms(model);
            self.close(&id, CloseReason::Replaced, (end_ms, now_ms), "driftd");
        }
        self.log.append(&Record::Baseline {
            model: name.clone(),
            digest: watched.baseline.digest.clone(),
            source: watched.baseline.source.clone(),
            active_from_ms: watched.rules.active_from_ms,
            at_ms: now_ms,
        });
        info!(
            model = name,
            digest = watched.baseline.digest,
            rows = watched.baseline.rows,
            source = watched.baseline.source,
            "baseline taken up"
        );
    }

    /// Closes an incident, also one of a model that nobody here knows.
    pub(super) fn close(
        &mut self,
        id: &str,
        closed_as: CloseReason,
        (end_ms, now_ms): (i64, i64),
        by: &str,
    ) -> bool {
        let Some(entry) = self.log.ledger().entry(id) else { return false };
        // Where nothing was decided here yet it is closed at the pane that opened it.
        let end_ms = end_ms.max(entry.opened_event_ms);
        let name = entry.incident.model.clone();
        let closed = Record::Closed {
            incident: id.to_owned(),
            closed_as,
            event_ms: end_ms,
            at_ms: now_ms,
            by: by.to_owned(),
        };
        // A trigger that is not wanted any more is not sent.
        if !self.log.append(&closed) {
            return false;
        }
        self.deliverer.cancel(id);
        info!(model = name, incident = id, r#as = ?closed_as, by, "incident closed");
        if let Some(model) = self.specs.iter().position(|spec| spec.name() == name) {
            self.tell_closed(model, id, (end_ms, now_ms));
        }
        true
    }

    pub(super) fn decided_end_ms(&self, model: usize) -> i64 {
        self.models[model].state.decided_end_ms.unwrap_or_default()
    }

    /// The event time that people are told, which is the present before the first pane; and the time of telling.
    pub(super) fn told_at(&self, model: usize, now_ms: i64) -> (i64, i64) {
        (self.models[model].state.decided_end_ms.unwrap_or(now_ms), now_ms)
    }

    /// Incidents that have been waiting for too long, or that nothing can come of any more.
    pub(super) fn age_incidents(&mut self, now_ms: i64) {
        let mut marks = Vec::new();
        let mut expired = Vec::new();
        for entry in self.log.ledger().open_entries() {
            let id = entry.incident.id.clone();
            let position = self.specs.iter().position(|s| s.name() == entry.incident.model);
            let Some(model) = position else {
                // Another replica's configuration may have it.
                if self.store.kafka().is_some() {
                    continue;
                }
                expired.push((id, CloseReason::Dismissed, entry.opened_event_ms));
                continue;
            };
            let (policy, evaluator) = (&self.specs[model].policy, &self.models[model]);
            if !evaluator.owned {
                continue;
            }
            let is_old = now_ms - entry.opened_at_ms > policy.expire_after_ms;
            // What a dry run has opened asked for nothing, and would bar what is meant now.
            let is_of_dry_run = entry.silent && !policy.dry_run;
            if is_old || is_of_dry_run {
                let closed_as =
                    if is_of_dry_run { CloseReason::Dismissed } else { CloseReason::Expired };
                // Before its baseline is there nobody knows where the model stands.
                if evaluator.watched.is_some() {
                    expired.push((id, closed_as, self.decided_end_ms(model)));
                }
                continue;
            }
            let waited = entry.accepted_at_ms.map_or(0, |at| now_ms - at);
            match entry.incident.state {
                IncidentState::Accepted if waited > UNCONFIRMED_MS => {
                    marks.push((id, IncidentState::Unconfirmed));
                }
                IncidentState::Unconfirmed | IncidentState::Retraining if waited > STUCK_MS => {
                    marks.push((id, IncidentState::Stuck));
                }
                IncidentState::Triggered
                | IncidentState::Accepted
                | IncidentState::Retraining
                | IncidentState::Unconfirmed
                | IncidentState::Stuck
                | IncidentState::DeliveryFailed
                | IncidentState::Closed => {}
            }
        }
        for (incident, state) in marks {
            warn!(incident, state = state.as_str(), "the retraining has not been confirmed");
            self.log.append(&Record::Marked { incident, state, at_ms: now_ms });
            self.dirty = true;
        }
        for (id, closed_as, end_ms) in expired {
            self.dirty |= self.close(&id, closed_as, (end_ms, now_ms), "driftd");
        }
    }

    pub(super) fn asked(&mut self, request: Request, now_ms: i64) {
        let (id, closed_as, by, reply) = match request {
            Request::Close { id, closed_as, by, reply } => (id, closed_as, by, reply),
            Request::Stand { model, reply } => {
                // Nobody minds who has gone meanwhile.
                reply.send(self.stand(model)).ok();
                return;
            }
            Request::Accept { model, by, reply } => {
                if reply.send(self.accept_faults(&model, &by, now_ms)).is_err() {
                    warn!(model, "whoever asked to accept its faults has gone");
                }
                return;
            }
        };
        let found = self.log.ledger().entry(&id).map(|e| (e.is_open(), e.incident.model.clone()));
        let closing = match found {
            None => Closing::Unknown,
            Some((false, _)) => Closing::AlreadyClosed,
            Some((true, name)) => {
                let model = self.specs.iter().position(|s| s.name() == name);
                let end_ms = model.map_or(0, |model| self.decided_end_ms(model));
                if let Some(elsewhere) = self.elsewhere(&name) {
                    Closing::Elsewhere(elsewhere)
                } else if self.close(&id, closed_as, (end_ms, now_ms), &by) {
                    Closing::Done
                } else {
                    Closing::NotDurable
                }
            }
        };
        self.dirty = true;
        if reply.send(closing).is_err() {
            warn!(incident = id, "whoever asked to close it has gone");
        }
    }
}
