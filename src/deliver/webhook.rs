//! The retraining trigger: one request whose body has the same bytes at every attempt, signed anew each time.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use crate::client;
use crate::client::Client;
use crate::client::Request;
use crate::client::with_causes;
use crate::decide::Announcement;
use crate::decide::Delivery;
use crate::deliver::access::{Access, Caller};
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::plan::Plan;
use crate::deliver::preset::Preset;
use crate::deliver::rules::{Judgement, Overrides};
use crate::deliver::sign::Keys;
use crate::deliver::trigger::Address;
use crate::deliver::trigger::Fault;
use crate::deliver::trigger::Trigger;
use crate::setting::Secret;

/// Lists of runs are longer than answers.
const MOST: usize = 4 * 1024 * 1024;

/// A trigger that is ready to send.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) plan: Plan,
    pub(crate) access: Access,
    signing: Credential,
    confirm_token: Credential,
    include_drift_report: bool,
    own: Overrides,
    pub(crate) timeout: Duration,
    dry_run: bool,
    confirm: Option<bool>,
}

/// What an attempt needs beside the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) n: u32,
    pub(crate) now_ms: i64,
}

impl Webhook {
    /// # Errors
    /// What `Trigger::check` finds.
    pub(crate) fn new(trigger: &Trigger) -> Result<Self, Vec<Fault>> {
        let faults = trigger.check();
        if !faults.is_empty() {
            return Err(faults);
        }
        let home = trigger.address().expect("`check` parsed it");
        Ok(Self {
            plan: Plan::new(trigger, &home)?,
            access: Access::of(trigger),
            signing: trigger.signing(),
            confirm_token: trigger.confirm_token(),
            include_drift_report: trigger.include_drift_report,
            own: trigger.overrides(),
            timeout: trigger.timeout.0,
            dry_run: trigger.dry_run,
            confirm: trigger.confirm,
        })
    }

    /// The body: a function of the delivery alone, so that a restart sends the same bytes again.
    pub(crate) fn render(&self, delivery: &Delivery) -> Bytes {
        let mut announcement = delivery.announcement.clone();
        if !self.include_drift_report {
            announcement.data.report = None;
        }
        self.plan.body(&announcement)
    }

