//! The bearer token of OAUTHBEARER: where every client gets it, and how long it lives.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

use crate::clock::now_ms;
use crate::kafka::Config;
use crate::kafka::OAuth;

/// How long a token is believed that does not say itself when it ends.
const OPAQUE_LIFETIME_MS: i64 = 300_000;

/// Where the clients of a configuration get their token: an endpoint, or a file that something else
/// keeps fresh.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    oauth: Option<OAuth>,
    file: Option<PathBuf>,
}

impl Source {
    pub(super) fn of(config: &Config) -> Self {
        Self { oauth: config.oauth.clone(), file: config.oauth_token_file.clone() }
    }

    /// A token of now; librdkafka asks again at four fifths of its life.
    pub(super) fn token(&self) -> Result<OAuthToken, String> {
        match (&self.oauth, &self.file) {
            (Some(oauth), _) => oauth.fetch(),
            (None, Some(path)) => read(path),
            (None, None) => Err("neither kafka.oauth nor kafka.oauth_token_file is set".to_owned()),
        }
    }
}

/// The claims of a JWT that matter here.
#[derive(Default, Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Option<String>,
    /// Seconds since the epoch.
    #[serde(default)]
    exp: Option<f64>,
}

fn read(path: &Path) -> Result<OAuthToken, String> {
    let text = fs::read_to_string(path).map_err(|error| {
        format!("kafka.oauth_token_file: can't read {}: {error}", path.display())
    })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(format!("kafka.oauth_token_file: {} is empty", path.display()));
    }
    Ok(of(token, None))
}

/// A token that an endpoint gave, which says that it lives for so many seconds.
pub(super) fn of(token: &str, expires_in: Option<f64>) -> OAuthToken {
    understood(token, expires_in, now_ms())
}

/// A JWT tells whose it is and when it ends; any other token is taken as it is.
fn understood(token: &str, expires_in: Option<f64>, now_ms: i64) -> OAuthToken {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Claims =
        claims.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and that is for ever")]
    let ms = |seconds: f64| (seconds * 1_000.0) as i64;
    let told = expires_in.map(|seconds| now_ms.saturating_add(ms(seconds)));
    let lifetime_ms = claims.exp.map(ms).or(told);
    OAuthToken {
        token: token.to_owned(),
        principal_name: claims.sub.unwrap_or_else(|| "driftd".to_owned()),
        lifetime_ms: lifetime_ms.unwrap_or(now_ms + OPAQUE_LIFETIME_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_says_whose_it_is_and_when_it_ends() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"system:driftd","exp":1700000000}"#);
        let token = understood(&format!("e30.{claims}.c2ln"), Some(1.0), 5);
        assert_eq!(
            (token.principal_name.as_str(), token.lifetime_ms),
            ("system:driftd", 1_700_000_000_000)
        );
    }

    #[test]
    fn an_opaque_token_lives_as_long_as_was_said_or_five_minutes() {
        let token = understood("opaque", None, 5);
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("driftd", 300_005));
        assert_eq!(understood("opaque", Some(60.0), 5).lifetime_ms, 60_005);
    }

    #[test]
    fn a_missing_token_file_is_named() {
        let error = read(Path::new("no/such/token")).map(|_| ()).unwrap_err();
        assert!(
            error.contains("kafka.oauth_token_file") && error.contains("no/such/token"),
            "{error}"
        );
    }
}
