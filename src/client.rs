//! The one HTTP client: where it refuses to connect, how long it waits, and what it never prints.
//!
//! Redirects are never followed, the environment's proxies are not used, and link-local and cloud
//! metadata addresses are refused both as literals and in the resolver, so that no name can lead
//! there. A path or query may be a secret (a Slack webhook's is), so nothing here prints more than
//! scheme and host.

use std::error::Error as StdError;
use std::fs;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Proxy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::{Host, Url};

use crate::setting::Secret;
use crate::setting::Span;

/// An answer's body is read up to here; what follows is dropped with its connection.
pub const MAX_BODY: usize = 64 * 1024;

/// A connection that idles longer than this is more likely to be dead than useful.
const IDLE: Duration = Duration::from_secs(30);

/// How this daemon reaches HTTP servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Span,
    /// PEM file of certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// URL of the proxy that every request goes through; the environment's proxy is never used.
    /// The proxy then resolves the targets' names, and has to refuse metadata addresses itself.
    pub proxy: Option<Secret>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { connect_timeout: Span::from_secs(10), ca_file: None, proxy: None }
    }
}

/// Why a URL or an address is not connected to.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    #[error("not a URL: {0}")]
    Syntax(String),
    #[error("its scheme is `{0}`; only https (and http with `allow_http: true`) can be sent to")]
    Scheme(String),
    #[error("plain http needs `allow_http: true`, since anyone on the way can read and change it")]
    PlainHttp,
    #[error("a URL must not hold a user name or password; use a token, or a file with one")]
    Userinfo,
    #[error("it has no host")]
    NoHost,
    #[error("{0} is a link-local or metadata address, which is never connected to")]
    Address(IpAddr),
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot read the CA file {}", path.display())]
    ReadCa { path: PathBuf, source: io::Error },
    #[error("the CA file {} holds no usable PEM certificate", path.display())]
    BadCa { path: PathBuf, source: Option<reqwest::Error> },
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
    #[error("no answer from {place}: {cause}")]
    Broken { place: String, cause: String },
}

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How a host name becomes addresses; what it finds is still sifted for refused ones.
pub type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    config: ClientConfig,
    lookup: Lookup,
    /// The system has no certificate authorities, which only an https URL will notice.
    rootless: bool,
}

/// One request. Header values may be secrets: they are sent, never shown.
pub struct Post {
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// From the first byte sent to the last one read.
    pub timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The text of `Retry-After`.
    pub retry_after: Option<String>,
    /// At most `MAX_BODY` bytes, and fewer if the body stalled: the status is the answer.
    pub body: Bytes,
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
        let certificates = match &config.ca_file {
            Some(path) => read_certificates(path)?,
            None => Vec::new(),
        };
        let proxy = match &config.proxy {
            Some(url) => Some(Proxy::all(url.expose()).map_err(|_| Error::BadProxy)?),
            None => None,
        };
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("driftd/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_proxy()
                .connect_timeout(config.connect_timeout.0)
                .pool_idle_timeout(IDLE)
                .dns_resolver(Sifted(lookup.clone()));
            match &proxy {
                Some(proxy) => builder.proxy(proxy.clone()),
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
        Ok(Self { http, config: config.clone(), lookup, rootless })
    }

    /// The same client, which also trusts the authorities of `path`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn with_ca_file(&self, path: &Path) -> Result<Self, Error> {
        let config = ClientConfig { ca_file: Some(path.to_owned()), ..self.config.clone() };
        Self::with_lookup(&config, self.lookup.clone())
    }

    /// Sends once and reads the answer, whatever its status.
    ///
    /// # Errors
    /// A refused address, or no answer: the place is named by scheme and host only.
    pub async fn post(&self, post: Post) -> Result<Response, Error> {
        let headers = header_map(post.headers)
            .map_err(|header| Error::Header { place: shown(&post.url), header })?;
        let request = self.http.post(post.url.clone()).headers(headers).body(post.body);
        self.send(&post.url, request, (post.timeout, MAX_BODY)).await
    }

    /// Asks for what is at a URL.
    ///
    /// # Errors
    /// As `post`.
    pub async fn get(&self, url: &Url, timeout: Duration) -> Result<Response, Error> {
        self.send(url, self.http.get(url.clone()), (timeout, MAX_BODY)).await
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
        self.send(url, self.http.get(url.clone()).headers(headers), (timeout, most)).await
    }

    async fn send(
        &self,
        url: &Url,
        request: reqwest::RequestBuilder,
        (timeout, most): (Duration, usize),
    ) -> Result<Response, Error> {
        let place = shown(url);
        check_url(url).map_err(|why| Error::Refused { place: place.clone(), why })?;
        let sent = request.timeout(timeout).send().await;
        let mut response = sent.map_err(|error| self.explain(place, timeout, error))?;
        let mut body = BytesMut::new();
        while body.len() < most {
            let Ok(Some(chunk)) = response.chunk().await else { break };
            body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
        }
        let retry_after = response.headers().get(RETRY_AFTER);
        Ok(Response {
            status: response.status().as_u16(),
            retry_after: retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned),
            body: body.freeze(),
        })
    }

    fn explain(&self, place: String, after: Duration, error: reqwest::Error) -> Error {
        let error = error.without_url();
        if let Some(why) = find::<Refused>(&error) {
            return Error::Refused { place, why: why.clone() };
        }
        if error.is_timeout() && !error.is_connect() {
            return Error::Timeout { place, after };
        }
        let cause = innermost(&error);
        if error.is_connect() {
            let hint = if self.rootless && place.starts_with("https") {
                " (this system has no CA certificates; set `ca_file`)"
            } else {
                ""
            };
            return Error::Connect { place, cause, hint };
        }
        Error::Broken { place, cause }
    }
}

