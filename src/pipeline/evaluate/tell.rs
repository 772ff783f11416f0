//! What people are told of a model, and when that is over.

use tokio::time::Instant;

use crate::decide::Audience;
use crate::decide::CloseReason;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::decide::announce::Occasion;
use crate::decide::announce::announce;
use crate::decide::record::Record;
use crate::deliver::Reader;
use crate::pipeline::evaluate::Evaluate;

impl Evaluate {
    /// One message for each destination that wants it and has not got it.
    pub(super) fn people_deliveries(
        &self,
        model: usize,
        (kind, id, incident): (Kind, String, Option<&str>),
        told: (String, &str),
        end_ms: i64,
        audience: Audience,
    ) -> Vec<Delivery> {
        let ledger = self.log.ledger();
        let is_due = |reader: &&Reader| {
            reader.hears(audience) && ledger.outgoing(&id, &reader.name()).is_none()
        };
        let readers: Vec<&Reader> = self.specs[model].people.iter().filter(is_due).collect();
        if readers.is_empty() {
            return Vec::new();
        }
        let occasion = self.occasion(model, (kind, id.clone(), incident), told, end_ms);
        let Some(announcement) = occasion.map(announce) else { return Vec::new() };
        let delivery = |reader: &&Reader| {
            let delivery = Delivery {
                id: id.clone(),
                target: reader.target.to_owned(),
                channel: Some(reader.channel.clone()),
                model: self.specs[model].name().to_owned(),
                kind,
                audience,
                announcement: announcement.clone(),
            };
            reader.wants(&delivery).then_some(delivery)
        };
        readers.iter().filter_map(delivery).collect()
    }

    pub(super) fn occasion<'a>(
        &'a self,
        model: usize,
        (kind, id, incident): (Kind, String, Option<&'a str>),
        (summary, verdict): (String, &str),
        end_ms: i64,
    ) -> Option<Occasion<'a>> {
        let (spec, evaluator) = (&self.specs[model], &self.models[model]);
        Some(Occasion {
            kind,
            id,
            model: spec.name(),
            incident,
            event_ms: end_ms,
            baseline: &evaluator.watched.as_ref()?.baseline,
            window_ms: evaluator.ring.span_ms().unwrap_or((end_ms, end_ms)),
            records: evaluator.ring.records(),
            verdicts: &evaluator.verdicts,
            thresholds: &spec.policy.thresholds,
            summary,
            verdict: verdict.to_owned(),
            report_url: spec.url.clone(),
        })
    }

    /// Tells people, once: a message that the log knows is not sent again, and nor is one that something began
    /// if people were told meanwhile that it is over.
    pub(super) fn notify(
        &mut self,
        model: usize,
        about: (Kind, String, Option<&str>),
        told: (String, &str),
        (end_ms, now_ms): (i64, i64),
    ) {
        let audience = match about.0 {
            Kind::DeliveryFailed | Kind::DataQuality => Audience::Sre,
            Kind::Trigger
            | Kind::Warning
            | Kind::Recovered
            | Kind::Triggered
            | Kind::Progress
            | Kind::Closed => Audience::Ml,
        };
        self.notify_audience(model, about, told, (end_ms, now_ms), audience);
    }

    /// Tells these people, once; false if some of them have yet to hear of it, because the log can't be written
    /// or because they have heard that it is over. In a dry run nobody is told.
    pub(super) fn notify_audience(
        &mut self,
        model: usize,
        about: (Kind, String, Option<&str>),
        told: (String, &str),
        (end_ms, now_ms): (i64, i64),
        audience: Audience,
    ) -> bool {
        if self.log.ledger().has_ended(&about.1) {
            return false;
        }
        if self.specs[model].policy.dry_run {
            self.leave_untold(model, about, told, end_ms, audience);
            return true;
        }
        for delivery in self.people_deliveries(model, about, told, end_ms, audience) {
            let queued = Record::Queued { delivery: Box::new(delivery.clone()), at_ms: now_ms };
            if !self.log.append(&queued) {
                self.models[model].refused = Some(Instant::now());
                return false;
            }
            self.dirty = true;
            self.enqueue_all(vec![delivery]);
        }
        true
    }

    /// The drift is gone before any attempt to retrain was made: nothing needs to be done.
    pub(super) fn recover(&mut self, model: usize, end_ms: i64, now_ms: i64) {
        let Some(entry) = self.log.ledger().open(self.specs[model].name()) else { return };
        let id = entry.incident.id.clone();
        if entry.held || self.log.ledger().was_attempted(&id) {
            return;
        }
        // After a crash the panes before the one that opened it are decided again.
        if end_ms <= entry.opened_event_ms {
            return;
        }
        self.close(&id, CloseReason::Recovered, (end_ms, now_ms), "driftd");
    }
}
