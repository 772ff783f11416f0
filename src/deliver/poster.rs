//! Receivers of messages that take one JSON request each: PagerDuty, Opsgenie, Teams, Alertmanager.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::client;
use crate::client::Client;
use crate::client::Request;
use crate::client::with_causes;
use crate::decide::Delivery;
use crate::deliver::alertmanager;
use crate::deliver::alertmanager::Firing;
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::opsgenie;
use crate::deliver::pagerduty;
use crate::deliver::rules::{Judgement, Overrides, Rules};
use crate::deliver::teams;
use crate::setting::Secret;

/// One receiver.
#[derive(Debug)]
pub(crate) struct Poster {
    pub(crate) format: Format,
    pub(crate) url: Credential,
    pub(crate) key: Credential,
    pub(crate) allow_http: bool,
    pub(crate) timeout: Duration,
}

/// What messages are written as.
#[derive(Debug)]
pub(crate) enum Format {
    PagerDuty,
    Opsgenie,
    Teams,
    Alertmanager { labels: BTreeMap<String, String>, firing: Firing },
}

impl Poster {
    fn rules(&self) -> &'static Rules {
        match self.format {
            Format::PagerDuty => &pagerduty::RULES,
            Format::Opsgenie => &opsgenie::RULES,
            Format::Teams => &teams::RULES,
            Format::Alertmanager { .. } => &alertmanager::RULES,
        }
    }

    /// The path behind the receiver's address, and the body without secrets; `None` where a message says
    /// nothing to this receiver.
    fn message(&self, delivery: &Delivery, now_ms: i64) -> Option<(String, Value)> {
        match &self.format {
            Format::PagerDuty => Some(("/v2/enqueue".to_owned(), pagerduty::render(delivery)?)),
            Format::Opsgenie => opsgenie::render(delivery),
            Format::Teams => Some((String::new(), teams::render(delivery))),
            Format::Alertmanager { labels, .. } => {
                Some(("/api/v2/alerts".to_owned(), alertmanager::body(delivery, labels, now_ms)?))
            }
        }
    }

    pub(crate) fn render(&self, delivery: &Delivery) -> Bytes {
        let message = self.message(delivery, 0);
        message.map(|(_, body)| body.to_string().into_bytes()).unwrap_or_default().into()
    }

    pub(crate) async fn send(&self, client: &Client, delivery: &Delivery, now_ms: i64) -> Answer {
        if let Format::Alertmanager { firing, .. } = &self.format {
            firing.ending(delivery);
        }
        match self.message(delivery, now_ms) {
            Some((path, body)) => self.post(client, &path, body).await,
            None => Answer {
                judgement: Judgement::Accepted,
                detail: "nothing to say to this receiver".to_owned(),
                ..Answer::default()
            },
        }
    }

    async fn post(&self, client: &Client, path: &str, mut body: Value) -> Answer {
        let key = match self.key.read().await {
            Ok(key) => key,
            Err(why) => return Answer::misconfigured(with_causes(&why)),
        };
        let url = match self.url.read().await {
            Ok(url) => url.unwrap_or_else(|| Secret::new(self.home())),
            Err(why) => return Answer::misconfigured(with_causes(&why)),
        };
        let place = match path {
            "" => url.expose().to_owned(),
            path => format!("{}{path}", url.expose().trim_end_matches('/')),
        };
        let url = match client::parse_url(&place, self.allow_http) {
            Ok(url) => url,
            Err(why) => return Answer::misconfigured(format!("its URL: {why}")),
        };
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        if let Some(key) = &key {
            let (key, authorization) = (key.expose(), "authorization".to_owned());
            match self.format {
                Format::PagerDuty => body["routing_key"] = key.into(),
                Format::Opsgenie => headers.push((authorization, format!("GenieKey {key}"))),
                Format::Teams | Format::Alertmanager { .. } => {
                    headers.push((authorization, format!("Bearer {key}")));
                }
            }
        }
        let request = Request {
            method: "POST".to_owned(),
            url: url.clone(),
            headers,
            body: body.to_string().into(),
            timeout: self.timeout,
            most: client::MAX_BODY,
        };
        let secrets: Vec<&str> =
            key.iter().map(Secret::expose).chain(client::hidden(&url)).collect();
        let result = client.request(request).await;
        Answer::of(result, self.rules(), &Overrides::default(), &secrets)
    }

    fn home(&self) -> &'static str {
        match self.format {
            Format::PagerDuty => pagerduty::HOME,
            Format::Opsgenie => opsgenie::HOME,
            Format::Teams | Format::Alertmanager { .. } => "",
        }
    }

    /// Follows a message that was taken, by this process or one before it.
    pub(crate) fn taken(&self, delivery: &Delivery, now_ms: i64) {
        if let Format::Alertmanager { labels, firing } = &self.format {
            firing.taken(delivery, labels, now_ms);
        }
    }

    /// The same for one of another process: what fires is sent again at once.
    pub(crate) fn recall(&self, delivery: &Delivery) {
        self.taken(delivery, 0);
        if let Format::Alertmanager { firing, .. } = &self.format {
            firing.due_now();
        }
    }

    pub(crate) fn forget_model(&self, model: &str) {
        if let Format::Alertmanager { firing, .. } = &self.format {
            firing.forget_model(model);
        }
    }

    pub(crate) fn due_ms(&self) -> Option<i64> {
        match &self.format {
            Format::Alertmanager { firing, .. } => firing.due_ms(),
            Format::PagerDuty | Format::Opsgenie | Format::Teams => None,
        }
    }

    /// Sends again what must not end.
    pub(crate) async fn keep(&self, client: &Client, now_ms: i64, wall_ms: i64) {
        let Format::Alertmanager { firing, .. } = &self.format else { return };
        let answer = self.post(client, "/api/v2/alerts", firing.again(now_ms, wall_ms)).await;
        if answer.judgement != Judgement::Accepted {
            tracing::warn!(
                detail = answer.detail,
                "alerts were not sent again; they end in 5 minutes"
            );
        }
    }

    /// The request without its secrets, for `--dry-run`.
    pub(crate) fn show(&self, delivery: &Delivery) -> String {
        let Some((path, mut body)) = self.message(delivery, i64::MAX) else {
            return "(nothing to say to this receiver)\n".to_owned();
        };
        let place = match (&self.format, &self.url) {
            // The path of a workflow's webhook is its secret.
            (Format::Teams, _) => "https://***".to_owned(),
            (_, Credential::None) => format!("{}{path}", self.home()),
            (_, Credential::Text(url)) => format!("{}{path}", url.expose().trim_end_matches('/')),
            (_, Credential::File(file)) => format!("(what {} holds){path}", file.display()),
        };
        if let Format::Alertmanager { .. } = self.format {
            body[0]["endsAt"] = "(now if it is over, else 5 minutes after the attempt)".into();
        }
        let access = match (&self.format, self.key.is_set()) {
            (_, false) => "",
            (Format::PagerDuty, true) => {
                body["routing_key"] = "***".into();
                ""
            }
            (Format::Opsgenie, true) => "authorization: GenieKey ***\n",
            (Format::Teams | Format::Alertmanager { .. }, true) => "authorization: Bearer ***\n",
        };
        format!("POST {place}\ncontent-type: application/json\n{access}\n{body}\n")
    }
}
