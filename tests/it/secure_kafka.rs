//! Every door of a real Kafka: certificates, passwords, tokens and rights, and what is said at a closed one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use driftd::kafka;
use driftd::kafka::mock::Producer;
use driftd::kafka::producer::{self, Outgoing};
use driftd::kafka::tail::Tail;
use driftd::kafka::topics::{self, Wanted};
use driftd::kafka::{Config, sample};
use driftd::source::kafka::KafkaSource;
use driftd::source::{Event, Start};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task;

use crate::certificates::{Authority, Signed};
use crate::running::Daemon;
use crate::servers::Kafka;

mod rights;

const TOPIC: &str = "inferences";
const RECORDS: i64 = 300;
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a door may take to show that it is closed.
const LOOK: Duration = Duration::from_secs(20);

/// A guarded broker with records, and who may enter.
struct World {
    kafka: Kafka,
    dir: TempDir,
    ours: Authority,
    theirs: Authority,
    member: Signed,
    expired: Signed,
    tokens: Tokens,
}

impl World {
    /// One for all tests that run at the same time; `None`, said aloud, where Kafka is not installed.
    fn get() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(world) = shared.upgrade() {
            return Some(world);
        }
        let world = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&world);
        Some(world)
    }

    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let ours = Authority::new(dir.path(), "ca");
        let theirs = Authority::new(dir.path(), "theirs");
        fs::write(dir.path().join("broker.pem"), ours.sign("broker").joined()).unwrap();
        fs::write(dir.path().join("expired.pem"), ours.sign_expired("old-broker").joined())
            .unwrap();
        let (member, expired) = (ours.sign("member"), ours.sign_expired("old-member"));
        let tokens = Tokens::new(dir.path());
        let kafka = Kafka::start_guarded(dir.path())?;
        kafka.create_topic(TOPIC, 3, &[("retention.ms", "-1")]);
        let producer = Producer::connect(kafka.brokers()).unwrap();
        for i in 0..RECORDS {
            let record = json!({"amount": i % 100}).to_string();
            let partition = i32::try_from(i % 3).unwrap();
            let ts = 1_767_225_600_000 + i;
            producer.produce(TOPIC, partition, None, ts, Some(record.as_bytes())).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        // What docs/security.md says is enough, and nothing else.
        let users = ["User:CN=member", "User:plain", "User:scram256", "User:oauth"];
        let mut rights = vec!["--add", "--operation", "Read", "--topic", TOPIC];
        // A group for each test: members of one would share the partitions out.
        rights.extend(
            ["driftd", "renewed", "tokens", "tokens-late"]
                .iter()
                .flat_map(|group| ["--group", group]),
        );
        rights.extend(users.iter().flat_map(|user| ["--allow-principal", user]));
        kafka.acl(&rights);
        Some(Self { kafka, dir, ours, theirs, member, expired, tokens })
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn config(&self, listener: &str, options: &[(&str, &str)]) -> Config {
        let mut config = Config::new([self.kafka.listener(listener)]);
        config.options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        config
    }

    fn tls(&self, shown: Option<&Signed>) -> Config {
        let mut config = self.config("TLS", &[("security.protocol", "SSL")]);
        config.options.insert("ssl.ca.location".to_owned(), self.path("ca.crt"));
        if let Some(shown) = shown {
            let path = |path: &Path| path.to_str().unwrap().to_owned();
            config.options.insert("ssl.certificate.location".to_owned(), path(&shown.cert));
            config.options.insert("ssl.key.location".to_owned(), path(&shown.key));
        }
        config
    }

    fn sasl(&self, listener: &str, mechanism: &str, user: &str, password: &str) -> Config {
        let protocol = if listener == "SASL" { "SASL_PLAINTEXT" } else { "SASL_SSL" };
        let mut config = self.config(
            listener,
            &[
                ("security.protocol", protocol),
                ("sasl.mechanisms", mechanism),
                ("sasl.username", user),
                ("sasl.password", password),
            ],
        );
        if protocol == "SASL_SSL" {
            config.options.insert("ssl.ca.location".to_owned(), self.path("ca.crt"));
        }
        config
    }

    /// On topics of our own.
    fn allow_own(&self, user: &str, operations: &[&str]) {
        let mut rights = vec!["--add", "--allow-principal", user, "--topic", "own."];
        rights.extend(["--resource-pattern-type", "prefixed"]);
        rights.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        self.kafka.acl(&rights);
    }

    fn oauth(&self, token_file: &Path) -> Config {
        let options = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "OAUTHBEARER")];
        let mut config = self.config("OAUTH", &options);
        config.oauth_token_file = Some(token_file.to_owned());
        config
    }
}

