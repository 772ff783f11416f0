//! Secrets planted wherever a secret can be configured, and searched for in everything that comes out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use driftd::config;

use super::harness::{DRIFTD, Daemon, until};
use super::world::World;

/// What every planted secret holds.
const CANARY: &str = "cAnArY";
const FROM_ENVIRONMENT: [(&str, &str); 4] = [
    ("TOKEN_CANARY", "environment-cAnArY"),
    ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "aws-cAnArY"),
    ("AWS_SESSION_TOKEN", "aws-session-cAnArY"),
];

fn signing_key() -> String {
    format!("whsec_{}", STANDARD.encode("a signing key of 32 bytes exact!"))
}

/// Everything that came out, by where it came from.
#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn search(&mut self, place: &str, text: &str) {
        for secret in [CANARY, &signing_key()[6..]] {
            if let Some(at) = text.find(secret) {
                let from = (0..=at.saturating_sub(100)).rev().find(|i| text.is_char_boundary(*i));
                let around: String = text[from.unwrap_or(0)..].chars().take(200).collect();
                self.0.push(format!("{place}: ...{around}..."));
            }
        }
    }

    fn search_folder(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.search_folder(&path);
            } else {
                let bytes = fs::read(&path).unwrap();
                self.search(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
            }
        }
    }

    /// Runs a command of the program; both of its outputs.
    fn run(&mut self, args: &[&str], config: &Path) -> Option<i32> {
        let output = Command::new(DRIFTD)
            .args(args)
            .arg("-c")
            .arg(config)
            .envs(FROM_ENVIRONMENT)
            .env("RUST_LOG", "debug")
            .output()
            .unwrap();
        let place = format!("{args:?} of {}", config.display());
        self.search(&place, &String::from_utf8_lossy(&output.stdout));
        self.search(&place, &String::from_utf8_lossy(&output.stderr));
        output.status.code()
    }

    fn nothing(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

/// A proxy that refuses everything, and repeats what it was told as a careless one may.
fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, told) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = told.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = count.clone();
            thread::spawn(move || repeat(stream, &count));
        }
    });
    (address, told)
}

fn repeat(stream: TcpStream, count: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let secret = head.contains(CANARY);
    let mut stream = stream;
    let length = head.len();
    write!(
        stream,
        "HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{head}"
    )
    .ok()?;
    count.fetch_add(usize::from(secret), Ordering::SeqCst);
    Some(())
}

