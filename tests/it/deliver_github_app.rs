//! GitHub's presets as a GitHub App, against a server that answers as GitHub does: it verifies who asks, hands out
//! tokens that end, and refuses what the installation may not do.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use driftd::decide::RunState;
use driftd::deliver::{Event, GithubApp, Outcome, Preset, Target, Trigger, dry_render};
use driftd::setting::Secret;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::deliver::{ID, Outbox, Seen, Told, allowing_http, client, now_ms, results, trigger_of};
use crate::deliver_docs::{driftd, text};
use crate::deliver_presets::{Fake, Said, body};

/// A private key as GitHub hands it out, the same in PKCS#8, and what verifies its signatures.
pub(crate) struct AppKey {
    pub(crate) pkcs1: String,
    pkcs8: String,
    public: Vec<u8>,
}

impl AppKey {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = pair.as_der().unwrap();
        // What PKCS#8 puts around a key of this size takes 26 bytes.
        let (pkcs8, pkcs1) = (der.as_ref(), &der.as_ref()[26..]);
        let public = pair.public_key().as_ref().to_vec();
        Self { pkcs1: pem("RSA PRIVATE KEY", pkcs1), pkcs8: pem("PRIVATE KEY", pkcs8), public }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der).into_bytes();
    let lines: Vec<_> = base64.chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// That of the app.
pub(crate) fn app_key() -> &'static AppKey {
    static KEY: OnceLock<AppKey> = OnceLock::new();
    KEY.get_or_init(AppKey::generate)
}

/// That of somebody else.
fn other_key() -> &'static AppKey {
    static KEY: OnceLock<AppKey> = OnceLock::new();
    KEY.get_or_init(AppKey::generate)
}

const APP: &str = "12345";
const INSTALLATION: u64 = 77;
const NAME: &str = "GitHub App 12345, installation 77";

/// What GitHub knows, and how it is at present.
struct State {
    /// By how much its clock is ahead of ours, seconds.
    ahead_s: i64,
    /// Whether its answers tell the time.
    tells: bool,
    lasts_s: i64,
    granted: u32,
    /// The tokens that are good.
    good: Vec<String>,
    may_write: &'static str,
    repository: &'static str,
    is_suspended: bool,
    /// In place of the next answer to a request for a token.
    instead: Option<(u16, &'static str)>,
    /// What the last JWT said.
    claims: Value,
}

#[derive(Clone)]
struct GitHub(Arc<Mutex<State>>);

impl GitHub {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            ahead_s: 0,
            tells: true,
            lasts_s: 3600,
            granted: 0,
            good: Vec::new(),
            may_write: "actions",
            repository: "fraud",
            is_suspended: false,
            instead: None,
            claims: Value::Null,
        })))
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    fn granted(&self) -> u32 {
        self.0.lock().unwrap().granted
    }

    /// As a GitHub Enterprise Server has it.
    async fn start(&self) -> Fake {
        let state = self.0.clone();
        Fake::start(move |seen| state.lock().unwrap().answer(seen)).await
    }
}

impl State {
    fn answer(&mut self, seen: &Seen) -> Said {
        let bearer = seen.headers["authorization"].strip_prefix("Bearer ").unwrap().to_owned();
        assert_eq!(seen.headers["accept"], "application/vnd.github+json");
        assert!(seen.headers["user-agent"].starts_with("driftd/"));
        let path = seen.path.strip_prefix("/api/v3").expect("below the API");
        let (status, body) = if path.starts_with("/app/installations/") {
            self.token(path, &bearer, seen)
        } else if self.good.contains(&bearer) {
            answer_to_a_token(seen, path, self.may_write)
        } else {
            (401, json!({"message": "Bad credentials"}))
        };
        match self.tells {
            true => Said::At(self.now_s(), status, body),
            false => Said::Json(status, body),
        }
    }

    fn now_s(&self) -> i64 {
        now_ms() / 1000 + self.ahead_s
    }

