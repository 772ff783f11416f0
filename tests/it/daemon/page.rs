//! The page and the API from outside: in a real browser, and against the OpenAPI document.

use std::env;
use std::fs;

use serde_json::{Value, json};

use super::harness::Daemon;
use super::receiver::Receiver;
use super::world::{MINUTE, World, train, trigger};
use crate::servers;

const HOSTILE: &str = "a/b <script>alert(1)</script> & \\\"c";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A daemon that has seen everything that a page shows: a model with a closed and an open incident, one
/// that only watches, with a hostile name, and records that could not be used.
fn lived() -> (World, Receiver, Daemon) {
    let mut world = World::new();
    let webhook = Receiver::start();
    fs::write(world.path("token"), TOKEN).unwrap();
    let watched =
        world.model("watched", "").replace("name: watched", &format!("name: \"{HOSTILE}\""));
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), "")) + &watched;
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
    assert_eq!(daemon.put("/api/v1/models/fraud/baseline", TOKEN, ""), 200);
    daemon.until("fraud", "the new baseline", |m| {
        m["baseline"]["digest"] != drifted["baseline"]["digest"]
    });
    world.minutes(15, true);
    for payload in [&b"{"[..], b"[]", b"\xff"] {
        world.send_bytes(0, world.now_ms(), Some(payload));
    }
    world.minutes(15, false);
    daemon.until("fraud", "a second incident", |m| m["incident"] == "accepted");
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
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
    for part in ["/features/amount", "/features/country", "incidents/", "alert"] {
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
