//! Real servers for tests: taken from the cache, installed only when every test is required.
//!
//! Each returns `None`, and says so aloud, where it is not installed; with `DRIFTD_TEST_REQUIRE=all`
//! that is a failure. A server ends with the value that holds it, or with the test process.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use tempfile::TempDir;

mod airflow;
mod argo;
mod lakefs;
mod relay;

pub(crate) use airflow::Airflow;
pub(crate) use argo::Argo;
pub(crate) use lakefs::Lakefs;
pub(crate) use relay::Relay;

/// Whether a test without its server is a failure.
pub(crate) fn all_required() -> bool {
    std::env::var("DRIFTD_TEST_REQUIRE").is_ok_and(|value| value == "all")
}

/// Says past the test harness, which hides what passing tests print, that a test did nothing.
pub(crate) fn skip(what: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("SKIPPED {test}: {what} (DRIFTD_TEST_REQUIRE=all makes this a failure)\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A file in `tests/servers`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(name)
}

/// Runs a server's script; its standard output, or a panic with what it said.
fn run<I: AsRef<OsStr>>(server: &str, args: impl IntoIterator<Item = I>) -> String {
    let output = spawn(server, args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{server}: {}\n{out}{err}", output.status);
    out.trim().to_owned()
}

fn spawn<I: AsRef<OsStr>>(server: &str, args: impl IntoIterator<Item = I>) -> Output {
    Command::new(script(&format!("{server}.sh")))
        .args(args)
        .env("DRIFTD_SERVER_OWNER", std::process::id().to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether the server can be used; tries to install it only when it must be there.
fn installed(server: &str) -> bool {
    if spawn(server, ["installed"]).status.success() {
        return true;
    }
    if all_required() {
        run(server, ["install"]);
        return true;
    }
    skip(&format!("tests/servers/{server}.sh install has not been run"));
    false
}

/// A server that was started in a folder of its own.
struct Started {
    server: &'static str,
    dir: TempDir,
    address: String,
}

impl Started {
    fn new(server: &'static str, args: &[&str]) -> Option<Self> {
        installed(server).then(|| {
            let dir = tempfile::tempdir().unwrap();
            let address = Self::start(server, &dir, args);
            Self { server, dir, address }
        })
    }

    fn start(server: &str, dir: &TempDir, args: &[&str]) -> String {
        let fixed = [OsStr::new("start"), dir.path().as_os_str()];
        run(server, fixed.into_iter().chain(args.iter().map(OsStr::new)))
    }

    fn run(&self, verb: &str) {
        run(self.server, [OsStr::new(verb), self.dir.path().as_os_str()]);
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        spawn(self.server, [OsStr::new("stop"), self.dir.path().as_os_str()]);
    }
}

/// One node of Apache Kafka 4.1 (KRaft). It creates no topics by itself, and keeps records however
/// old they are unless the topic says otherwise.
pub(crate) struct Kafka {
    server: Started,
}

impl Kafka {
    pub(crate) fn start() -> Option<Self> {
        Started::new("kafka", &[]).map(|server| Self { server })
    }

    /// As `start`, and with listeners that ask who comes: `doors` has what they need (see `kafka.sh`).
    pub(crate) fn start_guarded(doors: &Path) -> Option<Self> {
        Started::new("kafka", &[doors.to_str().unwrap()]).map(|server| Self { server })
    }

    /// The address of a guarded listener.
    pub(crate) fn listener(&self, name: &str) -> String {
        let listeners = std::fs::read_to_string(self.server.dir.path().join("listeners")).unwrap();
        let found = listeners.lines().find_map(|line| line.strip_prefix(&format!("{name}://")));
        found.unwrap().to_owned()
    }

    /// Changes rights, with the options of Kafka's `AclCommand`.
    pub(crate) fn acl(&self, options: &[&str]) {
        let fixed = [OsStr::new("acl"), self.server.dir.path().as_os_str()];
        run("kafka", fixed.into_iter().chain(options.iter().map(OsStr::new)));
    }

    /// `bootstrap.servers`; the same after a restart.
    pub(crate) fn brokers(&self) -> &str {
        &self.server.address
    }

    /// Where the broker keeps its logs.
    pub(crate) fn data(&self) -> PathBuf {
        self.server.dir.path().join("data")
    }

    /// Asks the broker to end and waits until it is gone.
    pub(crate) fn stop(&self) {
        self.server.run("stop");
    }

    /// Ends the broker by `kill -9`.
    pub(crate) fn kill9(&self) {
        self.server.run("kill");
    }

    /// Starts it again after `stop` or `kill9`, on the same data and port.
    pub(crate) fn restart(&self) {
        let address = Started::start(self.server.server, &self.server.dir, &[]);
        assert_eq!(address, self.server.address);
    }

    /// Starts it again on the same data and at another port, as one whose machine was replaced.
    pub(crate) fn restart_elsewhere(&self) {
        let file = self.server.dir.path().join("server.properties");
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let settings = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, settings.replace(&self.server.address, &free)).unwrap();
        assert_eq!(Started::start(self.server.server, &self.server.dir, &[]), free);
    }

    /// Creates a topic; `configs` such as `("retention.ms", "3000")`.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create().unwrap();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let created = block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(created.iter().all(Result::is_ok), "{created:?}");
    }

    /// Another broker of the same cluster, of this number from 2 on; this one must outlive it.
    pub(crate) fn join_as(&self, number: i32) -> Self {
        let (dir, number) = (tempfile::tempdir().unwrap(), number.to_string());
        let dirs = [OsStr::new("join"), dir.path().as_os_str(), self.server.dir.path().as_os_str()];
        let address = run("kafka", dirs.into_iter().chain([OsStr::new(&number)]));
        Self { server: Started { server: "kafka", dir, address } }
    }

    /// Creates a topic whose partitions are on these brokers, each led by its first.
    pub(crate) fn create_topic_on(&self, name: &str, brokers: &[&[i32]], configs: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create().unwrap();
        let partitions = i32::try_from(brokers.len()).unwrap();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Variable(brokers));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let created = block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(created.iter().all(Result::is_ok), "{created:?}");
    }

    /// Which broker leads a partition.
    pub(crate) fn leader(&self, name: &str, partition: i32) -> i32 {
        let consumer: rdkafka::consumer::BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create().unwrap();
        let limit = std::time::Duration::from_secs(30);
        let metadata = rdkafka::consumer::Consumer::fetch_metadata(&consumer, Some(name), limit);
        let metadata = metadata.unwrap();
        let partitions = metadata.topics()[0].partitions();
        partitions.iter().find(|p| p.id() == partition).map_or(-1, |p| p.leader())
    }

    /// The topic has so many partitions from now on.
    pub(crate) fn add_partitions(&self, name: &str, partitions: usize) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create().unwrap();
        let more = NewPartitions::new(name, partitions);
        let done = block_on(admin.create_partitions([&more], &AdminOptions::new())).unwrap();
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }

    /// Deletes a topic, so that it can be created anew under another id.
    pub(crate) fn delete_topic(&self, name: &str) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create().unwrap();
        let deleted = block_on(admin.delete_topics(&[name], &AdminOptions::new())).unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    /// Waits until no broker knows the topic.
    pub(crate) fn until_gone(&self, name: &str) {
        let limit = std::time::Duration::from_secs(30);
        for _ in 0..600 {
            let consumer: rdkafka::consumer::BaseConsumer =
                ClientConfig::new().set("bootstrap.servers", self.brokers()).create().unwrap();
            let metadata = rdkafka::consumer::Consumer::fetch_metadata(&consumer, None, limit);
            if metadata.unwrap().topics().iter().all(|topic| topic.name() != name) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{name} is still there");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// An S3 server that takes any credentials.
pub(crate) struct Moto {
    server: Started,
}

impl Moto {
    pub(crate) fn start() -> Option<Self> {
        Started::new("moto", &[]).map(|server| Self { server })
    }

    /// For `AWS_ENDPOINT_URL` and the like.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub(crate) fn create_bucket(&self, bucket: &str) {
        let answer = http(&self.server.address, "PUT", &format!("/{bucket}"), b"");
        assert!(answer.status == 200, "{}: {}", answer.status, answer.body);
    }

    pub(crate) fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let answer = http(&self.server.address, "PUT", &format!("/{bucket}/{key}"), bytes);
        assert!(answer.status == 200, "{}: {}", answer.status, answer.body);
    }
}

/// Azure Blob Storage, which checks signatures.
pub(crate) struct Azurite {
    server: Started,
}

impl Azurite {
    pub(crate) const ACCOUNT: &str = "devstoreaccount1";
    /// The key that every Azurite has.
    pub(crate) const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    pub(crate) fn start() -> Option<Self> {
        Started::new("azurite", &[]).map(|server| Self { server })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/{}", self.server.address, Self::ACCOUNT)
    }

    pub(crate) fn create_container(&self, name: &str) {
        let dir = self.server.dir.path().as_os_str();
        run("azurite", [OsStr::new("container"), dir, OsStr::new(name)]);
    }

    pub(crate) fn put(&self, container: &str, key: &str, bytes: &[u8]) {
        let store = object_store::azure::MicrosoftAzureBuilder::new()
            .with_account(Self::ACCOUNT)
            .with_access_key(Self::KEY)
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_container_name(container);
        block_on(async {
            let (store, key) = (store.build().unwrap(), object_store::path::Path::from(key));
            object_store::ObjectStoreExt::put(&store, &key, bytes.to_vec().into()).await.unwrap();
        });
    }
}

/// Google Cloud Storage, for anybody.
pub(crate) struct Gcs {
    server: Started,
}

impl Gcs {
    pub(crate) fn start() -> Option<Self> {
        Started::new("gcs", &[]).map(|server| Self { server })
    }

    /// For `STORAGE_EMULATOR_HOST`.
    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    pub(crate) fn create_bucket(&self, bucket: &str) {
        let body = format!(r#"{{"name":"{bucket}"}}"#);
        let answer = http(self.address(), "POST", "/storage/v1/b?project=p", body.as_bytes());
        assert!(answer.status == 200, "{}: {}", answer.status, answer.body);
    }

    pub(crate) fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let name: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        let path = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}");
        let answer = http(self.address(), "POST", &path, bytes);
        assert!(answer.status == 200, "{}: {}", answer.status, answer.body);
    }
}

