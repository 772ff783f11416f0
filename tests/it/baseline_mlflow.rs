//! Baselines that MLflow's registry names: against answers recorded from MLflow 3.17, and against the
//! server itself.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use driftd::baseline::{Overrides, Trained, TrainedBy};
use driftd::fetch::read_here;

use crate::baseline_stores::{body, config, driftd, fixture, read, refused};
use crate::servers::Mlflow;

/// Status and body, by path and query.
type Answers = BTreeMap<String, (u16, Vec<u8>)>;

/// Answers as MLflow 3.17 did.
#[derive(Clone, Default)]
struct Registry {
    /// Whoever asks must have the token.
    is_guarded: bool,
    answers: Arc<Mutex<Answers>>,
}

const RUN: &str = "6d3cd43d23c14550ab7d9248ff60c4d5";
const TOKEN: &str = "only-for-this-test";

impl Registry {
    fn start(is_guarded: bool) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let registry = Self { is_guarded, ..Self::default() };
        let answering = registry.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                answering.answer(stream.unwrap());
            }
        });
        (registry, url)
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let path = head[0].split(' ').nth(1).unwrap().to_owned();
        let known = format!("authorization: Bearer {TOKEN}");
        let (status, body) = match self.answers.lock().unwrap().get(&path) {
            _ if self.is_guarded && !head.contains(&known) => {
                (401, b"You are not authenticated.".to_vec())
            }
            Some((status, body)) => (*status, body.clone()),
            None => (404, b"<html>Not Found</html>".to_vec()),
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    }

    fn say(&self, path: &str, status: u16, body: &[u8]) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.to_vec()));
    }

    fn api(&self, path: &str, body: &str) {
        self.say(&format!("/api/2.0/mlflow/{path}"), 200, body.as_bytes());
    }

    /// The alias `champion` of model `fraud` is at a version with these tags.
    fn alias(&self, version: u32, tags: &str) {
        let answer = format!(
            r#"{{"model_version": {{"name": "fraud", "version": "{version}", "creation_timestamp": 1795300037339,
            "current_stage": "None", "description": "", "run_id": "{RUN}", "status": "READY", "run_link": "",
            "source": "mlflow-artifacts:/1/{RUN}/artifacts/model", "aliases": ["champion"]{tags}}}}}"#
        );
        self.api("registered-models/alias?name=fraud&alias=champion", &answer);
        self.api(&format!("model-versions/get?name=fraud&version={version}"), &answer);
        let uri = format!(r#"{{"artifact_uri": "mlflow-artifacts:/1/{RUN}/artifacts/model"}}"#);
        self.api(&format!("model-versions/get-download-uri?name=fraud&version={version}"), &uri);
    }

    fn run(&self, inputs: &str) {
        let run = format!(
            r#"{{"run": {{"info": {{"run_uuid": "{RUN}", "experiment_id": "1", "run_id": "{RUN}",
            "artifact_uri": "mlflow-artifacts:/1/{RUN}/artifacts"}}, "data": {{}}, "inputs": {inputs}, "outputs": {{}}}}}}"#
        );
        self.api(&format!("runs/get?run_id={RUN}"), &run);
    }

    /// What lies in a folder of the run's artifacts.
    fn files(&self, folder: &str, files: &[(&str, &[u8])]) {
        let listed: Vec<String> = files
            .iter()
            .map(|(name, bytes)| {
                format!(r#"{{"path": "{name}", "is_dir": false, "file_size": {}}}"#, bytes.len())
            })
            .collect();
        let list = format!(r#"{{"files": [{}]}}"#, listed.join(", "));
        let proxy = "/api/2.0/mlflow-artifacts/artifacts";
        let at = format!("1/{RUN}/artifacts/{folder}");
        self.say(&format!("{proxy}?path={}", at.replace('/', "%2F")), 200, list.as_bytes());
        for (name, bytes) in files {
            self.say(&format!("{proxy}/{at}/{name}"), 200, bytes);
        }
    }
}

/// The tracking server is there, and the baseline is that artifact of the run, if any.
fn settings(url: &str, artifact: &str) -> String {
    let artifact = if artifact.is_empty() { "null".to_owned() } else { format!("{artifact:?}") };
    format!(
        r#"{{"mlflow": {{"allow_http": true, "tracking_uri": "{url}", "artifact": {artifact}}}}}"#
    )
}

const CHAMPION: &str = "mlflow:models:/fraud@champion";

fn digest(said: &str) -> &str {
    said.split("sha256 ").nth(1).unwrap_or_else(|| panic!("{said}")).lines().next().unwrap()
}

#[test]
fn an_alias_is_the_baseline_of_the_version_that_it_names() {
    let (registry, url) = Registry::start(false);
    let ask = |location: &str, artifact: &str| read(&[], location, &settings(&url, artifact));
    registry.alias(1, "");
    registry.files("model", &[("MLmodel", b"x"), ("ref.parquet", &body("pandas_zstd.parquet"))]);
    let first = ask(CHAMPION, "");
    let source = format!("{CHAMPION} (version 1, 1/{RUN}/artifacts/model/ref.parquet): 1200 rows");
    assert!(first.contains(&source), "{first}");
    let by_number = ask("mlflow:models:/fraud/1", "");
    assert_eq!(digest(&by_number), digest(&first));

    let config = serde_json::from_str(&settings(&url, "")).unwrap();
    let version = read_here(&config, CHAMPION, &Overrides::default()).unwrap();
    let registered = Trained { at_ms: 1_795_300_037_339, by: TrainedBy::Registry };
    assert_eq!(version.trained, Some(registered));

    registry.alias(2, "");
    let second = ask(CHAMPION, "");
    assert!(second.contains("(version 2, "), "{second}");
    assert_ne!(digest(&second), digest(&first), "a moved alias is a new baseline");

    // Two files beside the model: the run's artifact says which, or the tag.
    let two = [("a.parquet", &b"x"[..]), ("b.parquet", b"x")];
    registry.files("model", &two);
    let several = ask(CHAMPION, "");
    assert!(several.contains("holds 2 Parquet files") && several.contains(CHAMPION), "{several}");
    registry.run("{}");
    registry.files("drift", &[("baseline.parquet", &body("parts/part-00000.parquet"))]);
    let of_run = ask(CHAMPION, "drift/baseline.parquet");
    assert!(of_run.contains("artifacts/drift/baseline.parquet): 700 rows"), "{of_run}");
    let tag = r#", "tags": [{"key": "driftd.baseline", "value": "drift/baseline.parquet"}]"#;
    registry.alias(3, tag);
    let tagged = ask(CHAMPION, "something/else.parquet");
    assert!(tagged.contains("version 3, ") && tagged.contains("700 rows"), "{tagged}");

    // Nothing beside the model: the dataset that the run was trained on.
    registry.alias(4, "");
    registry.files("model", &[("MLmodel", b"x")]);
    let none = ask(CHAMPION, "");
    assert!(
        none.contains("version 4 of fraud has no baseline: tag it with driftd.baseline"),
        "{none}"
    );
    registry.run(
        r#"{"dataset_inputs": [{"tags": [{"key": "mlflow.data.context", "value": "training"}],
        "dataset": {"name": "train", "digest": "1", "source_type": "http",
        "source": "{\"url\": \"https://169.254.169.254/train.parquet\"}"}}]}"#,
    );
    let refused = ask(CHAMPION, "");
    assert!(refused.contains("never connected to"), "a registry leads nowhere else: {refused}");
}

