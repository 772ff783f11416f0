//! What stands at the other end of a webhook: a receiver that keeps what it got and answers as told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use super::harness::until;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
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
    status: Arc<AtomicU16>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            status: Arc::new(AtomicU16::new(202)),
            seen: Arc::default(),
        };
        let (status, seen) = (receiver.status.clone(), receiver.seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (status, seen) = (status.clone(), seen.clone());
                thread::spawn(move || serve(stream, status.load(Ordering::SeqCst), &seen));
            }
        });
        receiver
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Waits for the first request to a path that was answered with success.
    pub(super) fn accepted(&self, path: &str) -> Seen {
        let find = || self.seen(path).into_iter().find(|seen| seen.status < 300);
        until(&format!("a request to {path}"), find)
    }
}

/// A daemon that is killed leaves half a request, or does not wait for the answer: neither matters.
fn serve(mut stream: TcpStream, status: u16, seen: &Mutex<Vec<Seen>>) {
    let Some(request) = read(&stream, status) else { return };
    seen.lock().unwrap().push(request);
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    stream.write_all(answer.as_bytes()).ok();
}

fn read(stream: &TcpStream, status: u16) -> Option<Seen> {
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
    Some(Seen { path, headers, body, status })
}
