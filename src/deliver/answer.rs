//! One attempt's answer: what it means, and one line about it that holds no secret.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::client;
use crate::client::Response;
use crate::client::with_causes;
use crate::deliver::rules::{Judgement, Overrides, Rules};

/// So much of a body is repeated in logs and in the incident log.
const EXCERPT: usize = 200;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) judgement: Judgement,
    /// The text of the header.
    pub(crate) retry_after: Option<String>,
    pub(crate) detail: String,
    /// Give up once this answer has come so many times.
    pub(crate) cap: Option<u32>,
    /// What the receiver calls what it has taken: a run, a message.
    pub(crate) reference: Option<String>,
}

impl Default for Answer {
    /// Nothing was sent and somebody has to see to it.
    fn default() -> Self {
        Self {
            status: None,
            judgement: Judgement::Slow,
            retry_after: None,
            detail: String::new(),
            cap: None,
            reference: None,
        }
    }
}

impl Answer {
    pub(crate) fn of(
        result: Result<Response, client::Error>,
        rules: &Rules,
        own: &Overrides,
        secrets: &[&str],
    ) -> Self {
        let response = match result {
            Ok(response) => response,
            Err(error) => return Self::without_response(&error),
        };
        let body = String::from_utf8_lossy(&response.body);
        let mut judgement = rules.judge(own, response.status, &body);
        let retry_after = response.retry_after.clone().or_else(|| rate_limit(&response));
        // A spent limit is told by a 403 with the time at which it ends.
        if judgement == Judgement::Slow && response.status == 403 && retry_after.is_some() {
            judgement = Judgement::Retry;
        }
        let mut detail = response.status.to_string();
        let excerpt = excerpt(&body, secrets);
        if !excerpt.is_empty() {
            detail = format!("{detail} `{excerpt}`");
        }
        if let Some(hint) = rules.hint(response.status, &body)
            && !matches!(judgement, Judgement::Accepted | Judgement::AlreadyThere)
        {
            detail = format!("{detail} ({hint})");
        }
        let cap = rules.cap.filter(|(status, _)| *status == response.status).map(|(_, n)| n);
        Self { status: Some(response.status), judgement, retry_after, detail, cap, reference: None }
    }

    /// Nothing was sent, since a file or a setting is wrong: someone has to act.
    pub(crate) fn misconfigured(detail: String) -> Self {
        Self { detail, ..Self::default() }
    }

    fn without_response(error: &client::Error) -> Self {
        let judgement = match error {
            client::Error::Timeout { .. }
            | client::Error::Connect { .. }
            | client::Error::Broken { .. } => Judgement::Retry,
            client::Error::File(_)
            | client::Error::BadProxy
            | client::Error::Setup(_)
            | client::Error::Header { .. }
            | client::Error::Refused { .. } => Judgement::Slow,
        };
        Self { judgement, ..Self::misconfigured(with_causes(error)) }
    }
}

/// When a spent limit ends, as `Retry-After` would say it.
fn rate_limit(response: &Response) -> Option<String> {
    let seconds: i64 = response.rate_limit_reset.as_ref()?.trim().parse().ok()?;
    let at = Timestamp::from_second(seconds).ok()?;
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}

/// The start of a body on one line; a receiver that echoes what it got must not leak a token.
fn excerpt(body: &str, secrets: &[&str]) -> String {
    let mut text = body.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.join(" ");
    let line = line.trim();
    match line.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_detail_is_one_short_line_without_secrets() {
        let body = format!("you sent\r\n\u{1b}[31mBearer tok-123 {}", "x".repeat(1000));
        let response = Response { status: 401, body: Bytes::from(body), ..Response::default() };
        let own = Overrides::default();
        let answer = Answer::of(Ok(response), &Rules::PLAIN, &own, &["tok-123"]);
        assert_eq!(answer.judgement, Judgement::Slow);
        assert!(answer.detail.starts_with("401 `you sent"), "{}", answer.detail);
        assert!(answer.detail.contains("read again at every attempt"), "{}", answer.detail);
        assert!(!answer.detail.contains("tok-123") && answer.detail.len() < 400);
        assert!(!answer.detail.contains(char::is_control));
    }
}
