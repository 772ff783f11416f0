//! Messages on their way: what the log holds without an outcome is with its target, and what a target
//! did is in the log.

use tracing::error;
use tracing::info;
use tracing::warn;

use crate::decide::Delivery;
use crate::decide::Kind;
use crate::decide::record::DeliveryResult;
use crate::decide::record::Record;
use crate::decide::time::rfc3339;
use crate::deliver;
use crate::deliver::Outcome;
use crate::deliver::Pending;
use crate::pipeline::evaluate::Evaluate;

impl Evaluate {
    /// What the log holds without an outcome is sent (again), with the same id.
    pub(super) fn send_pending(&mut self) {
        let pending = self.log.ledger().pending();
        let pending: Vec<Pending> = pending
            .into_iter()
            .filter(|outgoing| self.owns(&outgoing.delivery.model))
            .map(|outgoing| Pending {
                delivery: outgoing.delivery.clone(),
                attempts: outgoing.attempts,
                first_attempt_ms: outgoing.first_attempt_ms,
            })
            .collect();
        pending.into_iter().for_each(|p| self.enqueue(p));
    }

    pub(super) fn enqueue_all(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            self.enqueue(Pending { delivery, attempts: 0, first_attempt_ms: None });
        }
    }

    fn enqueue(&mut self, pending: Pending) {
        let id = pending.delivery.id.clone();
        if let Err(error) = self.deliverer.enqueue(pending) {
            error!(delivery = id, %error, "a message stays in the log and is tried at the next start");
        }
    }

    /// What a target did; durable before the attempt is made, and after its outcome is known.
    pub(super) fn delivered(&mut self, event: deliver::Event, now_ms: i64) {
        match event {
            deliver::Event::Attempting { id, target, n, ack } => {
                let outgoing = self.log.ledger().outgoing(&id, &target);
                let wanted = outgoing.is_some_and(|o| !o.done && self.owns(&o.delivery.model));
                let attempt = Record::Attempt { delivery: id, target, n, at_ms: now_ms };
                let go = wanted && self.log.append(&attempt);
                if ack.send(go).is_err() {
                    warn!("a target stopped waiting for its answer");
                }
            }
            deliver::Event::Outcome {
                id,
                target,
                n,
                at_ms,
                status,
                result,
                detail,
                reference: _,
                next_attempt_ms,
                elapsed,
            } => {
                self.metrics.delivered(&target, outcome_name(result), elapsed);
                let outcome = Record::Outcome {
                    delivery: id.clone(),
                    target: target.clone(),
                    n,
                    at_ms,
                    status,
                    result: outcome_record(result),
                    detail: detail.clone(),
                };
                self.log.append(&outcome);
                self.dirty = true;
                let next = next_attempt_ms.map(rfc3339).unwrap_or_default();
                match result {
                    Outcome::Accepted | Outcome::AlreadyThere => {
                        info!(delivery = id, target, n, status, detail, "delivered");
                    }
                    Outcome::Retry => warn!(
                        delivery = id,
                        target, n, status, detail, next, "not delivered; trying again"
                    ),
                    Outcome::SlowRetry | Outcome::Stopped | Outcome::GaveUp => {
                        error!(
                            delivery = id,
                            target, n, status, detail, next, "not delivered; someone must act"
                        );
                        self.tell_failed(&id, &target, &detail, now_ms);
                    }
                }
            }
        }
    }

    /// A trigger that needs a person: told once per incident, on the people's own target.
    fn tell_failed(&mut self, id: &str, target: &str, detail: &str, now_ms: i64) {
        let Some(model) = self.specs.iter().position(|s| s.trigger.as_deref() == Some(target))
        else {
            return;
        };
        let summary = format!("retraining could not be started by {target}: {detail}");
        let end_ms = self.decided_end_ms(model);
        let about = (Kind::DeliveryFailed, format!("{id}.delivery_failed"), Some(id));
        self.notify(model, about, (summary, "delivery_failed"), (end_ms, now_ms));
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
    }
}

fn outcome_record(outcome: Outcome) -> DeliveryResult {
    match outcome {
        Outcome::Accepted => DeliveryResult::Accepted,
        Outcome::AlreadyThere => DeliveryResult::AlreadyThere,
        Outcome::Retry | Outcome::SlowRetry => DeliveryResult::Retry,
        Outcome::Stopped | Outcome::GaveUp => DeliveryResult::Failed,
    }
}