    fn token(&mut self, path: &str, jwt: &str, seen: &Seen) -> (u16, Value) {
        if let Some((status, message)) = self.instead.take() {
            return (status, json!({"message": message, "jwt": jwt}));
        }
        let said = |status, message: &str| (status, json!({"message": message}));
        let Some(claims) = verified(jwt) else {
            // A server that echoes what it got must not make us leak it.
            return said(401, &format!("A JSON web token could not be decoded: {jwt}"));
        };
        self.claims = claims;
        let claim = |name: &str| self.claims[name].as_i64().unwrap();
        let now_s = self.now_s();
        if claim("iat") > now_s {
            return said(
                401,
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            );
        }
        if claim("exp") <= now_s {
            return said(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
            );
        }
        if claim("exp") > now_s + 600 {
            return said(401, "'Expiration time' claim ('exp') is too far in the future");
        }
        if self.claims["iss"] != APP {
            return said(404, "Integration not found");
        }
        if path != format!("/app/installations/{INSTALLATION}/access_tokens") {
            return said(404, "Not Found");
        }
        if self.is_suspended {
            return said(403, "This installation has been suspended");
        }
        let wanted = body(seen);
        if wanted["permissions"] != json!({self.may_write: "write"}) {
            return said(422, "The permissions requested are not granted to this installation.");
        }
        if wanted["repositories"] != json!([self.repository]) {
            return said(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            );
        }
        self.granted += 1;
        let token = format!("ghs_secret{}", self.granted);
        self.good.push(token.clone());
        let ends = Timestamp::from_second(now_s + self.lasts_s).unwrap().to_string();
        (201, json!({"token": token, "expires_at": ends, "permissions": wanted["permissions"]}))
    }
}

fn answer_to_a_token(seen: &Seen, path: &str, may_write: &str) -> (u16, Value) {
    const RUN: &str = "https://api.github.example/api/v3/repos/acme/fraud/actions/runs/7";
    let refused = (403, json!({"message": "Resource not accessible by integration"}));
    match (&*seen.method, path) {
        ("POST", "/repos/acme/fraud/actions/workflows/retrain.yml/dispatches") => {
            if may_write != "actions" {
                return refused;
            }
            let page = "https://github.example/acme/fraud/actions/runs/7";
            (200, json!({"workflow_run_id": 7, "run_url": RUN, "html_url": page}))
        }
        ("POST", "/repos/acme/fraud/dispatches") if may_write == "contents" => (204, Value::Null),
        ("POST", "/repos/acme/fraud/dispatches") => refused,
        ("GET", "/repos/acme/fraud/actions/runs/7") => {
            (200, json!({"status": "completed", "conclusion": "success", "html_url": null}))
        }
        _ => (404, json!({"message": "Not Found"})),
    }
}

/// The claims of a JWT that the app's key has signed.
fn verified(jwt: &str) -> Option<Value> {
    let (said, signature) = jwt.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &app_key().public);
    public.verify(said.as_bytes(), &signature).ok()?;
    let (header, claims) = said.split_once('.')?;
    let read = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    (read(header)?["alg"] == "RS256").then(|| read(claims))?
}

fn app() -> GithubApp {
    GithubApp {
        app_id: Some(APP.to_owned()),
        installation_id: Some(INSTALLATION),
        private_key: Some(Secret::new(app_key().pkcs1.clone())),
        private_key_file: None,
    }
}

fn trigger(server: &Fake, app: GithubApp) -> Trigger {
    let with = [("repository", "acme/fraud"), ("workflow", "retrain.yml")];
    Trigger {
        preset: Some(Preset::GithubWorkflowDispatch),
        with: with.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        github_app: Some(app),
        confirm: Some(false),
        ..allowing_http(server.url("/api/v3"))
    }
}

async fn first(trigger: &Trigger) -> Told {
    let mut outbox = Outbox::for_trigger(trigger);
    outbox.send(trigger_of(ID, "fraud"));
    outbox.outcome().await
}

fn of_tokens(server: &Fake) -> Vec<Seen> {
    server.seen().into_iter().filter(|seen| seen.path.contains("access_tokens")).collect()
}

#[tokio::test]
async fn an_app_asks_with_a_token_that_may_do_what_the_trigger_needs_and_no_more() {
    let github = GitHub::new();
    let server = github.start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.pem");
    fs::write(&file, &app_key().pkcs8).unwrap();
    let app = GithubApp { private_key: None, private_key_file: Some(file), ..app() };
    let mut outbox = Outbox::for_trigger(&Trigger { confirm: None, ..trigger(&server, app) });
    outbox.send(trigger_of(ID, "fraud"));
    let ended = loop {
        match outbox.events.recv().await.unwrap() {
            Event::Attempting { ack, .. } => ack.send(Some(Instant::now())).unwrap(),
            Event::Outcome { result, detail, .. } => {
                assert_eq!(result, Outcome::Accepted, "{detail}");
            }
            Event::Run { state, .. } => break state,
        }
    };
    assert_eq!(ended, RunState::Succeeded, "the run is asked after with the same token");
    assert_eq!(github.granted(), 1);
    let asked = body(&of_tokens(&server)[0]);
    assert_eq!(asked, json!({"repositories": ["fraud"], "permissions": {"actions": "write"}}));
    {
        let claims = &github.0.lock().unwrap().claims;
        let (from, to) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert_eq!(to - from, 600, "ten minutes at most");
    }

    // Another trigger goes by the same token; one that is refused is fetched anew, and no attempt is spent.
    outbox.send(trigger_of("second", "fraud"));
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
    assert_eq!(github.granted(), 1);
    github.set(|state| state.good.clear());
    outbox.send(trigger_of("third", "fraud"));
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
    assert_eq!(github.granted(), 2);
}

