//! A thousand incidents through receivers that fail in every way, while the process that sends is ended
//! at random: the log, the ledger and the deliverer as the daemon uses them, with a disk of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use driftd::client::{Client, ClientConfig};
use driftd::decide::announcement::Data;
use driftd::decide::incident::{Evidence, Incident};
use driftd::decide::ledger::{Ledger, incident_id};
use driftd::decide::record::{DeliveryResult, Record};
use driftd::decide::{Announcement, Audience, CloseReason, Delivery, IncidentState, Kind};
use driftd::deliver::{Deliverer, Event, Outcome, Pending, Schedule, Slack, Target, Trigger};
use driftd::setting::Secret;
use driftd::store::FileStore;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::dice::Dice;
use super::{folder, rounds};

const MODELS: u64 = 10;
const DIGEST: &str = "9f86d081884c7d65";

/// What arrived, in order: which id, at whose address, and whether the sender was told that it is taken.
#[derive(Debug)]
struct Seen {
    path: String,
    id: String,
    /// It was taken; the answer may have been lost all the same.
    taken: bool,
    answered: bool,
}

/// Every receiver in one: trigger targets fail at random, Slack does not.
struct Receivers {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Triggers are refused, whatever the dice say.
    down: Arc<AtomicBool>,
}

impl Receivers {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, down): (Arc<Mutex<Vec<Seen>>>, Arc<AtomicBool>) = Default::default();
        let (kept, is_down) = (seen.clone(), down.clone());
        thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming().flatten()) {
                let (kept, is_down) = (kept.clone(), is_down.clone());
                thread::spawn(move || serve(stream, number, &kept, &is_down));
            }
        });
        Self { address, seen, down }
    }

    /// Messages that Slack has taken.
    fn told(&self) -> u64 {
        let seen = self.seen.lock().unwrap();
        let ids: BTreeSet<&str> =
            seen.iter().filter(|seen| seen.path == "/slack").map(|seen| &*seen.id).collect();
        ids.len() as u64
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A sender that is ended leaves half a request or does not wait for the answer: neither matters.
fn serve(mut stream: TcpStream, number: u64, seen: &Mutex<Vec<Seen>>, down: &AtomicBool) {
    let Some((path, id)) = request(&stream) else { return };
    let mut dice = Dice::new(number + 1);
    let healthy = path == "/slack";
    let fault = if healthy { 99 } else { dice.below(20) };
    let fault = if !healthy && down.load(Ordering::SeqCst) { 0 } else { fault };
    let status = |status: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    };
    let retry = |after: &str| {
        format!(
            "HTTP/1.1 429 X\r\nretry-after: {after}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    };
    let (answer, taken) = match fault {
        0 | 1 => (status("500 X"), false),
        2 => (retry("0"), false),
        3 => (retry("Wed, 21 Oct 2015 07:28:00 GMT"), false),
        4 => (status("401 X"), false),
        5 => ("HTTP/1.1 302 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(), false),
        6 => (status("503 X"), false),
        7 => (String::new(), false),
        // The work is done, and the sender never hears of it.
        8 => (String::new(), true),
        // A whole head, and a body that never comes: it counts.
        9 => ("HTTP/1.1 202 X\r\ncontent-length: 10\r\n\r\nhalf".to_owned(), true),
        _ => (status("200 X").replace("length: 0", "length: 2") + "ok", true),
    };
    let answered = taken && fault != 8;
    seen.lock().unwrap().push(Seen { path, id, taken, answered });
    stream.write_all(answer.as_bytes()).ok();
    if fault == 9 {
        // Until the sender's patience ends.
        stream.read_exact(&mut [0]).ok();
    }
}

fn request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body);
    // Slack has no header for it; the summary names it.
    let id = headers.get("webhook-id").cloned();
    let told = || Some(body.split("told:").nth(1)?.split(':').next()?.to_owned());
    Some((path, id.or_else(told)?))
}

fn announcement(id: &str, model: &str, summary: &str) -> Announcement {
    Announcement {
        event_type: "driftd.drift.detected".to_owned(),
        id: id.to_owned(),
        timestamp: "2026-01-01T00:05:00Z".to_owned(),
        data: Data { model: model.to_owned(), summary: summary.to_owned(), ..Data::default() },
    }
}

fn delivery(id: &str, model: &str, kind: Kind) -> Delivery {
    let trigger = kind == Kind::Trigger;
    let id = match kind {
        Kind::Trigger => id.to_owned(),
        Kind::Triggered => format!("{id}.triggered"),
        _ => format!("{id}.closed"),
    };
    Delivery {
        announcement: announcement(&id, model, &format!("told:{id}:")),
        id,
        target: if trigger { "retraining_trigger" } else { "slack" }.to_owned(),
        channel: (!trigger).then(|| model.to_owned()),
        model: model.to_owned(),
        kind,
        audience: Audience::Ml,
    }
}

fn opened(model: &str, ordinal: u64) -> Record {
    let id = incident_id(model, DIGEST, ordinal);
    let evidence = Evidence {
        baseline_digest: DIGEST.to_owned(),
        window_start: String::new(),
        window_end: String::new(),
        records: 1000,
        explanation: String::new(),
        features: Vec::new(),
        more_features: 0,
    };
    let deliveries =
        vec![delivery(&id, model, Kind::Trigger), delivery(&id, model, Kind::Triggered)];
    let incident = Incident {
        id,
        model: model.to_owned(),
        ordinal,
        state: IncidentState::Triggered,
        opened: String::new(),
        onset: None,
        closed: None,
        closed_as: None,
        attempts: Vec::new(),
        run: None,
        evidence,
    };
    let (digest, event_ms) = (DIGEST.to_owned(), i64::try_from(ordinal).unwrap());
    Record::Opened {
        incident: Box::new(incident),
        digest,
        event_ms,
        at_ms: now_ms(),
        held: false,
        deliveries,
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests' own clock")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// The ordinary schedule, so much faster that hours are milliseconds; nothing is ever given up.
fn quick() -> Schedule {
    Schedule { max_age: Duration::from_secs(3600), ..Schedule::default().scaled(0.000_005) }
}

/// One life of the process that owns the log.
struct Life {
    store: FileStore,
    ledger: Ledger,
    deliverer: Deliverer,
    events: mpsc::Receiver<Event>,
    /// A queue was full.
    left_over: bool,
}

impl Life {
    fn begin(dir: &Path, receivers: &Receivers) -> Self {
        let store = FileStore::open(dir).unwrap();
        let found = store.load_incidents().unwrap();
        assert_eq!(found.unreadable, 0);
        let mut ledger = Ledger::default();
        for (_, body) in &found.records {
            ledger.apply(&serde_json::from_slice(body).unwrap());
        }
        let client = Client::new(&ClientConfig::default()).unwrap();
        let slack = Slack {
            webhook_url: Some(Secret::new(receivers.url("/slack"))),
            allow_http: true,
            ..Slack::default()
        };
        let mut targets = Vec::new();
        for model in 0..MODELS {
            targets.push(Target::slack(&format!("m{model}"), &slack, &client).unwrap());
            let url = receivers.url(&format!("/retrain/m{model}"));
            let timeout = "200ms".parse().unwrap();
            let trigger = Trigger { allow_http: true, timeout, ..Trigger::new(url) };
            targets.push(Target::trigger(&format!("m{model}"), &trigger, &client).unwrap());
        }
        let targets = targets.into_iter().map(|target| target.with_schedule(quick())).collect();
        let (sender, events) = mpsc::channel(64);
        let deliverer = Deliverer::start(targets, sender, now_ms);
        let mut life = Self { store, ledger, deliverer, events, left_over: true };
        life.send_pending();
        life
    }

    /// What found no room is tried again, as the daemon does.
    fn send_pending(&mut self) {
        if !std::mem::take(&mut self.left_over) {
            return;
        }
        for outgoing in self.ledger.pending() {
            let pending = Pending {
                delivery: outgoing.delivery.clone(),
                attempts: outgoing.attempts,
                first_attempt_ms: outgoing.first_attempt_ms,
                unanswered_ms: None,
            };
            self.left_over |= self.deliverer.enqueue(pending).is_err();
        }
    }

    fn append(&mut self, record: &Record) {
        self.store.append_incident(1, &serde_json::to_vec(record).unwrap()).unwrap();
        self.ledger.apply(record);
    }

    fn send(&mut self, delivery: &Delivery) {
        let pending = Pending {
            delivery: delivery.clone(),
            attempts: 0,
            first_attempt_ms: None,
            unanswered_ms: None,
        };
        self.left_over |= self.deliverer.enqueue(pending).is_err();
    }

    /// Opens the next incident of every model that has none, and closes those that were accepted.
    fn decide(&mut self, most: u64) {
        for model in (0..MODELS).map(|n| format!("m{n}")) {
            if let Some(entry) = self.ledger.open(&model) {
                if entry.incident.state != IncidentState::Accepted {
                    continue;
                }
                let id = entry.incident.id.clone();
                let closed = Record::Closed {
                    incident: id.clone(),
                    closed_as: CloseReason::Replaced,
                    event_ms: 0,
                    at_ms: now_ms(),
                    by: String::new(),
                };
                self.append(&closed);
                let told = delivery(&id, &model, Kind::Closed);
                self.append(&Record::Queued { delivery: Box::new(told.clone()), at_ms: now_ms() });
                self.send(&told);
            }
            let ordinal = self.ledger.next_ordinal(&model, DIGEST);
            if ordinal <= most {
                let record = opened(&model, ordinal);
                self.append(&record);
                if let Record::Opened { deliveries, .. } = &record {
                    deliveries.iter().for_each(|delivery| self.send(delivery));
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Attempting { id, target, n, ack } => {
                let wanted = self.ledger.outgoing(&id, &target).is_some_and(|o| !o.done);
                if wanted {
                    self.append(&Record::Attempt { delivery: id, target, n, at_ms: now_ms() });
                }
                ack.send(wanted.then(Instant::now)).ok();
            }
            Event::Outcome { id, target, n, at_ms, status, result, detail, .. } => {
                let result = match result {
                    Outcome::Accepted => DeliveryResult::Accepted,
                    Outcome::AlreadyThere => DeliveryResult::AlreadyThere,
                    Outcome::Retry | Outcome::SlowRetry => DeliveryResult::Retry,
                    Outcome::Stopped | Outcome::GaveUp | Outcome::Cancelled => {
                        panic!("{id} was given up: {status:?} {detail}")
                    }
                };
                let delivery = id;
                self.append(&Record::Outcome {
                    delivery,
                    target,
                    n,
                    at_ms,
                    status,
                    result,
                    detail,
                    reference: None,
                });
            }
            Event::Run { .. } => panic!("nobody follows runs here"),
        }
    }

    fn is_done(&self, most: u64) -> bool {
        let all = (0..MODELS).all(|n| self.ledger.next_ordinal(&format!("m{n}"), DIGEST) > most);
        all && self.ledger.open_entries().next().is_none() && self.ledger.pending().is_empty()
    }
}

/// Lives that end in the middle of anything; how many there were.
fn live(dir: &Path, receivers: &Receivers, most: u64) -> u64 {
    let mut dice = Dice::new(5);
    for kills in 0..1_000_000 {
        let runtime = Runtime::new().unwrap();
        let ended = runtime.block_on(async {
            let mut life = Life::begin(dir, receivers);
            let (down, least) = (kills == 0, 20 + dice.below(400));
            receivers.down.store(down, Ordering::SeqCst);
            let mut idle = 0;
            for event in 0.. {
                // While every trigger target is down, Slack is told of the first of each model.
                if event >= least && (!down || receivers.told() == MODELS) {
                    return false;
                }
                life.decide(most);
                if event % 100 == 99 {
                    life.send_pending();
                }
                let came = tokio::time::timeout(Duration::from_millis(500), life.events.recv());
                match came.await {
                    Ok(event) => life.handle(event.unwrap()),
                    Err(_) if life.is_done(most) => return true,
                    Err(_) => {
                        idle += 1;
                        assert!(
                            idle < 240,
                            "nothing happens for minutes: {:?}",
                            life.ledger.pending()
                        );
                    }
                }
            }
            false
        });
        // What is on its way is cut off wherever it stands.
        runtime.shutdown_background();
        if ended {
            return kills;
        }
    }
    panic!("it never ended")
}

#[test]
fn a_thousand_incidents_arrive_once_under_their_id_through_every_fault() {
    let incidents = rounds("DRIFTD_TEST_INCIDENTS", 1000) as u64;
    let most = incidents.div_ceil(MODELS);
    let (folder, receivers) = (folder(), Receivers::start());
    let kills = live(&folder.path().join("state"), &receivers, most);
    let seen = receivers.seen.lock().unwrap();
    let expected: BTreeSet<(String, String)> = (0..MODELS)
        .flat_map(|n| {
            let model = format!("m{n}");
            let path = format!("/retrain/{model}");
            (1..=most).map(move |o| (path.clone(), incident_id(&model, DIGEST, o)))
        })
        .collect();
    let triggers = || seen.iter().filter(|seen| seen.path.starts_with("/retrain"));
    let taken = triggers().filter(|s| s.taken).map(|s| (s.path.clone(), s.id.clone()));
    let unique: BTreeSet<(String, String)> = taken.collect();
    assert_eq!(unique.difference(&expected).count(), 0, "a second id");
    assert_eq!(expected.difference(&unique).count(), 0, "lost");

    // A trigger is repeated only if its answer was lost, or the process ended before it was written down.
    let lost_answers = triggers().filter(|s| s.taken && !s.answered).count() as u64;
    let repeats = triggers().filter(|s| s.taken).count() as u64 - unique.len() as u64;
    assert!(repeats <= lost_answers + kills * (MODELS + 1), "{repeats} of {lost_answers}, {kills}");

    // People hear of the trigger before its end, and of everything.
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, seen) in seen.iter().enumerate().filter(|(_, seen)| seen.path == "/slack") {
        told.entry(&seen.id).or_insert(at);
    }
    for (path, id) in &expected {
        let triggered = told[format!("{id}.triggered").as_str()];
        let closed = told[format!("{id}.closed").as_str()];
        assert!(triggered < closed, "{path} {id}");
        let first = seen.iter().position(|s| s.path == *path && s.id == *id && s.taken).unwrap();
        assert!(first < closed, "{path} {id}");
    }
    // While all triggers failed, Slack heard of the first incident of every model.
    let first_taken = triggers().position(|s| s.taken).unwrap();
    let failed = triggers().take(first_taken).count();
    let first_taken = seen.iter().position(|s| s.taken && s.path.starts_with("/retrain")).unwrap();
    for n in 0..MODELS {
        let id = incident_id(&format!("m{n}"), DIGEST, 1);
        assert!(told[format!("{id}.triggered").as_str()] < first_taken);
    }
    println!(
        "{} incidents, {} requests, {kills} kills, {lost_answers} answers lost, {repeats} repeats, \
         {failed} refusals before the first success",
        expected.len(),
        seen.len()
    );
    assert!(kills > 5 && failed > 50 && lost_answers > 0);
}
