//! `notifiers:` as it is written: the destinations that people read.

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

/// Where people are told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Notifiers {
    /// Incoming webhooks of Slack, or of anything that takes the same messages.
    pub slack: Option<Slack>,
}

/// Slack's incoming webhooks; each posts to the one channel that it was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Slack {
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

impl Notifiers {
    /// Everything that can be said without reading a file or reaching anything.
    pub fn check(&self) -> Vec<Fault> {
        self.slack.iter().flat_map(Slack::check).collect()
    }

    /// What only the files themselves can show.
    pub fn check_files(&self, client: &Client) -> Vec<Fault> {
        self.slack.iter().flat_map(|slack| slack.check_files(client)).collect()
    }

    /// Whether something is configured that posts to this Slack channel.
    pub fn reaches(&self, channel: &str) -> bool {
        self.slack.as_ref().is_some_and(|slack| slack.webhook(channel).is_some())
    }
}

impl Slack {
    fn check(&self) -> Vec<Fault> {
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
        if self.channels.is_empty() && !self.default_webhook().is_set() {
            let message = "set `webhook_url`, `webhook_url_file` or `channels`";
            faults.push(Fault::new("slack", message));
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

    fn check_files(&self, client: &Client) -> Vec<Fault> {
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

    fn default_webhook(&self) -> Credential {
        Credential::of(self.webhook_url.as_ref(), self.webhook_url_file.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifiers(value: serde_json::Value) -> Notifiers {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_channel_has_its_own_webhook_or_the_default_one() {
        let own =
            serde_json::json!({"slack": {"channels": {"ml": {"webhook_url": "https://a/x"}}}});
        let own = notifiers(own);
        assert_eq!(own.check(), []);
        assert!(own.reaches("ml") && !own.reaches("ops"));
        let all = notifiers(serde_json::json!({"slack": {"webhook_url_file": "/run/slack"}}));
        assert!(all.reaches("ml") && all.reaches("ops"));
        assert!(!Notifiers::default().reaches("ml"));
    }

    #[test]
    fn faults_name_the_channel_and_never_the_url() {
        let bad = notifiers(serde_json::json!({"slack": {
            "webhook_url": "http://hooks/T0/SECRET",
            "channels": {"ml": {}},
        }}));
        let faults = bad.check();
        assert_eq!(faults.len(), 2, "{faults:?}");
        let told: String = faults.iter().map(ToString::to_string).collect();
        assert!(told.contains("`ml`") && told.contains("allow_http"), "{told}");
        assert!(!format!("{told}{bad:?}").contains("SECRET"));
        assert_eq!(notifiers(serde_json::json!({"slack": {}})).check().len(), 1);
    }
}
