//! Which URLs and addresses are connected to: what is refused as a literal and in the resolver.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use url::{Host, Url};

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
    #[error(
        "{0} is a link-local or metadata address, or stands for none; it is never connected to"
    )]
    Address(IpAddr),
}

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How a host name becomes addresses; what it finds is still sifted for refused ones.
pub type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// Scheme, host and port: as much of a URL as may be printed.
pub fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// The parts of a URL that may be secrets: an answer that repeats them is not to be repeated.
pub fn hidden(url: &Url) -> impl Iterator<Item = &str> {
    [url.path(), url.query().unwrap_or_default()].into_iter().filter(|part| part.len() > 1)
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
pub(super) fn check_url(url: &Url) -> Result<(), Refused> {
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

/// Link-local (169.254.0.0/16, which holds most IPv4 metadata services, and `fe80::/10`), the metadata
/// services elsewhere, and the address that stands for none and leads to this machine, in whatever
/// form an IPv4 address is wrapped. Loopback and private networks are where webhooks live.
pub fn is_refused(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_refused_v4(ip),
        IpAddr::V6(ip) => {
            // AWS answers at several addresses of its /32: metadata, time, names, pod identities.
            let metadata = matches!(
                ip.segments(),
                [0xfd00, 0x0ec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
            );
            ip.is_unicast_link_local()
                || ip.is_unspecified()
                || metadata
                || wrapped_ipv4(ip).into_iter().flatten().any(is_refused_v4)
        }
    }
}

/// The metadata services of Alibaba, Oracle and Azure are outside of link-local.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

fn is_refused_v4(ip: Ipv4Addr) -> bool {
    ip.is_link_local() || ip.is_unspecified() || METADATA_V4.contains(&ip)
}

/// The IPv4 addresses that may be inside `::ffff:a.b.c.d`, `::a.b.c.d`, NAT64's `64:ff9b::a.b.c.d` and
/// its local `64:ff9b:1::/48` in either form, or 6to4's `2002:aabb:ccdd::`.
fn wrapped_ipv4(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let joined =
        |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match ip.segments() {
        // Loopback is `::1`, and none is `::`.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [joined(high, low), None],
        [0x64, 0xff9b, 1, first, second, third, high, low] => {
            [joined(high, low), joined(first, second << 8 | third >> 8)]
        }
        [0x2002, high, low, ..] => [joined(high, low), None],
        _ => [None, None],
    }
}

/// Drops refused addresses from what the lookup found; a name with no other is refused itself.
pub(super) struct Sifted(pub(super) Lookup);

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

pub(super) async fn system_lookup(host: String) -> io::Result<Vec<SocketAddr>> {
    // Port 0 stands for the URL's own.
    Ok(tokio::net::lookup_host((host, 0)).await?.collect())
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
            "[fd00:ec2::23]",
            "[fd20:ce::254]",
            "[64:ff9b:1::169.254.169.254]",
            "[64:ff9b:1:a9fe:a9:fe00::]",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "[::ffff:168.63.129.16]",
            "0.0.0.0",
            "0",
            "0x0.0",
            "[::]",
            "[::ffff:0.0.0.0]",
        ] {
            let parsed = parse_url(&format!("http://{host}/latest"), true);
            assert!(matches!(parsed, Err(Refused::Address(_))), "{host}: {parsed:?}");
        }
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "[fec0::1]", "[fd00:ec3::253]", "example"] {
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
}
