//! The end of what people were told of: of an incident that is closed, and of everything about a model that
//! has left the configuration.

use crate::decide::CloseReason;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::decide::announce::follow_up;
use crate::decide::announcement::OVER;
use crate::decide::ledger::Outgoing;
use crate::decide::record::Record;
use crate::pipeline::evaluate::Evaluate;

impl Evaluate {
    /// Ends what is over and people still take for present: an incident was closed when there was no baseline
    /// yet, or when the log took nothing; or a model has left the configuration.
    pub(super) fn end_stories(&mut self, now_ms: i64) {
        let (mut closed, mut gone) = (Vec::new(), Vec::new());
        for told in self.log.ledger().begun() {
            let delivery = &told.delivery;
            match self.specs.iter().position(|spec| spec.name() == delivery.model) {
                Some(model) => {
                    if let Some(incident) = self.closed_unsaid(model, told) {
                        closed.push((model, incident));
                    }
                }
                // Another replica's configuration may have it.
                None if self.store.kafka().is_none() => gone.push(delivery.clone()),
                None => {}
            }
        }
        for (model, incident) in closed {
            self.tell_closed(model, &incident, self.told_at(model, now_ms));
        }
        for told in gone {
            self.end_gone(&told, now_ms);
        }
    }

    /// The incident that a message is about, if it is closed and its end can be told.
    fn closed_unsaid(&self, model: usize, told: &Outgoing) -> Option<String> {
        let evaluator = &self.models[model];
        let incident = told.delivery.announcement.data.incident.as_deref()?;
        let is_closed = self.log.ledger().entry(incident).is_some_and(|entry| !entry.is_open());
        let is_here = evaluator.owned && evaluator.watched.is_some() && !self.is_refused(model);
        (is_closed && is_here).then(|| incident.to_owned())
    }

    /// Whoever was told of an incident is told how it ended.
    pub(super) fn tell_closed(&mut self, model: usize, id: &str, at: (i64, i64)) {
        let Some(entry) = self.log.ledger().entry(id).filter(|e| !e.silent && !e.held) else {
            return;
        };
        let ending = entry.incident.closed_as.map_or("", ending);
        let mut summary = format!("incident {id} of {} is closed: {ending}", entry.incident.model);
        if let Some(run) = &entry.incident.run {
            summary.push_str(&format!("; {}", run.sentence()));
        }
        let about = (Kind::Closed, format!("{id}.closed"), Some(id));
        self.notify(model, about, (summary.clone(), ending), at);
        self.tell_delivered(model, id, summary, at);
    }

    /// Tells the one who got this message that nothing more will come of it.
    fn end_gone(&mut self, told: &Delivery, now_ms: i64) {
        let Some(delivery) = self.last_word(told, now_ms) else { return };
        let queued = Record::Queued { delivery: Box::new(delivery.clone()), at_ms: now_ms };
        if !self.log.ledger().knows(&delivery) && self.log.append(&queued) {
            self.enqueue_all(vec![delivery]);
            self.dirty = true;
        }
    }

    fn last_word(&self, told: &Delivery, now_ms: i64) -> Option<Delivery> {
        let over = || format!("{}.over", told.id);
        let (kind, id, verdict) = match told.kind {
            Kind::Triggered => {
                let incident = told.announcement.data.incident.as_deref()?;
                let entry = self.log.ledger().entry(incident);
                let ending = match entry {
                    Some(entry) if entry.is_open() => return None,
                    Some(entry) => entry.incident.closed_as.map_or("", ending),
                    None => "",
                };
                (Kind::Closed, format!("{incident}.closed"), ending)
            }
            Kind::Warning => (Kind::Recovered, over(), "healthy"),
            Kind::DataQuality | Kind::DeliveryFailed => (told.kind, over(), OVER),
            Kind::Trigger | Kind::Recovered | Kind::Progress | Kind::Closed => return None,
        };
        let summary = format!(
            "{}: nothing more will be told of this, the model has left the configuration",
            told.model
        );
        Some(follow_up(told, (kind, id), (summary, verdict), now_ms))
    }
}

fn ending(closed_as: CloseReason) -> &'static str {
    match closed_as {
        CloseReason::Replaced => "replaced by a new baseline",
        CloseReason::Rejected => "the retraining was rejected",
        CloseReason::Dismissed => "dismissed",
        CloseReason::Missed => "missed: the drift was over before the daemon had caught up",
        CloseReason::Recovered => "recovered before retraining was asked for",
        CloseReason::Expired => "expired",
    }
}
