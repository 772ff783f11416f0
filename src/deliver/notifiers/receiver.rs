//! Receivers of messages other than Slack, as they are written.

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

/// One receiver: where it is, and who asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Receiver {
    /// Its URL; for PagerDuty and Opsgenie the API of another region.
    pub url: Option<Secret>,
    /// File with the URL, where that is a secret; read again for every message, but for `webhook` once, at
    /// the start.
    pub url_file: Option<PathBuf>,
    /// PagerDuty's routing key, Opsgenie's API key, else a bearer token.
    pub key: Option<Secret>,
    /// File with that key, read again for every message.
    pub key_file: Option<PathBuf>,
    /// Send only what this audience needs; by default everything.
    pub audience: Option<Audience>,
    /// Allow a plain `http://` URL.
    pub allow_http: bool,
    /// Longest wait for an answer.
    pub timeout: Span,
    /// PEM file of certificate authorities trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            key: None,
            key_file: None,
            audience: None,
            allow_http: false,
            timeout: Span::from_secs(10),
            ca_file: None,
        }
    }
}

/// Alertmanager: every instance is sent every alert, as Prometheus does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alertmanager {
    /// The instances' addresses, such as `http://alertmanager:9093`.
    pub urls: Vec<String>,
    /// More labels on every alert.
    pub labels: BTreeMap<String, String>,
    /// Bearer token.
    pub token: Option<Secret>,
    /// File with that token, read again for every message.
    pub token_file: Option<PathBuf>,
    /// Send only what this audience needs; by default everything.
    pub audience: Option<Audience>,
    /// Allow plain `http://` URLs.
    pub allow_http: bool,
    /// PEM file of certificate authorities trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// What a receiver must have written.
#[derive(Clone, Copy)]
pub(super) struct Needs {
    /// `pagerduty`, ...
    pub(super) name: &'static str,
    pub(super) url: bool,
    pub(super) key: bool,
}

impl Receiver {
    pub(crate) fn url(&self) -> Credential {
        Credential::of(self.url.as_ref(), self.url_file.as_ref())
    }

    pub(crate) fn key(&self) -> Credential {
        Credential::of(self.key.as_ref(), self.key_file.as_ref())
    }

    pub(super) fn check(&self, needs: Needs) -> Vec<Fault> {
        let mut faults = Vec::new();
        let at = |key: &str| format!("{}.{key}", needs.name);
        if needs.url && !self.url().is_set() {
            faults.push(Fault::new(at("url"), "`url` is missing (or `url_file`)"));
        }
        if needs.key && !self.key().is_set() {
            faults.push(Fault::new(at("key_file"), "`key_file` is missing (or `key`)"));
        }
        if self.url.is_some() && self.url_file.is_some() {
            faults.push(Fault::new(at("url_file"), "set either `url` or `url_file`"));
        }
        if self.key.is_some() && self.key_file.is_some() {
            faults.push(Fault::new(at("key_file"), "set either `key` or `key_file`"));
        }
        if let Some(url) = &self.url
            && let Err(why) = client::parse_url(url.expose(), self.allow_http)
        {
            faults.push(Fault::new(at("url"), why.to_string()));
        }
        if self.timeout.0.is_zero() {
            faults.push(Fault::new(at("timeout"), "must be longer than 0s"));
        }
        faults
    }

    pub(super) fn check_files(&self, name: &str, client: &Client) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (key, file) in [("url_file", &self.url_file), ("key_file", &self.key_file)] {
            if let Some(file) = file
                && let Err(why) = Credential::File(file.clone()).read_blocking()
            {
                faults.push(Fault::new(format!("{name}.{key}"), with_causes(&why)));
            }
        }
        faults.extend(check_ca(name, self.ca_file.as_ref(), client));
        faults
    }
}

impl Alertmanager {
    pub(crate) fn token(&self) -> Credential {
        Credential::of(self.token.as_ref(), self.token_file.as_ref())
    }

    pub(super) fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.urls.is_empty() {
            let message = "`urls` is missing: the address of every instance";
            faults.push(Fault::new("alertmanager.urls", message));
        }
        for url in &self.urls {
            if let Err(why) = client::parse_url(url, self.allow_http) {
                faults.push(Fault::new("alertmanager.urls", why.to_string()));
            }
        }
        let is_label = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        for name in self.labels.keys().filter(|name| !is_label(name)) {
            let message = format!("`{name}` is no label: letters, digits and _ make one");
            faults.push(Fault::new(format!("alertmanager.labels.{name}"), message));
        }
        if self.token.is_some() && self.token_file.is_some() {
            faults
                .push(Fault::new("alertmanager.token_file", "set either `token` or `token_file`"));
        }
        faults
    }

    pub(super) fn check_files(&self, client: &Client) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.token_file.is_some()
            && let Err(why) = self.token().read_blocking()
        {
            faults.push(Fault::new("alertmanager.token_file", with_causes(&why)));
        }
        faults.extend(check_ca("alertmanager", self.ca_file.as_ref(), client));
        faults
    }
}

fn check_ca(name: &str, path: Option<&PathBuf>, client: &Client) -> Option<Fault> {
    let why = client.with_ca_file(path?).err()?;
    Some(Fault::new(format!("{name}.ca_file"), with_causes(&why)))
}
