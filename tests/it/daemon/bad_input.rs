//! Baselines that cannot be used: refused at the start, survived later.

use std::fs;
use std::net::TcpListener;

use super::harness::{Daemon, refused};
use super::world::{MINUTE, World, train, trigger};

#[test]
fn a_first_start_with_an_unusable_baseline_names_the_file_and_ends_with_78() {
    let world = World::new();
    let whole = fs::read(world.reference()).unwrap();
    let config = world.write_config("state", "one", &world.model("fraud", ""));
    let name = world.reference().display().to_string();

    fs::write(world.reference(), &whole[..whole.len() / 2]).unwrap();
    let (code, err) = refused(&config);
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains(&name) && err.contains("fraud"), "{err}");

    fs::write(world.reference(), b"").unwrap();
    let (code, err) = refused(&config);
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains(&name), "{err}");

    fs::remove_file(world.reference()).unwrap();
    let (code, err) = refused(&config);
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains(&name), "{err}");
}

#[test]
fn a_folder_that_cannot_hold_the_state_is_named_with_what_to_do() {
    let world = World::new();
    let config = world.write_config("reference.parquet/state", "one", &world.model("fraud", ""));
    let (code, said) = refused(&config);
    assert_eq!(code, Some(78), "{said}");
    let folder = world.path("reference.parquet/state").display().to_string();
    let parts = [folder.as_str(), "Not a directory", "set `state.dir` to a folder of yours"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn a_configured_feature_that_the_baseline_does_not_have_is_named() {
    let world = World::new();
    let model = world
        .model("fraud", "")
        .replace("    drift_config:", "    features: {amont: {kind: numeric}}\n    drift_config:");
    let (code, err) = refused(&world.write_config("state", "one", &model));
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("amont"), "{err}");
    assert!(err.contains(&world.reference().display().to_string()), "{err}");
}

#[test]
fn a_store_that_cannot_be_reached_does_not_keep_the_other_models_waiting() {
    let mut world = World::new();
    let away = world
        .model("away", "")
        .replace(&world.reference().display().to_string(), "s3://training/reference.parquet");
    let models = world.model("fraud", "")
        + &away
        + "baselines: {s3: {endpoint: \"http://127.0.0.1:9\", allow_http: true, region: nowhere}}\n";
    let config = world.write_config("state", "one", &models);
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let daemon = Daemon::start_with(&config, &keys);
    world.minutes(5, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!(daemon.model("away")["drift"], "no_baseline");
    daemon.says(&["the baseline can't be reached", "away"]);
}

/// Nobody takes a daemon for dead that reads a large baseline: the probes answer, and so does SIGTERM. What the
/// configuration says in vain is counted from then on.
#[test]
fn while_a_baseline_is_read_the_probes_answer_and_a_stop_is_heard() {
    let world = World::new();
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let argo = "https://argo.example/api/v1/events/default/retrain";
    let unheard = trigger(argo, "        notification_channel: \"slack://nobody\"\n");
    let models = world
        .model("fraud", &unheard)
        .replace(&world.reference().display().to_string(), "s3://training/reference.parquet")
        + &format!(
            "baselines: {{s3: {{endpoint: \"http://{}\", allow_http: true, region: nowhere}}}}\n",
            silent.local_addr().unwrap()
        );
    let config = world.write_config("state", "one", &models);
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let daemon = Daemon::listening(&config, &keys);
    assert_eq!(daemon.get_public("/livez").0, 200);
    let waiting = (503, "not ready\n[-] the baselines are being read\n".to_owned());
    assert_eq!(daemon.get_public("/readyz"), waiting);
    let (status, answer) = daemon.get("/api/v1/models/fraud");
    assert!(status == 503 && answer.contains("driftd is starting"), "{status} {answer}");
    assert_eq!(daemon.metric("driftd_config_warnings"), Some(2.0), "{}", daemon.log());
    daemon.signal("HUP");
    let (status, log) = daemon.terminate();
    assert!(status.success() && log.contains("stopped before it had started"), "{status}\n{log}");
    assert!(!log.contains("started public="), "{log}");
}

#[test]
fn a_corrupt_new_baseline_is_told_and_the_old_one_stays() {
    let mut world = World::new();
    let config = world.write_config("state", "one", &world.model("fraud", ""));
    let daemon = Daemon::start(&config);
    world.minutes(5, false);
    let before = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let whole = fs::read(world.reference()).unwrap();
    fs::write(world.path("next"), &whole[..whole.len() - 100]).unwrap();
    fs::rename(world.path("next"), world.reference()).unwrap();
    let line = daemon.says(&["the new baseline can't be used", "fraud"]);
    assert!(line.contains(&world.reference().display().to_string()), "{line}");
    let failures = daemon.metric("driftd_baseline_refresh_failures_total{model=\"fraud\"}");
    assert!(failures.is_some_and(|n| n >= 1.0), "{failures:?}");
    world.minutes(5, false);
    let after = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!(after["baseline"], before["baseline"]);

    train(&world.reference(), true);
    daemon.until("fraud", "the good one", |m| {
        m["baseline"]["digest"] != before["baseline"]["digest"]
    });
    world.minutes(5, true);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
}
