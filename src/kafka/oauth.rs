//! A bearer token from the endpoint that hands them out: OAuth 2.0's client credentials.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rdkafka::client::OAuthToken;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::client;
use crate::client::{Client, ClientConfig, Post, Response, shown, with_causes};
use crate::kafka::token;
use crate::setting::Secret;

/// Longest wait for a token; nothing else is polled meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of an endpoint's own word for what is wrong.
const WORD_MAX: usize = 60;

/// Where tokens come from, and who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// URL of the token endpoint; it is reached without `client.proxy`.
    pub token_url: String,
    /// Who asks.
    pub client_id: String,
    /// Its secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// File with the secret, read again for every token.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// What the token is to allow, as the endpoint calls it.
    #[serde(default)]
    pub scope: Option<String>,
    /// Whom the token is for, where the endpoint wants to know.
    #[serde(default)]
    pub audience: Option<String>,
    /// Allow a plain `http://` endpoint.
    #[serde(default)]
    pub allow_http: bool,
    /// PEM file of certificate authorities trusted besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    #[serde(default)]
    expires_in: Option<f64>,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
}

impl OAuth {
    /// What is wrong with it, by its key; the secret's file is not read.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        if let Err(why) = client::parse_url(&self.token_url, self.allow_http) {
            return Some(("token_url", why.to_string()));
        }
        if self.client_id.is_empty() {
            return Some(("client_id", "is empty".to_owned()));
        }
        if self.client_secret.is_some() == self.client_secret_file.is_some() {
            let message = "set either `client_secret` or `client_secret_file`";
            return Some(("client_secret_file", message.to_owned()));
        }
        None
    }

    /// Asks for a token, and waits at most ten seconds.
    pub(super) fn fetch(&self) -> Result<OAuthToken, String> {
        // librdkafka calls back on whatever thread polls; one that drives a runtime cannot wait.
        let oauth = self.clone();
        let asking = thread::Builder::new().name("kafka-token".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(oauth.ask()),
                Err(error) => Err(format!("kafka.oauth: {error}")),
            }
        });
        let asking = asking.map_err(|error| format!("kafka.oauth: no thread: {error}"))?;
        asking.join().unwrap_or_else(|_| Err("kafka.oauth: asking for a token failed".to_owned()))
    }

    async fn ask(&self) -> Result<OAuthToken, String> {
        let url = client::parse_url(&self.token_url, self.allow_http)
            .map_err(|why| format!("kafka.oauth.token_url: {why}"))?;
        let config = ClientConfig { ca_file: self.ca_file.clone(), ..ClientConfig::default() };
        let client = Client::new(&config)
            .map_err(|error| format!("kafka.oauth.ca_file: {}", with_causes(&error)))?;
        let secret = self.secret()?;
        let place = shown(&url);
        let post = Post {
            url,
            headers: vec![
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
                ("accept", "application/json".to_owned()),
                ("authorization", basic(&self.client_id, &secret)),
            ],
            body: self.form(),
            timeout: PATIENCE,
        };
        let answer = client.post(post).await;
        let answer = answer.map_err(|error| format!("kafka.oauth: {}", with_causes(&error)))?;
        understood(&place, &answer)
    }

    fn secret(&self) -> Result<String, String> {
        match (&self.client_secret, &self.client_secret_file) {
            (Some(secret), _) => Ok(secret.expose().to_owned()),
            (None, Some(path)) => match fs::read_to_string(path) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(error) => Err(format!(
                    "kafka.oauth.client_secret_file: can't read {}: {error}",
                    path.display()
                )),
            },
            (None, None) => Err("kafka.oauth has no client_secret_file".to_owned()),
        }
    }

    fn form(&self) -> Bytes {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        form.finish().into()
    }
}

/// RFC 6749 2.3.1: both parts are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret))))
}

fn understood(place: &str, answer: &Response) -> Result<OAuthToken, String> {
    if answer.status != 200 {
        let said = serde_json::from_slice(&answer.body).ok().map(|Denied { error }| error);
        // The standard's words are short and plain; anything else may be an echo.
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
        let word = said.filter(|said| said.len() <= WORD_MAX && said.chars().all(is_word));
        let word = word.map(|word| format!(" {word}")).unwrap_or_default();
        return Err(format!(
            "kafka.oauth: {place} answered {}{word}; check client_id, the client's secret, scope and audience",
            answer.status
        ));
    }
    match serde_json::from_slice::<Granted>(&answer.body) {
        Ok(granted) => Ok(token::of(&granted.access_token, granted.expires_in)),
        Err(_) => Err(format!("kafka.oauth: the answer of {place} holds no access_token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response { status, body: body.to_owned().into(), ..Response::default() }
    }

    #[test]
    fn names_and_secrets_are_encoded_before_they_are_joined() {
        let (_, encoded) =
            basic("a b", "c:d").split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), b"a+b:c%3Ad");
    }

    #[test]
    fn an_answer_is_a_token_or_a_sentence_that_repeats_nothing() {
        let token = understood("p", &answer(200, r#"{"access_token":"opaque","expires_in":60}"#));
        assert_eq!(token.unwrap().token, "opaque");
        let why = |status, body| understood("p", &answer(status, body)).map(|_| ()).unwrap_err();
        assert!(why(401, r#"{"error":"invalid_client"}"#).contains("401 invalid_client; check"));
        assert!(!why(400, r#"{"error":"you said Secret1"}"#).contains("Secret1"));
        assert!(why(200, "<html>Secret1").ends_with("holds no access_token"));
    }
}
