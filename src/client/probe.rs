//! Asks a listener of a driftd near by whether it is well.

use std::time::Duration;

use url::Url;

use crate::client::{Error, MAX_BODY, Response, explain, shown};

/// What a probe says.
///
/// Whose certificate it is is not asked: the caller knows the listener by its address on this machine, its
/// certificate names the one that others reach it by, and nothing is sent that is a secret.
///
/// # Errors
/// No answer: the place is named by scheme and host only.
pub async fn probe(url: &Url, timeout: Duration) -> Result<Response, Error> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(Error::Setup)?;
    let failed = |error| explain(shown(url), timeout, false, error);
    let answer = client.get(url.clone()).timeout(timeout).send().await.map_err(failed)?;
    let status = answer.status().as_u16();
    let mut body = answer.bytes().await.map_err(failed)?;
    body.truncate(MAX_BODY);
    Ok(Response { status, body, ..Response::default() })
}
