//! Messages on their way: what the log holds without an outcome is with its target, and what a target
//! did is in the log.

use std::time::Duration;

use tokio::time::Instant;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::clock::now_ms;
use crate::decide::CloseReason;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::decide::Run;
use crate::decide::RunState;
use crate::decide::announcement::OVER;
use crate::decide::ledger::Outgoing;
use crate::decide::record::DeliveryResult;
use crate::decide::record::Record;
use crate::decide::time::rfc3339;
use crate::deliver;
use crate::deliver::ACCEPTED;
use crate::deliver::NotTaken;
use crate::deliver::Outcome;
use crate::deliver::Pending;
use crate::deliver::Taken;
use crate::pipeline::evaluate::Evaluate;

/// How long after the log could not be written, or a queue was full, it is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

impl Evaluate {
    /// What the log holds without an outcome is sent (again), with the same id.
    pub(super) fn send_pending(&mut self) {
        let pending = self.log.ledger().pending();
        let pending: Vec<Pending> = pending
            .into_iter()
            .filter(|outgoing| self.sends(&outgoing.delivery.model) && !self.is_unwritten(outgoing))
            .map(|outgoing| Pending {
                delivery: outgoing.delivery.clone(),
                attempts: outgoing.attempts,
                first_attempt_ms: outgoing.first_attempt_ms,
                unanswered_ms: self.log.unanswered_ms(outgoing),
            })
            .collect();
        pending.into_iter().for_each(|p| self.enqueue(p));
    }

    /// Its outcome is known and only the log lacks it.
    fn is_unwritten(&self, outgoing: &Outgoing) -> bool {
        self.unwritten.iter().any(|record| {
            matches!(record, Record::Outcome { delivery, target, .. }
                if *delivery == outgoing.delivery.id && *target == outgoing.delivery.target)
        })
    }

    /// What another process has sent of these models and is not over: runs are followed on, alerts kept,
    /// threads found.
    pub(super) fn recall(&self, is_of: impl Fn(&str) -> bool) {
        for outgoing in self.log.ledger().taken() {
            let model = &outgoing.delivery.model;
            if is_of(model) && !self.is_dry(model) {
                self.deliverer.recall(&taken(outgoing));
            }
        }
    }

    /// Once the log can be written again, or a queue has room: first what targets have said, or it would be sent again, and
    /// then what was not sent for want of a record.
    pub(super) fn write_again(&mut self, now: Instant) {
        if self.waiting.is_none_or(|since| now.duration_since(since) < AGAIN) {
            return;
        }
        while let Some(outcome) = self.unwritten.first() {
            if !self.log.append(outcome) {
                self.waiting = Some(now);
                return;
            }
            self.unwritten.remove(0);
        }
        self.waiting = None;
        self.dirty = true;
        self.send_pending();
    }

