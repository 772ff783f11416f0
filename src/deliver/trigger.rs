//! `retraining_trigger:` as it is written, and everything that can be wrong with it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::client;
use crate::client::Client;
use crate::client::with_causes;
use crate::deliver::credential::Credential;
use crate::deliver::preset::Preset;
use crate::deliver::sign::Keys;
use crate::deliver::slack;
use crate::deliver::template::Template;
use crate::setting::Secret;
use crate::setting::Span;

const ARGO_PATH: &str = "/api/v1/events/";

/// The call that starts the retraining pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// URL that takes the POST.
    pub webhook: Address,
    /// What kind of receiver it is; by default its path tells.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Bearer token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// File with the bearer token, read again at every attempt.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Standard Webhooks signing secret (`whsec_` and base64 of 24 to 64 bytes), or several while one replaces
    /// the other.
    #[serde(default)]
    pub secret: Option<SigningSecret>,
    /// File with the signing secrets, separated by white space, read again at every attempt.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Put the whole drift report into the body.
    #[serde(default)]
    pub include_drift_report: bool,
    /// Where people are told, such as `slack://ml-ops-alerts`.
    #[serde(default)]
    pub notification_channel: Option<String>,
    /// Allow a plain `http://` webhook.
    #[serde(default)]
    pub allow_http: bool,
    /// Decide and record, send nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Longest wait for an answer.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// PEM file of certificate authorities trusted besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate, for a receiver that asks for one; read again when it changes.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key of `cert_file`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Template of the body, JSON with placeholders such as `{{id}}`; by default the event itself.
    #[serde(default)]
    pub body: Option<String>,
    /// Statuses that mean success besides 2xx.
    #[serde(default)]
    pub success_statuses: Vec<u16>,
}

fn default_timeout() -> Span {
    Span::from_secs(30)
}

