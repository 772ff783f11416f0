//! The page and the API from outside: in a real browser, and against the OpenAPI document.

use std::env;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::harness::{DRIFTD, Daemon};
use super::receiver::Receiver;
use super::world::{MINUTE, World, train, trigger};
use crate::servers;

/// Its slash and its colon are no parts of a path.
const OTHER: &str = "team/a:b";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// One that passes, one that drift violates, and one that is only shown.
const CHECKS: &str = "    checks:
      - {feature: country, missing: [0, 0.01]}
      - {name: amounts, feature: amount, between: [null, 0], mostly: 0.5, severity: critical}
      - {records: [1000000, null], severity: info}
";

/// A daemon that has seen everything that a page shows: a model with a closed and an open incident, one
/// that only watches, and records that could not be used.
fn lived() -> (World, Receiver, Daemon) {
    let mut world = World::new();
    let webhook = Receiver::start();
    fs::write(world.path("token"), TOKEN).unwrap();
    let watched = world.model(OTHER, "");
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), "")) + &watched;
    let models = models.replacen("    drift_config:", &format!("{CHECKS}    drift_config:"), 1);
    let config = world.write_config("state", "one", &models);
    let token = format!("http: {{token_file: \"{}\", ", world.path("token").display());
    let text = fs::read_to_string(&config).unwrap().replace("http: {", &token);
    fs::write(&config, text).unwrap();
    let daemon = Daemon::start(&config);
    world.minutes(20, false);
    daemon.until("fraud", "health", |m| m["drift"] == "healthy");
    world.minutes(8, true);
    let drifted = daemon.until("fraud", "an accepted trigger", |m| m["incident"] == "accepted");
    train(&world.reference(), true);
    daemon.until("fraud", "the new baseline", |m| {
        m["baseline"]["digest"] != drifted["baseline"]["digest"]
    });
    world.minutes(15, true);
    for payload in [&b"{"[..], b"[]", b"\xff"] {
        world.send_bytes(0, world.now_ms(), Some(payload));
    }
    world.minutes(15, false);
    daemon.until("fraud", "a second incident", |m| m["incident"] == "accepted");
    let checked = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let states: Vec<&Value> =
        checked["checks"].as_array().unwrap().iter().map(|check| &check["state"]).collect();
    assert_eq!(states, ["passed", "violated", "violated"], "{checked}");
    (world, webhook, daemon)
}

#[test]
fn every_view_is_whole_in_a_browser_light_dark_small_and_without_scripts() {
    let Some(browser) = servers::Browser::find() else { return };
    let (_world, _webhook, daemon) = lived();
    // To be looked at by people, where they say so.
    let folder = env::var("DRIFTD_TEST_PICTURES").unwrap_or_default();
    let seen = browser.look(&daemon.url(), &folder);
    for view in ["/", "models/fraud", "incidents", "health", "configuration", "models/fraud/report"]
    {
        assert!(seen.lines().any(|line| line == view), "{view} was not seen: {seen}");
    }
    for part in ["/features/amount", "/features/country", "incidents/", "models/team%2Fa%3Ab"] {
        assert!(seen.lines().any(|line| line.contains(part)), "{part} was not seen: {seen}");
    }
}

#[test]
fn the_past_outlives_the_process_and_the_baseline() {
    let (world, _webhook, daemon) = lived();
    let past = |daemon: &Daemon| daemon.json("/api/v1/models/fraud/history");
    let psi = |past: &Value, at: usize| past["features"][0]["scores"]["psi"]["value"][at].as_f64();
    let before = past(&daemon);
    let ends = before["end"].as_array().unwrap();
    let renewed = before["new_baseline"].as_array().unwrap();
    let at = renewed.iter().position(|new| *new == true).expect("a point of the new baseline");
    assert!(at > 0 && at + 1 < renewed.len(), "{renewed:?}");
    assert_eq!(before["features"][0]["feature"], "amount");
    let (first, last) = (before["drift"].as_array().unwrap(), ends.len() - 1);
    assert!(first.contains(&json!("healthy")) && first[last] == "drifted", "{first:?}");
    let since = before["features"][0]["onset_psi"].as_array().unwrap();
    assert!(since.iter().any(|psi| psi.as_f64().is_some_and(|psi| psi > 0.2)), "{since:?}");

    let (status, log) = daemon.terminate();
    assert!(status.success(), "{log}");
    let accepted =
        |line: &&str| line.contains("delivered") && line.contains("retraining_trigger/fraud");
    assert_eq!(log.lines().filter(accepted).count(), 2, "a line for each that was taken: {log}");
    let daemon = Daemon::start(&world.path("one.yaml"));
    let end = ends[last].clone();
    daemon.until("fraud", "the window of before", |m| m["window"]["end"] == end);
    let after = past(&daemon);
    let n = after["end"].as_array().unwrap().len();
    assert_eq!(after["end"][n - 1], end);
    // Panes since the new baseline are stored; what was decided in them is not told again.
    assert_eq!(n, last + 1 - at);
    assert_eq!(after["drift"][0], Value::Null);
    let (was, is) = (psi(&before, last).unwrap(), psi(&after, n - 1).unwrap());
    assert!((was - is).abs() < 1e-6, "{was} {is}");
    let page = daemon.get("/models/fraud").1;
    assert!(page.contains("not known: before the last start"), "{page}");
}