#[tokio::test]
async fn a_token_that_ends_within_a_minute_is_not_used_again() {
    let github = GitHub::new();
    github.set(|state| (state.lasts_s, state.may_write) = (30, "contents"));
    let server = github.start().await;
    let of = |server: &Fake| Trigger {
        preset: Some(Preset::GithubRepositoryDispatch),
        with: [("repository".to_owned(), "acme/fraud".to_owned())].into(),
        ..trigger(server, app())
    };
    let mut outbox = Outbox::for_trigger(&of(&server));
    for n in 1..=2 {
        outbox.send(trigger_of(&format!("event-{n}"), "fraud"));
        assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
        assert_eq!(github.granted(), n);
    }
    let asked = body(&of_tokens(&server)[1]);
    assert_eq!(asked["permissions"], json!({"contents": "write"}));
    // Who asks how runs go has to read them.
    let told = first(&Trigger { confirm: Some(true), ..of(&server) }).await;
    assert_eq!((told.result, told.status), (Outcome::SlowRetry, Some(422)));
    assert!(told.detail.contains("with `confirm: true`, Actions: read"), "{}", told.detail);
    let asked = body(of_tokens(&server).last().unwrap());
    assert_eq!(asked["permissions"], json!({"contents": "write", "actions": "read"}));
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_and_githubs_own_taken() {
    for ahead_s in [-3600, 700] {
        let github = GitHub::new();
        github.set(|state| state.ahead_s = ahead_s);
        let server = github.start().await;
        let mut outbox = Outbox::for_trigger(&trigger(&server, app()));
        for id in ["first", "second"] {
            outbox.send(trigger_of(id, "fraud"));
            assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted], "{ahead_s}");
        }
        assert_eq!(github.granted(), 1, "its end is counted by the clock that set it");
        assert_eq!(of_tokens(&server).len(), 2);
    }

    // Where the server does not tell the time, the answer is all there is to go by.
    let github = GitHub::new();
    github.set(|state| (state.ahead_s, state.tells) = (-3600, false));
    let told = first(&trigger(&github.start().await, app())).await;
    assert_eq!((told.result, told.status), (Outcome::SlowRetry, Some(401)));
    assert!(told.detail.contains("this machine's clock is wrong"), "{}", told.detail);

    // A wrong key beside a wrong clock: both are told.
    let github = GitHub::new();
    github.set(|state| state.ahead_s = 700);
    let server = github.start().await;
    let wrong = GithubApp { private_key: Some(Secret::new(&*other_key().pkcs1)), ..app() };
    let told = first(&trigger(&server, wrong)).await;
    assert_eq!(told.result, Outcome::SlowRetry);
    let expected = "; this machine's clock is ";
    assert!(told.detail.contains(expected), "{}", told.detail);
    assert!(told.detail.ends_with(" s behind GitHub's"), "{}", told.detail);
}

