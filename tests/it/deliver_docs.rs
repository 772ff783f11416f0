//! The pages on triggers and notifiers: every configuration in them is one that `validate` takes; and
//! `driftd webhook test`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::deliver_github_app::app_key;
use crate::deliver_presets::{Fake, Said, body};

pub(crate) fn driftd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftd"))
        .env_remove("DRIFTD_CONFIG")
        .env_remove("DRIFTD_WEBHOOK_TOKEN_FILE")
        .args(args)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The fenced YAML of a page.
fn blocks(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let page = fs::read_to_string(path).unwrap();
    let fenced = page.split("```yaml\n").skip(1);
    fenced.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Secrets of the examples, in a folder of the test.
fn with_secrets(yaml: &str, folder: &Path) -> String {
    let file = |name: &str, secret: &str| fs::write(folder.join(name), secret).unwrap();
    for word in yaml.split(|c: char| c.is_whitespace() || "\"{},".contains(c)) {
        if let Some(name) = word.strip_prefix("/run/secrets/") {
            let is_url = name.ends_with("url") || name.ends_with("webhook");
            let is_key = name.contains("signing");
            let is_pem = name.ends_with(".pem");
            file(
                name,
                match (is_url, is_key, is_pem) {
                    (true, _, _) => "https://hooks.example/SECRET",
                    (_, true, _) => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                    (_, _, true) => &app_key().pkcs1,
                    (false, false, false) => "tok-123",
                },
            );
        }
    }
    yaml.replace("/run/secrets", folder.to_str().unwrap())
}

#[test]
fn every_configuration_of_the_pages_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("driftd.yaml");
    let mut found = Vec::new();
    for page in ["triggers.md", "notifiers.md"] {
        for block in blocks(page) {
            if !block.starts_with("# driftd.yaml") {
                let mut events = saphyr_parser::Parser::new_from_str(&block);
                assert!(events.all(|event| event.is_ok()), "{page}: not YAML:\n{block}");
                continue;
            }
            fs::write(&file, with_secrets(&block, folder.path())).unwrap();
            let output = driftd(&["validate", "--offline", "-c", file.to_str().unwrap()]);
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{page}:\n{block}\n{told}");
            assert!(!told.contains("nobody is told"), "{page}:\n{block}\n{told}");
            found.extend(block.lines().filter_map(|line| {
                line.trim().strip_prefix("preset: ")?.split(' ').next().map(str::to_owned)
            }));
        }
    }
    for preset in driftd::deliver::Preset::ALL {
        assert!(found.iter().any(|name| name == preset.name()), "no example of {}", preset.name());
    }
}

fn config(folder: &Path, trigger: &str, notifiers: &str) -> String {
    let file = folder.join("driftd.yaml");
    let yaml = format!(
        "kafka: {{brokers: 'k:9092'}}\ntopic: fraud\nhttp: {{external_url: 'https://driftd.example/'}}\nreference_dataset: s3://b/r.parquet\n\
         retraining_trigger: {trigger}\nnotifiers: {notifiers}\n"
    );
    fs::write(&file, yaml).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_shown_or_sent_and_marked() {
    let server = Fake::start(|seen| match &*seen.path {
        "/v2/enqueue" => Said::Json(202, serde_json::json!({"status": "success"})),
        _ => Said::Text(403, "who are you, tok-123?"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = config(
        folder.path(),
        &format!("{{webhook: '{}', token: tok-123, allow_http: true}}", server.url("/SECRET")),
        &format!("{{pagerduty: {{url: '{}', key: key-123, allow_http: true}}}}", server.url("")),
    );
    let test = |target: &str, more: &[&str]| {
        let args = [&["webhook", "test", "-c", &file, "--target", target], more].concat();
        driftd(&args)
    };
    let shown = test("retraining_trigger/fraud", &["--dry-run"]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    let said = text(&shown.stdout);
    assert!(said.contains("authorization: Bearer ***") && said.contains("driftd.test"), "{said}");
    assert!(!said.contains("tok-123") && !said.contains("SECRET"), "{said}");
    assert!(server.seen().is_empty());

    let refused = test("retraining_trigger", &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stdout);
    assert!(said.contains("NOT taken: 403") && !said.contains("tok-123"), "{said}");
    assert_eq!(body(&server.seen()[0])["type"], "driftd.test");

    let sent = test("pagerduty", &[]);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    let events: Vec<_> = server.seen()[1..].iter().map(body).collect();
    assert_eq!(events[0]["event_action"], "trigger");
    assert_eq!(events[1]["event_action"], "resolve", "nothing stays open");
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    let page = "https://driftd.example/models/fraud";
    assert_eq!(events[0]["links"][0]["href"], page, "where the daemon's own messages lead");
    assert!(events[0]["payload"]["summary"].as_str().unwrap().contains("TEST"));

    let unknown = test("slack", &[]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = text(&unknown.stderr);
    assert!(said.contains("there are: retraining_trigger/fraud, pagerduty/all"), "{said}");
}
