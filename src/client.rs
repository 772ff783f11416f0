//! The one HTTP client: where it refuses to connect, how long it waits, and what it never prints.
//!
//! Redirects are never followed, the environment's proxies are not used, and link-local and cloud
//! metadata addresses are refused both as literals and in the resolver, so that no name can lead
//! there. A path or query may be a secret (a Slack webhook's is), so nothing here prints more than
//! scheme and host.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Proxy;
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use crate::client::address::{Sifted, check_url, system_lookup};
use crate::client::files::Files;
use crate::setting::Secret;
use crate::setting::Span;

mod address;
mod files;
mod probe;
mod request;

pub use address::{Lookup, Refused, hidden, is_refused, parse_url, shown};
pub use files::FileError;
pub use probe::probe;
pub use request::{Request, Response};

/// An answer's body is read up to here; what follows is dropped with its connection.
pub const MAX_BODY: usize = 64 * 1024;

/// A connection that idles longer than this is more likely to be dead than useful.
const IDLE: Duration = Duration::from_secs(30);

/// How this daemon reaches HTTP servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Span,
    /// PEM file of certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate, for servers that ask for one, and what is between it and its
    /// authority; read again when it changes.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key of `cert_file`.
    pub key_file: Option<PathBuf>,
    /// URL of the proxy of all these requests; the environment's proxy is not used for them.
    /// The proxy then resolves the targets' names, and has to refuse metadata addresses itself.
    pub proxy: Option<Secret>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Span::from_secs(10),
            ca_file: None,
            cert_file: None,
            key_file: None,
            proxy: None,
        }
    }
}

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the proxy's URL is not usable")]
    BadProxy,
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    #[error("{place}: a header has a value that HTTP cannot carry: {header}")]
    Header { place: String, header: String },
    #[error("{place} is refused: {why}")]
    Refused { place: String, why: Refused },
    #[error("{place} did not answer in time ({})", Span(*after))]
    Timeout { place: String, after: Duration },
    #[error("cannot connect to {place}{hint}: {cause}")]
    Connect { place: String, cause: String, hint: &'static str },
    #[error("no answer from {place}{hint}: {cause}")]
    Broken { place: String, cause: String, hint: &'static str },
}

/// Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    config: ClientConfig,
    lookup: Lookup,
    current: Arc<Mutex<Current>>,
}

/// What certificates make at the moment.
#[derive(Clone)]
struct Current {
    http: reqwest::Client,
    /// The system has no certificate authorities, which only an https URL will notice.
    rootless: bool,
    /// Of the files that it was made of.
    digest: [u8; 32],
}

/// One request. Header values may be secrets: they are sent, never shown.
pub struct Post {
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// From the first byte sent to the last one read.
    pub timeout: Duration,
}

impl Client {
    /// # Errors
    /// An unreadable CA file, an unusable proxy URL.
    pub fn new(config: &ClientConfig) -> Result<Self, Error> {
        Self::with_lookup(config, Arc::new(|host| Box::pin(system_lookup(host))))
    }

    /// As `new`, with another way to find a host's addresses.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_lookup(config: &ClientConfig, lookup: Lookup) -> Result<Self, Error> {
        let files = Files::read_blocking(config)?;
        let current = Arc::new(Mutex::new(connected(config, &lookup, &files)?));
        Ok(Self { config: config.clone(), lookup, current })
    }

    /// The same client, which also trusts the authorities of `path`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn with_ca_file(&self, path: &Path) -> Result<Self, Error> {
        let config = ClientConfig { ca_file: Some(path.to_owned()), ..self.config.clone() };
        Self::with_lookup(&config, self.lookup.clone())
    }

    /// The same client, which shows this certificate to servers that ask for one.
    ///
    /// # Errors
    /// A file cannot be read or holds nothing of use.
    pub fn with_certificate(&self, cert_file: &Path, key_file: &Path) -> Result<Self, Error> {
        let config = ClientConfig {
            cert_file: Some(cert_file.to_owned()),
            key_file: Some(key_file.to_owned()),
            ..self.config.clone()
        };
        Self::with_lookup(&config, self.lookup.clone())
    }

    /// With the certificates that the files hold now; with those from before while they can't be used.
    async fn current(&self) -> Current {
        let before = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !Files::are_named(&self.config) {
            return before;
        }
        let renewed = match Files::read(&self.config).await {
            Ok(files) if files.digest() == before.digest => return before,
            Ok(files) => connected(&self.config, &self.lookup, &files),
            Err(error) => Err(error.into()),
        };
        match renewed {
            Ok(renewed) => {
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = renewed.clone();
                renewed
            }
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(%error, "the certificates from before stay in use");
                before
            }
        }
    }

    /// Sends once and reads the answer, whatever its status.
    ///
    /// # Errors
    /// A refused address, or no answer: the place is named by scheme and host only.
    pub async fn post(&self, post: Post) -> Result<Response, Error> {
        let headers = header_map(post.headers)
            .map_err(|header| Error::Header { place: shown(&post.url), header })?;
        let Post { url, body, timeout, .. } = post;
        let request = |http: &reqwest::Client| http.post(url.clone()).headers(headers).body(body);
        self.send(&url, request, (timeout, MAX_BODY)).await
    }

    /// Asks for what is at a URL.
    ///
    /// # Errors
    /// As `post`.
    pub async fn get(&self, url: &Url, timeout: Duration) -> Result<Response, Error> {
        self.get_with(url, Vec::new(), timeout, MAX_BODY).await
    }

    /// Asks with headers for an answer of at most `most` bytes; errors as `post`.
    pub async fn get_with(
        &self,
        url: &Url,
        headers: Vec<(&'static str, String)>,
        timeout: Duration,
        most: usize,
    ) -> Result<Response, Error> {
        let headers =
            header_map(headers).map_err(|header| Error::Header { place: shown(url), header })?;
        let request = |http: &reqwest::Client| http.get(url.clone()).headers(headers);
        self.send(url, request, (timeout, most)).await
    }

    /// The client itself, for a library that asks `url` and others of its host by its own ways:
    /// addresses are refused and certificates trusted as by `get`.
    ///
    /// # Errors
    /// A refused address.
    pub fn lend(&self, url: &Url) -> Result<reqwest::Client, Error> {
        check_url(url).map_err(|why| Error::Refused { place: shown(url), why })?;
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(current.http.clone())
    }

    async fn send(
        &self,
        url: &Url,
        request: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder,
        (timeout, most): (Duration, usize),
    ) -> Result<Response, Error> {
        let place = shown(url);
        check_url(url).map_err(|why| Error::Refused { place: place.clone(), why })?;
        let current = self.current().await;
        let sent = request(&current.http).timeout(timeout).send().await;
        let mut response =
            sent.map_err(|error| explain(place, timeout, current.rootless, error))?;
        let mut body = BytesMut::new();
        while body.len() < most {
            let Ok(Some(chunk)) = response.chunk().await else { break };
            body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
        }
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let is_spent = header("x-ratelimit-remaining").is_some_and(|left| left == "0");
        Ok(Response {
            status: response.status().as_u16(),
            retry_after: header(RETRY_AFTER.as_str()),
            location: header(LOCATION.as_str()),
            rate_limit_reset: header("x-ratelimit-reset").filter(|_| is_spent),
            date: header(DATE.as_str()),
            body: body.freeze(),
        })
    }
}

