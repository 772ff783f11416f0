//! The listeners' doors: every route without authentication, TLS and client certificates, guesses.

use std::fs;
use std::path::Path;
use std::time::Duration;

use driftd::http::{Config, Route, TlsConfig, Who, routes};
use reqwest::{Certificate, Client, Identity, StatusCode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::certificates::{Authority, Signed};
use crate::http::{Running, TOKEN};

/// A path that a route takes.
fn path(route: &Route) -> String {
    let names = [("{model}", "fraud"), ("{feature}", "zeta"), ("{id}", "i-1")];
    names.iter().fold(route.path.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// What asks: the scheme and the certificate are the client's.
struct Caller<'a> {
    client: &'a Client,
    base: String,
    host: Option<&'a str>,
    token: Option<&'a str>,
}

impl Caller<'_> {
    async fn status(&self, route: &Route) -> StatusCode {
        let url = format!("{}{}", self.base, path(route));
        let mut request = self.client.request(route.method.clone(), url);
        if let Some(host) = self.host {
            request = request.header("host", host);
        }
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if route.path.ends_with("/close") {
            request = request.body(r#"{"as":"dismissed"}"#);
        }
        let response = request.send().await.unwrap();
        assert!(
            response.headers().keys().all(|name| !name.as_str().starts_with("access-control-")),
            "no CORS"
        );
        response.status()
    }
}

/// Ready it is not, being a server without a program behind it.
fn answers(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::test]
async fn every_route_is_closed_to_whom_the_table_does_not_name() {
    let mut running = Running::start(|_| {}).await;
    // Nobody carries commands out.
    running.commands.close();
    let caller = |base: String, host, token| Caller { client: &running.client, base, host, token };
    let (admin, public) = (running.admin(""), running.public(""));
    let near = caller(admin.clone(), None, None);
    let rebound = caller(admin.clone(), Some("evil.example"), None);
    // Another one, lest the guesses count against us.
    let guessed = Running::start(|_| {}).await;
    let wrong = caller(guessed.admin(""), None, Some("0123456789abcdef0123456789abcdeX"));
    let right = caller(admin, Some("driftd.monitoring.svc"), Some(TOKEN));
    let outside = caller(public, None, Some(TOKEN));
    let table = routes();
    assert_eq!(table.len(), 23, "a new route needs a thought here");
    for route in &table {
        let at = format!("{} {}", route.method, route.path);
        let expected = match route.who {
            Who::Anyone | Who::Scraper => [200, 200, 200],
            Who::Reader => [200, 403, 401],
            Who::Commander => [401, 401, 401],
        };
        for (caller, expected) in [&near, &rebound, &wrong].into_iter().zip(expected) {
            let status = caller.status(route).await;
            // A probe may say no, and who guesses on is slowed down.
            let is_same = match expected {
                200 if route.who == Who::Anyone => answers(status),
                401 => status == 401 || status == 429,
                _ => status == expected,
            };
            assert!(is_same, "{at}: {status}");
        }
        assert!(answers(right.status(route).await), "{at}");
        let public = outside.status(route).await;
        assert_eq!(public != 404, route.public, "{at}: {public}");
        assert_eq!(route.public, matches!(route.who, Who::Anyone | Who::Scraper), "{at}");
    }
}

#[tokio::test]
async fn guesses_are_answered_with_429_until_time_has_passed() {
    let running = Running::start(|_| {}).await;
    let try_token = async |token: &str| {
        let request = running.client.get(running.admin("/api/v1/models")).bearer_auth(token);
        let response = request.send().await.unwrap();
        let again = response.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
        (response.status().as_u16(), again)
    };
    let mut refused = 0;
    // On a slow machine a try is paid back now and then.
    while try_token("guess").await.0 == 401 {
        refused += 1;
        assert!(refused < 1_000);
    }
    assert!(refused >= 10, "{refused}");
    loop {
        let (status, again) = try_token(TOKEN).await;
        if status == 200 {
            break;
        }
        assert_eq!((status, again.as_deref()), (429, Some("1")));
    }
    let without = running.client.get(running.admin("/api/v1/models")).send().await.unwrap();
    assert_eq!(without.status(), 200, "whoever brings no token is not guessing");
}

/// Two authorities, a server's certificate of the first, and who may connect.
struct World {
    dir: TempDir,
    ours: Authority,
    theirs: Authority,
    server: Signed,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ours = Authority::new(dir.path(), "ours");
        let theirs = Authority::new(dir.path(), "theirs");
        let server = ours.sign("server");
        Self { dir, ours, theirs, server }
    }

    fn tls(&self, client_ca: Option<&Path>) -> TlsConfig {
        TlsConfig {
            cert_file: self.server.cert.clone(),
            key_file: self.server.key.clone(),
            client_ca_file: client_ca.map(Path::to_owned),
        }
    }

    fn both(&self, client_ca: Option<&Path>) -> impl FnOnce(&mut Config) {
        let tls = self.tls(client_ca);
        |config| {
            config.public_tls = Some(tls.clone());
            config.admin_tls = Some(tls);
        }
    }
}

fn client(trusted: &Authority, shown: Option<&Signed>) -> Client {
    let authority = Certificate::from_pem(&trusted.pem()).unwrap();
    let mut builder = Client::builder().no_proxy().tls_certs_only([authority]);
    if let Some(shown) = shown {
        builder = builder.identity(Identity::from_pem(&shown.joined()).unwrap());
    }
    // Every request shakes hands anew.
    builder.pool_max_idle_per_host(0).build().unwrap()
}

fn https(url: &str) -> String {
    url.replace("http://", "https://")
}

#[tokio::test]
async fn both_listeners_speak_tls_and_nothing_else() {
    let world = World::new();
    let running = Running::start(world.both(None)).await;
    let trusting = client(&world.ours, None);
    for url in [running.admin("/livez"), running.public("/metrics")] {
        let response = trusting.get(https(&url)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{url}");
        let error = client(&world.theirs, None).get(https(&url)).send().await.unwrap_err();
        assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
        running.client.get(&url).send().await.expect_err("plain HTTP is no handshake");
    }
    let read = trusting.get(https(&running.admin("/api/v1/models"))).send().await.unwrap();
    assert_eq!(read.status(), 200, "over loopback, as without TLS");
}

#[tokio::test]
async fn a_listener_with_client_authorities_lets_only_probes_in_without_a_certificate() {
    let world = World::new();
    let mut running = Running::start(world.both(Some(&world.ours.path()))).await;
    running.commands.close();
    let member = world.ours.sign("prometheus");
    let (stranger, expired) = (world.theirs.sign("stranger"), world.ours.sign_expired("old"));
    let nobody = client(&world.ours, None);
    let certified = client(&world.ours, Some(&member));
    let base = https(&running.admin(""));
    let caller =
        |client, token| Caller { client, base: base.clone(), host: Some("driftd.svc"), token };
    for route in routes() {
        let at = format!("{} {}", route.method, route.path);
        let bare = caller(&nobody, None).status(&route).await;
        let with_token = caller(&nobody, Some(TOKEN)).status(&route).await;
        let shown = caller(&certified, None).status(&route).await;
        let both = caller(&certified, Some(TOKEN)).status(&route).await;
        match route.who {
            Who::Anyone => assert!(answers(bare) && answers(shown), "{at}"),
            Who::Scraper | Who::Reader => {
                assert_eq!(
                    (bare, with_token),
                    (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
                    "{at}"
                );
                assert_eq!(shown, 200, "{at}");
            }
            Who::Commander => {
                assert_eq!(
                    (bare, with_token),
                    (StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN),
                    "{at}"
                );
                assert_eq!(shown, 401, "{at}: a certificate commands nothing");
            }
        }
        assert!(answers(both), "{at}: {both}");
    }
    let scrape = https(&running.public("/metrics"));
    assert_eq!(nobody.get(&scrape).send().await.unwrap().status(), 403);
    assert_eq!(certified.get(&scrape).send().await.unwrap().status(), 200);
    for bad in [&stranger, &expired] {
        let url = https(&running.admin("/livez"));
        client(&world.ours, Some(bad)).get(url).send().await.expect_err("not even a probe");
    }
}

#[tokio::test]
async fn new_certificates_are_taken_up_and_bad_ones_are_not() {
    let world = World::new();
    let running = Running::start(world.both(None)).await;
    let url = https(&running.admin("/livez"));
    let (before, after) = (client(&world.ours, None), client(&world.theirs, None));
    assert_eq!(before.get(&url).send().await.unwrap().status(), 200);

    // A key that is not the certificate's: what was in force stays.
    let other = world.theirs.sign("other");
    fs::copy(&other.key, &world.server.key).unwrap();
    let half_replaced = tokio::time::Instant::now();
    while half_replaced.elapsed() < Duration::from_millis(1_500) {
        assert_eq!(before.get(&url).send().await.unwrap().status(), 200);
    }
    fs::copy(&other.cert, &world.server.cert).unwrap();
    for _ in 0..600 {
        if after.get(&url).send().await.is_ok() {
            before.get(&url).send().await.expect_err("the old certificate is gone");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the new certificate was never shown");
}

#[tokio::test]
async fn a_handshake_that_never_ends_keeps_nobody_out() {
    let world = World::new();
    let running = Running::start(world.both(None)).await;
    let mut idle = Vec::new();
    for _ in 0..31 {
        let mut stream = TcpStream::connect(running.servers.admin_addr()).await.unwrap();
        stream.write_all(&[22, 3, 1]).await.unwrap();
        idle.push(stream);
    }
    let url = https(&running.admin("/livez"));
    assert_eq!(client(&world.ours, None).get(url).send().await.unwrap().status(), 200);
    // Each is closed within its ten seconds, and the address has its places back.
    for mut stream in idle {
        assert!(matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn the_command_for_incidents_comes_in_by_the_same_door() {
    let world = World::new();
    let running = Running::start(world.both(Some(&world.ours.path()))).await;
    let member = world.ours.sign("operator");
    let (token, reference) = (world.dir.path().join("token"), world.dir.path().join("r.parquet"));
    fs::write(&token, TOKEN).unwrap();
    let config = |certificate: &str| {
        let file = world.dir.path().join("driftd.yaml");
        let text = format!(
            "kafka: {{brokers: [k:9092]}}\ntopic: t\nreference_dataset: {}\n\
             http: {{token_file: {}}}\nclient: {{ca_file: {}{certificate}}}\n",
            reference.display(),
            token.display(),
            world.ours.path().display()
        );
        fs::write(&file, text).unwrap();
        file
    };
    let url = https(&running.admin(""));
    let list = async |file: std::path::PathBuf| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_driftd"));
        command.args(["incidents", "list", "--format", "json", "--url", &url, "-c"]).arg(file);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (cert, key) = (member.cert.display(), member.key.display());
    let (listed, said) = list(config(&format!(", cert_file: {cert}, key_file: {key}"))).await;
    assert!(listed && said.contains("i-1"), "{said}");
    let (listed, said) = list(config("")).await;
    assert!(!listed && said.contains("client certificate"), "{said}");
}

#[tokio::test]
async fn the_health_check_needs_no_name_no_authority_and_no_certificate() {
    let world = World::new();
    let server = world.theirs.sign_expired("old");
    let tls = TlsConfig {
        cert_file: server.cert,
        key_file: server.key,
        client_ca_file: Some(world.ours.path()),
    };
    let running = Running::start(|config| config.public_tls = Some(tls.clone())).await;
    let file = world.dir.path().join("driftd.yaml");
    let text = format!(
        "kafka: {{brokers: [k:9092]}}\ntopic: t\nreference_dataset: r.parquet\nhttp:\n  public: \"{}\"\n  \
         public_tls: {{cert_file: {}, key_file: {}, client_ca_file: {}}}\n",
        running.servers.public_addr(),
        tls.cert_file.display(),
        tls.key_file.display(),
        world.ours.path().display()
    );
    fs::write(&file, text).unwrap();
    let alive = async || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_driftd"));
        command.args(["alive", "-c"]).arg(&file);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    assert_eq!(alive().await, (Some(0), "ok\n".to_owned()));
    running.servers.shutdown(Duration::from_secs(1)).await;
    let (code, said) = alive().await;
    assert!(code == Some(1) && said.contains("cannot connect"), "{code:?}: {said}");
}

#[tokio::test]
async fn files_that_make_no_tls_are_named_at_the_start() {
    let world = World::new();
    let start = async |tls: TlsConfig| {
        let config = Config {
            public: "127.0.0.1:0".parse().unwrap(),
            admin: "127.0.0.1:0".parse().unwrap(),
            admin_tls: Some(tls),
            ..Config::default()
        };
        let (_, view) = tokio::sync::watch::channel(std::sync::Arc::default());
        let (commands, _receiver) = tokio::sync::mpsc::channel(1);
        let shared = driftd::http::Shared {
            view,
            metrics: driftd::metrics::Metrics::new(),
            health: std::sync::Arc::default(),
            commands,
            exported: driftd::metrics::Config::default(),
            configuration: "".into(),
        };
        driftd::http::serve(&config, shared).await.unwrap_err().to_string()
    };
    let good = world.tls(None);
    let nowhere = TlsConfig { cert_file: "/nonexistent/tls.crt".into(), ..good.clone() };
    let why = start(nowhere).await;
    assert!(why.starts_with("http.admin_tls.cert_file: cannot read /nonexistent/tls.crt"), "{why}");
    let empty = world.dir.path().join("empty.pem");
    fs::write(&empty, "nothing here").unwrap();
    let why = start(TlsConfig { key_file: empty.clone(), ..good.clone() }).await;
    assert!(why.contains("key_file") && why.contains("no PEM private key"), "{why}");
    let why = start(TlsConfig { client_ca_file: Some(empty), ..good.clone() }).await;
    assert!(why.contains("client_ca_file") && why.contains("no PEM certificate"), "{why}");
    let other = world.theirs.sign("other");
    let why = start(TlsConfig { key_file: other.key, ..good }).await;
    assert!(why.contains("cert_file") && why.contains("does it belong to"), "{why}");
}
