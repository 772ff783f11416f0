//! `notifiers.slack` as it is written: a token or webhooks, and the channels that they reach.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client;
use crate::client::Client;
use crate::client::with_causes;
use crate::decide::Audience;
use crate::deliver::credential::Credential;
use crate::deliver::trigger::Fault;
use crate::setting::Secret;
use crate::setting::Span;

/// Slack: an app's token, which reaches every channel that the app is in and keeps an incident in one thread;
/// or incoming webhooks, of which each posts to the one channel that it was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Slack {
    /// Bot token (`xoxb-`) with the scope `chat:write`.
    pub token: Option<Secret>,
    /// File with that token, read again for every message.
    pub token_file: Option<PathBuf>,
    /// Where Slack's API is.
    pub api: String,
    /// Webhook URL for every `slack://` channel that is not listed under `channels`.
    pub webhook_url: Option<Secret>,
    /// File with that URL, read again for every message.
    pub webhook_url_file: Option<PathBuf>,
    /// Webhooks by channel, without `#`.
    pub channels: BTreeMap<String, SlackChannel>,
    /// Send only what this audience needs; by default everything.
    pub audience: Option<Audience>,
    /// Allow a plain `http://` webhook.
    pub allow_http: bool,
    /// Longest wait for an answer.
    pub timeout: Span,
    /// PEM file of certificate authorities trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// The webhook of one channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlackChannel {
    /// Webhook URL of this channel.
    pub webhook_url: Option<Secret>,
    /// File with the URL, read again for every message.
    pub webhook_url_file: Option<PathBuf>,
}

impl Default for Slack {
    fn default() -> Self {
        Self {
            token: None,
            token_file: None,
            api: "https://slack.com/api".to_owned(),
            webhook_url: None,
            webhook_url_file: None,
            channels: BTreeMap::new(),
            audience: None,
            allow_http: false,
            timeout: Span::from_secs(10),
            ca_file: None,
        }
    }
}

impl Slack {
    pub(super) fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let own = (self.webhook_url.as_ref(), self.webhook_url_file.as_ref());
        faults.extend(self.check_webhook("the default", own));
        for (name, channel) in &self.channels {
            let place = format!("channel `{name}`");
            let own = (channel.webhook_url.as_ref(), channel.webhook_url_file.as_ref());
            if own == (None, None) {
                let message = format!("{place} has neither `webhook_url` nor `webhook_url_file`");
                faults.push(Fault::new("slack.channels", message));
            }
            faults.extend(self.check_webhook(&place, own));
        }
        if self.channels.is_empty() && !self.default_webhook().is_set() && !self.token().is_set() {
            let message = "set `token_file`, `webhook_url`, `webhook_url_file` or `channels`";
            faults.push(Fault::new("slack", message));
        }
        if self.token.is_some() && self.token_file.is_some() {
            faults.push(Fault::new("slack.token_file", "set either `token` or `token_file`"));
        }
        if let Err(why) = client::parse_url(&self.api, self.allow_http) {
            faults.push(Fault::new("slack.api", why.to_string()));
        }
        if self.timeout.0.is_zero() {
            faults.push(Fault::new("slack.timeout", "must be longer than 0s"));
        }
        faults
    }

    fn check_webhook(
        &self,
        place: &str,
        (url, file): (Option<&Secret>, Option<&PathBuf>),
    ) -> Option<Fault> {
        if url.is_some() && file.is_some() {
            let message = format!("{place}: set either `webhook_url` or `webhook_url_file`");
            return Some(Fault::new("slack.webhook_url_file", message));
        }
        let why = client::parse_url(url?.expose(), self.allow_http).err()?;
        Some(Fault::new("slack.webhook_url", format!("{place}: {why}")))
    }

    pub(super) fn check_files(&self, client: &Client) -> Vec<Fault> {
        let mut faults = Vec::new();
        let files = self.channels.values().filter_map(|channel| channel.webhook_url_file.as_ref());
        for file in self.webhook_url_file.iter().chain(files) {
            match Credential::File(file.clone()).read_blocking() {
                Ok(Some(url)) => {
                    if let Err(why) = client::parse_url(url.expose(), self.allow_http) {
                        let message = format!("{}: {why}", file.display());
                        faults.push(Fault::new("slack.webhook_url_file", message));
                    }
                }
                Ok(None) => {}
                Err(why) => faults.push(Fault::new("slack.webhook_url_file", with_causes(&why))),
            }
        }
        if self.token_file.is_some()
            && let Err(why) = self.token().read_blocking()
        {
            faults.push(Fault::new("slack.token_file", with_causes(&why)));
        }
        if let Some(path) = &self.ca_file
            && let Err(why) = client.with_ca_file(path)
        {
            faults.push(Fault::new("slack.ca_file", with_causes(&why)));
        }
        faults
    }

    /// The webhook that posts to `channel`: its own, or the default one.
    pub(crate) fn webhook(&self, channel: &str) -> Option<Credential> {
        let credential = match self.channels.get(channel) {
            Some(own) => Credential::of(own.webhook_url.as_ref(), own.webhook_url_file.as_ref()),
            None => self.default_webhook(),
        };
        credential.is_set().then_some(credential)
    }

    pub(crate) fn token(&self) -> Credential {
        Credential::of(self.token.as_ref(), self.token_file.as_ref())
    }

    fn default_webhook(&self) -> Credential {
        Credential::of(self.webhook_url.as_ref(), self.webhook_url_file.as_ref())
    }
}
