//! State as an earlier release has left it: read, gone on from, and counted with as if nothing had been.
//!
//! `DRIFTD_TEST_GOLDEN=write` stores the present format anew; every release keeps what was stored before.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::{Daemon, scores, until};
use super::world::{MINUTE, PARTITIONS, RATE, TOPIC, World};

const GOLDEN: &str = "fixtures/state/v1";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// A world whose drift has been decided, but that sends nothing.
fn begun() -> (World, String) {
    let mut world = World::new();
    let more =
        "      retraining_trigger: {webhook: \"https://retrain.example/now\", dry_run: true}\n";
    let models = world.model("fraud", more);
    world.minutes(14, false);
    world.minutes(8, true);
    (world, models)
}

#[test]
fn the_state_of_the_first_format_is_gone_on_from() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let (mut world, models) = begun();
    if std::env::var("DRIFTD_TEST_GOLDEN").is_ok_and(|value| value == "write") {
        let daemon = Daemon::start(&world.write_config("state", "writes", &models));
        daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
        until("an incident", || (!daemon.incidents().is_empty()).then_some(()));
        assert!(daemon.terminate().0.success());
        copy(&world.path("state"), &golden);
        fs::remove_file(golden.join("lock")).unwrap();
        fs::copy(world.reference(), golden.join("reference.parquet")).unwrap();
    }
    copy(&golden, &world.path("old"));
    fs::copy(golden.join("reference.parquet"), world.reference()).unwrap();

    let daemon = Daemon::start(&world.write_config("old", "old", &models));
    let read = 22 * RATE;
    for partition in 0..PARTITIONS {
        let line = daemon.says(&["partition taken", &format!("{TOPIC}-{partition} ")]);
        assert!(line.contains(&format!("starts=[{read}]")), "{line}");
    }
    world.minutes(6, true);
    let end_ms = world.now_ms() - 2 * MINUTE;
    let model = daemon.until_end("fraud", end_ms);
    let whole = Daemon::start(&world.write_config("new", "new", &models));
    let expected = whole.until_end("fraud", end_ms);
    assert_eq!(daemon.panes("fraud"), whole.panes("fraud"));
    assert_eq!(scores(&model), scores(&expected));
    let ids = |daemon: &Daemon| -> Vec<Value> {
        daemon.incidents().iter().map(|incident| incident["id"].clone()).collect()
    };
    assert_eq!(ids(&daemon), ids(&whole));
    assert_eq!(daemon.metric("driftd_state_rejected_total{kind=\"snapshot\"}"), None);
    assert_eq!(model["incident_id"], json!(ids(&daemon)[0]));
}
