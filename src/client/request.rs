//! A request whose method and headers are configured, not written in the program, and any answer.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::client::Client;
use crate::client::Error;
use crate::client::shown;

/// One request. Header values may be secrets: they are sent, never shown.
#[derive(Clone)]
pub struct Request {
    /// `GET`, `POST`, `PUT` or any other word that HTTP takes.
    pub method: String,
    pub url: Url,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// From the first byte sent to the last one read.
    pub timeout: Duration,
    /// So many bytes of the answer are read.
    pub most: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The text of `Retry-After`.
    pub retry_after: Option<String>,
    /// The text of `Location`; it is never followed here.
    pub location: Option<String>,
    /// The text of `X-RateLimit-Reset`, where `X-RateLimit-Remaining` is 0: seconds since the epoch.
    pub rate_limit_reset: Option<String>,
    /// The text of `Date`: the server's clock.
    pub date: Option<String>,
    /// At most `MAX_BODY` bytes, and fewer if the body stalled: the status is the answer.
    pub body: Bytes,
}

impl Client {
    /// Sends once and reads the answer, whatever its status; redirects are not followed.
    ///
    /// # Errors
    /// A method or header that HTTP cannot carry; else as `post`.
    pub async fn request(&self, request: Request) -> Result<Response, Error> {
        let place = shown(&request.url);
        let wrong = |header: String| Error::Header { place: place.clone(), header };
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| wrong(format!("method {}", request.method)))?;
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for (name, value) in &request.headers {
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(name.clone()))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong(name.clone()))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let Request { url, body, timeout, most, .. } = request;
        let sent = |http: &reqwest::Client| {
            let sent = http.request(method, url.clone()).headers(headers);
            if body.is_empty() { sent } else { sent.body(body) }
        };
        self.send(&url, sent, (timeout, most)).await
    }
}
