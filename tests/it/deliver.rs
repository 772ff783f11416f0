//! Deliveries against receivers that fail in every way that real ones do.
#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use driftd::client;
use driftd::client::{Client, ClientConfig, Lookup, Post};
use driftd::decide::announcement::{Data, TrainingWindow};
use driftd::decide::{Announcement, Audience, Delivery, Kind};
use driftd::deliver::{
    Deliverer, Event, NotTaken, Outcome, Pending, Schedule, SigningSecret, Slack, Target, Trigger,
    dry_render,
};
use driftd::setting::{Secret, Span};
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use url::Url;

pub(crate) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const ID: &str = "4f7b3c1e-5d2a-5a37-9d2b-0d8a5e0b7c11";

/// How a receiver answers one request.
#[derive(Clone)]
enum Reply {
    Status(u16, &'static str),
    WithHeader(u16, String),
    /// The connection is reset before an answer.
    Reset,
    /// Takes the request and says nothing.
    Silent,
    /// A whole head, and a body that never ends.
    Endless(u16),
    Big(u16, usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// Answers the n-th request with the n-th reply, and all later ones with the last.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, replies.clone(), log.clone()));
            }
        });
        Self { address, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, replies: Vec<Reply>, log: Arc<Mutex<Vec<Seen>>>) {
    let Some(seen) = read_request(&mut stream).await else { return };
    let n = {
        let mut log = log.lock().unwrap();
        log.push(seen);
        log.len() - 1
    };
    let head = |status: u16, length: usize, header: &str| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{header}\r\n"
        )
    };
    let bytes = match &replies[n.min(replies.len() - 1)] {
        Reply::Status(status, body) => head(*status, body.len(), "") + body,
        Reply::WithHeader(status, header) => head(*status, 0, &format!("{header}\r\n")),
        Reply::Reset => {
            stream.set_zero_linger().unwrap();
            return;
        }
        Reply::Silent => std::future::pending().await,
        Reply::Endless(status) => {
            stream.write_all((head(*status, 1000, "") + "begun").as_bytes()).await.unwrap();
            std::future::pending().await
        }
        Reply::Big(status, length) => head(*status, *length, "") + &"x".repeat(*length),
    };
    // The client may hang up before it has read everything.
    stream.write_all(bytes.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = bytes[end + 4..].to_vec();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        stream.read_buf(&mut body).await.ok()?;
    }
    Some(Seen { method, path, headers, body })
}

#[expect(clippy::disallowed_methods, reason = "the tests' own clock")]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// The ordinary schedule, ten thousand times faster; days still are seconds.
pub(crate) fn quick() -> Schedule {
    Schedule { max_age: Duration::from_secs(60), ..Schedule::default().scaled(0.0001) }
}

pub(crate) fn client() -> Client {
    Client::new(&ClientConfig::default()).unwrap()
}

pub(crate) fn announcement(id: &str, model: &str) -> Announcement {
    Announcement {
        event_type: "driftd.drift.detected".to_owned(),
        id: id.to_owned(),
        timestamp: "2026-01-01T00:05:00Z".to_owned(),
        data: Data {
            model: model.to_owned(),
            summary: "psi of amount is 0.31".to_owned(),
            training_window: Some(TrainingWindow {
                from: "2026-01-01T00:00:00Z".to_owned(),
                to: "2026-01-02T00:00:00Z".to_owned(),
            }),
            report: Some(json!({"features": ["amount"]})),
            ..Data::default()
        },
    }
}

pub(crate) fn pending(delivery: Delivery) -> Pending {
    Pending { delivery, attempts: 0, first_attempt_ms: None, unanswered_ms: None }
}

pub(crate) fn trigger_of(id: &str, model: &str) -> Delivery {
    Delivery {
        id: id.to_owned(),
        target: "retraining_trigger".to_owned(),
        channel: None,
        model: model.to_owned(),
        kind: Kind::Trigger,
        audience: Audience::Ml,
        announcement: announcement(id, model),
    }
}

