//! The real binary as a child process: started, asked, killed, started again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

pub(super) const DRIFTD: &str = env!("CARGO_BIN_EXE_driftd");
const LOOK: Duration = Duration::from_millis(50);
/// Looks before a test gives up: two minutes, for machines that are busy with other things.
const LOOKS: usize = 2400;

/// Looks again and again until something is there.
pub(super) fn until<T>(awaited: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(LOOK);
    }
    panic!("waited in vain for {awaited}");
}

/// A running daemon; killed on drop.
pub(super) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Daemon {
    pub(super) fn start(config: &Path) -> Self {
        Self::start_with(config, &[])
    }

    /// Starts it and waits until it says where it listens.
    pub(super) fn start_with(config: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_by(command(config).envs(environment.iter().copied()))
    }

    /// The same by a command of the test's own.
    pub(super) fn start_by(command: &mut Command) -> Self {
        Self::start_until("started", command)
    }

    /// Starts it and waits until it answers, which is before its baselines are read.
    pub(super) fn listening(config: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_until("listening", command(config).envs(environment.iter().copied()))
    }

    fn start_until(said: &str, command: &mut Command) -> Self {
        let mut daemon = Self::begin_by(command);
        daemon.wait_until(said);
        daemon
    }

    /// Waits until one that was only begun says where it listens.
    pub(super) fn wait_until_started(&mut self) {
        self.wait_until("started");
    }

    fn wait_until(&mut self, said: &str) {
        let said = format!("{said} public=");
        (self.public, self.admin) = until(&said, || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", self.log());
            let log = self.log();
            let line = log.lines().find(|line| line.contains(&said))?;
            Some((address(line, "public="), address(line, "admin=")))
        });
    }

    /// Begins to start it, and does not wait for that.
    pub(super) fn begin(config: &Path) -> Self {
        Self::begin_by(&mut command(config))
    }

    /// The same by a command of the test's own.
    pub(super) fn begin_by(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()).lines(), log.clone());
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        Self { child, log, reader: Some(reader), public: nowhere, admin: nowhere }
    }

    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log that holds all of `parts`.
    pub(super) fn says(&self, parts: &[&str]) -> String {
        until(&format!("{parts:?} in the log"), || {
            let log = self.log();
            let found = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            found.map(str::to_owned)
        })
    }

    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by a signal of its own; everything that it said.
    pub(super) fn dies(mut self) -> String {
        let status = until("its end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        assert_eq!(status.code(), None, "{status}\n{}", self.log());
        self.log()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// SIGTERM; its exit status and everything that it said.
    pub(super) fn terminate(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ends()
    }

    /// Waits until it has ended; its exit status and everything that it said.
    pub(super) fn ends(mut self) -> (ExitStatus, String) {
        let status = until("its end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status, self.log())
    }

    /// Runs another command of the program against the admin listener: its code, output and errors.
    pub(super) fn command(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let url = format!("http://{}", self.admin);
        let output = Command::new(DRIFTD).args(args).args(["--url", &url]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where the admin listener is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.admin)
    }

    pub(super) fn get(&self, path: &str) -> (u16, String) {
        get(self.admin, path)
    }

    /// The same, saying what kind of answer is wanted.
    pub(super) fn get_as(&self, path: &str, accept: &str) -> (u16, String) {
        get_with(self.admin, path, &format!("accept: {accept}\r\n"))
    }

    /// Sends JSON with a bearer token; the status of the answer.
    pub(super) fn put(&self, path: &str, token: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(
            stream,
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.admin,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(super) fn get_public(&self, path: &str) -> (u16, String) {
        get(self.public, path)
    }

    pub(super) fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(super) fn model(&self, name: &str) -> Value {
        self.json(&format!("/api/v1/models/{name}"))
    }

    pub(super) fn panes(&self, name: &str) -> String {
        let (status, body) = self.get(&format!("/api/v1/models/{name}/panes"));
        assert_eq!(status, 200, "{body}");
        body
    }

    pub(super) fn incidents(&self) -> Vec<Value> {
        self.json("/api/v1/incidents")["incidents"].as_array().unwrap().clone()
    }

    /// The value of a series of `/metrics`, written as there.
    pub(super) fn metric(&self, series: &str) -> Option<f64> {
        let (status, body) = self.get_public("/metrics");
        assert_eq!(status, 200, "{body}");
        let value = body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    /// Waits until a model is as awaited.
    pub(super) fn until(&self, name: &str, awaited: &str, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..LOOKS {
            let model = self.model(name);
            if is(&model) {
                return model;
            }
            thread::sleep(LOOK);
        }
        let (model, incidents) = (self.model(name), self.incidents());
        panic!("waited in vain for {awaited}: {model:#}\n{incidents:#?}\n{}", self.log());
    }

    /// Waits until a model's window ends at `end_ms`.
    pub(super) fn until_end(&self, name: &str, end_ms: i64) -> Value {
        let end = driftd::decide::time::rfc3339(end_ms);
        self.until(name, &format!("a window up to {end}"), |model| model["window"]["end"] == end)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(DRIFTD);
    command.arg("run").arg("-c").arg(config).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A start that must be refused: its exit code and standard error.
pub(super) fn refused(config: &Path) -> (Option<i32>, String) {
    let output = command(config).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn address(line: &str, key: &str) -> SocketAddr {
    let (_, rest) = line.split_once(key).unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// HTTP/1.0, so that the answer ends with the connection.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    get_with(address, path, "")
}

fn get_with(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// The numbers of a verdict that a restart must not change.
pub(super) fn scores(model: &Value) -> Vec<[Value; 3]> {
    let feature = |f: &Value| ["feature", "verdict", "scores"].map(|key| f[key].clone());
    model["features"].as_array().unwrap().iter().map(feature).collect()
}
