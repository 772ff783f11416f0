//! Slack by an app's token: an incident is one message, and what follows stands in its thread.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::client;
use crate::client::{Client, Request, Response};
use crate::decide::{Act, Delivery};
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::message;
use crate::deliver::rules::{Judgement, Overrides, Rules};
use crate::deliver::slack;

/// Threads that are remembered; there is one open incident a model.
const THREADS: usize = 1000;

/// Errors that pass by themselves, and those that the same message always meets; any other needs a person.
const PASSING: [&str; 6] = [
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
];
const PERMANENT: [&str; 5] =
    ["msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "no_text"];
const HINTS: [(&str, &str); 5] = [
    ("not_in_channel", "invite the app: /invite @driftd"),
    ("channel_not_found", "there is no such channel, or it is private and the app is not in it"),
    ("invalid_auth", "the token was not accepted; it is read again for every message"),
    ("token_revoked", "the token was revoked; it is read again for every message"),
    ("missing_scope", "the app needs the scope chat:write"),
];

/// One channel, reached by `chat.postMessage`.
#[derive(Debug)]
pub(crate) struct SlackBot {
    pub(crate) channel: String,
    pub(crate) api: String,
    pub(crate) token: Credential,
    pub(crate) allow_http: bool,
    pub(crate) timeout: Duration,
    pub(crate) threads: Mutex<VecDeque<Thread>>,
}

/// Where a story is told.
#[derive(Debug)]
pub(crate) struct Thread {
    model: String,
    story: String,
    /// The channel's id and the time stamp of the message that began it, `C0/1.2`.
    root: String,
}

impl SlackBot {
    pub(crate) fn render(&self, delivery: &Delivery) -> Vec<u8> {
        let mut message = slack::message(delivery);
        message["channel"] = self.channel.clone().into();
        message["unfurl_links"] = false.into();
        message.to_string().into_bytes()
    }

    pub(crate) async fn send(&self, client: &Client, delivery: &Delivery, body: Bytes) -> Answer {
        let mut message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let story = delivery.story();
        let thread = story.as_ref().and_then(|(name, _)| self.thread(name));
        if let Some((_, root)) = thread.as_deref().and_then(|thread| thread.split_once('/')) {
            message["thread_ts"] = root.into();
            // Its end is news for the whole channel.
            let ends = story.as_ref().is_some_and(|(_, act)| *act == Act::Ends);
            message["reply_broadcast"] = ends.into();
        }
        let answer = self.call(client, "chat.postMessage", &message).await;
        if let (Judgement::Accepted, Some((_, Act::Ends)), Some(thread)) =
            (answer.judgement, &story, &thread)
        {
            self.mark_ended(client, delivery, thread).await;
        }
        answer
    }

    /// The message that began it says that it is over; that is for show, and not tried again.
    async fn mark_ended(&self, client: &Client, delivery: &Delivery, thread: &str) {
        let Some((channel, ts)) = thread.split_once('/') else { return };
        let mut message = slack::message(delivery);
        let title = format!("Over: {}", message::title(delivery));
        message["blocks"][0]["text"]["text"] = message::cut(&title, slack::HEADER).into();
        message["channel"] = channel.into();
        message["ts"] = ts.into();
        let answer = self.call(client, "chat.update", &message).await;
        if answer.judgement != Judgement::Accepted {
            tracing::warn!(detail = answer.detail, "the first message of a thread was not updated");
        }
    }

    async fn call(&self, client: &Client, method: &str, message: &Value) -> Answer {
        let token = match self.token.read().await {
            Ok(Some(token)) => token,
            Ok(None) => return Answer::misconfigured("no bot token is configured".to_owned()),
            Err(why) => return Answer::misconfigured(client::with_causes(&why)),
        };
        let url = format!("{}/{method}", self.api.trim_end_matches('/'));
        let url = match client::parse_url(&url, self.allow_http) {
            Ok(url) => url,
            Err(why) => return Answer::misconfigured(format!("slack.api: {why}")),
        };
        let request = Request {
            method: "POST".to_owned(),
            url,
            headers: vec![
                ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
                ("authorization".to_owned(), format!("Bearer {}", token.expose())),
            ],
            body: message.to_string().into(),
            timeout: self.timeout,
            most: client::MAX_BODY,
        };
        let result = client.request(request).await;
        let said = result.as_ref().ok().filter(|response| response.status == 200).map(said);
        let answer = Answer::of(result, &Rules::PLAIN, &Overrides::default(), &[token.expose()]);
        said.map_or(answer.clone(), |said| Answer { status: Some(200), ..said })
    }

    /// Remembers the message that began a story.
    pub(crate) fn taken(&self, delivery: &Delivery, reference: Option<&str>) {
        let Some((story, act)) = delivery.story() else { return };
        let mut threads = self.lock();
        match act {
            Act::Begins => {
                if let Some(reference) = reference
                    && threads.iter().all(|known| known.story != story)
                {
                    let (model, root) = (delivery.model.clone(), reference.to_owned());
                    threads.push_back(Thread { model, story, root });
                    while threads.len() > THREADS {
                        threads.pop_front();
                    }
                }
            }
            Act::Acknowledged => {}
            Act::Ends => threads.retain(|known| known.story != story),
        }
    }

    pub(crate) fn forget_model(&self, model: &str) {
        self.lock().retain(|thread| thread.model != model);
    }

    fn thread(&self, story: &str) -> Option<String> {
        let threads = self.lock();
        threads.iter().find(|known| known.story == story).map(|thread| thread.root.clone())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Thread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slack says in the body of a 200 what went wrong.
fn said(response: &Response) -> Answer {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if body["ok"] == json!(true) {
        let reference = body["channel"].as_str().zip(body["ts"].as_str());
        return Answer {
            judgement: Judgement::Accepted,
            detail: "200 ok".to_owned(),
            reference: reference.map(|(channel, ts)| format!("{channel}/{ts}")),
            ..Answer::default()
        };
    }
    let error = body["error"].as_str().unwrap_or("no answer that could be read");
    let judgement = match error {
        error if PASSING.contains(&error) => Judgement::Retry,
        error if PERMANENT.contains(&error) => Judgement::Stop,
        _ => Judgement::Slow,
    };
    let hint = HINTS.iter().find(|(known, _)| *known == error);
    let hint = hint.map(|(_, hint)| format!(" ({hint})")).unwrap_or_default();
    let retry_after = response.retry_after.clone();
    let detail = format!("200 `{}`{hint}", message::cut(&message::tame(error), 100));
    Answer { judgement, detail, retry_after, ..Answer::default() }
}