pub(crate) fn message(id: &str, model: &str, kind: Kind) -> Delivery {
    Delivery {
        id: id.to_owned(),
        target: "slack".to_owned(),
        channel: Some("ml".to_owned()),
        kind,
        ..trigger_of(id, model)
    }
}

pub(crate) fn allowing_http(url: String) -> Trigger {
    Trigger { allow_http: true, timeout: "2s".parse().unwrap(), ..Trigger::new(url) }
}

fn slack_at(url: String) -> Slack {
    Slack {
        webhook_url: Some(Secret::new(url)),
        allow_http: true,
        timeout: "2s".parse().unwrap(),
        ..Slack::default()
    }
}

/// What came of one attempt.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) target: String,
    pub(crate) n: u32,
    pub(crate) at_ms: i64,
    pub(crate) status: Option<u16>,
    pub(crate) result: Outcome,
    pub(crate) detail: String,
    pub(crate) next_attempt_ms: Option<i64>,
    pub(crate) reference: Option<String>,
}

/// Plays the owner of the outbox: every attempt is said to be durable.
pub(crate) struct Outbox {
    pub(crate) deliverer: Deliverer,
    pub(crate) events: mpsc::Receiver<Event>,
}

impl Outbox {
    pub(crate) fn start(targets: Vec<Target>) -> Self {
        let targets = targets.into_iter().map(|target| target.with_schedule(quick())).collect();
        let (sender, events) = mpsc::channel(16);
        Self { deliverer: Deliverer::start(targets, sender, now_ms), events }
    }

    pub(crate) fn for_trigger(trigger: &Trigger) -> Self {
        Self::start(vec![Target::trigger("fraud", trigger, &client()).unwrap()])
    }

    pub(crate) fn send(&self, delivery: Delivery) {
        self.deliverer.enqueue(pending(delivery)).unwrap();
    }

    /// The next outcome; a test that waits for one that never comes fails by this limit.
    pub(crate) async fn outcome(&mut self) -> Told {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(30), self.events.recv());
            match event.await.expect("an outcome in time").expect("the deliverer runs") {
                Event::Attempting { ack, .. } => ack.send(Some(Instant::now())).unwrap(),
                Event::Run { .. } => {}
                Event::Outcome {
                    id,
                    target,
                    n,
                    at_ms,
                    status,
                    result,
                    detail,
                    next_attempt_ms,
                    reference,
                    ..
                } => {
                    return Told {
                        id,
                        target,
                        n,
                        at_ms,
                        status,
                        result,
                        detail,
                        next_attempt_ms,
                        reference,
                    };
                }
            }
        }
    }

    pub(crate) async fn until_final(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            told.push(self.outcome().await);
            if told.last().unwrap().result.is_final() {
                return told;
            }
        }
    }
}

pub(crate) fn results(told: &[Told]) -> Vec<Outcome> {
    told.iter().map(|told| told.result).collect()
}

/// One trigger to a receiver with these replies: what was told, and what it saw.
async fn trigger_against(replies: Vec<Reply>) -> (Vec<Told>, Vec<Seen>) {
    let receiver = Receiver::start(replies).await;
    let mut outbox = Outbox::for_trigger(&allowing_http(receiver.url("/retrain")));
    outbox.send(trigger_of(ID, "fraud"));
    (outbox.until_final().await, receiver.seen())
}

pub(crate) fn verify(key: &str, seen: &Seen) {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, seen.headers[name].parse().unwrap());
    }
    standardwebhooks::Webhook::new(key).unwrap().verify(&seen.body, &headers).unwrap();
}