/// A URL whose path and query may be secrets: shown as scheme and host.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole URL, for the one place that sends to it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Argo's path is public and says which workflow starts; any other may be a secret.
    fn shown(&self) -> Cow<'static, str> {
        match Url::parse(self.0.trim()) {
            Ok(url) if argo_tail(&url).is_some() => {
                format!("{}{}", client::shown(&url), url.path()).into()
            }
            Ok(url) => format!("{}/***", client::shown(&url)).into(),
            Err(_) => "***".into(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SigningSecret {
    One(Secret),
    Several(Vec<Secret>),
}

/// Something wrong in a configuration: the key within its block, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: &'static str,
    pub message: String,
}

impl Fault {
    pub(crate) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Trigger {
    /// A trigger with every default, for `webhook`.
    pub fn new(webhook: impl Into<String>) -> Self {
        Self {
            webhook: Address::new(webhook),
            preset: None,
            token: None,
            token_file: None,
            secret: None,
            secret_file: None,
            include_drift_report: false,
            notification_channel: None,
            allow_http: false,
            dry_run: false,
            timeout: default_timeout(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            body: None,
            success_statuses: Vec::new(),
        }
    }

    /// Everything that can be said without reading a file or reaching anything.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        match client::parse_url(self.webhook.expose(), self.allow_http) {
            Ok(url) if self.preset_of(&url) == Preset::ArgoWorkflows => {
                faults.extend(check_argo_path(&url));
            }
            Ok(_) => {}
            Err(why) => faults.push(Fault::new("webhook", why.to_string())),
        }
        faults.extend(self.check_secrets());
        if self.cert_file.is_some() != self.key_file.is_some() {
            let message = "`cert_file` and `key_file` belong together: set both or neither";
            faults.push(Fault::new("cert_file", message));
        }
        if let Some(channel) = &self.notification_channel
            && let Err(message) = slack::parse_channel(channel)
        {
            faults.push(Fault::new("notification_channel", message));
        }
        if self.timeout.0.is_zero() {
            faults.push(Fault::new("timeout", "must be longer than 0s"));
        }
        if let Some(Err(messages)) = self.body.as_deref().map(Template::parse) {
            faults.extend(messages.into_iter().map(|message| Fault::new("body", message)));
        }
        for status in self.success_statuses.iter().filter(|status| !(200..600).contains(*status)) {
            let message = format!("{status} is not the status of an answer; they are 200 to 599");
            faults.push(Fault::new("success_statuses", message));
        }
        faults
    }

    fn check_secrets(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.token.is_some() && self.token_file.is_some() {
            faults.push(Fault::new("token_file", "set either `token` or `token_file`"));
        }
        if self.secret.is_some() && self.secret_file.is_some() {
            faults.push(Fault::new("secret_file", "set either `secret` or `secret_file`"));
        }
        if let Some(token) = &self.token {
            faults.extend(check_token("token", token));
        }
        if let Some(secret) = self.signing_text()
            && let Err(why) = Keys::parse(secret.expose())
        {
            faults.push(Fault::new("secret", why.to_string()));
        }
        faults
    }

    /// What only the files themselves can show: whether they are there and hold what they should.
    pub fn check_files(&self, client: &Client) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.token_file.is_some() {
            match self.token().read_blocking() {
                Ok(Some(token)) => faults.extend(check_token("token_file", &token)),
                Ok(None) => {}
                Err(why) => faults.push(Fault::new("token_file", with_causes(&why))),
            }
        }
        if self.secret_file.is_some() {
            match self.signing().read_blocking() {
                Ok(Some(text)) => {
                    if let Err(why) = Keys::parse(text.expose()) {
                        faults.push(Fault::new("secret_file", why.to_string()));
                    }
                }
                Ok(None) => {}
                Err(why) => faults.push(Fault::new("secret_file", with_causes(&why))),
            }
        }
        if let Some(path) = &self.ca_file
            && let Err(why) = client.with_ca_file(path)
        {
            faults.push(Fault::new("ca_file", with_causes(&why)));
        }
        if let (Some(cert), Some(key)) = (&self.cert_file, &self.key_file)
            && let Err(why) = client.with_certificate(cert, key)
        {
            faults.push(Fault::new("cert_file", with_causes(&why)));
        }
        faults
    }

    /// `client` with the certificates of this target.
    pub(crate) fn client(&self, client: &Client) -> Result<Client, client::Error> {
        let client = match &self.ca_file {
            Some(path) => client.with_ca_file(path)?,
            None => client.clone(),
        };
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => client.with_certificate(cert, key),
            _ => Ok(client),
        }
    }

    pub(crate) fn preset_of(&self, url: &Url) -> Preset {
        match self.preset {
            Some(preset) => preset,
            None if argo_tail(url).is_some() => Preset::ArgoWorkflows,
            None => Preset::StandardWebhook,
        }
    }

    pub(crate) fn token(&self) -> Credential {
        Credential::of(self.token.as_ref(), self.token_file.as_ref())
    }

    pub(crate) fn signing(&self) -> Credential {
        Credential::of(self.signing_text().as_ref(), self.secret_file.as_ref())
    }

    fn signing_text(&self) -> Option<Secret> {
        match self.secret.as_ref()? {
            SigningSecret::One(secret) => Some(secret.clone()),
            SigningSecret::Several(secrets) => {
                let texts: Vec<_> = secrets.iter().map(Secret::expose).collect();
                Some(Secret::new(texts.join("\n")))
            }
        }
    }
}

/// What follows `/api/v1/events/`; a server may live under a base path.
fn argo_tail(url: &Url) -> Option<&str> {
    url.path().split_once(ARGO_PATH).map(|(_, tail)| tail)
}

fn check_argo_path(url: &Url) -> Option<Fault> {
    let wanted = "Argo's event endpoint is /api/v1/events/{namespace}/{discriminator}";
    let message = match argo_tail(url)?.split('/').collect::<Vec<_>>()[..] {
        ["", ..] => format!("{wanted}: the namespace is missing"),
        [_] => format!("{wanted}: without a discriminator the path still ends in `/`"),
        [_, _] => return None,
        _ => format!("{wanted}, and nothing behind it"),
    };
    let escape = "if this is not Argo, set `preset: standard-webhook`";
    Some(Fault::new("webhook", format!("{message}; {escape}")))
}

