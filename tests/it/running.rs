//! The real binary: started with a configuration, watched through its log and its listeners, killed.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// Looks before a test gives up: far longer than anything takes on a busy machine.
const LOOKS: usize = 2_400;

/// A `driftd run`; killed with the value.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

/// A partition as it was taken: where its one model starts, and where its log ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) partition: String,
    pub(crate) start: i64,
    pub(crate) low: i64,
    pub(crate) high: i64,
}

impl Daemon {
    /// Starts it; its listeners get free ports and its log is JSON, whatever `config` says. Files of
    /// one `dir` are written over by the next start there.
    pub(crate) fn spawn(dir: &Path, config: &Value) -> Self {
        let mut config = config.clone();
        config["http"] = json!({"public": "127.0.0.1:0", "admin": "127.0.0.1:0"});
        config["log"] = json!({"format": "json"});
        fs::create_dir_all(dir).unwrap();
        // JSON is YAML.
        let file = dir.join("driftd.yaml");
        fs::write(&file, serde_json::to_string_pretty(&config).unwrap()).unwrap();
        let log = dir.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_driftd"))
            .arg("run")
            .arg("-c")
            .arg(file)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Starts it and waits until its listeners answer.
    pub(crate) fn start(dir: &Path, config: &Value) -> Self {
        let mut daemon = Self::spawn(dir, config);
        daemon.wait_for_line("started");
        daemon
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Lines of the log with this message.
    pub(crate) fn lines(&self, message: &str) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    }

    pub(crate) fn wait_for_line(&mut self, message: &str) -> Value {
        self.wait(message, |daemon| daemon.lines(message).into_iter().next())
    }

    /// Where it started to read each partition, as it has said so far.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        let taken = |line: &Value| Taken {
            partition: line["partition"].as_str().unwrap().to_owned(),
            start: line["starts"].as_str().unwrap().trim_matches(['[', ']']).parse().unwrap(),
            low: line["low"].as_i64().unwrap(),
            high: line["high"].as_i64().unwrap(),
        };
        self.lines("partition taken").iter().map(taken).collect()
    }

    /// Waits until there is something to return; panics with the log when that takes too long, or
    /// the daemon has ended.
    pub(crate) fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        for _ in 0..LOOKS {
            if let Some(found) = look(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended with {status} before: {what}\n{}", self.log());
            }
            sleep(LOOK);
        }
        panic!("never: {what}\n{}", self.log());
    }

    /// `host:port` of the public or admin listener.
    pub(crate) fn address(&self, listener: &str) -> String {
        let started = self.lines("started");
        started[0][listener].as_str().unwrap().to_owned()
    }

    /// The body of a path of the admin listener.
    pub(crate) fn get(&self, path: &str) -> String {
        let (status, body) = get(&self.address("admin"), path);
        assert!(status == 200, "{path}: {status}\n{body}");
        body
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    /// As `json`; `None` while there is nothing, such as before the first baseline.
    pub(crate) fn json_if_there(&self, path: &str) -> Option<Value> {
        let (status, body) = get(&self.address("admin"), path);
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    pub(crate) fn metrics(&self) -> String {
        get(&self.address("public"), "/metrics").1
    }

    /// The sum of a family's series whose labels contain `labels`.
    pub(crate) fn metric(&self, family: &str, labels: &str) -> f64 {
        let metrics = self.metrics();
        let series = metrics.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, rest) = series.split_once('{').unwrap_or((series, ""));
            (name == family && rest.contains(labels)).then(|| value.parse::<f64>().unwrap())
        });
        series.sum()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits; whether it ended well.
    pub(crate) fn stop(mut self) -> bool {
        self.signal("TERM");
        self.child.wait().unwrap().success()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Status and body of one request, over HTTP/1.0 so that the body ends with the connection.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