/// What a token endpoint does: it signs claims with a key whose public half the broker knows.
struct Tokens {
    dir: PathBuf,
}

impl Tokens {
    fn new(dir: &Path) -> Self {
        let key = dir.join("tokens.key");
        openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-out", key.to_str().unwrap()], b"");
        let modulus = openssl(&["rsa", "-in", key.to_str().unwrap(), "-noout", "-modulus"], b"");
        let modulus = String::from_utf8(modulus).unwrap();
        let hex = modulus.trim().strip_prefix("Modulus=").unwrap();
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        let key = json!({"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "e": "AQAB",
            "n": URL_SAFE_NO_PAD.encode(bytes)});
        fs::write(dir.join("jwks.json"), json!({"keys": [key]}).to_string()).unwrap();
        Self { dir: dir.to_owned() }
    }

    /// A file with a token that ends in `seconds`.
    fn issue(&self, name: &str, audience: &str, seconds: i64) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, self.sign(audience, seconds) + "\n").unwrap();
        path
    }

    fn sign(&self, audience: &str, seconds: i64) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        let header = json!({"alg": "RS256", "kid": "k1", "typ": "JWT"});
        let claims = json!({"sub": "oauth", "aud": audience, "scope": "kafka",
            "iat": now - 3600, "exp": now + seconds});
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = parts.join(".");
        let key = self.dir.join("tokens.key");
        let key = ["dgst", "-sha256", "-sign", key.to_str().unwrap()];
        let signature = URL_SAFE_NO_PAD.encode(openssl(&key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// Listens on the loopback and grants short tokens to `driftd`, whose secret is `s3cret/+`.
fn endpoint(world: &Arc<World>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let granted = Arc::new(AtomicUsize::new(0));
    let tokens = Tokens { dir: world.tokens.dir.clone() };
    let counted = granted.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            grant(stream, &tokens, &counted);
        }
    });
    (url, granted)
}

fn grant(mut stream: TcpStream, tokens: &Tokens, granted: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut line) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        head += &line;
    }
    let mut body = [0; 55];
    reader.read_exact(&mut body).ok()?;
    assert_eq!(&body[..], b"grant_type=client_credentials&scope=read&audience=kafka", "{head}");
    let known = format!("authorization: Basic {}\r\n", STANDARD.encode("driftd:s3cret%2F%2B"));
    let (status, answer) = if head.contains(&known) {
        granted.fetch_add(1, Ordering::SeqCst);
        (200, json!({"access_token": tokens.sign("kafka", 8), "token_type": "Bearer"}))
    } else {
        (401, json!({"error": "invalid_client"}))
    };
    let answer = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )
    .ok()
}

fn openssl(args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {args:?}");
    output.stdout
}

/// Joins the group and reads everything; how many records came.
fn read_all(config: &Config) -> i64 {
    let starts = Box::new(|_: &_| Some(vec![Start::Earliest]));
    let mut source = KafkaSource::connect(config, &[TOPIC.to_owned()], starts).unwrap();
    let mut read = 0;
    for _ in 0..600 {
        match source.next(Duration::from_millis(100)) {
            Event::Batch(batch) => read += i64::try_from(batch.len()).unwrap(),
            Event::Failed(error) => panic!("{error}"),
            Event::Assigned(_) | Event::Revoked(_) | Event::Lost { .. } | Event::Idle => {}
        }
        if read >= RECORDS {
            source.close(PATIENCE).unwrap();
            return read;
        }
    }
    panic!("only {read} came; {:?}", source.trouble());
}

#[test]
fn every_way_in_reads_every_record() {
    let Some(world) = World::get() else { return };
    let token = world.tokens.issue("token", "kafka", 600);
    let ways = [
        ("a client certificate", world.tls(Some(&world.member))),
        ("PLAIN", world.sasl("SASL", "PLAIN", "plain", "secret")),
        ("PLAIN over TLS", world.sasl("SASLTLS", "PLAIN", "plain", "secret")),
        ("SCRAM-SHA-256", world.sasl("SASL", "SCRAM-SHA-256", "scram256", "secret")),
        ("SCRAM-SHA-256 over TLS", world.sasl("SASLTLS", "SCRAM-SHA-256", "scram256", "secret")),
        ("OAUTHBEARER", world.oauth(&token)),
    ];
    for (way, config) in ways {
        assert!(config.check().is_ok(), "{way}");
        assert_eq!(read_all(&config), RECORDS, "{way}");
        let mut kip848 = config;
        kip848.options.insert("group.protocol".to_owned(), "consumer".to_owned());
        assert_eq!(read_all(&kip848), RECORDS, "{way}, with the new group protocol");
    }
}

