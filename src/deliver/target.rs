//! A place that deliveries go to: its name, how it is spoken to, and how patiently.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::client;
use crate::client::Client;
use crate::decide::Delivery;
use crate::deliver::alertmanager::Firing;
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::follow;
use crate::deliver::follow::{News, Runs};
use crate::deliver::notifiers;
use crate::deliver::notifiers::{Notifiers, Reader, Receiver, Slack};
use crate::deliver::poster::{Format, Poster};
use crate::deliver::preset::Preset;
use crate::deliver::retry::Schedule;
use crate::deliver::rules::Judgement;
use crate::deliver::slack;
use crate::deliver::slack::SlackBot;
use crate::deliver::slack::SlackWebhook;
use crate::deliver::trigger::Fault;
use crate::deliver::trigger::Trigger;
use crate::deliver::webhook::{Attempt, Webhook};
use crate::setting::Secret;
use crate::setting::Span;

#[derive(Debug, Error)]
pub enum Error {
    #[error("target {target}: {}", listed(.faults))]
    Faults { target: String, faults: Vec<Fault> },
    #[error("target {target}")]
    Client { target: String, source: client::Error },
    #[error("nothing is configured that posts to slack://{channel}; set `notifiers.slack`")]
    NoWebhook { channel: String },
    #[error("nothing is configured for {target}; set it under `notifiers`")]
    NotConfigured { target: String },
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
    service: Service,
}

/// One variant for each kind of receiver.
enum Service {
    Webhook(Box<Webhook>, Runs),
    Slack(SlackWebhook),
    Bot(SlackBot),
    Post(Poster),
}

impl Target {
    /// `retraining_trigger/<model>`.
    ///
    /// # Errors
    /// Faults that `Trigger::check` would have told, or a CA file that cannot be used.
    pub fn trigger(model: &str, trigger: &Trigger, client: &Client) -> Result<Self, Error> {
        Self::webhook(format!("retraining_trigger/{model}"), trigger, client)
    }

    fn webhook(name: String, trigger: &Trigger, client: &Client) -> Result<Self, Error> {
        match Webhook::new(trigger) {
            Ok(webhook) => {
                let service = Service::Webhook(Box::new(webhook), Runs::default());
                match trigger.client(client) {
                    Ok(client) => Self::new(name, &client, None, service),
                    Err(source) => Err(Error::Client { target: name, source }),
                }
            }
            Err(faults) => Err(Error::Faults { target: name, faults }),
        }
    }

    /// `slack/<channel>`.
    ///
    /// # Errors
    /// Neither a token nor a webhook is configured for the channel, or a CA file cannot be used.
    pub fn slack(channel: &str, slack: &Slack, client: &Client) -> Result<Self, Error> {
        let (allow_http, timeout) = (slack.allow_http, slack.timeout.0);
        let service = match slack.webhook(channel) {
            _ if slack.token().is_set() => Service::Bot(SlackBot {
                channel: channel.to_owned(),
                api: slack.api.clone(),
                token: slack.token(),
                allow_http,
                timeout,
                threads: Default::default(),
            }),
            Some(url) => Service::Slack(SlackWebhook { url, allow_http, timeout }),
            None => return Err(Error::NoWebhook { channel: channel.to_owned() }),
        };
        Self::new(format!("slack/{channel}"), client, slack.ca_file.as_ref(), service)
    }