#[test]
fn the_server_keeps_to_its_document_whatever_it_is_asked() {
    let Some(schemathesis) = servers::Schemathesis::find() else { return };
    let (_world, _webhook, daemon) = lived();
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    assert_eq!(daemon.json("/api/v1/openapi.json"), document);
    let told = schemathesis.run(&daemon.url(), TOKEN);
    assert!(told.is_ok(), "{}", told.unwrap_err());
}

#[test]
fn a_report_is_json_and_one_file_of_html() {
    let (_world, _webhook, daemon) = lived();
    let report = daemon.json("/api/v1/models/fraud/report");
    assert_eq!(report["model"], "fraud");
    assert_eq!(report["distributions"].as_array().unwrap().len(), 2);
    assert_eq!(report["incidents"].as_array().unwrap().len(), 2);
    assert!(report["history"]["end"].as_array().unwrap().len() > 20);
    let (status, page) = daemon.get_as("/api/v1/models/fraud/report", "text/html");
    assert_eq!(status, 200);
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("id=\"feature-amount\""));
    for foreign in ["<script", "src=", "url(", "@import", "<link rel=\"stylesheet"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let (status, page) = daemon.get("/configuration");
    assert!(
        status == 200 && page.contains("secret: &quot;***&quot;") || page.contains("secret: ***"),
        "{page}"
    );
    assert!(!page.contains(super::world::KEY), "a secret is shown");
}

#[test]
fn the_terminal_shows_models_and_records() {
    let (world, _webhook, daemon) = lived();
    let (code, shown, errors) = daemon.command(&["top"]);
    assert_eq!(code, Some(0), "{errors}");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("fraud  drifted") && !shown.contains('\u{1b}'), "{shown}");
    let amount = lines.iter().find(|line| line.starts_with("  amount")).unwrap();
    assert!(amount.contains("drifted") && amount.contains('\u{2588}'), "{shown}");
    assert!(lines.iter().any(|line| line.starts_with(OTHER)), "{shown}");
    let (code, _, errors) = daemon.command(&["top", "--model", "no-such"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("no-such"), "{errors}");

    let config = world.path("one.yaml");
    let tap = |more: &[&str]| {
        let fixed = ["tap", "--model", "fraud", "-c", config.to_str().unwrap()];
        let output = Command::new(DRIFTD).args(fixed).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    world.send(
        0,
        world.now_ms(),
        &json!({"ts": world.now_ms(), "features": {"amount": 1e6, "country": "XX"}}),
    );
    world.send_bytes(0, world.now_ms(), Some(b"{"));
    world.flush();
    let records = tap(&["-n", "4", "--format", "json"]);
    let records: Vec<Value> =
        records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 4, "{records:?}");
    let of = |is: &dyn Fn(&Value) -> bool| records.iter().find(|record| is(record)).unwrap();
    let far = &of(&|record| record["features"]["amount"]["value"] == 1e6)["features"];
    assert_eq!(far["amount"]["note"], "above training's range");
    assert_eq!(far["country"], json!({"value": "XX", "note": "unseen"}));
    assert_eq!(of(&|record| record["rejected"].is_object())["rejected"]["reason"], "malformed");
    let rejects = tap(&["-n", "4", "--rejects"]);
    assert_eq!(rejects.lines().count(), 1, "{rejects}");
    assert!(rejects.contains("rejected: malformed"), "{rejects}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let run = |args: &[&str]| {
        let output = Command::new(DRIFTD).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("incidents") && script.contains("top"), "{shell}");
    }
    assert!(run(&["man"]).contains(".TH driftd 1"));
    let folder = tempfile::tempdir().unwrap();
    run(&["man", "-o", folder.path().join("man1").to_str().unwrap()]);
    for page in ["driftd.1", "driftd-compare.1", "driftd-top.1", "driftd-tap.1"] {
        assert!(folder.path().join("man1").join(page).exists(), "{page}");
    }
}