#[tokio::test]
async fn what_is_wrong_names_app_and_installation_and_what_to_do() {
    type Change = fn(&mut State);
    let cases: [(Change, GithubApp, u16, &str); 9] = [
        (|_| {}, GithubApp { app_id: Some("999".to_owned()), ..app() }, 404, "knows no such app"),
        (|_| {}, GithubApp { installation_id: Some(78), ..app() }, 404, "is not installed there"),
        (|state| state.is_suspended = true, app(), 403, "has suspended it"),
        (|state| state.may_write = "issues", app(), 422, "lacks this permission"),
        (|state| state.repository = "churn", app(), 422, "does not have `with.repository`"),
        (
            |state| state.instead = Some((401, "Integration must generate a public key")),
            app(),
            401,
            "generate a private key",
        ),
        (|state| state.instead = Some((302, "")), app(), 302, "redirects are not followed"),
        (|state| state.instead = Some((201, "")), app(), 201, "201 without a token"),
        (
            |_| {},
            GithubApp { private_key: Some(Secret::new(&*other_key().pkcs1)), ..app() },
            401,
            "the private key is none of this app's",
        ),
    ];
    for (change, app, status, expected) in cases {
        let github = GitHub::new();
        github.set(change);
        let server = github.start().await;
        let name = format!(
            "logging in as GitHub App {}, installation {} (actions: write in acme/fraud): {status}",
            app.app_id.as_deref().unwrap(),
            app.installation_id.unwrap()
        );
        let told = first(&trigger(&server, app)).await;
        assert_eq!((told.result, told.status), (Outcome::SlowRetry, Some(status)), "{expected}");
        assert!(told.detail.starts_with(&name), "{}", told.detail);
        assert!(told.detail.contains(expected), "{}", told.detail);
        assert!(!told.detail.contains("eyJ"), "a JWT in {}", told.detail);
        assert_eq!(of_tokens(&server).len(), 1, "{expected}");
        assert_eq!(server.seen().len(), 1, "nothing was sent without a token");
    }

    // What passes is tried again soon.
    for (status, message) in [(500, ""), (403, "You have exceeded a secondary rate limit")] {
        let github = GitHub::new();
        github.set(|state| state.instead = Some((status, message)));
        let mut outbox = Outbox::for_trigger(&trigger(&github.start().await, app()));
        outbox.send(trigger_of(ID, "fraud"));
        let told = outbox.until_final().await;
        assert_eq!(results(&told), [Outcome::Retry, Outcome::Accepted], "{status}");
    }

    // The permission was taken away since the token was handed out.
    let github = GitHub::new();
    let server = github.start().await;
    let mut outbox = Outbox::for_trigger(&trigger(&server, app()));
    outbox.send(trigger_of("first", "fraud"));
    outbox.until_final().await;
    github.set(|state| state.may_write = "issues");
    outbox.send(trigger_of("second", "fraud"));
    let told = outbox.outcome().await;
    assert_eq!((told.result, told.status), (Outcome::SlowRetry, Some(403)));
    assert!(told.detail.contains("needs the permission Actions: write"), "{}", told.detail);
    assert!(told.detail.ends_with(&format!("; asked as {NAME}")), "{}", told.detail);
}

#[tokio::test]
async fn a_key_that_is_replaced_is_read_again() {
    let github = GitHub::new();
    let server = github.start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.pem");
    let app = GithubApp { private_key: None, private_key_file: Some(file.clone()), ..app() };
    let mut outbox = Outbox::for_trigger(&trigger(&server, app));
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!((told.result, told.status), (Outcome::SlowRetry, None));
    let expected = format!(
        "logging in as {NAME} (actions: write in acme/fraud): github_app.private_key_file: cannot read"
    );
    assert!(told.detail.starts_with(&expected), "{}", told.detail);
    fs::write(&file, &other_key().pkcs1).unwrap();
    while outbox.outcome().await.status != Some(401) {}
    fs::write(&file, &app_key().pkcs1).unwrap();
    assert_eq!(results(&outbox.until_final().await).last(), Some(&Outcome::Accepted));
}

#[tokio::test]
async fn the_request_for_a_token_obeys_the_rules_of_the_trigger() {
    // Plain http has to be allowed, and addresses of metadata services are never connected to.
    let url = |webhook: &str| Trigger {
        preset: Some(Preset::GithubRepositoryDispatch),
        with: [("repository".to_owned(), "acme/fraud".to_owned())].into(),
        github_app: Some(app()),
        ..Trigger::new(webhook)
    };
    let plain = url("http://github.example/api/v3").check();
    assert_eq!(plain.len(), 1);
    assert!(plain[0].to_string().contains("allow_http"), "{plain:?}");
    let metadata = url("https://169.254.169.254/api/v3").check();
    assert!(metadata[0].to_string().contains("metadata address"), "{metadata:?}");
    assert_eq!(url("https://github.example/api/v3").check(), []);
}