fn check_token(key: &'static str, token: &Secret) -> Option<Fault> {
    let text = token.expose().trim();
    if text.is_empty() {
        return Some(Fault::new(key, "is empty"));
    }
    let sendable = text.bytes().all(|byte| byte.is_ascii_graphic());
    (!sendable).then(|| Fault::new(key, "must be one word of printable ASCII"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::client::ClientConfig;

    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn keys(faults: &[Fault]) -> Vec<&'static str> {
        faults.iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn the_block_that_teams_already_write_loads() {
        let trigger: Trigger = serde_json::from_value(serde_json::json!({
            "webhook": "https://argo-workflows.internal/api/v1/events/default/mlops-retrain",
            "include_drift_report": true,
            "notification_channel": "slack://ml-ops-alerts",
        }))
        .unwrap();
        assert_eq!(trigger.check(), []);
        assert_eq!(trigger.timeout, Span::from_secs(30));
        let url = Url::parse(trigger.webhook.expose()).unwrap();
        assert_eq!(trigger.preset_of(&url), Preset::ArgoWorkflows);
    }

    #[test]
    fn every_fault_is_told_at_once_and_no_secret_with_it() {
        let trigger = Trigger {
            token: Some(Secret::new("two words")),
            token_file: Some("t".into()),
            secret: Some(SigningSecret::Several(vec![Secret::new(KEY), Secret::new("hunter2")])),
            secret_file: Some("s".into()),
            notification_channel: Some("mailto:x".into()),
            timeout: Span::from_secs(0),
            body: Some("{{nope}}".into()),
            success_statuses: vec![42],
            ..Trigger::new("http://user:hunter3@a/path")
        };
        let faults = trigger.check();
        assert_eq!(
            keys(&faults),
            [
                "webhook",
                "token_file",
                "secret_file",
                "token",
                "secret",
                "notification_channel",
                "timeout",
                "body",
                "success_statuses"
            ]
        );
        let told: String = faults.iter().map(ToString::to_string).collect();
        let shown = format!("{told}{trigger:?}{}", serde_json::to_string(&trigger).unwrap());
        for secret in ["hunter", "two words", KEY] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }

    #[test]
    fn a_webhooks_path_is_shown_only_where_it_is_no_secret() {
        let shown = |url| format!("{:?}", Address::new(url));
        assert_eq!(shown("https://hooks.example/T0/XYZ?k=1"), "https://hooks.example/***");
        assert_eq!(shown("https://a/api/v1/events/ml/x?k=1"), "https://a/api/v1/events/ml/x");
        assert_eq!(shown("not a url, maybe a token"), "***");
    }

    #[test]
    fn argos_path_needs_namespace_and_discriminator() {
        let fault = |path: &str| Trigger::new(format!("https://a{path}")).check().pop();
        assert_eq!(fault("/api/v1/events/ml/retrain"), None);
        assert_eq!(fault("/api/v1/events/ml/"), None);
        assert_eq!(fault("/argo/api/v1/events/ml/"), None);
        assert!(fault("/api/v1/events/ml").unwrap().message.contains("ends in `/`"));
        assert!(fault("/api/v1/events/").unwrap().message.contains("namespace"));
        assert!(fault("/api/v1/events/a/b/c").unwrap().message.contains("nothing behind"));
        let other = Trigger {
            preset: Some(Preset::StandardWebhook),
            ..Trigger::new("https://a/api/v1/events/ml")
        };
        assert_eq!(other.check(), []);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = r#"{"webhook": "https://a/", "retries": 3}"#;
        assert!(serde_json::from_str::<Trigger>(text).unwrap_err().to_string().contains("retries"));
    }

    #[test]
    fn files_are_checked_for_what_they_hold() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).unwrap();
            Some(dir.path().join(name))
        };
        let client = Client::new(&ClientConfig::default()).unwrap();
        let good = Trigger {
            token_file: file("token", "abc\n"),
            secret_file: file("secret", &format!("{KEY}\n{KEY}\n")),
            ..Trigger::new("https://a/")
        };
        assert_eq!(good.check_files(&client), []);
        let bad = Trigger {
            token_file: file("empty", " \n"),
            secret_file: file("weak", "whsec_abcd"),
            ca_file: Some(dir.path().join("absent")),
            ..Trigger::new("https://a/")
        };
        assert_eq!(keys(&bad.check_files(&client)), ["token_file", "secret_file", "ca_file"]);
    }
}
