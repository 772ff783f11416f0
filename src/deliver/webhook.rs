//! The retraining trigger: one request whose body has the same bytes at every attempt, signed anew each time.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;
use url::form_urlencoded;

use crate::client;
use crate::client::Client;
use crate::client::Request;
use crate::client::Response;
use crate::client::with_causes;
use crate::decide::Announcement;
use crate::decide::Delivery;
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::plan::Plan;
use crate::deliver::preset::Preset;
use crate::deliver::provider::Auth;
use crate::deliver::rules::{Judgement, Overrides};
use crate::deliver::sign::Keys;
use crate::deliver::template;
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
    user: Option<String>,
    token: Credential,
    signing: Credential,
    confirm_token: Credential,
    include_drift_report: bool,
    own: Overrides,
    pub(crate) timeout: Duration,
    dry_run: bool,
    confirm: Option<bool>,
    /// The token that a log-in has given, until it is refused.
    session: Mutex<Option<Secret>>,
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
            user: trigger.user.clone(),
            token: trigger.token(),
            signing: trigger.signing(),
            confirm_token: trigger.confirm_token(),
            include_drift_report: trigger.include_drift_report,
            own: trigger.overrides(),
            timeout: trigger.timeout.0,
            dry_run: trigger.dry_run,
            confirm: trigger.confirm,
            session: Mutex::default(),
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
        let timestamp = attempt.now_ms.div_euclid(1000);
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
        let own = self.plan.own_headers(announcement);
        headers.extend(own.iter().cloned());
        let request = Request {
            method: self.plan.method.clone(),
            url: url.clone(),
            headers,
            body,
            timeout: self.timeout,
            most: client::MAX_BODY,
        };
        let (result, secrets) = self.with_access(client, request).await?;
        let reference = match &result {
            Ok(response) => {
                self.plan.run(&response.body, response.location.as_deref(), &delivery.id)
            }
            Err(_) => None,
        };
        let own = own.iter().map(|(_, value)| value.as_str()).chain(client::hidden(&url));
        let secrets: Vec<&str> = secrets.iter().map(Secret::expose).chain(own).collect();
        let answer = Answer::of(result, self.plan.provider.rules, &self.own, &secrets);
        let taken = matches!(answer.judgement, Judgement::Accepted | Judgement::AlreadyThere);
        Ok(Answer { reference: reference.filter(|_| taken), ..answer })
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
        let (result, secrets) = self.with_access(client, self.get(url)).await?;
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

    /// Sends with what says who asks; a token that a log-in has given is fetched anew once it is refused.
    pub(crate) async fn with_access(
        &self,
        client: &Client,
        request: Request,
    ) -> Result<(Result<Response, client::Error>, Vec<Secret>), Answer> {
        let unreadable = |why| Answer::misconfigured(format!("token_file: {}", with_causes(&why)));
        let Some(token) = self.token.read().await.map_err(unreadable)? else {
            return Ok((client.request(request).await, Vec::new()));
        };
        let mut secrets = vec![token.clone()];
        if let (Auth::Login(path), Some(user)) = (self.plan.provider.auth, &self.user) {
            let mut session = self.session.lock().await;
            for is_last in [false, true] {
                let fresh = session.is_none();
                if session.is_none() {
                    *session = Some(self.log_in(client, path, (user, &token)).await?);
                }
                let bearer = session.clone().expect("it was just filled");
                let sent = authorized(request.clone(), format!("Bearer {}", bearer.expose()));
                let result = client.request(sent).await;
                // Airflow says 403 of a token that has expired.
                let is_refusal = |response: &Response| matches!(response.status, 401 | 403);
                let refused = result.as_ref().is_ok_and(is_refusal);
                if refused {
                    *session = None;
                }
                if !refused || fresh || is_last {
                    secrets.push(bearer);
                    return Ok((result, secrets));
                }
            }
        }
        let result = match (self.plan.provider.auth, &self.user) {
            (Auth::Field(field), _) if request.method == "POST" => {
                let pair = form_urlencoded::Serializer::new(String::new())
                    .append_pair(field, token.expose())
                    .finish();
                let rest = String::from_utf8_lossy(&request.body);
                let body = Bytes::from(format!("{pair}&{rest}"));
                client.request(Request { body, ..request }).await
            }
            (Auth::Field(_), _) => client.request(request).await,
            (_, Some(user)) => {
                let pair = STANDARD.encode(format!("{user}:{}", token.expose()));
                secrets.push(Secret::new(pair.clone()));
                client.request(authorized(request, format!("Basic {pair}"))).await
            }
            (_, None) => {
                client.request(authorized(request, format!("Bearer {}", token.expose()))).await
            }
        };
        Ok((result, secrets))
    }

    async fn log_in(
        &self,
        client: &Client,
        path: &str,
        (user, password): (&str, &Secret),
    ) -> Result<Secret, Answer> {
        let announcement = template::sample();
        let url = self.plan.url(&format!("{{{{webhook}}}}{path}"), &announcement, None);
        let body = json!({ "username": user, "password": password.expose() });
        let request = Request {
            method: "POST".to_owned(),
            url: url.map_err(Answer::misconfigured)?,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into(),
            timeout: self.timeout,
            most: client::MAX_BODY,
        };
        let result = client.request(request).await;
        let token = result.as_ref().ok().filter(|response| response.status < 300);
        let token = token.and_then(|response| {
            let answer: Value = serde_json::from_slice(&response.body).ok()?;
            let known = ["access_token", "jwt_token"].into_iter();
            let found = known.filter_map(|key| answer.get(key)?.as_str()).next();
            found.map(Secret::new)
        });
        token.ok_or_else(|| {
            let own = Overrides::default();
            let answer = Answer::of(result, self.plan.provider.rules, &own, &[password.expose()]);
            let judgement = match answer.judgement {
                Judgement::Retry => Judgement::Retry,
                _ => Judgement::Slow,
            };
            Answer { judgement, detail: format!("logging in: {}", answer.detail), ..answer }
        })
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
        let body = match (self.token.is_set(), self.plan.provider.auth, &self.user) {
            (true, Auth::Field(field), _) => format!("{field}=***&{body}"),
            (true, Auth::Login(_), _) | (true, _, None) => {
                line("authorization", "Bearer ***");
                body
            }
            (true, _, Some(_)) => {
                line("authorization", "Basic ***");
                body
            }
            (false, _, _) => body,
        };
        format!("{shown}\n{body}\n")
    }

    async fn keys(&self) -> Result<Option<Keys>, String> {
        let text = self.signing.read().await;
        let text = text.map_err(|why| format!("secret_file: {}", with_causes(&why)))?;
        let keys = text.map(|text| Keys::parse(text.expose())).transpose();
        keys.map_err(|why| format!("signing secret: {why}"))
    }
}

fn authorized(mut request: Request, value: String) -> Request {
    request.headers.push(("authorization".to_owned(), value));
    request
}