#[tokio::test]
async fn a_webhook_carries_a_valid_signature_its_id_and_the_event() {
    let receiver = Receiver::start(vec![Reply::Status(202, "")]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        fs::write(dir.path().join(name), text).unwrap();
        Some(dir.path().join(name))
    };
    let mut outbox = Outbox::for_trigger(&Trigger {
        token_file: file("token", "tok-123\n".to_owned()),
        secret_file: file("secret", format!("{KEY}\n{OTHER_KEY}\n")),
        include_drift_report: true,
        ..allowing_http(receiver.url("/retrain?k=1"))
    });
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.until_final().await;
    assert_eq!(results(&told), [Outcome::Accepted]);
    assert_eq!((told[0].status, told[0].n), (Some(202), 1));
    assert_eq!(told[0].target, "retraining_trigger/fraud");
    let seen = receiver.seen().remove(0);
    verify(KEY, &seen);
    verify(OTHER_KEY, &seen);
    assert_eq!(seen.path, "/retrain?k=1");
    assert_eq!(seen.headers["webhook-id"], ID);
    assert_eq!(seen.headers["idempotency-key"], ID);
    assert_eq!(seen.headers["authorization"], "Bearer tok-123");
    assert_eq!(seen.headers["content-type"], "application/json");
    assert!(seen.headers["user-agent"].starts_with("driftd/"));
    let sent: Announcement = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(sent, announcement(ID, "fraud"));
}

#[tokio::test]
async fn the_report_is_sent_only_when_it_is_asked_for() {
    let (_, seen) = trigger_against(vec![Reply::Status(200, "")]).await;
    let sent: Announcement = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(sent.data.report, None);
    assert_eq!(sent.data.training_window, announcement(ID, "fraud").data.training_window);
}

#[tokio::test]
async fn a_template_makes_the_body() {
    let receiver = Receiver::start(vec![Reply::Status(200, "")]).await;
    let mut outbox = Outbox::for_trigger(&Trigger {
        body: Some(r#"{"ref": "{{id}}", "from": "{{training_window.from}}"}"#.to_owned()),
        ..allowing_http(receiver.url("/"))
    });
    outbox.send(trigger_of(ID, "fraud"));
    outbox.until_final().await;
    let sent: serde_json::Value = serde_json::from_slice(&receiver.seen()[0].body).unwrap();
    assert_eq!(sent, json!({"ref": ID, "from": "2026-01-01T00:00:00Z"}));
}

#[tokio::test]
async fn every_attempt_has_the_same_id_and_bytes_until_one_succeeds() {
    let replies = vec![Reply::Status(500, "boom"), Reply::Status(503, ""), Reply::Status(200, "")];
    let receiver = Receiver::start(replies).await;
    let mut outbox = Outbox::for_trigger(&Trigger {
        secret: Some(SigningSecret::One(Secret::new(KEY))),
        ..allowing_http(receiver.url("/"))
    });
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.until_final().await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::Retry, Outcome::Accepted]);
    assert_eq!(told.iter().map(|told| told.n).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(told[0].detail.contains("500 `boom`"), "{}", told[0].detail);
    let seen = receiver.seen();
    for attempt in &seen {
        verify(KEY, attempt);
        assert_eq!(attempt.body, seen[0].body);
        assert_eq!(attempt.headers["webhook-id"], ID);
    }
}

#[tokio::test]
async fn every_broken_connection_is_tried_again() {
    let replies = vec![Reply::Reset, Reply::Silent, Reply::Status(200, "")];
    let receiver = Receiver::start(replies).await;
    let mut outbox = Outbox::for_trigger(&Trigger {
        timeout: "300ms".parse::<Span>().unwrap(),
        ..allowing_http(receiver.url("/secret-path"))
    });
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.until_final().await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::Retry, Outcome::Accepted]);
    assert!(told[1].detail.contains("in time"), "{}", told[1].detail);
    for told in &told {
        assert!(!told.detail.contains("secret-path"), "{}", told.detail);
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_tried_again() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let mut outbox = Outbox::for_trigger(&allowing_http(url));
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!((told.result, told.status), (Outcome::Retry, None));
    assert!(told.detail.contains("cannot connect to http://127.0.0.1"), "{}", told.detail);
}

#[tokio::test]
async fn a_body_that_stalls_or_never_stops_does_not_change_the_answer() {
    let (told, _) = trigger_against(vec![Reply::Endless(200)]).await;
    assert_eq!(results(&told), [Outcome::Accepted]);
    let replies = vec![Reply::Big(500, 100 * 1024), Reply::Big(200, 100 * 1024)];
    let (told, _) = trigger_against(replies).await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::Accepted]);
    assert!(told[0].detail.len() < 300);
}