fn triggers(world: &World) -> String {
    let file = |name: &str, text: &str| {
        let path = world.path(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let written = format!(
        r#"      retraining_trigger:
        webhook: "http://ci.example/path-{CANARY}?token=query-{CANARY}"
        allow_http: true
        token: "bearer-{CANARY}"
        secret: "{key}"
        notification_channel: "slack://ml"
"#,
        key = signing_key()
    );
    let filed = format!(
        r#"      retraining_trigger:
        webhook: "http://ci.example/other-{CANARY}"
        allow_http: true
        token_file: "{}"
        secret_file: "{}"
        notification_channel: "slack://own"
"#,
        file("bearer", &format!("filed-{CANARY}\n")),
        file("signing", &signing_key()),
    );
    let slack = file("slack", &format!("http://hooks.example/filed-{CANARY}\n"));
    let interpolated = world
        .model("interpolated", "      retraining_trigger: {webhook: \"https://ci.example/x\", token: \"${TOKEN_CANARY}\"}\n");
    world.model("written", &written)
        + &world.model("filed", &filed)
        + &interpolated
        + &format!(
            r#"notifiers:
  slack:
    webhook_url: "http://hooks.example/services/{CANARY}"
    channels: {{own: {{webhook_url_file: "{slack}"}}}}
    allow_http: true
log: {{level: debug}}
"#
        )
}

/// Every page and every answer of the API.
fn search_routes(daemon: &Daemon, found: &mut Found) {
    let incident = daemon.incidents()[0]["id"].as_str().unwrap().to_owned();
    for route in driftd::http::routes().iter().filter(|route| route.method == "GET") {
        for model in ["written", "filed"] {
            let path = route
                .path
                .replace("{model}", model)
                .replace("{feature}", "amount")
                .replace("{id}", &incident);
            let (status, body) = daemon.get(&path);
            assert_eq!(status, 200, "{path}");
            found.search(&path, &body);
        }
    }
}

#[test]
fn no_secret_comes_out_of_a_running_daemon() {
    let mut world = World::new();
    let (proxy, told) = echo();
    let token = format!("admin-token-of-32-bytes-or-more-{CANARY}");
    fs::write(world.path("token"), &token).unwrap();
    fs::write(world.path("kafka-password"), format!("filed-{CANARY}")).unwrap();
    let file = world.write_config("state", "one", &triggers(&world));
    let text = fs::read_to_string(&file).unwrap();
    let oauth = format!(
        "kafka:\n  oauth: {{token_url: \"https://login.example/\", client_id: driftd, \
         client_secret: \"oauth-{CANARY}\"}}\n"
    );
    let text = text
        .replacen("kafka:\n", &oauth, 1)
        .replace("http: {", &format!("http: {{token_file: \"{}\", ", world.path("token").display()))
        .replace(
            "heartbeat.interval.ms: 500",
            &format!(
                "heartbeat.interval.ms: 500, sasl.password_file: \"{}\", \
                 ssl.key.password: \"key-{CANARY}\", ssl.keystore.password: \"store-{CANARY}\", \
                 debug: \"conf,security\"",
                world.path("kafka-password").display()
            ),
        )
        + &format!("client: {{proxy: \"http://driftd:proxy-{CANARY}@{proxy}\"}}\n");
    fs::write(&file, text).unwrap();

    let mut found = Found::default();
    let environment = [&FROM_ENVIRONMENT[..], &[("RUST_LOG", "debug")]].concat();
    let daemon = Daemon::start_with(&file, &environment);
    world.minutes(20, false);
    world.minutes(10, true);
    // Both webhooks and both channels were told, and answered with all that they had heard.
    until("deliveries", || (told.load(Ordering::SeqCst) >= 4).then_some(()));
    daemon.until("written", "an attempt", |model| model["incident"] != "none");
    until("two attempts on record", || {
        let tried = |i: &serde_json::Value| i["attempts"].as_array().is_some_and(|a| !a.is_empty());
        (daemon.incidents().iter().filter(|i| tried(i)).count() >= 2).then_some(())
    });
    assert_eq!(daemon.put("/api/v1/models/written/baseline", &format!("guess-{CANARY}"), ""), 401);
    let body = format!("{{\"uri\": \"s3://k:{CANARY}@b/x.parquet\"}}");
    assert_ne!(daemon.put("/api/v1/models/written/baseline", &token, &body), 200);
    search_routes(&daemon, &mut found);
    let (_, out, err) = daemon.command(&["incidents", "list", "--format", "json"]);
    found.search("incidents", &(out + &err));
    // A proxy of the environment is not asked.
    let output = Command::new(DRIFTD)
        .args(["incidents", "list", "--url", &format!("http://{}", daemon.admin())])
        .envs(["http_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1")))
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(found.run(&["config", "print", "--effective"], &file), Some(0));
    assert_eq!(found.run(&["config", "print", "--effective", "--format", "json"], &file), Some(0));
    found.run(&["validate"], &file);
    // What a panic would print.
    let lookup = |name: &str| {
        let value = FROM_ENVIRONMENT.iter().find(|(known, _)| *known == name);
        value.map(|(_, value)| (*value).to_owned())
    };
    let loaded = config::load(&file, &lookup).unwrap();
    found.search("Debug", &format!("{:?}", loaded.config));
    let (_, log) = daemon.terminate();
    assert!(log.contains("DEBUG"), "the log has everything");
    found.search("the log", &log);
    found.search_folder(&world.path("state"));
    found.nothing();
}

#[test]
fn no_fault_of_a_configuration_repeats_a_secret() {
    let world = World::new();
    let model = world.model("fraud", "");
    let trigger =
        |block: &str| world.model("fraud", &format!("      retraining_trigger: {{{block}}}\n"));
    let s3 = |endpoint: &str| {
        let model = world.model("fraud", "");
        let local = world.reference().display().to_string();
        let end = format!("baselines: {{s3: {{endpoint: \"{endpoint}\", allow_http: true}}}}\n");
        model.replace(&local, "s3://bucket/reference.parquet") + &end
    };
    let cases = [
        trigger(&format!("webhook: \"https://u:{CANARY}@ci.example/x\"")),
        trigger(&format!("webhook: \"{CANARY}\"")),
        trigger(&format!(
            "webhook: \"https://ci.example/{CANARY}\", token: \"two words {CANARY}\""
        )),
        trigger(&format!("webhook: \"https://ci.example/\", secret: \"whsec_{CANARY}!\"")),
        trigger(&format!("webhook: \"https://ci.example/\", token: [\"{CANARY}\"]")),
        trigger(&format!("webhook: \"http://ci.example/{CANARY}\", tokn: \"{CANARY}\"")),
        format!("{model}notifiers: {{slack: {{webhook_url: \"not a url {CANARY}\"}}}}\n"),
        format!("{model}notifiers: {{slack: {{webhook: \"https://hooks.example/{CANARY}\"}}}}\n"),
        format!("{model}client: {{proxy: \"::{CANARY}\"}}\n"),
        format!("{model}max_series: \"${{TOKEN_CANARY}}\"\n"),
        format!("{model}log: {{level: \"${{TOKEN_CANARY}}\"}}\n"),
        format!("{model}client: {{connect_timeout: \"${{TOKEN_CANARY}}\"}}\n"),
        s3(&format!("http://u:{CANARY}@127.0.0.1:1")),
        s3("http://127.0.0.1:1"),
    ];
    let mut found = Found::default();
    for (n, models) in cases.iter().enumerate() {
        let file = world.write_config("state", &format!("case-{n}"), models);
        assert_ne!(found.run(&["validate"], &file), Some(0), "case {n} has a fault");
    }
    for (n, http) in [
        format!("external_url: \"https://u:{CANARY}@driftd.example\""),
        "admin: \"${TOKEN_CANARY}\"".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let file = world.write_config("state", &format!("http-{n}"), &model);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("admin: \"127.0.0.1:0\"", &http)).unwrap();
        assert_ne!(found.run(&["validate"], &file), Some(0), "http {n} has a fault");
    }
    found.nothing();
}