    /// The destination of a reader.
    ///
    /// # Errors
    /// It is not configured, or a file cannot be used.
    pub fn reader(reader: &Reader, all: &Notifiers, client: &Client) -> Result<Self, Error> {
        let name = reader.name();
        let missing = || Error::NotConfigured { target: reader.name() };
        let simple = |receiver: &Receiver, format| {
            let poster = Poster {
                format,
                url: receiver.url(),
                key: receiver.key(),
                allow_http: receiver.allow_http,
                timeout: receiver.timeout.0,
            };
            let ca_file = receiver.ca_file.as_ref();
            Self::new(reader.name(), client, ca_file, Service::Post(poster))
        };
        match reader.target {
            "slack" => {
                Self::slack(&reader.channel, all.slack.as_ref().ok_or_else(missing)?, client)
            }
            "pagerduty" => simple(all.pagerduty.as_ref().ok_or_else(missing)?, Format::PagerDuty),
            "opsgenie" => simple(all.opsgenie.as_ref().ok_or_else(missing)?, Format::Opsgenie),
            "teams" => simple(all.teams.as_ref().ok_or_else(missing)?, Format::Teams),
            "webhook" => {
                let receiver = all.webhook.as_ref().ok_or_else(missing)?;
                Self::webhook(name, &generic(receiver), client)
            }
            _ => {
                let of = all.alertmanager.as_ref().ok_or_else(missing)?;
                let url = of.urls.iter().find(|url| notifiers::instance(url) == reader.channel);
                let url = url.ok_or_else(missing)?;
                let labels = of.labels.clone();
                let poster = Poster {
                    format: Format::Alertmanager { labels, firing: Firing::default() },
                    url: Credential::Text(Secret::new(url.clone())),
                    key: of.token(),
                    allow_http: of.allow_http,
                    timeout: Span::from_secs(10).0,
                };
                Self::new(name, client, of.ca_file.as_ref(), Service::Post(poster))
            }
        }
    }

    fn new(
        name: String,
        client: &Client,
        ca_file: Option<&PathBuf>,
        service: Service,
    ) -> Result<Self, Error> {
        let client = match ca_file {
            Some(path) => client.with_ca_file(path),
            None => Ok(client.clone()),
        };
        match client {
            Ok(client) => Ok(Self { name, schedule: Schedule::default(), client, service }),
            Err(source) => Err(Error::Client { target: name, source }),
        }
    }

    /// The same target on another schedule.
    pub fn with_schedule(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }

    /// One of this name that reaches nobody.
    #[cfg(test)]
    pub(crate) fn named(name: String, client: &Client) -> Result<Self, Error> {
        Self::webhook(name, &Trigger::new("https://nobody.example/"), client)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn render(&self, delivery: &Delivery) -> Bytes {
        match &self.service {
            Service::Webhook(webhook, _) => webhook.render(delivery),
            Service::Slack(_) => slack::render(delivery).into(),
            Service::Bot(bot) => bot.render(delivery).into(),
            Service::Post(poster) => poster.render(delivery),
        }
    }

    pub(crate) async fn send(&self, delivery: &Delivery, body: Bytes, attempt: Attempt) -> Answer {
        let client = &self.client;
        match &self.service {
            Service::Webhook(webhook, _) => webhook.send(client, delivery, body, attempt).await,
            Service::Slack(webhook) => webhook.send(client, body).await,
            Service::Bot(bot) => bot.send(client, delivery, body).await,
            Service::Post(poster) => poster.send(client, delivery, attempt.now_ms).await,
        }
    }

    /// The longest that an attempt may take.
    pub(crate) fn patience(&self) -> Duration {
        match &self.service {
            Service::Webhook(webhook, _) => {
                let provider = webhook.plan.provider;
                let sent = [true, provider.lookup.is_some(), provider.lately.is_some()];
                let sent: u32 = sent.map(u32::from).iter().sum();
                webhook.timeout * sent * webhook.access.requests_at_most(provider.auth)
            }
            Service::Slack(webhook) => webhook.timeout,
            // The end of a story marks its first message, too.
            Service::Bot(bot) => bot.timeout * 2,
            Service::Post(poster) => poster.timeout,
        }
    }

    /// Makes one attempt that nobody has decided: a test.
    pub async fn try_once(&self, delivery: &Delivery, now_ms: i64) -> Tried {
        let body = self.render(delivery);
        let answer = self.send(delivery, body, Attempt { n: 1, now_ms }).await;
        let taken = matches!(answer.judgement, Judgement::Accepted | Judgement::AlreadyThere);
        if taken {
            self.taken(delivery, answer.reference.as_deref(), now_ms);
        }
        Tried { taken, detail: answer.detail, reference: answer.reference }
    }

    /// What follows from a message that was taken just now.
    pub(crate) fn taken(&self, delivery: &Delivery, reference: Option<&str>, now_ms: i64) {
        match &self.service {
            Service::Webhook(webhook, runs) => {
                if let Some(run) = reference.filter(|_| webhook.confirms()) {
                    runs.add(delivery, run, now_ms, follow::first_ms(&self.schedule, now_ms));
                }
            }
            Service::Slack(_) => {}
            Service::Bot(bot) => bot.taken(delivery, reference),
            Service::Post(poster) => poster.taken(delivery, now_ms),
        }
    }

    /// What follows from a message that another process has sent: due at once, by whichever clock.
    pub(crate) fn recall(&self, told: &Taken) {
        let reference = told.reference.as_deref();
        match &self.service {
            Service::Webhook(webhook, runs) => {
                if let Some(run) = reference.filter(|_| webhook.confirms()) {
                    runs.add(&told.delivery, run, told.at_ms, 0);
                }
            }
            Service::Slack(_) => {}
            Service::Bot(bot) => bot.taken(&told.delivery, reference),
            Service::Post(poster) => poster.recall(&told.delivery),
        }
    }

    /// Nobody asks any more what becomes of it.
    pub(crate) fn forget(&self, id: &str) {
        match &self.service {
            Service::Webhook(_, runs) => runs.forget(id),
            Service::Slack(_) | Service::Bot(_) | Service::Post(_) => {}
        }
    }

    /// Another process sees to what has followed from messages of this model.
    pub(crate) fn forget_model(&self, model: &str) {
        match &self.service {
            Service::Webhook(_, runs) => runs.forget_model(model),
            Service::Slack(_) => {}
            Service::Bot(bot) => bot.forget_model(model),
            Service::Post(poster) => poster.forget_model(model),
        }
    }

    /// When there is something to see to beside deliveries, ms since the epoch.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        match &self.service {
            Service::Webhook(_, runs) => runs.due_ms(),
            Service::Slack(_) | Service::Bot(_) => None,
            Service::Post(poster) => poster.due_ms(),
        }
    }

    /// Sees to it; what is new of a run.
    pub(crate) async fn see_to(&self, now_ms: i64, wall_ms: i64) -> Option<News> {
        match &self.service {
            Service::Webhook(webhook, runs) => {
                runs.ask(webhook, &self.client, &self.schedule, (now_ms, wall_ms)).await
            }
            Service::Slack(_) | Service::Bot(_) => None,
            Service::Post(poster) => {
                poster.keep(&self.client, now_ms, wall_ms).await;
                None
            }
        }
    }
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub taken: bool,
    /// One line for people, without secrets.
    pub detail: String,
    /// What the target calls it.
    pub reference: Option<String>,
}

/// A message that its target took.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    pub delivery: Delivery,
    /// What the target calls it.
    pub reference: Option<String>,
    pub at_ms: i64,
}

/// A notifier that takes the event itself is spoken to as a trigger is.
fn generic(receiver: &Receiver) -> Trigger {
    let url = receiver.url().read_blocking().ok().flatten();
    Trigger {
        preset: Some(Preset::StandardWebhook),
        token: receiver.key.clone(),
        token_file: receiver.key_file.clone(),
        allow_http: receiver.allow_http,
        timeout: receiver.timeout,
        ..Trigger::new(url.as_ref().map(Secret::expose).unwrap_or_default())
    }
}

/// The exact request that would be sent, its secrets replaced by `***`.
pub fn dry_render(target: &Target, delivery: &Delivery) -> String {
    match &target.service {
        Service::Webhook(webhook, _) => webhook.show(delivery),
        Service::Post(poster) => poster.show(delivery),
        Service::Bot(bot) => {
            let body = bot.render(delivery);
            let body = String::from_utf8_lossy(&body);
            let place = format!("{}/chat.postMessage", bot.api.trim_end_matches('/'));
            format!(
                "POST {place}\ncontent-type: application/json; charset=utf-8\n\
                 authorization: Bearer ***\n\n{body}\n"
            )
        }
        Service::Slack(_) => {
            let body = slack::render(delivery);
            let body = String::from_utf8_lossy(&body);
            format!("POST https://***\ncontent-type: application/json\n\n{body}\n")
        }
    }
}
