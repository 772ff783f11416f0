//! A place that deliveries go to: its name, how it is spoken to, and how patiently.

use bytes::Bytes;
use thiserror::Error;

use crate::client;
use crate::client::Client;
use crate::decide::Audience;
use crate::decide::Delivery;
use crate::deliver::answer::Answer;
use crate::deliver::notifiers::Slack;
use crate::deliver::retry::Schedule;
use crate::deliver::slack;
use crate::deliver::slack::SlackWebhook;
use crate::deliver::trigger::Fault;
use crate::deliver::trigger::Trigger;
use crate::deliver::webhook::{Attempt, Webhook};

#[derive(Debug, Error)]
pub enum Error {
    #[error("target {target}: {}", listed(.faults))]
    Faults { target: String, faults: Vec<Fault> },
    #[error("target {target}")]
    Client { target: String, source: client::Error },
    #[error("nothing is configured that posts to slack://{channel}; set `notifiers.slack`")]
    NoWebhook { channel: String },
}

fn listed(faults: &[Fault]) -> String {
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

/// One destination; deliveries to it wait in a queue of their own.
pub struct Target {
    pub(crate) name: String,
    pub(crate) schedule: Schedule,
    client: Client,
    audience: Option<Audience>,
    service: Service,
}

/// One variant for each kind of receiver.
enum Service {
    Webhook(Webhook),
    Slack(SlackWebhook),
}

impl Target {
    /// `retraining_trigger/<model>`.
    ///
    /// # Errors
    /// Faults that `Trigger::check` would have told, or a CA file that cannot be used.
    pub fn trigger(model: &str, trigger: &Trigger, client: &Client) -> Result<Self, Error> {
        let name = format!("retraining_trigger/{model}");
        let webhook = match Webhook::new(trigger) {
            Ok(webhook) => webhook,
            Err(faults) => return Err(Error::Faults { target: name, faults }),
        };
        match trigger.client(client) {
            Ok(client) => Ok(Self::new(name, client, None, Service::Webhook(webhook))),
            Err(source) => Err(Error::Client { target: name, source }),
        }
    }

    /// `slack/<channel>`.
    ///
    /// # Errors
    /// No webhook is configured for the channel, or a CA file cannot be used.
    pub fn slack(channel: &str, slack: &Slack, client: &Client) -> Result<Self, Error> {
        let name = format!("slack/{channel}");
        let url = slack
            .webhook(channel)
            .ok_or_else(|| Error::NoWebhook { channel: channel.to_owned() })?;
        let client = match &slack.ca_file {
            Some(path) => client.with_ca_file(path),
            None => Ok(client.clone()),
        };
        let client = match client {
            Ok(client) => client,
            Err(source) => return Err(Error::Client { target: name, source }),
        };
        let webhook = SlackWebhook { url, allow_http: slack.allow_http, timeout: slack.timeout.0 };
        Ok(Self::new(name, client, slack.audience, Service::Slack(webhook)))
    }

    fn new(name: String, client: Client, audience: Option<Audience>, service: Service) -> Self {
        Self { name, schedule: Schedule::default(), client, audience, service }
    }

    /// The same target on another schedule.
    pub fn with_schedule(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether what concerns this audience is sent here.
    pub fn wants(&self, audience: Audience) -> bool {
        self.audience.is_none_or(|wanted| wanted == audience)
    }

    pub(crate) fn render(&self, delivery: &Delivery) -> Bytes {
        match &self.service {
            Service::Webhook(webhook) => webhook.render(delivery),
            Service::Slack(_) => slack::render(delivery).into(),
        }
    }

    pub(crate) async fn send(&self, delivery: &Delivery, body: Bytes, attempt: Attempt) -> Answer {
        match &self.service {
            Service::Webhook(webhook) => webhook.send(&self.client, delivery, body, attempt).await,
            Service::Slack(webhook) => webhook.send(&self.client, body).await,
        }
    }
}

/// The exact request that would be sent, its secrets replaced by `***`.
pub fn dry_render(target: &Target, delivery: &Delivery) -> String {
    match &target.service {
        Service::Webhook(webhook) => webhook.show(delivery),
        Service::Slack(_) => {
            let body = slack::render(delivery);
            let body = String::from_utf8_lossy(&body);
            format!("POST https://***\ncontent-type: application/json\n\n{body}\n")
        }
    }
}
