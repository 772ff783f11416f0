//! The retraining webhook: one POST whose bytes are the same at every attempt, signed anew each time.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::client;
use crate::client::Client;
use crate::client::Post;
use crate::client::with_causes;
use crate::decide::Delivery;
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::preset::Judgement;
use crate::deliver::preset::Preset;
use crate::deliver::sign::Keys;
use crate::deliver::template::Template;
use crate::deliver::trigger::Address;
use crate::deliver::trigger::Fault;
use crate::deliver::trigger::Trigger;

/// A trigger that is ready to send.
#[derive(Debug)]
pub(crate) struct Webhook {
    url: Url,
    preset: Preset,
    token: Credential,
    signing: Credential,
    include_drift_report: bool,
    template: Option<Template>,
    success_statuses: Vec<u16>,
    timeout: Duration,
    dry_run: bool,
}

impl Webhook {
    /// # Errors
    /// What `Trigger::check` finds.
    pub(crate) fn new(trigger: &Trigger) -> Result<Self, Vec<Fault>> {
        let faults = trigger.check();
        if !faults.is_empty() {
            return Err(faults);
        }
        let url = client::parse_url(trigger.webhook.expose(), trigger.allow_http)
            .expect("`check` parsed it");
        let template = trigger.body.as_deref().map(Template::parse);
        Ok(Self {
            preset: trigger.preset_of(&url),
            url,
            token: trigger.token(),
            signing: trigger.signing(),
            include_drift_report: trigger.include_drift_report,
            template: template.map(|parsed| parsed.expect("`check` parsed it")),
            success_statuses: trigger.success_statuses.clone(),
            timeout: trigger.timeout.0,
            dry_run: trigger.dry_run,
        })
    }

    /// The body: a function of the delivery alone, so that a restart sends the same bytes again.
    pub(crate) fn render(&self, delivery: &Delivery) -> Vec<u8> {
        let mut announcement = delivery.announcement.clone();
        if !self.include_drift_report {
            announcement.data.report = None;
        }
        match &self.template {
            Some(template) => template.render(&announcement).into_bytes(),
            None => serde_json::to_vec(&announcement).expect("announcements are plain data"),
        }
    }

    pub(crate) async fn send(
        &self,
        client: &Client,
        delivery: &Delivery,
        body: Bytes,
        now_ms: i64,
    ) -> Answer {
        if self.dry_run {
            let detail = "nothing was sent: `dry_run` is set".to_owned();
            return Answer { judgement: Judgement::Stop, ..Answer::misconfigured(detail) };
        }
        let token = match self.token.read().await {
            Ok(token) => token,
            Err(why) => return Answer::misconfigured(format!("token_file: {}", with_causes(&why))),
        };
        let keys = match self.keys().await {
            Ok(keys) => keys,
            Err(why) => return Answer::misconfigured(why),
        };
        let token = token.as_ref().map(|token| token.expose());
        let timestamp = now_ms.div_euclid(1000);
        let mut headers = self.headers(delivery, timestamp);
        if let Some(keys) = keys {
            headers.push(("webhook-signature", keys.sign(&delivery.id, timestamp, &body)));
        }
        if let Some(token) = token {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        let post = Post { url: self.url.clone(), headers, body, timeout: self.timeout };
        let secrets: Vec<_> = token.into_iter().chain(client::hidden(&self.url)).collect();
        let result = client.post(post).await;
        Answer::of(result, self.preset.rules(), &self.success_statuses, &secrets)
    }

    /// The request without its secrets, for `--dry-run`.
    pub(crate) fn show(&self, delivery: &Delivery) -> String {
        let mut shown = format!("POST {}\n", Address::new(self.url.as_str()));
        let mut line = |name: &str, value: &str| {
            writeln!(shown, "{name}: {value}").expect("a String takes every write");
        };
        for (name, value) in self.headers(delivery, 0) {
            let value = if name == "webhook-timestamp" { "(time of the attempt)" } else { &value };
            line(name, value);
        }
        if self.signing.is_set() {
            line("webhook-signature", "v1,***");
        }
        if self.token.is_set() {
            line("authorization", "Bearer ***");
        }
        let body = self.render(delivery);
        format!("{shown}\n{}\n", String::from_utf8_lossy(&body))
    }

    fn headers(&self, delivery: &Delivery, timestamp: i64) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", delivery.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
            ("idempotency-key", delivery.id.clone()),
        ];
        if let Some(name) = self.preset.rules().id_header {
            headers.push((name, delivery.id.clone()));
        }
        headers
    }

    async fn keys(&self) -> Result<Option<Keys>, String> {
        let text = self.signing.read().await;
        let text = text.map_err(|why| format!("secret_file: {}", with_causes(&why)))?;
        let keys = text.map(|text| Keys::parse(text.expose())).transpose();
        keys.map_err(|why| format!("signing secret: {why}"))
    }
}
