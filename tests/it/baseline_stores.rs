//! Baselines in Azure (Azurite), Google Cloud Storage (fake-gcs-server), and on a web server.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use driftd::baseline::{Baseline, Overrides};
use driftd::fetch::{self, WorkerCommand};
use driftd::setting::Secret;

use crate::servers::{Azurite, Gcs};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn fixture(name: &str) -> String {
    format!("{ROOT}/fixtures/baseline/{name}")
}

pub(crate) fn body(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

/// A run of driftd with nothing but `env`.
pub(crate) fn driftd(env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftd"));
    command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    for name in ["LLVM_PROFILE_FILE", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(env.iter().copied()).output().unwrap()
}

pub(crate) fn build(env: &[(&str, &str)], location: &str) -> Baseline {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("profile.json");
    let done = driftd(env, &["baseline", "build", location, "-o", output.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    Baseline::from_json(&fs::read(output).unwrap()).unwrap()
}

/// What is said of a location that cannot be used, and the exit code.
pub(crate) fn refused(env: &[(&str, &str)], location: &str) -> (String, Option<i32>) {
    let done = driftd(env, &["baseline", "show", location]);
    (String::from_utf8_lossy(&done.stderr).into_owned(), done.status.code())
}

/// A file, a folder of parts and a profile, at any store, by its `put`.
fn fill(put: impl Fn(&str, &[u8])) {
    put("v1/reference.parquet", &body("pandas_zstd.parquet"));
    put("v2/part-00000.parquet", &body("parts/part-00000.parquet"));
    put("v2/part-00001.parquet", &body("parts/part-00001.parquet"));
    put("v2/_SUCCESS", b"");
    put("bad.parquet", b"PAR1 nothing");
    let local = build(&[], &fixture("pandas_zstd.parquet"));
    put("profile.json", local.to_json().as_bytes());
}

/// All that `fill` put there is the baseline that the files are.
fn check(env: &[(&str, &str)], root: &str) {
    let local = build(&[], &fixture("pandas_zstd.parquet"));
    let object = build(env, &format!("{root}/v1/reference.parquet"));
    assert_eq!(object.features, local.features);
    assert_eq!(object.source, format!("{root}/v1/reference.parquet"));
    let prefix = build(env, &format!("{root}/v2"));
    assert_eq!(prefix.features, local.features);
    assert_ne!(prefix.digest, object.digest);
    assert_eq!(build(env, &format!("{root}/v2/")).digest, prefix.digest);
    assert_eq!(build(env, &format!("{root}/profile.json")), local);
    for (key, word) in
        [("nowhere", "no such file"), ("bad.parquet", "the Parquet file is truncated")]
    {
        let (said, code) = refused(env, &format!("{root}/{key}"));
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(&format!("{root}/{key}: ")) && said.contains(word), "{said}");
    }
}

#[test]
fn blobs_of_azure_are_the_same_baseline_as_files() {
    let Some(azurite) = Azurite::start() else { return };
    azurite.create_container("ml-data");
    fill(|key, bytes| azurite.put("ml-data", key, bytes));
    let endpoint = azurite.endpoint();
    let at = [("AZURE_STORAGE_ENDPOINT", &*endpoint), ("AZURE_ALLOW_HTTP", "true")];
    let account = ("AZURE_STORAGE_ACCOUNT_NAME", Azurite::ACCOUNT);
    let key = ("AZURE_STORAGE_ACCOUNT_KEY", Azurite::KEY);
    let env = [&at[..], &[account, key]].concat();
    check(&env, "az://ml-data");

    let hadoop = "abfss://ml-data@devstoreaccount1.dfs.core.windows.net/v1/reference.parquet";
    let named = build(&[&at[..], &[key]].concat(), hadoop);
    assert_eq!(named.source, hadoop);
    assert_eq!(named.digest, build(&env, "az://ml-data/v1/reference.parquet").digest);

    let wrong = "d3Jvbmcta2V5LW9mLWEtdGVzdA==";
    let wrong_key = [&at[..], &[account, ("AZURE_STORAGE_ACCOUNT_KEY", wrong)]].concat();
    let (said, code) = refused(&wrong_key, "az://ml-data/v1/reference.parquet");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("az://ml-data/v1/reference.parquet: access denied"), "{said}");
    assert!(!said.contains(wrong), "{said}");
}

#[test]
fn objects_of_google_are_the_same_baseline_as_files() {
    let Some(gcs) = Gcs::start() else { return };
    gcs.create_bucket("ml-data");
    fill(|key, bytes| gcs.put("ml-data", key, bytes));
    let env = [("STORAGE_EMULATOR_HOST", gcs.address())];
    check(&env, "gs://ml-data");
    let before = build(&env, "gs://ml-data/v1/reference.parquet").digest;
    gcs.put("ml-data", "v1/reference.parquet", &body("parts/part-00000.parquet"));
    assert_ne!(build(&env, "gs://ml-data/v1/reference.parquet").digest, before);
}

/// A web server with one file, which changes after so many requests.
pub(crate) struct Web {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

/// Where the file is: by name, and by its hash as DVC keeps it.
const PATHS: [&str; 2] =
    ["/data/reference.parquet ", "/store/files/md5/bd/a5865b2e750db46cbef37f1d834edf "];

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tag {
    Strong,
    Weak,
    None,
}

impl Web {
    pub(crate) fn start(bytes: Vec<u8>, tag: Tag, changes_after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let requests = log.lock().unwrap().len();
                let version = if requests < changes_after { 1 } else { 1 + requests };
                let head = answer(stream.unwrap(), &bytes, tag, version);
                log.lock().unwrap().push(head);
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn answer(mut stream: TcpStream, bytes: &[u8], tag: Tag, version: usize) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let head = head.join("\n").to_ascii_lowercase();
    let etag = match tag {
        Tag::Strong => format!("ETag: \"v{version}\"\r\n"),
        Tag::Weak => format!("ETag: W/\"v{version}\"\r\n"),
        Tag::None => String::new(),
    };
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let (status, more, body) = match header("range: bytes=").and_then(|r| r.split_once('-')) {
        _ if !PATHS.iter().any(|path| head.contains(path)) => {
            ("404 Not Found", String::new(), &[][..])
        }
        _ if header("if-match: ").is_some_and(|m| m != format!("\"v{version}\"")) => {
            ("412 Precondition Failed", String::new(), &[][..])
        }
        Some((from, to)) => {
            let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
            let range = format!("Content-Range: bytes {from}-{to}/{}\r\n", bytes.len());
            ("206 Partial Content", range, &bytes[from..=to])
        }
        None => ("200 OK", String::new(), bytes),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\n{etag}{more}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).unwrap();
    if !head.starts_with("head") {
        stream.write_all(body).unwrap();
    }
    head
}

/// A configuration with one model whose baseline is at `location`.
pub(crate) fn config(folder: &std::path::Path, location: &str, baselines: &str) -> String {
    let file = folder.join("driftd.yaml");
    let yaml = format!(
        "kafka: {{brokers: '127.0.0.1:1'}}\ntopic: fraud\n\
         reference_dataset: '{location}'\nbaselines: {baselines}\n"
    );
    fs::write(&file, yaml).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What comes of reading a baseline at `location`, with these settings (JSON) and with `env` for the
/// process that reads: where it is from, its rows and digest, or what is wrong. The digest that a daemon
/// looks at is held to the one of the whole, where it needs no `env`.
pub(crate) fn read(env: &[(&str, &str)], location: &str, settings: &str) -> String {
    read_by(env, location, &serde_json::from_str(settings).unwrap())
}

fn read_by(env: &[(&str, &str)], location: &str, config: &fetch::Config) -> String {
    let variables = env.iter().map(|(name, value)| format!("{name}={value}"));
    let fixed = [env!("CARGO_BIN_EXE_driftd").to_owned(), "baseline-worker".to_owned()];
    let worker =
        WorkerCommand { program: "/usr/bin/env".into(), args: variables.chain(fixed).collect() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match fetch::load(config, location, &Overrides::default(), &worker).await {
            Ok(baseline) => {
                if env.is_empty() {
                    let look = fetch::look(config, location, &worker).await.unwrap();
                    assert_eq!(look.digest, baseline.digest, "{location}");
                }
                let Baseline { source, rows, digest, .. } = baseline;
                format!("baseline {source}: {rows} rows, sha256 {digest}")
            }
            Err(error) => error.to_string(),
        }
    })
}

#[test]
fn a_file_of_a_web_server_is_read_by_ranges_of_one_version() {
    let allowed = r#"{"http": {"allow_http": true}}"#;
    let bytes = body("pandas_zstd.parquet");
    for tag in [Tag::Strong, Tag::Weak] {
        let web = Web::start(bytes.clone(), tag, usize::MAX);
        let url = web.url("/data/reference.parquet");
        let said = read(&[], &url, allowed);
        assert!(said.contains("reference.parquet: 1200 rows"), "{said}");
        let seen = web.seen.lock().unwrap().clone();
        let ranges: Vec<_> = seen.iter().filter(|head| head.contains("range: ")).collect();
        assert!(!ranges.is_empty(), "{seen:?}");
        let matched = ranges.iter().filter(|head| head.contains("if-match: \"v1\"")).count();
        assert_eq!(matched, if tag == Tag::Strong { ranges.len() } else { 0 }, "{seen:?}");
    }
    for tag in [Tag::Strong, Tag::Weak] {
        let web = Web::start(bytes.clone(), tag, 1);
        let said = read(&[], &web.url("/data/reference.parquet"), allowed);
        assert!(said.contains("changed while it was read"), "{said}");
    }
    let web = Web::start(bytes, Tag::None, usize::MAX);
    let said = read(&[], &web.url("/data/reference.parquet"), allowed);
    assert!(said.contains("neither ETag nor Last-Modified"), "{said}");
    let said = read(&[], &web.url("/data/other.parquet"), allowed);
    assert!(said.contains("other.parquet: no such file"), "{said}");
}

#[test]
fn a_web_server_is_reached_as_the_configuration_says() {
    let web = Web::start(body("pandas_zstd.parquet"), Tag::Strong, usize::MAX);
    let mut config: fetch::Config =
        serde_json::from_str(r#"{"http": {"allow_http": true}}"#).unwrap();
    let proxy = web.url("").replace("//", "//someone:SECRET@");
    config.client.proxy = Some(Secret::new(proxy));
    let said = read_by(&[], "http://registry.internal/data/reference.parquet", &config);
    assert!(said.contains("reference.parquet: 1200 rows"), "{said}");
    let seen = web.seen.lock().unwrap().clone();
    let asked = "http://registry.internal/data/reference.parquet http/1.1";
    let through =
        |head: &String| head.contains(asked) && head.contains("proxy-authorization: basic ");
    assert!(!seen.is_empty() && seen.iter().all(through), "{seen:?}");

    config.client.ca_file = Some("/nowhere/ca.crt".into());
    let said = read_by(&[], "http://registry.internal/data/reference.parquet", &config);
    assert!(said.contains("cannot read the CA file /nowhere/ca.crt"), "{said}");
    assert!(!said.contains("SECRET"), "{said}");
}

#[test]
fn a_web_server_that_must_not_be_asked_is_not() {
    let allowed = r#"{"http": {"allow_http": true}}"#;
    for (location, baselines, word) in [
        ("http://127.0.0.1:1/x.parquet", "{}", "plain http needs `allow_http: true`"),
        ("http://169.254.169.254/x.parquet", allowed, "never connected to"),
        ("https://[fd00:ec2::254]/x.parquet", "{}", "never connected to"),
        ("https://user:SECRET@host/x.parquet", "{}", "must not hold a user name or password"),
        ("https://host/x.parquet?sig=SECRET", "{}", "a URL with a query"),
        ("https://host/folder/", "{}", "name one"),
        ("ftp://host/x.parquet", "{}", "no store of this kind"),
    ] {
        let said = read(&[], location, baselines);
        assert!(said.contains(word) && !said.contains("SECRET"), "{location}: {said}");
    }
}

/// Every configuration of the page is one that `validate` takes, and every kind of place has one.
#[test]
fn every_configuration_of_the_page_is_valid() {
    let page = fs::read_to_string(format!("{ROOT}/docs/baselines.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("driftd.yaml");
    let mut places = Vec::new();
    for block in page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        assert!(block.starts_with("# driftd.yaml"), "{block}");
        fs::write(&file, block).unwrap();
        let done = driftd(&[], &["validate", "--offline", "-c", file.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        places.extend(block.lines().filter_map(|line| line.strip_prefix("reference_dataset: ")));
    }
    for place in ["s3://", "gs://", "az://", "lakefs://", "https://", "dvc:", "mlflow:models:/"] {
        assert!(places.iter().any(|found| found.starts_with(place)), "no example of {place}");
    }
    assert!(places.iter().any(|found| found.contains("@v")), "no example of Delta");
}