#[test]
fn a_registry_that_knows_no_baseline_says_what_to_do() {
    let (registry, url) = Registry::start(true);
    let env = [("MLFLOW_TRACKING_URI", &*url), ("MLFLOW_TRACKING_TOKEN", TOKEN)];
    let settings = r#"{"mlflow": {"allow_http": true}}"#;
    registry.say(
        "/api/2.0/mlflow/registered-models/alias?name=fraud&alias=nope",
        400,
        br#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias nope not found."}"#,
    );
    for (location, word) in [
        (
            "mlflow:models:/fraud@nope",
            "INVALID_PARAMETER_VALUE: Registered model alias nope not found.",
        ),
        ("mlflow:models:/other@champion", "404"),
        ("mlflow:models:/fraud", "write mlflow:models:/name@alias"),
        ("mlflow:runs:/x/y", "write mlflow:models:/name@alias"),
    ] {
        let said = read(&env, location, settings);
        assert!(said.contains(word) && said.contains(location), "{location}: {said}");
    }
    for value in ["/etc/passwd", "../x", "file:///etc/passwd", "mlflow:models://x", "dvc:a://b"] {
        registry
            .alias(5, &format!(r#", "tags": [{{"key": "driftd.baseline", "value": "{value}"}}]"#));
        registry.run("{}");
        let said = read(&env, CHAMPION, settings);
        assert!(said.contains(CHAMPION) && !said.contains("rows"), "{value}: {said}");
    }
    // What the program hands on to the process that reads is enough.
    registry.alias(1, "");
    registry.files("model", &[("ref.parquet", &body("pandas_zstd.parquet"))]);
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), CHAMPION, "{mlflow: {allow_http: true}}");
    let done = driftd(&env, &["compare", CHAMPION, &fixture("pandas_zstd.parquet"), "-c", &file]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let said = read(&env[..1], CHAMPION, settings);
    assert!(said.contains("access denied") && said.contains("MLFLOW_TRACKING_TOKEN"), "{said}");
    let said = read(&env, CHAMPION, "{}");
    assert!(said.contains("plain http needs `allow_http: true`"), "{said}");
    let (said, _) = refused(&[], CHAMPION);
    assert!(said.contains("set `baselines.mlflow.tracking_uri`"), "{said}");
    let said = read(&[("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")], CHAMPION, settings);
    assert!(said.contains("the store can't be reached"), "{said}");
}

#[test]
fn the_server_itself_answers_as_was_recorded() {
    let Some(mlflow) = Mlflow::start() else { return };
    mlflow.post("experiments/create", r#"{"name": "driftd"}"#);
    let run = mlflow.post("runs/create", r#"{"experiment_id": "1", "start_time": 1}"#);
    let root = run["run"]["info"]["artifact_uri"].as_str().unwrap().to_owned();
    let run = run["run"]["info"]["run_id"].as_str().unwrap();
    let put = |path: &str, name: &str| {
        mlflow.put(&format!("1/{run}/artifacts/{path}"), &body(name));
    };
    put("model/ref.parquet", "pandas_zstd.parquet");
    put("drift/baseline.parquet", "parts/part-00000.parquet");
    mlflow.post("registered-models/create", r#"{"name": "fraud"}"#);
    let version = format!(r#"{{"name": "fraud", "source": "{root}/model", "run_id": "{run}"}}"#);
    let alias = |version: &str| {
        let body = format!(r#"{{"name": "fraud", "alias": "champion", "version": "{version}"}}"#);
        mlflow.post("registered-models/alias", &body);
    };
    mlflow.post("model-versions/create", &version);
    alias("1");
    let url = mlflow.url();
    let ask = |location: &str, artifact: &str| read(&[], location, &settings(&url, artifact));
    let first = ask(CHAMPION, "");
    assert!(first.contains("(version 1, ") && first.contains("1200 rows"), "{first}");
    assert_eq!(digest(&ask("mlflow:models:/fraud/1", "")), digest(&first));
    let of_run = ask(CHAMPION, "drift/baseline.parquet");
    assert!(of_run.contains("700 rows"), "{of_run}");
    mlflow.post("model-versions/create", &version);
    alias("2");
    let second = ask(CHAMPION, "");
    assert!(second.contains("(version 2, "), "{second}");
    assert_ne!(digest(&second), digest(&first));
    let tag = r#"{"name": "fraud", "version": "2", "key": "driftd.baseline",
                  "value": "drift/baseline.parquet"}"#;
    mlflow.post("model-versions/set-tag", tag);
    assert!(ask(CHAMPION, "").contains("700 rows"));
    let said = ask("mlflow:models:/fraud@nope", "");
    assert!(said.contains("Registered model alias nope not found"), "{said}");
    let said = ask("mlflow:models:/nobody@champion", "");
    assert!(said.contains("RESOURCE_DOES_NOT_EXIST"), "{said}");
}