/// What `driftd` says of a trigger with this `github_app`.
fn config(folder: &Path, trigger: &str) -> String {
    let file = folder.join("driftd.yaml");
    let yaml = format!(
        "kafka: {{brokers: 'k:9092'}}\ntopic: fraud\nreference_dataset: s3://b/r.parquet\n\
         retraining_trigger:\n  preset: github-workflow-dispatch\n  \
         with: {{repository: acme/fraud, workflow: retrain.yml}}\n{trigger}"
    );
    fs::write(&file, yaml).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn what_would_be_sent_is_shown_without_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let block =
        "  github_app: {app_id: 12345, installation_id: 77, private_key_file: /run/none.pem}\n";
    let file = config(folder.path(), block);
    let args = ["webhook", "test", "-c", &file, "--target", "retraining_trigger", "--dry-run"];
    let shown = driftd(&args);
    let said = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    let expected = "POST https://api.github.com/app/installations/77/access_tokens\n\
                    content-type: application/json\n\
                    accept: application/vnd.github+json\n\
                    x-github-api-version: 2022-11-28\n\
                    authorization: Bearer (JWT of app 12345, signed with /run/none.pem)\n\n\
                    {\"permissions\":{\"actions\":\"write\"},\"repositories\":[\"fraud\"]}\n\n\
                    POST https://api.github.com/repos/acme/fraud/actions/workflows/retrain.yml/dispatches\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("\nauthorization: Bearer ***\n"), "{said}");

    // A key that stands in the configuration is shown nowhere.
    let key = app_key().pkcs1.replace('\n', "\\n");
    let block =
        format!("  github_app: {{app_id: Iv1, installation_id: 77, private_key: \"{key}\"}}\n");
    let file = config(folder.path(), &block);
    let secret = app_key().pkcs1.lines().nth(3).unwrap();
    for command in [&["config", "print", "--effective", "-c", &file][..], &args] {
        let shown = driftd(command);
        let said = text(&shown.stdout) + &text(&shown.stderr);
        assert_eq!(shown.status.code(), Some(0), "{said}");
        assert!(said.contains("Iv1") && !said.contains(secret), "{said}");
    }
    let trigger = Trigger {
        preset: Some(Preset::GithubRepositoryDispatch),
        with: [("repository".to_owned(), "acme/fraud".to_owned())].into(),
        github_app: Some(app()),
        ..Trigger::new("")
    };
    let target = Target::trigger("fraud", &trigger, &client()).unwrap();
    let shown = dry_render(&target, &trigger_of(ID, "fraud")) + &format!("{trigger:?}");
    assert!(!shown.contains(secret), "{shown}");
    assert!(shown.contains("signed with github_app.private_key)"), "{shown}");
}

#[test]
fn a_half_filled_app_is_refused_with_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("ec.pem");
    fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let block = |inner: &str| format!("  github_app: {inner}\n");
    let whole = format!("app_id: 1, installation_id: 2, private_key_file: {}", key.display());
    let of = |trigger: &str| {
        let file = config(folder.path(), trigger);
        let output = driftd(&["validate", "--offline", "-c", &file]);
        assert_eq!(output.status.code(), Some(78), "{trigger}");
        text(&output.stderr)
    };
    for (trigger, expected) in [
        (String::new(), &["needs `token_file` (or `token`, or `github_app`)"][..]),
        (
            block("{}"),
            &[
                "github_app: `app_id` is missing",
                "`installation_id` is missing",
                "`private_key_file` is missing",
            ],
        ),
        (
            block("{installation_id: 77, private_key: nothing}"),
            &["app_id", "no private key in PEM"],
        ),
        (
            block(&format!("{{{whole}, private_key: x}}")),
            &["set either `private_key` or `private_key_file`"],
        ),
        (block("{app: 1}"), &["github_app.app"]),
        (
            block(&format!("{{{whole}}}")) + "  token: abc\n",
            &["a GitHub App is handed its token: set it or `token`"],
        ),
        (block(&format!("{{{whole}}}")), &["holds a key that is not RSA"]),
        (
            block(&format!(
                "{{app_id: 1, installation_id: 2, private_key_file: {}}}",
                empty.display()
            )),
            &["empty.pem is empty"],
        ),
        (
            block("{app_id: 'my app', installation_id: 0, private_key_file: /run/none.pem}"),
            &["is no app id", "`installation_id` is missing"],
        ),
    ] {
        let said = of(&trigger);
        for expected in expected {
            assert!(said.contains(expected), "{trigger}: {expected} in {said}");
        }
    }
    let elsewhere = Trigger {
        preset: Some(Preset::Airflow3),
        with: [("dag_id".to_owned(), "retrain".to_owned())].into(),
        token: Some(Secret::new("tok")),
        github_app: Some(app()),
        ..Trigger::new("https://airflow.example")
    };
    let faults: Vec<String> = elsewhere.check().iter().map(ToString::to_string).collect();
    assert!(faults[0].contains("`preset: airflow3` knows no GitHub App"), "{faults:?}");
}
