//! What stands at the other end of a webhook: a receiver that keeps what it got and answers as told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::Value;

use super::harness::until;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// What it was answered with.
    pub(super) status: u16,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

/// Lives as long as the test process: a daemon may call at any moment.
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Mutex<Answer>,
    changed: Condvar,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    body: String,
    /// It does not come until this is over.
    held: bool,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answer = Answer { status: 202, body: "ok".to_owned(), held: false };
        let (changed, seen) = (Condvar::new(), Mutex::default());
        let shared = Arc::new(Shared { answer: Mutex::new(answer), changed, seen });
        let receiver = Self { address: listener.local_addr().unwrap(), shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || serve(stream, &shared));
            }
        });
        receiver
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn answer(&self, status: u16) {
        self.shared.answer.lock().unwrap().status = status;
    }

    /// Answers with a body of JSON.
    pub(super) fn answer_json(&self, status: u16, body: &Value) {
        let mut answer = self.shared.answer.lock().unwrap();
        (answer.status, answer.body) = (status, body.to_string());
    }

    /// Requests arrive, and their answers wait.
    pub(super) fn hold(&self, held: bool) {
        self.shared.answer.lock().unwrap().held = held;
        self.shared.changed.notify_all();
    }

    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        self.all().into_iter().filter(|request| request.path == path).collect()
    }

    /// Every request, in order.
    pub(super) fn all(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits for the first request to a path that was answered with success.
    pub(super) fn accepted(&self, path: &str) -> Seen {
        let find = || self.seen(path).into_iter().find(|seen| seen.status < 300);
        until(&format!("a request to {path}"), find)
    }
}

/// A daemon that is killed leaves half a request, or does not wait for the answer: neither matters.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let status = shared.answer.lock().unwrap().status;
    let Some(request) = read(&stream, status) else { return };
    shared.seen.lock().unwrap().push(request);
    let answer = shared.answer.lock().unwrap();
    let answer = shared.changed.wait_while(answer, |answer| answer.held).unwrap().clone();
    let length = answer.body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all((head + &answer.body).as_bytes()).ok();
}

fn read(stream: &TcpStream, status: u16) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { method, path, headers, body, status })
}