    pub(crate) async fn send(
        &self,
        client: &Client,
        delivery: &Delivery,
        body: Bytes,
        attempt: Attempt,
    ) -> Answer {
        if self.dry_run {
            let detail = "nothing was sent: `dry_run` is set".to_owned();
            return Answer { judgement: Judgement::Stop, ..Answer::misconfigured(detail) };
        }
        match self.try_to_send(client, delivery, body, attempt).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    async fn try_to_send(
        &self,
        client: &Client,
        delivery: &Delivery,
        body: Bytes,
        attempt: Attempt,
    ) -> Result<Answer, Answer> {
        let announcement = &delivery.announcement;
        if let Some(known) = self.look_before_repeating(client, announcement, attempt).await? {
            return Ok(known);
        }
        let url = self.plan.target(announcement).map_err(Answer::misconfigured)?;
        let keys = self.keys().await.map_err(Answer::misconfigured)?;
        let request = |body| self.request(delivery, (&url, body), keys.as_ref(), attempt.now_ms);
        let caller = self.caller(client, attempt.now_ms);
        let (mut result, mut secrets) = self.access.send(caller, request(body.clone())).await?;
        let refused = result.as_ref().ok();
        if let Some(older) = refused.and_then(|response| self.plan.for_older(response, &body)) {
            (result, secrets) = self.access.send(caller, request(older)).await?;
        }
        let reference = match &result {
            Ok(response) => {
                self.plan.run(&response.body, response.location.as_deref(), &delivery.id)
            }
            Err(_) => None,
        };
        let own = self.plan.own_headers(announcement);
        let own = own.iter().map(|(_, value)| value.as_str()).chain(client::hidden(&url));
        let secrets: Vec<&str> = secrets.iter().map(Secret::expose).chain(own).collect();
        let answer = Answer::of(result, self.plan.provider.rules, &self.own, &secrets);
        let taken = matches!(answer.judgement, Judgement::Accepted | Judgement::AlreadyThere);
        let is_refused = !taken && answer.status.is_some();
        let detail = match self.access.name().filter(|_| is_refused) {
            Some(name) => format!("{}; asked as {name}", answer.detail),
            None => answer.detail,
        };
        Ok(Answer { detail, reference: reference.filter(|_| taken), ..answer })
    }

    /// The request that starts a run, but for what says who asks.
    fn request(
        &self,
        delivery: &Delivery,
        (url, body): (&Url, Bytes),
        keys: Option<&Keys>,
        now_ms: i64,
    ) -> Request {
        let announcement = &delivery.announcement;
        let timestamp = now_ms.div_euclid(1000);
        let mut headers = self.plan.headers(announcement);
        if self.plan.provider.standard_headers {
            headers.push(("webhook-timestamp".to_owned(), timestamp.to_string()));
        }
        if let Some(keys) = keys {
            headers
                .push(("webhook-signature".to_owned(), keys.sign(&delivery.id, timestamp, &body)));
            headers.push(("webhook-id".to_owned(), delivery.id.clone()));
            headers.push(("webhook-timestamp".to_owned(), timestamp.to_string()));
        }
        headers.extend(self.plan.own_headers(announcement));
        Request {
            method: self.plan.method.clone(),
            url: url.clone(),
            headers,
            body,
            timeout: self.timeout,
            most: client::MAX_BODY,
        }
    }

    /// The run that an earlier attempt has started although its answer was lost.
    async fn look_before_repeating(
        &self,
        client: &Client,
        announcement: &Announcement,
        attempt: Attempt,
    ) -> Result<Option<Answer>, Answer> {
        let Some(lookup) = &self.plan.provider.lookup else { return Ok(None) };
        if attempt.n == 1 && !lookup.always {
            return Ok(None);
        }
        let url = self.plan.url(lookup.url, announcement, None).map_err(Answer::misconfigured)?;
        let caller = self.caller(client, attempt.now_ms);
        let (result, secrets) = self.access.send(caller, self.get(url)).await?;
        let response = match result {
            Ok(response) if (200..300).contains(&response.status) => response,
            // Who may start a run may not always list them.
            Ok(response) if response.status < 500 && !lookup.always => return Ok(None),
            result => {
                let secrets: Vec<&str> = secrets.iter().map(Secret::expose).collect();
                let own = Overrides::default();
                let answer = Answer::of(result, self.plan.provider.rules, &own, &secrets);
                let detail = format!("asked whether it runs already: {}", answer.detail);
                return Err(Answer { detail, ..answer });
            }
        };
        let runs: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        Ok(self.plan.found(&runs, announcement).map(|run| Answer {
            status: Some(response.status),
            judgement: Judgement::AlreadyThere,
            detail: "an earlier attempt has started it".to_owned(),
            reference: Some(run),
            ..Answer::default()
        }))
    }

    pub(crate) fn get(&self, url: Url) -> Request {
        let headers = self.plan.provider.headers.iter().filter(|(name, _)| *name != "content-type");
        let texts = headers.filter(|(_, text)| !text.contains("{{"));
        Request {
            method: "GET".to_owned(),
            url,
            headers: texts.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            body: Bytes::new(),
            timeout: self.timeout,
            most: MOST,
        }
    }

    pub(crate) fn caller<'a>(&'a self, client: &'a Client, now_ms: i64) -> Caller<'a> {
        Caller { client, plan: &self.plan, timeout: self.timeout, now_ms }
    }

    /// The token for asking how the run went, where that is another one.
    pub(crate) async fn confirm_headers(&self) -> Result<Vec<(String, String)>, String> {
        let header = self.plan.provider.confirm.as_ref().and_then(|confirm| confirm.own_token);
        let token = self.confirm_token.read().await;
        let token = token.map_err(|why| format!("confirm_token_file: {}", with_causes(&why)))?;
        let pair = header.zip(token);
        Ok(pair
            .map(|(name, token)| (name.to_owned(), token.expose().to_owned()))
            .into_iter()
            .collect())
    }

    /// Whether the receiver is asked how the run went.
    pub(crate) fn confirms(&self) -> bool {
        let Some(confirm) = &self.plan.provider.confirm else { return false };
        let may_read = confirm.own_token.is_none() || self.confirm_token.is_set();
        self.confirm.unwrap_or(confirm.by_default && may_read) && !self.dry_run
    }

    /// The request without its secrets, for `--dry-run`.
    pub(crate) fn show(&self, delivery: &Delivery) -> String {
        let announcement = &delivery.announcement;
        let url = self.plan.target(announcement).expect("it was made once before");
        let url = match self.plan.preset {
            // Whoever configured the path may have meant it for a secret.
            Preset::StandardWebhook
            | Preset::CloudEvents
            | Preset::ArgoEvents
            | Preset::Custom
            | Preset::ArgoWorkflows => Address::new(url.as_str()).to_string(),
            _ => url.to_string(),
        };
        let mut shown = format!("{} {url}\n", self.plan.method);
        let mut line = |name: &str, value: &str| {
            writeln!(shown, "{name}: {value}").expect("a String takes every write");
        };
        let own = self.plan.own_headers(announcement);
        let headers = self.plan.headers(announcement);
        for (name, value) in headers.iter().filter(|(name, _)| own.iter().all(|(n, _)| n != name)) {
            line(name, value);
        }
        for (name, _) in &own {
            line(name, "***");
        }
        if self.plan.provider.standard_headers || self.signing.is_set() {
            line("webhook-timestamp", "(time of the attempt)");
        }
        if self.signing.is_set() {
            line("webhook-signature", "v1,***");
        }
        let body = String::from_utf8_lossy(&self.render(delivery)).into_owned();
        let (before, who, body) = self.access.show(&self.plan, body);
        if let Some(who) = who {
            line("authorization", who);
        }
        format!("{before}{shown}\n{body}\n")
    }

    async fn keys(&self) -> Result<Option<Keys>, String> {
        let text = self.signing.read().await;
        let text = text.map_err(|why| format!("secret_file: {}", with_causes(&why)))?;
        let keys = text.map(|text| Keys::parse(text.expose())).transpose();
        keys.map_err(|why| format!("signing secret: {why}"))
    }
}
