//! What stands between driftd and a real server: it keeps what was said, and can lose answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it was handed on, and what the server said.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) answer: String,
}

/// Lives as long as the test process: a daemon may call at any moment.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    exchanges: Mutex<Vec<Exchange>>,
    /// So many more answers to requests of this method, with this in their path, do not arrive.
    lost: Mutex<(&'static str, &'static str, usize)>,
}

impl Relay {
    /// Stands before the server at this address.
    pub(crate) fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            exchanges: Mutex::default(),
            lost: Mutex::new(("", "", 0)),
        });
        let relay = Self { address, shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // Whoever hangs up before the answer does not get it.
                thread::spawn(move || pass_on(stream, &shared).ok());
            }
        });
        relay
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The server does what it is asked, and the next answers of this kind are lost.
    pub(crate) fn lose(&self, method: &'static str, path: &'static str, count: usize) {
        *self.shared.lost.lock().unwrap() = (method, path, count);
    }

    /// What was asked by this method, with this in its path.
    pub(crate) fn asked(&self, method: &str, path: &str) -> Vec<Exchange> {
        let all = self.shared.exchanges.lock().unwrap().clone();
        all.into_iter().filter(|e| e.method == method && e.path.contains(path)).collect()
    }
}

fn pass_on(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut head = first.clone();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
        if !name.eq_ignore_ascii_case("connection") {
            head += &line;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    // So that its answer ends with the connection.
    head += "Connection: close\r\n\r\n";
    let mut server = TcpStream::connect(&shared.server)?;
    server.write_all(&[head.as_bytes(), &body].concat())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let said = String::from_utf8_lossy(&answer).into_owned();
    let status = said.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let (method, path) = (method.to_owned(), path.to_owned());
    let is_lost = {
        let mut lost = shared.lost.lock().unwrap();
        let is_lost = lost.2 > 0 && lost.0 == method && path.contains(lost.1);
        lost.2 -= usize::from(is_lost);
        is_lost
    };
    shared.exchanges.lock().unwrap().push(Exchange { method, path, body, status, answer: said });
    if is_lost {
        return Ok(());
    }
    client.write_all(&answer)
}