#[tokio::test]
async fn a_bodys_first_64_kib_are_read_and_the_rest_is_dropped() {
    let receiver = Receiver::start(vec![Reply::Big(200, 100 * 1024)]).await;
    let url = Url::parse(&receiver.url("/")).unwrap();
    let timeout = Duration::from_secs(5);
    let post = Post { url, headers: Vec::new(), body: Bytes::from_static(b"{}"), timeout };
    let response = client().post(post).await.unwrap();
    assert_eq!(response.body.len(), client::MAX_BODY);
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let soon = || Reply::WithHeader(429, "retry-after: 7200".to_owned());
    let receiver = Receiver::start(vec![soon()]).await;
    let target = Target::trigger("fraud", &allowing_http(receiver.url("/")), &client()).unwrap();
    let (sender, events) = mpsc::channel(16);
    let mut outbox = Outbox { deliverer: Deliverer::start(vec![target], sender, now_ms), events };
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::Retry);
    assert!(told.next_attempt_ms.unwrap() - told.at_ms >= 7_200_000);
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let elsewhere = Receiver::start(vec![Reply::Status(200, "")]).await;
    let moved = Reply::WithHeader(307, format!("location: {}", elsewhere.url("/new")));
    let (told, seen) = trigger_against(vec![moved, Reply::Status(200, "")]).await;
    assert_eq!(results(&told), [Outcome::SlowRetry, Outcome::Accepted]);
    assert!(told[0].detail.contains("moved"), "{}", told[0].detail);
    assert_eq!(seen.len(), 2);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_refused_token_is_told_and_a_new_one_in_the_file_heals_it() {
    let replies = vec![Reply::Status(401, "bad token tok-old"), Reply::Status(200, "")];
    let receiver = Receiver::start(replies).await;
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    fs::write(&token_file, "tok-old").unwrap();
    let mut outbox = Outbox::for_trigger(&Trigger {
        token_file: Some(token_file.clone()),
        ..allowing_http(receiver.url("/"))
    });
    outbox.send(trigger_of(ID, "fraud"));
    let refused = outbox.outcome().await;
    assert_eq!((refused.result, refused.status), (Outcome::SlowRetry, Some(401)));
    assert!(!refused.detail.contains("tok-old"), "{}", refused.detail);
    fs::remove_file(&token_file).unwrap();
    let unreadable = outbox.outcome().await;
    assert_eq!((unreadable.result, unreadable.status), (Outcome::SlowRetry, None));
    assert!(unreadable.detail.contains("token_file: cannot read"), "{}", unreadable.detail);
    fs::write(&token_file, "tok-new").unwrap();
    let told = outbox.until_final().await;
    assert_eq!(told.last().unwrap().result, Outcome::Accepted);
    let sent: Vec<_> =
        receiver.seen().iter().map(|seen| seen.headers["authorization"].clone()).collect();
    assert_eq!(sent, ["Bearer tok-old", "Bearer tok-new"]);
}

#[tokio::test]
async fn gone_stops_at_once() {
    let (told, seen) = trigger_against(vec![Reply::Status(410, "")]).await;
    assert_eq!(results(&told), [Outcome::Stopped]);
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn it_gives_up_at_the_greatest_age() {
    let receiver = Receiver::start(vec![Reply::Status(500, "")]).await;
    let target = Target::trigger("fraud", &allowing_http(receiver.url("/")), &client()).unwrap();
    let schedule = Schedule { max_age: Duration::from_secs(2), ..quick() };
    let (sender, events) = mpsc::channel(16);
    let targets = vec![target.with_schedule(schedule)];
    let mut outbox = Outbox { deliverer: Deliverer::start(targets, sender, now_ms), events };
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.until_final().await;
    assert_eq!(told.last().unwrap().result, Outcome::GaveUp);
    assert!(told.len() > 1);
}

#[tokio::test]
async fn argo_that_has_the_workflow_already_is_a_success() {
    let exists = r#"{"code":2,"message":"failed to dispatch event: [workflows.argoproj.io \"retrain\" already exists]"}"#;
    let receiver = Receiver::start(vec![Reply::Reset, Reply::Status(500, exists)]).await;
    let mut outbox =
        Outbox::for_trigger(&allowing_http(receiver.url("/api/v1/events/ml/mlops-retrain")));
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.until_final().await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::AlreadyThere]);
    assert_eq!(receiver.seen()[1].headers["x-driftd-event-id"], ID);
}