/// MLflow's tracking server.
pub(crate) struct Mlflow {
    server: Started,
}

impl Mlflow {
    pub(crate) fn start() -> Option<Self> {
        Started::new("mlflow", &[]).map(|server| Self { server })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// A call of the REST API.
    pub(crate) fn post(&self, call: &str, body: &str) -> serde_json::Value {
        let path = format!("/api/2.0/mlflow/{call}");
        let answer = self.send("POST", &path, "application/json", body.as_bytes());
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
        self.send("PUT", &path, "application/octet-stream", bytes);
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> String {
        let header = format!("Content-Type: {kind}");
        let answer = http_with(&self.server.address, method, path, (&header, body));
        assert!(answer.status == 200, "{path}: {}: {}", answer.status, answer.body);
        answer.body
    }
}

/// A Prometheus that scrapes `targets` (`host:port`) every second.
pub(crate) struct Prometheus {
    server: Started,
}

impl Prometheus {
    pub(crate) fn start(targets: &[&str]) -> Option<Self> {
        Started::new("prometheus", targets).map(|server| Self { server })
    }

    /// The answer of `/api/v1/<path>`, its `data`.
    pub(crate) fn api(&self, path: &str) -> serde_json::Value {
        let answer = http(&self.server.address, "GET", &format!("/api/v1/{path}"), b"");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        body["data"].take()
    }

    /// The series that match `selector`, once there are some: the first scrape takes seconds.
    pub(crate) fn wait_for(&self, selector: &str) -> Vec<(serde_json::Value, f64)> {
        for _ in 0..300 {
            let found = self.query(selector);
            if !found.is_empty() {
                return found;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let found = self.query(selector);
        assert!(!found.is_empty(), "no {selector}; targets: {}", self.api("targets"));
        found
    }

    /// The series that match `selector` now, as `(labels, value)`.
    pub(crate) fn query(&self, selector: &str) -> Vec<(serde_json::Value, f64)> {
        let encoded: String = url::form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let data = self.api(&format!("query?query={encoded}"));
        let series = data["result"].as_array().unwrap();
        let value = |s: &serde_json::Value| s["value"][1].as_str().unwrap().parse().unwrap();
        series.iter().map(|s| (s["metric"].clone(), value(s))).collect()
    }
}

/// An Alertmanager that tells nobody.
pub(crate) struct Alertmanager {
    server: Started,
}

impl Alertmanager {
    pub(crate) fn start() -> Option<Self> {
        Started::new("alertmanager", &[]).map(|server| Self { server })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The alerts that it has, by `/api/v2/alerts`.
    pub(crate) fn alerts(&self) -> Vec<serde_json::Value> {
        let answer = http(&self.server.address, "GET", "/api/v2/alerts", b"");
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

/// What `promtool check metrics` has to say about an exposition; `Some("")` when it is clean.
pub(crate) fn promtool_check_metrics(exposition: &str) -> Option<String> {
    if !installed("prometheus") {
        return None;
    }
    let mut child = Command::new(run("prometheus", ["promtool"]))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some(text(&output.stdout) + &text(&output.stderr))
}

/// A Python with confluent-kafka, numpy, pyarrow and xxhash, for `produce.py`.
pub(crate) fn python() -> Option<PathBuf> {
    installed("python").then(|| PathBuf::from(run("python", ["python"])))
}

/// A real browser that looks at pages.
pub(crate) struct Browser;

impl Browser {
    pub(crate) fn find() -> Option<Self> {
        installed("browser").then_some(Self)
    }

    /// Opens every view of the driftd at `url`; their paths, or a panic with what is wrong with them.
    /// Pictures go to `folder` unless that is empty.
    #[expect(clippy::unused_self, reason = "who has it knows that the browser is there")]
    pub(crate) fn look(&self, url: &str, folder: &str) -> String {
        run("browser", ["look", url, folder])
    }
}

/// What holds a server to its OpenAPI document.
pub(crate) struct Schemathesis;

impl Schemathesis {
    pub(crate) fn find() -> Option<Self> {
        installed("schemathesis").then_some(Self)
    }

    /// Asks the driftd at `url` everything, with a bearer token; an error is what it says is wrong.
    #[expect(clippy::unused_self, reason = "who has it knows that it is there")]
    pub(crate) fn run(&self, url: &str, token: &str) -> Result<(), String> {
        let header = format!("Authorization: Bearer {token}");
        // The same questions at every run.
        let args = [
            "run",
            url,
            "--seed",
            "7",
            "--phases",
            "coverage,fuzzing",
            "--max-examples",
            "10",
            "--workers",
            "1",
            "-H",
            &header,
        ];
        let output = spawn("schemathesis", args);
        let told = text(&output.stdout) + &text(&output.stderr);
        output.status.success().then_some(()).ok_or(told)
    }
}

/// moto asks only that a request is signed, not how.
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 \
    Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=test";

struct Answer {
    status: u16,
    body: String,
}

/// One request over HTTP/1.0, so that the body ends with the connection.
fn http(address: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    http_with(address, method, path, (SIGNED, body))
}

fn http_with(address: &str, method: &str, path: &str, (header, body): (&str, &[u8])) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{header}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = text(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, body: body.to_owned() }
}

#[test]
fn a_killed_kafka_comes_back_with_its_topics() {
    let Some(kafka) = Kafka::start() else { return };
    kafka.create_topic("kept", 3, &[("retention.ms", "-1")]);
    kafka.create_topic("deleted", 1, &[]);
    kafka.delete_topic("deleted");
    kafka.kill9();
    kafka.restart();
    kafka.create_topic("new", 1, &[]);
    kafka.stop();
    kafka.restart();
    let consumer: rdkafka::consumer::BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().unwrap();
    let limit = std::time::Duration::from_secs(30);
    let metadata = rdkafka::consumer::Consumer::fetch_metadata(&consumer, None, limit).unwrap();
    let mut topics: Vec<_> =
        metadata.topics().iter().map(|t| (t.name(), t.partitions().len())).collect();
    topics.sort_unstable();
    assert_eq!(topics, [("kept", 3), ("new", 1)]);
}

#[test]
fn moto_keeps_what_is_put_into_it() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("ml-data");
    moto.put("ml-data", "training/v1/reference.parquet", b"PAR1");
    let address = moto.endpoint().trim_start_matches("http://").to_owned();
    let answer = http(&address, "GET", "/ml-data/training/v1/reference.parquet", b"");
    assert_eq!((answer.status, answer.body.as_str()), (200, "PAR1"));
}

#[test]
fn prometheus_scrapes_and_answers_and_promtool_lints() {
    let Some(prometheus) = Prometheus::start(&["127.0.0.1:9"]) else { return };
    let up = prometheus.wait_for("up");
    assert_eq!(up[0].0["instance"], "127.0.0.1:9");
    assert_eq!(up[0].1.to_string(), "0", "nobody listens there");
    assert_eq!(prometheus.query("vector(42)")[0].1.to_string(), "42");
    let clean = "# HELP driftd_up It is.\n# TYPE driftd_up gauge\ndriftd_up 1\n";
    assert_eq!(promtool_check_metrics(clean).as_deref(), Some(""));
    let bad = promtool_check_metrics("driftd_seconds_count_total 1\n").unwrap();
    assert!(bad.contains("no help text"), "{bad}");
}

#[test]
fn python_has_the_clients_that_the_producer_needs() {
    let Some(python) = python() else { return };
    let status = Command::new(python)
        .args(["-c", "import confluent_kafka, numpy, pyarrow.parquet, xxhash"])
        .status()
        .unwrap();
    assert!(status.success());
}
