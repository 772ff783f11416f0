//! Who may: the bearer token, a client certificate, loopback without either, and no foreign host names.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::http::connection::{ClientCertificate, Peer};
use crate::http::failures::Failures;
use crate::http::{App, Config, answer};

/// Bytes that a token needs at least.
pub(super) const TOKEN_MIN: usize = 32;

/// What the guard knows of the configuration, and of those who guess.
#[derive(Debug)]
pub(super) struct Gate {
    token_file: Option<PathBuf>,
    external_host: Option<String>,
    anyone_may_read: bool,
    failures: Mutex<Failures>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Absent,
    Wrong,
    /// Not looked at: too many wrong ones came from there.
    Late(Duration),
    Right,
}

impl Gate {
    pub(super) fn new(config: &Config) -> Self {
        let external_host = config.external_url.as_ref().map(|url| url.host().to_owned());
        Self {
            token_file: config.token_file.clone(),
            external_host,
            anyone_may_read: config.insecure_anyone_may_read,
            failures: Mutex::default(),
        }
    }

    async fn token(&self, peer: Peer, headers: &HeaderMap) -> Token {
        // Without a token of ours, one that a proxy adds means nothing.
        let Some(path) = &self.token_file else { return Token::Absent };
        let Some(given) = headers.get(AUTHORIZATION) else { return Token::Absent };
        let ip = peer.address.ip();
        if let Some(wait) = self.blocked(ip) {
            return Token::Late(wait);
        }
        let token = match read_token(path).await {
            Ok(token) if token.len() >= TOKEN_MIN => token,
            Ok(_) => {
                tracing::error!(file = %path.display(), "http.token_file has become too short");
                return Token::Wrong;
            }
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "http.token_file cannot be read");
                return Token::Wrong;
            }
        };
        let given = given.as_bytes();
        let bearer = given.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        if bearer && equal(given[7..].trim_ascii(), &token) {
            return Token::Right;
        }
        if self.failed(ip) {
            tracing::warn!(address = %ip, "too many bad tokens from there; one a second is looked at");
        }
        Token::Wrong
    }

    fn blocked(&self, ip: IpAddr) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.blocked(ip, Instant::now())
    }

    fn failed(&self, ip: IpAddr) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.note(ip, Instant::now())
    }

    /// A page from elsewhere can make a name of its own point at our address and then read the
    /// answers as its own; it cannot do that with an address, with `localhost`, or with our name.
    fn is_our_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
            return false;
        };
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok()
            || self.external_host.as_deref().is_some_and(|ours| name.eq_ignore_ascii_case(ours))
    }
}

/// Metrics: where client certificates are asked for, with one.
pub(super) async fn scraping(
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if peer.certificate == ClientCertificate::Missing {
        return no_certificate();
    }
    next.run(request).await
}

/// Reading: over loopback, with the token, or with a client certificate.
pub(super) async fn reading(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let gate = &app.0.gate;
    match (gate.token(peer, request.headers()).await, peer.certificate) {
        (Token::Late(wait), _) => answer::too_many(wait),
        (Token::Wrong, _) => unauthorized(),
        (_, ClientCertificate::Missing) => no_certificate(),
        // A page from elsewhere has neither a token nor a name that our certificate is for.
        (Token::Right, _) | (Token::Absent, ClientCertificate::Verified) => next.run(request).await,
        (Token::Absent, _) if !gate.is_our_host(request.headers()) => foreign_host(),
        (Token::Absent, _) if peer.is_loopback() || gate.anyone_may_read => next.run(request).await,
        (Token::Absent, _) if gate.token_file.is_some() => unauthorized(),
        (Token::Absent, _) => answer::error(
            StatusCode::FORBIDDEN,
            "reading from beyond loopback needs a bearer token, and http.token_file is not configured",
        ),
    }
}

/// Writing: with the token only, and with a client certificate where they are asked for.
pub(super) async fn writing(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let gate = &app.0.gate;
    if gate.token_file.is_none() {
        return answer::error(
            StatusCode::FORBIDDEN,
            "commands need a bearer token, and http.token_file is not configured",
        );
    }
    match (gate.token(peer, request.headers()).await, peer.certificate) {
        (Token::Late(wait), _) => answer::too_many(wait),
        (Token::Absent | Token::Wrong, _) => unauthorized(),
        (Token::Right, ClientCertificate::Missing) => no_certificate(),
        (Token::Right, _) => next.run(request).await,
    }
}

/// The token in the file, without the white space around it.
pub(super) async fn read_token(path: &Path) -> io::Result<Vec<u8>> {
    Ok(tokio::fs::read(path).await?.trim_ascii().to_vec())
}

fn unauthorized() -> Response {
    let mut response = answer::error(StatusCode::UNAUTHORIZED, "unauthorized");
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn no_certificate() -> Response {
    answer::error(
        StatusCode::FORBIDDEN,
        "a client certificate is needed, of an authority in this listener's client_ca_file",
    )
}

fn foreign_host() -> Response {
    answer::error(
        StatusCode::FORBIDDEN,
        "the Host of the request is not an address, localhost or that of http.external_url",
    )
}

/// Takes as long for tokens that differ early as for those that differ late: hashes of equal
/// length are compared to their ends.
fn equal(given: &[u8], token: &[u8]) -> bool {
    let (given, token) = (Sha256::digest(given), Sha256::digest(token));
    let differing = given.iter().zip(token.iter()).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ExternalUrl;

    fn gate(external_url: Option<&str>) -> Gate {
        let external_url = external_url.map(|url| ExternalUrl::try_from(url.to_owned()).unwrap());
        Gate::new(&Config { external_url, ..Config::default() })
    }

    fn ours(gate: &Gate, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        gate.is_our_host(&headers)
    }

    #[test]
    fn names_of_others_are_refused_and_addresses_are_not() {
        let gate = gate(Some("https://Driftd.Example/base"));
        for host in ["localhost", "LOCALHOST:9465", "127.0.0.1:9465", "[::1]:9465", "10.1.2.3"] {
            assert!(ours(&gate, host), "{host}");
        }
        assert!(ours(&gate, "driftd.example") && ours(&gate, "driftd.example:443"));
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", ":80"]
        {
            assert!(!ours(&gate, host), "{host}");
        }
        assert!(!gate.is_our_host(&HeaderMap::new()));
    }

    #[test]
    fn tokens_are_equal_only_whole() {
        assert!(equal(b"abc", b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!equal(other, b"abc"));
        }
    }
}