#[tokio::test]
async fn a_dead_slack_delays_no_webhook() {
    let dead = Receiver::start(vec![Reply::Silent]).await;
    let alive = Receiver::start(vec![Reply::Status(200, "")]).await;
    let slack = Slack { timeout: "20s".parse().unwrap(), ..slack_at(dead.url("/T0/SECRET")) };
    let mut outbox = Outbox::start(vec![
        Target::slack("ml", &slack, &client()).unwrap(),
        Target::trigger("fraud", &allowing_http(alive.url("/")), &client()).unwrap(),
    ]);
    for n in 0..5 {
        outbox.send(message(&format!("m{n}"), "fraud", Kind::Warning));
    }
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!((told.id.as_str(), told.result), (ID, Outcome::Accepted));
}

#[tokio::test]
async fn a_model_is_told_of_its_trigger_before_its_close() {
    let receiver = Receiver::start(vec![Reply::Status(500, ""), Reply::Status(200, "ok")]).await;
    let slack = slack_at(receiver.url("/T0/SECRET"));
    let mut outbox = Outbox::start(vec![Target::slack("ml", &slack, &client()).unwrap()]);
    outbox.send(message("i.triggered", "fraud", Kind::Triggered));
    outbox.send(message("i.closed", "fraud", Kind::Closed));
    let triggered = outbox.until_final().await;
    let closed = outbox.until_final().await;
    assert_eq!(results(&triggered), [Outcome::Retry, Outcome::Accepted]);
    assert_eq!((closed[0].id.as_str(), closed[0].result), ("i.closed", Outcome::Accepted));
    let titles: Vec<_> = receiver.seen().iter().map(|seen| title(&seen.body)).collect();
    let triggered = "Drift, retraining triggered: fraud";
    assert_eq!(titles, [triggered, triggered, "Incident closed: fraud"]);
}