/// A client of these settings with the certificates in `files`.
fn connected(config: &ClientConfig, lookup: &Lookup, files: &Files) -> Result<Current, Error> {
    let (certificates, identity) = (files.authorities(config)?, files.identity(config)?);
    let proxy = match &config.proxy {
        Some(url) => Some(Proxy::all(url.expose()).map_err(|_| Error::BadProxy)?),
        None => None,
    };
    let builder = || {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("driftd/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(config.connect_timeout.0)
            .pool_idle_timeout(IDLE)
            .dns_resolver(Sifted(lookup.clone()));
        if let Some(proxy) = &proxy {
            builder = builder.proxy(proxy.clone());
        }
        match &identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    };
    // Without any certificate authority the ordinary set-up fails, even for plain http.
    let (http, rootless) = match builder().tls_certs_merge(certificates).build() {
        Ok(http) => (http, false),
        Err(_) if config.ca_file.is_none() => {
            (builder().tls_certs_only([]).build().map_err(Error::Setup)?, true)
        }
        Err(source) => return Err(Error::Setup(source)),
    };
    Ok(Current { http, rootless, digest: files.digest() })
}

fn explain(place: String, after: Duration, rootless: bool, error: reqwest::Error) -> Error {
    let error = error.without_url();
    if let Some(why) = find::<Refused>(&error) {
        return Error::Refused { place, why: why.clone() };
    }
    if error.is_timeout() && !error.is_connect() {
        return Error::Timeout { place, after };
    }
    let cause = innermost(&error);
    let hint = remedy(&cause, rootless && place.starts_with("https"));
    if error.is_connect() {
        return Error::Connect { place, cause, hint };
    }
    Error::Broken { place, cause, hint }
}

/// What to do about a certificate that is not liked, here or there.
fn remedy(cause: &str, rootless: bool) -> &'static str {
    if rootless {
        return " (this system has no CA certificates; set `ca_file`)";
    }
    let remedies = [
        ("UnknownIssuer", " (`ca_file` must hold the authority of its certificate)"),
        ("not valid for name", " (its certificate must name the host of the URL)"),
        ("NotValidForName", " (its certificate must name the host of the URL)"),
        ("CertificateRequired", " (it asks for our certificate: set `cert_file` and `key_file`)"),
        ("CertificateExpired", " (our certificate in `cert_file` is to be renewed)"),
        ("UnknownCA", " (it does not trust the authority of our `cert_file`)"),
        ("BadCertificate", " (it does not take our certificate in `cert_file`)"),
        ("xpired", " (its certificate is to be renewed there)"),
    ];
    remedies.iter().find(|(sign, _)| cause.contains(sign)).map_or("", |(_, remedy)| remedy)
}

/// The name of the header on failure: its value may be a secret.
fn header_map(headers: Vec<(&'static str, String)>) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(&value).map_err(|_| name.to_owned())?;
        value.set_sensitive(true);
        map.insert(HeaderName::from_static(name), value);
    }
    Ok(map)
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The error and what caused it, in one line.
pub fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The outer layers only say that sending failed; the last one says why.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
