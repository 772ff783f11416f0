//! The address that people know us by: checked when the configuration is read.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

/// An `http` or `https` URL with a host, without a query; shown without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ExternalUrl(Url);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0} is not an http or https URL such as https://driftd.example")]
pub struct BadUrl(String);

impl BadUrl {
    /// What stands before an `@` may be a password.
    fn of(text: &str) -> Self {
        match text.contains('@') {
            true => Self("what stands there, with a user name or password,".to_owned()),
            false => Self(format!("`{text}`")),
        }
    }
}

impl ExternalUrl {
    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl TryFrom<String> for ExternalUrl {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        let usable = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        };
        match Url::parse(&text) {
            Ok(url) if usable(&url) => Ok(Self(url)),
            Ok(_) | Err(_) => Err(BadUrl::of(&text)),
        }
    }
}

impl From<ExternalUrl> for String {
    fn from(url: ExternalUrl) -> Self {
        url.to_string()
    }
}

/// Every link is this with a path behind it.
impl fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_link_can_begin_with_is_taken() {
        let read = |text: &str| ExternalUrl::try_from(text.to_owned()).map(String::from);
        assert_eq!(read("https://driftd.example/"), Ok("https://driftd.example".to_owned()));
        assert_eq!(read("http://h:8080/base"), Ok("http://h:8080/base".to_owned()));
        for bad in ["driftd.example", "ftp://h", "https://", "https://h?q", "https://u:p@h", ""] {
            assert_eq!(read(bad), Err(BadUrl::of(bad)), "{bad}");
        }
    }
}