fn title(body: &[u8]) -> String {
    let message: serde_json::Value = serde_json::from_slice(body).unwrap();
    message["blocks"][0]["text"]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_slack_webhook_that_does_not_exist_is_not_asked_again() {
    let receiver = Receiver::start(vec![Reply::Status(404, "no_service")]).await;
    let slack = slack_at(receiver.url("/T0/SECRET"));
    let mut outbox = Outbox::start(vec![Target::slack("ml", &slack, &client()).unwrap()]);
    outbox.send(message("m", "fraud", Kind::Warning));
    let told = outbox.until_final().await;
    assert_eq!(results(&told), [Outcome::Stopped]);
    assert!(told[0].detail.contains("no_service"), "{}", told[0].detail);
    assert!(!told[0].detail.contains("SECRET"), "{}", told[0].detail);
}

#[tokio::test]
async fn nothing_is_sent_before_the_attempt_is_durable_or_once_it_is_cancelled() {
    let receiver = Receiver::start(vec![Reply::Status(200, "")]).await;
    let mut outbox = Outbox::for_trigger(&allowing_http(receiver.url("/")));
    outbox.send(trigger_of("first", "fraud"));
    outbox.send(trigger_of("second", "fraud"));
    let Some(Event::Attempting { id, n: 1, ack, .. }) = outbox.events.recv().await else {
        panic!("an attempt comes first");
    };
    assert_eq!(id, "first");
    assert!(receiver.seen().is_empty());
    ack.send(None).unwrap();
    let told = outbox.outcome().await;
    assert_eq!(told.id, "second", "the cancelled one has no outcome");
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn what_is_called_back_before_it_is_sent_did_not_fail() {
    let receiver = Receiver::start(vec![Reply::Status(200, "")]).await;
    let mut outbox = Outbox::for_trigger(&allowing_http(receiver.url("/")));
    outbox.send(trigger_of("first", "fraud"));
    let Some(Event::Attempting { ack, .. }) = outbox.events.recv().await else {
        panic!("an attempt comes first");
    };
    // This test has one thread: nothing is sent in between.
    ack.send(Some(Instant::now())).unwrap();
    outbox.deliverer.cancel("first");
    assert_eq!(outbox.outcome().await.result, Outcome::Cancelled);
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn what_is_of_a_model_that_another_has_is_neither_sent_nor_kept() {
    let receiver = Receiver::start(vec![Reply::Status(500, ""), Reply::Status(200, "")]).await;
    let slack = slack_at(receiver.url("/T0/SECRET"));
    let mut outbox = Outbox::start(vec![Target::slack("ml", &slack, &client()).unwrap()]);
    outbox.send(message("first", "fraud", Kind::Warning));
    outbox.send(message("second", "credit", Kind::Warning));
    let Some(Event::Attempting { id, ack, .. }) = outbox.events.recv().await else {
        panic!("an attempt comes first");
    };
    ack.send(Some(Instant::now())).unwrap();
    assert_eq!(id, "first");
    outbox.deliverer.forget_model("fraud");
    let told = [outbox.outcome().await, outbox.outcome().await];
    assert_eq!(results(&told), [Outcome::Cancelled, Outcome::Retry]);
    let again = outbox.until_final().await;
    assert_eq!((again[0].id.as_str(), receiver.seen().len()), ("second", 2));
    // And it is sent once it is ours again.
    outbox.send(message("first", "fraud", Kind::Warning));
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
}

#[tokio::test]
async fn a_cancelled_delivery_is_not_tried_again() {
    let receiver = Receiver::start(vec![Reply::Status(500, ""), Reply::Status(200, "")]).await;
    let mut outbox = Outbox::for_trigger(&allowing_http(receiver.url("/")));
    outbox.send(trigger_of("first", "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::Retry);
    outbox.deliverer.cancel("first");
    outbox.send(trigger_of("second", "fraud"));
    // The retry may have been announced before it was cancelled.
    let told = outbox.until_final().await;
    let second = if told[0].id == "first" { outbox.until_final().await } else { told };
    assert_eq!(second[0].id, "second");
}

#[tokio::test]
async fn a_target_that_is_not_configured_is_an_error() {
    let outbox = Outbox::for_trigger(&Trigger::new("https://a/"));
    let unknown = outbox.deliverer.enqueue(pending(message("m", "fraud", Kind::Warning)));
    assert_eq!(unknown, Err(NotTaken::UnknownTarget { target: "slack/ml".to_owned() }));
}

#[tokio::test]
async fn shutdown_finishes_what_is_on_its_way_and_begins_nothing() {
    let receiver = Receiver::start(vec![Reply::Silent]).await;
    let mut outbox = Outbox::for_trigger(&Trigger {
        timeout: "200ms".parse::<Span>().unwrap(),
        ..allowing_http(receiver.url("/"))
    });
    outbox.send(trigger_of("first", "fraud"));
    let Some(Event::Attempting { ack, .. }) = outbox.events.recv().await else {
        panic!("an attempt comes first");
    };
    ack.send(Some(Instant::now())).unwrap();
    while receiver.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    outbox.deliverer.shutdown(Instant::now() + Duration::from_secs(20)).await;
    let Some(Event::Outcome { result, .. }) = outbox.events.recv().await else {
        panic!("its outcome is told");
    };
    assert_eq!(result, Outcome::Retry);
    assert!(outbox.events.recv().await.is_none());
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn shutdown_does_not_wait_longer_than_it_may() {
    let receiver = Receiver::start(vec![Reply::Silent]).await;
    let trigger = Trigger { timeout: "1h".parse().unwrap(), ..allowing_http(receiver.url("/")) };
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(trigger_of("first", "fraud"));
    let Some(Event::Attempting { ack, .. }) = outbox.events.recv().await else {
        panic!("an attempt comes first");
    };
    ack.send(Some(Instant::now())).unwrap();
    while receiver.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let limit = Instant::now() + Duration::from_millis(50);
    let shutdown = outbox.deliverer.shutdown(limit);
    tokio::time::timeout(Duration::from_secs(20), shutdown).await.expect("it ends");
}

#[tokio::test]
async fn a_proxy_is_used_if_it_is_configured() {
    let proxy = Receiver::start(vec![Reply::Status(200, "")]).await;
    let config = ClientConfig { proxy: Some(Secret::new(proxy.url(""))), ..Default::default() };
    let client = Client::new(&config).unwrap();
    let trigger = allowing_http("http://receiver.example/x".to_owned());
    let target = Target::trigger("fraud", &trigger, &client).unwrap();
    let mut outbox = Outbox::start(vec![target]);
    outbox.send(trigger_of(ID, "fraud"));
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
    assert_eq!(proxy.seen()[0].path, "http://receiver.example/x");
}

/// A name service that answers every name with these addresses.
fn resolving_to(addresses: &[SocketAddr]) -> Client {
    let addresses = addresses.to_vec();
    let lookup: Lookup = Arc::new(move |_| {
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) })
    });
    Client::with_lookup(&ClientConfig::default(), lookup).unwrap()
}

#[tokio::test]
async fn a_name_that_leads_to_a_metadata_address_is_refused() {
    for address in [
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "[fe80::1]:80",
        "[fd00:ec2::254]:80",
        "[64:ff9b::a9fe:a9fe]:80",
    ] {
        let client = resolving_to(&[address.parse().unwrap()]);
        let trigger = allowing_http("http://receiver.example/secret-path".to_owned());
        let target = Target::trigger("fraud", &trigger, &client).unwrap();
        let mut outbox = Outbox::start(vec![target]);
        outbox.send(trigger_of(ID, "fraud"));
        let told = outbox.outcome().await;
        assert_eq!((told.result, told.status), (Outcome::SlowRetry, None), "{address}");
        assert!(told.detail.contains("metadata address"), "{address}: {}", told.detail);
        assert!(!told.detail.contains("secret-path"), "{}", told.detail);
    }
}

#[tokio::test]
async fn a_metadata_address_among_others_is_passed_over() {
    let receiver = Receiver::start(vec![Reply::Status(200, "")]).await;
    let client = resolving_to(&["169.254.169.254:0".parse().unwrap(), receiver.address]);
    let url = format!("http://receiver.example:{}/", receiver.address.port());
    let target = Target::trigger("fraud", &allowing_http(url), &client).unwrap();
    let mut outbox = Outbox::start(vec![target]);
    outbox.send(trigger_of(ID, "fraud"));
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
}

#[tokio::test]
async fn literal_metadata_addresses_and_plain_http_are_refused_before_anything_is_sent() {
    for url in ["http://169.254.169.254/", "http://[::ffff:169.254.169.254]/"] {
        assert!(Target::trigger("fraud", &allowing_http(url.to_owned()), &client()).is_err());
        let post = Post {
            url: Url::parse(url).unwrap(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(1),
        };
        let refused = client().post(post).await.unwrap_err();
        assert!(matches!(refused, client::Error::Refused { .. }), "{refused}");
    }
    let error = Target::trigger("fraud", &Trigger::new("http://a/secret"), &client()).err();
    let error = error.unwrap().to_string();
    assert!(error.contains("allow_http") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_dry_run_shows_the_request_and_sends_nothing() {
    let receiver = Receiver::start(vec![Reply::Status(200, "")]).await;
    let trigger = Trigger {
        dry_run: true,
        token: Some(Secret::new("tok-123")),
        secret: Some(SigningSecret::One(Secret::new(KEY))),
        ..allowing_http(receiver.url("/secret-path"))
    };
    let target = Target::trigger("fraud", &trigger, &client()).unwrap();
    let shown = dry_render(&target, &trigger_of(ID, "fraud"));
    for part in ["POST http://127.0.0.1:", &format!("webhook-id: {ID}"), "Bearer ***", "\"fraud\""]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    for secret in ["tok-123", KEY, "secret-path"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let mut outbox = Outbox::start(vec![target]);
    outbox.send(trigger_of(ID, "fraud"));
    assert_eq!(outbox.outcome().await.result, Outcome::Stopped);
    assert!(receiver.seen().is_empty());
}

/// One log serves all targets, one after the other: waiting for one's turn makes no attempt old.
#[tokio::test]
async fn however_many_targets_wait_for_one_log_each_sends_once_it_was_its_turn() {
    const TARGETS: usize = 20;
    let receiver = Receiver::start(vec![Reply::Status(200, "")]).await;
    let fence = Duration::from_millis(400);
    let targets = (0..TARGETS).map(|n| {
        let trigger = allowing_http(receiver.url("/"));
        let target = Target::trigger(&n.to_string(), &trigger, &client()).unwrap();
        target.with_schedule(Schedule { fence, ..quick() })
    });
    let (sender, mut events) = mpsc::channel(64);
    let deliverer = Deliverer::start(targets.collect(), sender, now_ms);
    for n in 0..TARGETS {
        let delivery = trigger_of(&format!("i{n}"), &n.to_string());
        deliverer.enqueue(pending(delivery)).unwrap();
    }
    let mut accepted = 0;
    let all = async {
        while accepted < TARGETS {
            match events.recv().await.expect("the deliverer runs") {
                Event::Attempting { ack, .. } => {
                    let written = Instant::now();
                    tokio::time::sleep(fence / 8).await;
                    ack.send(Some(written)).unwrap();
                }
                Event::Outcome { result, .. } => {
                    assert_eq!(result, Outcome::Accepted);
                    accepted += 1;
                }
                Event::Run { .. } => panic!("nothing is followed"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("every target sends");
}

#[tokio::test]
async fn a_request_that_was_written_down_long_ago_is_written_down_again_before_it_is_made() {
    let receiver = Receiver::start(vec![Reply::Status(200, "")]).await;
    let fence = Duration::from_millis(300);
    let target = Target::trigger("fraud", &allowing_http(receiver.url("/")), &client()).unwrap();
    let target = target.with_schedule(Schedule { fence, ..quick() });
    let (sender, mut events) = mpsc::channel(16);
    let deliverer = Deliverer::start(vec![target], sender, now_ms);
    deliverer.enqueue(pending(trigger_of(ID, "fraud"))).unwrap();
    let Some(Event::Attempting { ack, .. }) = events.recv().await else { panic!("an attempt") };
    // The process sleeps between what it has written and the request.
    let written = Instant::now();
    tokio::time::sleep(2 * fence).await;
    ack.send(Some(written)).unwrap();
    let mut again = 0;
    loop {
        match events.recv().await.expect("the deliverer runs") {
            Event::Attempting { ack, n, .. } => {
                assert_eq!(n, 1);
                again += 1;
                ack.send(Some(Instant::now())).unwrap();
            }
            Event::Outcome { n, result, .. } => {
                assert_eq!((n, result), (1, Outcome::Accepted));
                break;
            }
            Event::Run { .. } => panic!("nothing is followed"),
        }
    }
    assert!(again > 0);
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn what_another_process_has_asked_waits_until_its_answer_is_told() {
    let receiver = Receiver::start(vec![Reply::Status(200, "")]).await;
    let slack = slack_at(receiver.url("/"));
    let mut outbox = Outbox::start(vec![Target::slack("ml", &slack, &client()).unwrap()]);
    let of = |model: &str, unanswered_ms| Pending {
        attempts: 1,
        first_attempt_ms: Some(now_ms()),
        unanswered_ms,
        ..pending(message(&format!("about {model}"), model, Kind::Warning))
    };
    // Begun this moment, by a machine whose clock is a year ahead; and so long ago that the answer would be here.
    outbox.deliverer.enqueue(of("a", Some(now_ms() + 365 * 86_400_000))).unwrap();
    outbox.deliverer.enqueue(of("b", Some(0))).unwrap();
    assert_eq!(outbox.outcome().await.id, "about b");
    // The answer was told, and it was none that ends it.
    outbox.deliverer.enqueue(of("a", None)).unwrap();
    let told = outbox.outcome().await;
    assert_eq!((told.id.as_str(), told.n, told.result), ("about a", 2, Outcome::Accepted));
    assert_eq!(receiver.seen().len(), 2);
}