    pub(super) fn enqueue_all(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let (attempts, first_attempt_ms, unanswered_ms) = (0, None, None);
            self.enqueue(Pending { delivery, attempts, first_attempt_ms, unanswered_ms });
        }
    }

    fn enqueue(&mut self, pending: Pending) {
        let (id, kind) = (pending.delivery.id.clone(), pending.delivery.kind);
        match self.deliverer.enqueue(pending) {
            Ok(()) => {}
            Err(error @ NotTaken::QueueFull { .. }) => {
                error!(delivery = id, %error, "a message waits in the log until there is room for it");
                self.waiting.get_or_insert_with(Instant::now);
            }
            // Its incident is open: whoever configures the target again means it to be sent.
            Err(error @ NotTaken::UnknownTarget { .. }) if kind == Kind::Trigger => {
                if self.unknown.insert(id.clone()) {
                    error!(delivery = id, %error, "a trigger waits in the log for its target");
                }
            }
            Err(NotTaken::UnknownTarget { target }) => self.give_up(id, target),
        }
    }

    /// A message whose target was taken out of the configuration is not sent any more.
    fn give_up(&mut self, id: String, target: String) {
        warn!(delivery = id, target, "no such target is configured; the message is not sent");
        let outcome = Record::Outcome {
            delivery: id,
            target,
            n: 0,
            at_ms: now_ms(),
            status: None,
            result: DeliveryResult::Cancelled,
            detail: "no such target is configured".to_owned(),
            reference: None,
        };
        if !self.log.append(&outcome) {
            self.waiting.get_or_insert_with(Instant::now);
        }
        self.dirty = true;
    }

    /// What a target did; durable before the attempt is made, and after its outcome is known.
    pub(super) fn delivered(&mut self, event: deliver::Event, now_ms: i64) {
        match event {
            // Its target was stopped while it asked.
            deliver::Event::Attempting { ack, .. } if ack.is_closed() => {}
            deliver::Event::Attempting { id, target, n, ack } => {
                let outgoing = self.log.ledger().outgoing(&id, &target);
                let wanted = outgoing.is_some_and(|o| !o.done && self.owns(&o.delivery.model));
                let (delivery, to) = (id.clone(), target.clone());
                let begun = Instant::now();
                let attempt = Record::Attempt { delivery, target: to, n, at_ms: now_ms };
                let counts = wanted && self.log.append(&attempt);
                // With it came what another replica has learnt of an earlier attempt.
                let go =
                    counts && self.log.ledger().outgoing(&id, &target).is_some_and(|o| !o.done);
                // Its target forgets it now.
                if wanted && !go {
                    self.waiting.get_or_insert_with(Instant::now);
                }
                if ack.send(go.then_some(begun)).is_err() {
                    warn!("a target stopped waiting for its answer");
                }
            }
            deliver::Event::Run { id, target, state, word, page, run, at_ms } => {
                let (url, reference, at) = (page, Some(run), rfc3339(at_ms));
                self.learnt_of_run(&id, &target, Run { state, word, url, reference, at }, now_ms);
            }
            outcome @ deliver::Event::Outcome { .. } => self.answered(outcome, now_ms),
        }
    }

    /// What an attempt came to.
    fn answered(&mut self, event: deliver::Event, now_ms: i64) {
        let deliver::Event::Outcome {
            id,
            target,
            n,
            at_ms,
            status,
            result,
            detail,
            reference,
            next_attempt_ms,
            elapsed,
        } = event
        else {
            return;
        };
        let known = self.log.ledger().outgoing(&id, &target);
        let known = known.map(|outgoing| (outgoing.delivery.model.clone(), outgoing.done));
        if result != Outcome::Cancelled {
            self.metrics.delivered(&target, outcome_name(result), elapsed);
        } else if matches!(known, Some((_, false))) {
            // It was given back, not closed: whoever delivers it now takes the attempt for one whose answer
            // was lost. An outcome would end it for all.
            return;
        }
        let outcome = Record::Outcome {
            delivery: id.clone(),
            target: target.clone(),
            n,
            at_ms,
            status,
            result: outcome_record(result),
            detail: detail.clone(),
            reference,
        };
        if !self.log.append(&outcome) && known.is_some() {
            self.unwritten.push(outcome);
            self.waiting.get_or_insert_with(Instant::now);
        }
        self.dirty = true;
        let next = next_attempt_ms.map(rfc3339).unwrap_or_default();
        match result {
            Outcome::Accepted | Outcome::AlreadyThere => {
                info!(delivery = id, target, n, status, detail, "delivered");
                self.tell_accepted(&id, &target, result, now_ms);
            }
            Outcome::Retry => {
                warn!(
                    delivery = id,
                    target, n, status, detail, next, "not delivered; trying again"
                );
            }
            Outcome::SlowRetry | Outcome::Stopped | Outcome::GaveUp => {
                error!(
                    delivery = id,
                    target, n, status, detail, next, "not delivered; someone must act"
                );
                self.tell_failed(&id, &target, &detail, now_ms);
            }
            Outcome::Cancelled => info!(delivery = id, target, n, detail, "not sent"),
        }
        // The request was on its way when the model became another's, who sees to what follows from it.
        if let Some((model, _)) = known
            && self.store.kafka().is_some()
            && !self.owns(&model)
        {
            self.deliverer.forget_model(&model);
        }
    }

    /// The model whose trigger this target is.
    fn triggered_by(&self, target: &str) -> Option<usize> {
        self.specs.iter().position(|s| s.trigger.as_deref() == Some(target))
    }

    /// A trigger was taken: whoever follows the incident is told, and that earlier trouble is over.
    fn tell_accepted(&mut self, id: &str, target: &str, result: Outcome, now_ms: i64) {
        let Some(model) = self.triggered_by(target) else { return };
        let at = self.told_at(model, now_ms);
        let how = match result {
            Outcome::AlreadyThere => "had the retraining already",
            _ => "has accepted the retraining",
        };
        let summary = format!("{target} {how}");
        let about = (Kind::Progress, format!("{id}.accepted"), Some(id));
        self.notify(model, about, (summary.clone(), ACCEPTED), at);
        self.tell_delivered(model, id, summary, at);
    }

    /// Whoever was told that a retraining is not on its way is told that this is over.
    pub(super) fn tell_delivered(
        &mut self,
        model: usize,
        incident: &str,
        summary: String,
        at: (i64, i64),
    ) {
        let story = format!("driftd/{}/delivery/{incident}", self.specs[model].name());
        if let Some(began) = self.log.ledger().told(&story) {
            let about = (Kind::DeliveryFailed, format!("{began}.over"), Some(incident));
            self.notify(model, about, (summary, OVER), at);
        }
    }

    /// What the pipeline says of a run: durable, then told. One that failed ends the incident.
    fn learnt_of_run(&mut self, id: &str, target: &str, run: Run, now_ms: i64) {
        let Some(model) = self.triggered_by(target) else { return };
        let (name, state) = (self.specs[model].name().to_owned(), run.state);
        let known = self.log.ledger().entry(id).and_then(|entry| entry.incident.run.as_ref());
        // After a restart it is asked anew.
        if known.is_some_and(|known| known.state == state) {
            return;
        }
        let summary = format!("{name}: {}", run.sentence());
        info!(
            model = name,
            incident = id,
            state = state.as_str(),
            word = run.word,
            "retraining run"
        );
        let record = Record::Run { incident: id.to_owned(), run, at_ms: now_ms };
        if !self.log.append(&record) {
            return;
        }
        self.dirty = true;
        let at = self.told_at(model, now_ms);
        match state {
            RunState::Missing => {
                let summary = format!(
                    "{target} has accepted the trigger of {name}, and there is no run: does anything \
                     listen for it?"
                );
                let about = (Kind::DeliveryFailed, format!("{id}.missing"), Some(id));
                self.notify(model, about, (summary, "missing"), at);
            }
            RunState::Running | RunState::Succeeded => {
                let word = if state == RunState::Running { "confirmed" } else { "succeeded" };
                let about = (Kind::Progress, format!("{id}.{word}"), Some(id));
                self.notify(model, about, (summary.clone(), word), at);
                self.tell_delivered(model, id, summary, at);
            }
            RunState::Failed => {
                self.close(id, CloseReason::Rejected, at, "driftd");
            }
        }
    }

    /// A trigger that needs a person: told once per incident, on the people's own target.
    fn tell_failed(&mut self, id: &str, target: &str, detail: &str, now_ms: i64) {
        let Some(model) = self.triggered_by(target) else { return };
        let summary = format!("retraining could not be started by {target}: {detail}");
        let end_ms = self.decided_end_ms(model);
        let about = (Kind::DeliveryFailed, format!("{id}.delivery_failed"), Some(id));
        self.notify(model, about, (summary, "delivery_failed"), (end_ms, now_ms));
    }
}

fn taken(outgoing: &Outgoing) -> Taken {
    Taken {
        delivery: outgoing.delivery.clone(),
        reference: outgoing.reference.clone(),
        at_ms: outgoing.taken_at_ms.unwrap_or_default(),
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::AlreadyThere => "already_there",
        Outcome::Retry => "retry",
        Outcome::SlowRetry => "slow_retry",
        Outcome::Stopped => "stopped",
        Outcome::GaveUp => "gave_up",
        Outcome::Cancelled => "cancelled",
    }
}

fn outcome_record(outcome: Outcome) -> DeliveryResult {
    match outcome {
        Outcome::Accepted => DeliveryResult::Accepted,
        Outcome::AlreadyThere => DeliveryResult::AlreadyThere,
        Outcome::Retry | Outcome::SlowRetry => DeliveryResult::Retry,
        Outcome::Stopped | Outcome::GaveUp => DeliveryResult::Failed,
        Outcome::Cancelled => DeliveryResult::Cancelled,
    }
}