#[test]
fn a_closed_door_says_which_and_what_to_do() {
    let Some(world) = World::get() else { return };
    let (old, foreign) = (
        world.tokens.issue("old-token", "kafka", -60),
        world.tokens.issue("foreign-token", "others", 600),
    );
    let mut wrong_ca = world.tls(Some(&world.member));
    wrong_ca.options.insert("ssl.ca.location".to_owned(), world.path("theirs.crt"));
    let mut no_ca = world.sasl("SASLTLS", "PLAIN", "plain", "secret");
    no_ca.options.remove("ssl.ca.location");
    let mut expired_broker = world.config("EXPIRED", &[("security.protocol", "SSL")]);
    expired_broker.options.insert("ssl.ca.location".to_owned(), world.path("ca.crt"));
    let (stranger, outsider) = (world.theirs.sign("stranger"), world.ours.sign("outsider"));
    let certificate = "kafka.options.ssl.certificate.location";
    let (ca, password) = ("kafka.options.ssl.ca.location", "sasl.password");
    let cases = [
        ("another authority", wrong_ca, ca),
        ("no authority", no_ca, ca),
        ("an expired certificate of the broker", expired_broker, "expired"),
        ("no certificate of ours", world.tls(None), certificate),
        ("an expired certificate of ours", world.tls(Some(&world.expired)), certificate),
        ("a certificate of a stranger", world.tls(Some(&stranger)), certificate),
        ("a wrong password", world.sasl("SASL", "SCRAM-SHA-256", "scram256", "no"), password),
        ("an unknown user", world.sasl("SASL", "SCRAM-SHA-512", "nobody", "secret"), password),
        ("a wrong plain password", world.sasl("SASLTLS", "PLAIN", "plain", "no"), password),
        ("an old token", world.oauth(&old), "kafka.oauth_token_file"),
        ("a token for others", world.oauth(&foreign), "kafka.oauth_token_file"),
        ("no rights", world.tls(Some(&outsider)), "grant"),
        ("plain text to TLS", world.config("TLS", &[]), "kafka.options.security.protocol"),
    ];
    let asked = cases.map(|(case, config, part)| {
        let ask = thread::spawn(move || sample(&config, TOPIC, 1, LOOK).map(|found| found.len()));
        (case, part, ask)
    });
    let mut faults = Vec::new();
    for (case, part, ask) in asked {
        match ask.join().unwrap() {
            Ok(found) => faults.push(format!("{case}: {found} records")),
            Err(error) if error.to_string().contains(part) => {}
            Err(error) => faults.push(format!("{case}: no {part} in: {error}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_renewed_certificate_makes_a_new_client() {
    let Some(world) = World::get() else { return };
    let shown = world.ours.sign_expired("renewed");
    // Rights are for the name in the certificate.
    let renewed = world.ours.sign_as("renewed-later", "member");
    let config = Config { group: "renewed".to_owned(), ..world.tls(Some(&shown)) };
    let starts = || Box::new(|_: &_| Some(vec![Start::Earliest]));
    let mut source = KafkaSource::connect(&config, &[TOPIC.to_owned()], starts()).unwrap();
    let told = (0..600).any(|_| {
        let event = source.next(Duration::from_millis(100));
        assert!(matches!(event, Event::Idle), "{event:?}");
        source.trouble().is_some_and(|why| why.contains("ssl.certificate.location"))
    });
    assert!(told, "{:?}", source.trouble());
    // The certificate first: it is not its key's, so the old client stays.
    fs::copy(&renewed.cert, &shown.cert).unwrap();
    for _ in 0..30 {
        assert!(matches!(source.next(Duration::from_millis(100)), Event::Idle));
    }
    fs::copy(&renewed.key, &shown.key).unwrap();
    let due = (0..600).any(|_| {
        let event = source.next(Duration::from_millis(100));
        matches!(event, Event::Failed(kafka::Error::Renewed))
    });
    assert!(due, "{:?}", source.trouble());
    source.close(PATIENCE).unwrap();
    assert_eq!(read_all(&config), RECORDS);
}

#[test]
fn tokens_come_from_their_endpoint_and_are_renewed_before_they_end() {
    let Some(world) = World::get() else { return };
    let (url, granted) = endpoint(&world);
    let mut config = asking(&world, &url, "s3cret/+\n");
    let starts = Box::new(|_: &_| Some(vec![Start::Earliest]));
    let mut source = KafkaSource::connect(&config, &[TOPIC.to_owned()], starts).unwrap();
    let mut read = 0;
    // Eight seconds is all that a token lives.
    for _ in 0..1_200 {
        if let Event::Batch(batch) = source.next(Duration::from_millis(100)) {
            read += i64::try_from(batch.len()).unwrap();
        }
        if read == RECORDS && granted.load(Ordering::SeqCst) >= 3 {
            break;
        }
    }
    assert!(read == RECORDS && granted.load(Ordering::SeqCst) >= 3, "{:?}", source.trouble());
    source.close(PATIENCE).unwrap();

    config = asking(&world, &url, "guess");
    let error = sample(&config, TOPIC, 1, LOOK).unwrap_err().to_string();
    assert!(error.contains("kafka.oauth") && error.contains("401 invalid_client"), "{error}");
    assert!(!error.contains("guess"), "{error}");
}

/// A configuration whose tokens come from the endpoint at `url`.
fn asking(world: &World, url: &str, secret: &str) -> Config {
    let file = tempfile::NamedTempFile::new_in(world.dir.path()).unwrap().into_temp_path();
    let file = file.keep().unwrap();
    fs::write(&file, secret).unwrap();
    let oauth = json!({"token_url": url, "client_id": "driftd", "client_secret_file": file,
        "scope": "read", "audience": "kafka", "allow_http": true});
    let mut config = world.oauth(Path::new(""));
    config.oauth_token_file = None;
    config.oauth = Some(serde_json::from_value(oauth).unwrap());
    config.group = "tokens".to_owned();
    config
}

/// Who makes topics and writes to them comes in as who reads does.
#[tokio::test(flavor = "multi_thread")]
async fn topics_of_our_own_are_made_and_written_with_tokens_of_the_endpoint() {
    // Whoever comes first makes it, with a runtime of its own.
    let Some(world) = task::spawn_blocking(World::get).await.unwrap() else { return };
    let operations = ["Create", "Describe", "DescribeConfigs", "Read", "Write"];
    world.allow_own("User:oauth", &operations);
    let (url, _granted) = endpoint(&world);
    let config = asking(&world, &url, "s3cret/+\n");
    let name = "own.state".to_owned();
    let settings = vec![("cleanup.policy", "compact".to_owned())];
    let wanted = Wanted { name: name.clone(), partitions: 1, settings };
    topics::create(&config, &[wanted]).await.unwrap();
    let found = topics::find(&config, std::slice::from_ref(&name)).await.unwrap();
    let settings = found[&name].settings.as_ref().expect("the broker tells them");
    assert_eq!(settings["cleanup.policy"], "compact");
    let written = task::spawn_blocking(move || {
        let producer = producer::Producer::open(&config).unwrap();
        let (key, value) = (b"k".to_vec(), b"v".to_vec());
        producer.write(&[Outgoing { topic: name, partition: 0, key, value }])
    });
    assert_eq!(written.await.unwrap().unwrap(), [0]);
}

/// Who writes and who follows topics of our own takes up a changed password, as who reads does.
#[test]
fn writers_and_followers_take_up_a_new_password() {
    let Some(world) = World::get() else { return };
    world.allow_own("User:scram256", &["Describe", "Read", "Write"]);
    world.kafka.create_topic("own.log", 1, &[]);
    let mut config = world.sasl("SASL", "SCRAM-SHA-256", "scram256", "");
    config.options.remove("sasl.password");
    let password = world.path("password-of-yesterday");
    fs::write(&password, "yesterday's").unwrap();
    config.options.insert("sasl.password_file".to_owned(), password.clone());
    let producer = producer::Producer::open(&config).unwrap();
    let mut tail = Tail::open(&config, "own.log", [0]).unwrap();
    let write = |value: &[u8]| {
        let (topic, key, value) = ("own.log".to_owned(), b"k".to_vec(), value.to_vec());
        producer.write(&[Outgoing { topic, partition: 0, key, value }])
    };
    write(b"never").unwrap_err();
    tail.catch_up(Duration::from_secs(1), |_| panic!("nothing can be read")).unwrap_err();
    fs::write(&password, "secret").unwrap();
    let offset = (0..30).find_map(|_| write(b"later").ok()).expect("the new password")[0];
    let mut values = Vec::new();
    tail.reach((0, offset), PATIENCE, |entry| values.extend(entry.payload.map(<[u8]>::to_vec)))
        .unwrap();
    assert_eq!(values.last().unwrap(), b"later");
}

fn reference(path: &Path) {
    let amounts: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..10_000).map(|i| f64::from(i % 100))));
    let batch = RecordBatch::try_from_iter([("amount", amounts)]).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The daemon never ends for a closed door: it says what is wrong and tries again, with the password
/// that the file holds by then and the rights that were granted meanwhile.
#[test]
fn the_daemon_waits_at_a_closed_door_until_it_opens() {
    let Some(world) = World::get() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (parquet, password) = (dir.path().join("reference.parquet"), dir.path().join("password"));
    reference(&parquet);
    fs::write(&password, "wrong\n").unwrap();
    let kafka = world.sasl("SASL", "SCRAM-SHA-512", "scram512", "");
    let mut options: BTreeMap<&str, Value> =
        kafka.options.iter().map(|(name, value)| (name.as_str(), json!(value))).collect();
    options.remove("sasl.password");
    options.insert("sasl.password_file", json!(password));
    let config = json!({
        "kafka": {"brokers": kafka.brokers, "group": "late", "options": options},
        "models": [{"name": "fraud", "topic": TOPIC, "start": "earliest",
            "drift_config": {"reference_dataset": parquet}}],
        "state": {"dir": dir.path().join("state")},
    });
    let mut daemon = Daemon::start(&dir.path().join("run"), &config);
    let told = |daemon: &Daemon, part: &str| {
        let troubles = daemon.lines("Kafka");
        troubles.iter().any(|line| line["trouble"].as_str().unwrap().contains(part)).then_some(())
    };
    daemon.wait("what to do about the password", |d| told(d, "sasl.password_file"));
    assert!(daemon.get("/livez").starts_with("ok"), "a closed door is no reason to restart us");

    fs::write(&password, "secret\n").unwrap();
    daemon.wait("what to do about the rights", |d| told(d, "grant "));
    let rights = ["--add", "--operation", "Read", "--topic", TOPIC, "--group", "late"];
    world.kafka.acl(&[&rights[..], &["--allow-principal", "User:scram512"]].concat());
    daemon.wait("every record", |daemon| {
        let counted = daemon.metric("driftd_records_consumed_total", "");
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        (counted >= RECORDS as f64).then_some(())
    });
    assert!(daemon.stop());
}

/// The door is open to the token; only the file is late.
#[test]
fn a_token_that_cannot_be_read_is_named_and_counted_until_it_is_there() {
    let Some(world) = World::get() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (parquet, token) = (dir.path().join("reference.parquet"), dir.path().join("token"));
    reference(&parquet);
    let kafka = world.oauth(&token);
    let config = json!({
        "kafka": {"brokers": kafka.brokers, "group": "tokens-late", "options": kafka.options,
            "oauth_token_file": token},
        "models": [{"name": "fraud", "topic": TOPIC, "start": "earliest",
            "drift_config": {"reference_dataset": parquet}}],
        "state": {"dir": dir.path().join("state")},
    });
    let mut daemon = Daemon::start(&dir.path().join("run"), &config);
    let failures = |daemon: &Daemon| daemon.metric("driftd_kafka_token_failures_total", "");
    daemon.wait("a failure", |daemon| (failures(daemon) > 0.0).then_some(()));
    daemon.wait("its reason", |daemon| {
        let lines = daemon.lines("Kafka");
        let says =
            |line: &Value| line["trouble"].as_str().unwrap().contains("kafka.oauth_token_file");
        lines.iter().any(says).then_some(())
    });
    fs::copy(world.tokens.issue("late-token", "kafka", 600), &token).unwrap();
    daemon.wait("every record", |daemon| {
        let counted = daemon.metric("driftd_records_consumed_total", "");
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        (counted >= RECORDS as f64).then_some(())
    });
    assert!(daemon.stop());
}
