//! `retraining_trigger:` as it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::client;
use crate::client::Client;
use crate::deliver::credential::Credential;
use crate::deliver::github_app::GithubApp;
use crate::deliver::preset::Preset;
use crate::deliver::preset::argo;
use crate::deliver::rules::Overrides;
use crate::setting::Secret;
use crate::setting::Span;

mod check;

/// The call that starts the retraining pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// URL that takes the request; for a preset that knows the path, where its API is.
    #[serde(default)]
    pub webhook: Address,
    /// What kind of receiver it is; by default its path tells.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// What the preset needs to know, such as `dag_id` or `repository`.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// What the pipeline is given, by name: texts with placeholders such as `{{id}}`. It replaces what
    /// the preset gives.
    #[serde(default)]
    pub parameters: Option<BTreeMap<String, String>>,
    /// User name: the token is its password or API token then.
    #[serde(default)]
    pub user: Option<String>,
    /// Bearer token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// File with the bearer token, read again at every attempt.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// A GitHub App that asks in place of a token, for the two presets of GitHub Actions.
    #[serde(default)]
    pub github_app: Option<GithubApp>,
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
    /// The same as `drift_config.dry_run`: nothing is sent about this model, to people neither.
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
    /// Ask how the run went; by default where the preset can, without more rights than the trigger has.
    #[serde(default)]
    pub confirm: Option<bool>,
    /// Token for asking, where the trigger's own may not read (GitLab).
    #[serde(default)]
    pub confirm_token: Option<Secret>,
    /// File with that token, read again each time.
    #[serde(default)]
    pub confirm_token_file: Option<PathBuf>,
    /// Method of the request, for `preset: custom`; by default POST.
    #[serde(default)]
    pub method: Option<String>,
    /// More headers: values with placeholders, never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Template of the body, JSON with placeholders such as `{{id}}`; by default the preset's.
    #[serde(default)]
    pub body: Option<String>,
    /// Statuses that mean success besides 2xx.
    #[serde(default)]
    pub success_statuses: Vec<u16>,
    /// Statuses after which no attempt is made again.
    #[serde(default)]
    pub permanent_statuses: Vec<u16>,
    /// Answers that mean that an earlier attempt has succeeded.
    #[serde(default)]
    pub already_there: Vec<AlreadyThere>,
}

/// An answer that means that an earlier attempt has succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlreadyThere {
    /// Its status.
    pub status: u16,
    /// Text that its body must hold.
    #[serde(default)]
    pub contains: String,
}

fn default_timeout() -> Span {
    Span::from_secs(30)
}

/// A URL whose path and query may be secrets: shown as scheme and host.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
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
            Err(_) if self.0.is_empty() => "".into(),
            Ok(url) if argo::tail(&url).is_some() => {
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
    pub key: Cow<'static, str>,
    pub message: String,
}

impl Fault {
    pub(crate) fn new(key: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
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
            with: BTreeMap::new(),
            parameters: None,
            user: None,
            token: None,
            token_file: None,
            github_app: None,
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
            confirm: None,
            confirm_token: None,
            confirm_token_file: None,
            method: None,
            headers: BTreeMap::new(),
            body: None,
            success_statuses: Vec::new(),
            permanent_statuses: Vec::new(),
            already_there: Vec::new(),
        }
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
            None if argo::tail(url).is_some() => Preset::ArgoWorkflows,
            None => Preset::StandardWebhook,
        }
    }

    /// What the operator counts otherwise than the preset.
    pub(crate) fn overrides(&self) -> Overrides {
        let already = self.already_there.iter();
        Overrides {
            success: self.success_statuses.clone(),
            permanent: self.permanent_statuses.clone(),
            already: already.map(|known| (known.status, known.contains.clone())).collect(),
        }
    }

    pub(crate) fn confirm_token(&self) -> Credential {
        Credential::of(self.confirm_token.as_ref(), self.confirm_token_file.as_ref())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::client::{Client, ClientConfig};

    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn keys(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.key.as_ref()).collect()
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
