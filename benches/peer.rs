//! A peer in Python: a process of its own that waits for its turn.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A running `benches/peers/NAME.py`. One line goes in, one line of JSON comes back.
pub(crate) struct Peer {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a script with the Python of `environment`, which `benches/peers/install.sh` makes;
    /// `None`, and a line that says so, where that has not been run.
    pub(crate) fn start(script: &str, environment: &str, arguments: &[&Path]) -> Option<Self> {
        let python = environments().join(environment).join("bin/python");
        if !python.exists() {
            eprintln!("no peers in Python: run benches/peers/install.sh first");
            return None;
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
        let mut process = Command::new(python)
            .arg(folder.join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("it is a pipe"));
        Some(Self { process, requests, answers })
    }

    /// Gives the peer its turn and waits for what it has measured.
    pub(crate) fn turn(&mut self, request: &str) -> Value {
        let requests = self.requests.as_mut().expect("it is there until the end");
        writeln!(requests, "{request}").expect("the peer listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the peer answers");
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{request}: {error}: {answer:?}"))
    }

    /// The CPU seconds that a turn took.
    pub(crate) fn seconds(&mut self, request: &str) -> f64 {
        self.turn(request)["cpu_seconds"].as_f64().expect("every turn is timed")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.requests.take());
        self.process.wait().ok();
    }
}

/// Where `benches/peers/install.sh` puts its virtual environments.
fn environments() -> PathBuf {
    match env::var_os("DRIFTD_PEERS") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/driftd-peers"),
    }
}
