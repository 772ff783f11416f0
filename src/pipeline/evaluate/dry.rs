//! What a dry run would have sent: logged, shown, and sent to nobody.

use std::collections::VecDeque;

use tracing::info;

use crate::decide::Audience;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::pipeline::evaluate::Evaluate;

/// Messages that are known to have been logged; what lasts is looked at many times a second.
const KNOWN: usize = 100;

/// What has not been sent about one model, since the process evaluates it.
#[derive(Default)]
pub(crate) struct Unsent {
    known: VecDeque<String>,
    messages: u64,
    last: String,
}

impl Unsent {
    /// True the first time that it is asked about this message.
    fn is_new(&mut self, message: String) -> bool {
        if self.known.contains(&message) {
            return false;
        }
        self.known.push_back(message);
        if self.known.len() > KNOWN {
            self.known.pop_front();
        }
        true
    }

    /// What readers are told; `None` where nothing would have been sent.
    pub(super) fn sentence(&self) -> Option<String> {
        let messages = if self.messages == 1 { "message" } else { "messages" };
        let told = || format!("dry run: {} {messages} not sent, last {}", self.messages, self.last);
        (self.messages > 0).then(told)
    }
}

impl Evaluate {
    /// Whether nothing may be sent about a model of this name.
    pub(super) fn is_dry(&self, name: &str) -> bool {
        let spec = self.specs.iter().find(|spec| spec.name() == name);
        spec.is_some_and(|spec| spec.policy.dry_run)
    }

    /// Whether what is due for a model of this name is sent from here.
    pub(super) fn sends(&self, name: &str) -> bool {
        self.owns(name) && !self.is_dry(name)
    }

    /// Logs what these people would have been told, once.
    pub(super) fn leave_untold(
        &mut self,
        model: usize,
        about: (Kind, String, Option<&str>),
        told: (String, &str),
        end_ms: i64,
        audience: Audience,
    ) {
        let message = format!("{}/{}", about.1, audience.as_str());
        if self.models[model].unsent.is_new(message) {
            let deliveries = self.people_deliveries(model, about, told, end_ms, audience);
            self.leave_unsent(model, &deliveries);
        }
    }

    /// Logs what would have been sent.
    pub(super) fn leave_unsent(&mut self, model: usize, deliveries: &[Delivery]) {
        let name = self.specs[model].name();
        let unsent = &mut self.models[model].unsent;
        for delivery in deliveries {
            let (id, target) = (&delivery.id, delivery.target_name());
            let event = &delivery.announcement.event_type;
            let summary = &delivery.announcement.data.summary;
            info!(model = name, target, delivery = id, event, summary, "not sent: it is a dry run");
            unsent.messages += 1;
            unsent.last = format!("to {target}: {summary}");
            self.dirty = true;
        }
    }
}
