//! A machine whose clock is set: by an hour and by a year, forwards and back. Nothing that is counted or
//! decided may follow it, and nobody waits a year for a webhook to be tried again.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{Daemon, scores, until};
use super::receiver::Receiver;
use super::world::{MINUTE, World, trigger};

const HOUR_S: i64 = 3_600;
const YEAR_S: i64 = 31_536_000;

/// The library that moves the clock of whoever preloads it.
fn library(world: &World) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/daemon/clock.c");
    let library = world.path("clock.so");
    let mut cc = Command::new(env::var("CC").as_deref().unwrap_or("cc"));
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]);
    assert!(cc.status().unwrap().success(), "{cc:?}");
    library
}

/// Sets the clock of who has mapped this file.
fn set(clock: &Path, seconds: i64) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(clock).unwrap();
    file.write_all(&seconds.to_ne_bytes()).unwrap();
}

#[test]
fn a_clock_that_is_set_changes_no_count_no_verdict_and_delays_no_webhook() {
    let mut world = World::new();
    let library = library(&world);
    let (webhook, calm) = (Receiver::start(), Receiver::start());
    let clock = world.path("clock");
    set(&clock, 0);
    let environment =
        [("LD_PRELOAD", library.to_str().unwrap()), ("CLOCK_OFFSET", clock.to_str().unwrap())];
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let daemon = Daemon::start_with(&world.write_config("state", "set", &models), &environment);
    let (mut seconds, mut steps) = (0, [HOUR_S, -HOUR_S, YEAR_S, -YEAR_S].into_iter().cycle());
    let mut step = || {
        seconds += steps.next().unwrap();
        set(&clock, seconds);
    };
    world.minutes(12, false);
    for _ in 0..4 {
        step();
        world.minutes(3, false);
        daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    }
    webhook.answer(503);
    step();
    world.minutes(6, true);
    // Neither is it given up a year later, nor does it wait for a year that has to come again.
    for years in [1, -1] {
        let before = webhook.seen("/retrain").len();
        until("another attempt", || (webhook.seen("/retrain").len() > before).then_some(()));
        set(&clock, years * YEAR_S);
    }
    webhook.answer(202);
    let id = webhook.accepted("/retrain").id().to_owned();
    daemon.until("fraud", "the acceptance", |m| m["incident"] == "accepted");
    for _ in 0..3 {
        step();
        world.minutes(3, true);
        daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    }
    let end_ms = world.now_ms() - 2 * MINUTE;
    let model = daemon.model("fraud");

    let models = world.model("fraud", &trigger(&calm.url("/retrain"), ""));
    let whole = Daemon::start(&world.write_config("other", "whole", &models));
    let expected = whole.until_end("fraud", end_ms);
    assert_eq!(calm.accepted("/retrain").id(), id);
    assert_eq!(daemon.panes("fraud"), whole.panes("fraud"));
    assert_eq!(scores(&model), scores(&expected));
}