/// Scheme, host and port: as much of a URL as may be printed.
pub fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Reads a target's URL as an operator wrote it.
///
/// # Errors
/// What `check_url` refuses, and plain http unless it is allowed. The text is never repeated.
pub fn parse_url(text: &str, allow_http: bool) -> Result<Url, Refused> {
    let url = Url::parse(text.trim()).map_err(|error| Refused::Syntax(error.to_string()))?;
    check_url(&url)?;
    if url.scheme() == "http" && !allow_http {
        return Err(Refused::PlainHttp);
    }
    Ok(url)
}

/// An IP literal never reaches the resolver, so it is checked here.
fn check_url(url: &Url) -> Result<(), Refused> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::Userinfo);
    }
    let ip = match url.host() {
        None => return Err(Refused::NoHost),
        Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
    };
    if is_refused(ip) { Err(Refused::Address(ip)) } else { Ok(()) }
}

/// Link-local (169.254.0.0/16, which holds the IPv4 metadata services, and `fe80::/10`) and the
/// IPv6 metadata services of AWS and GCP, in whatever form an IPv4 address is wrapped.
pub fn is_refused(ip: IpAddr) -> bool {
    const AWS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    const GCP: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip == AWS
                || ip == GCP
                || wrapped_ipv4(ip).is_some_and(|ip| ip.is_link_local())
        }
    }
}

/// The IPv4 address inside `::ffff:a.b.c.d`, `::a.b.c.d`, NAT64's `64:ff9b::a.b.c.d` or 6to4's
/// `2002:aabb:ccdd::`.
fn wrapped_ipv4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

/// Drops refused addresses from what the lookup found; a name with no other is refused itself.
struct Sifted(Lookup);

impl Resolve for Sifted {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.0)(name.as_str().to_owned());
        Box::pin(async move {
            let (refused, usable): (Vec<_>, Vec<_>) =
                found.await?.into_iter().partition(|address| is_refused(address.ip()));
            match (usable.is_empty(), refused.first()) {
                (true, Some(address)) => Err(Refused::Address(address.ip()).into()),
                (true, None) => Err("the name has no address".into()),
                (false, _) => Ok(Box::new(usable.into_iter()) as Addrs),
            }
        })
    }
}

async fn system_lookup(host: String) -> io::Result<Vec<SocketAddr>> {
    // Port 0 stands for the URL's own.
    Ok(tokio::net::lookup_host((host, 0)).await?.collect())
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let pem = fs::read(path).map_err(|source| Error::ReadCa { path: path.to_owned(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(Error::BadCa { path: path.to_owned(), source: None }),
        Err(source) => Err(Error::BadCa { path: path.to_owned(), source: Some(source) }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_link_local_addresses_are_refused_in_every_notation() {
        for host in [
            "169.254.169.254",
            "0xA9FEA9FE",
            "2852039166",
            "0251.0376.0251.0376",
            "169.254.1",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:1]",
            "[::169.254.169.254]",
            "[::ffff:0:169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[2002:a9fe:a9fe::1]",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
        ] {
            let parsed = parse_url(&format!("http://{host}/latest"), true);
            assert!(matches!(parsed, Err(Refused::Address(_))), "{host}: {parsed:?}");
        }
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "[fec0::1]", "[fd00:ec2::253]", "example"] {
            assert!(parse_url(&format!("http://{host}/x"), true).is_ok(), "{host}");
        }
    }

    #[test]
    fn urls_that_carry_secrets_or_plain_text_are_refused() {
        assert_eq!(parse_url("http://a/x", false), Err(Refused::PlainHttp));
        assert_eq!(parse_url("https://u:p@a/x", false), Err(Refused::Userinfo));
        assert_eq!(parse_url("https://u@a/x", false), Err(Refused::Userinfo));
        assert_eq!(parse_url("ftp://a/x", true), Err(Refused::Scheme("ftp".into())));
        assert!(matches!(parse_url("hooks.slack.com/x", false), Err(Refused::Syntax(_))));
    }

    #[test]
    fn a_shown_url_has_no_path() {
        let url = Url::parse("https://hooks.example:8443/services/T0/B0/XYZ?token=abc#f").unwrap();
        assert_eq!(shown(&url), "https://hooks.example:8443");
    }

    #[test]
    fn a_bad_ca_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let client = Client::new(&ClientConfig::default()).unwrap();
        let missing = client.with_ca_file(&path).err().unwrap();
        assert!(matches!(missing, Error::ReadCa { .. }), "{missing}");
        fs::write(&path, "not a certificate").unwrap();
        let empty = client.with_ca_file(&path).err().unwrap();
        assert!(matches!(empty, Error::BadCa { .. }), "{empty}");
        assert!(empty.to_string().contains("ca.pem"));
    }
}
