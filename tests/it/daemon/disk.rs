//! A disk that is full or read-only under a running daemon: it counts on, says so, and recovers by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::harness::{Daemon, refused, scores, until};
use super::receiver::Receiver;
use super::world::{MINUTE, PARTITIONS, RATE, TOPIC, World, trigger};
use crate::servers;

/// File systems that are laid over a folder; gone on drop.
struct Mounted {
    at: PathBuf,
}

fn mount(args: &[&str], at: &Path) -> bool {
    let done = Command::new("mount").args(args).arg(at).output();
    done.is_ok_and(|output| output.status.success())
}

impl Mounted {
    /// A disk of 2 MiB at `at`; nothing where this user may not mount.
    fn disk(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        if mount(&["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"], &at) {
            return Some(Self { at });
        }
        assert!(!servers::all_required(), "mounting a small disk needs root");
        servers::skip("mounting a small disk needs root");
        None
    }

    /// Lays the folder over itself so that nothing in it can be written.
    fn read_only(&self) -> Self {
        let at = self.at.to_str().unwrap();
        assert!(mount(&["--bind", at], &self.at));
        assert!(mount(&["-o", "remount,bind,ro"], &self.at));
        Self { at: self.at.clone() }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.at).status().ok();
    }
}

/// Counts, drifts and triggers over a time in which nothing can be written.
fn lives_through(break_it: impl FnOnce(&Mounted) -> Box<dyn FnOnce()>) {
    let mut world = World::new();
    let webhook = Receiver::start();
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let Some(disk) = Mounted::disk(world.path("state")) else { return };
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(20, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let failures = || daemon.metric("driftd_state_snapshot_failures_total").unwrap();
    assert_eq!(failures(), 0.0);

    let heal = break_it(&disk);
    world.minutes(10, true);
    let consumed = format!("driftd_records_consumed_total{{topic=\"{TOPIC}\"}}");
    let all = (30 * RATE * i64::from(PARTITIONS)) as f64;
    until("all records", || daemon.metric(&consumed).filter(|n| *n == all));
    until("the alarm", || (failures() > 1.0).then_some(()));
    assert_eq!(daemon.get_public("/livez").0, 200);
    assert!(webhook.seen("/retrain").is_empty(), "nothing is done that is not on the disk");

    heal();
    let model = daemon.until("fraud", "the acceptance", |m| m["incident"] == "accepted");
    let age = || daemon.metric("driftd_state_snapshot_age_seconds").filter(|age| *age < 5.0);
    until("a new snapshot", age);
    world.minutes(3, true);
    let end_ms = world.now_ms() - 2 * MINUTE;
    daemon.until_end("fraud", end_ms);
    let (panes, id) = (daemon.panes("fraud"), webhook.accepted("/retrain").id().to_owned());
    assert_eq!(webhook.seen("/retrain").len(), 1);
    daemon.kill();

    // What was written before, meanwhile and afterwards is whole.
    let again = Daemon::start(&world.write_config("state", "two", &models));
    let model_again = again.until_end("fraud", end_ms);
    assert_eq!(again.panes("fraud"), panes);
    assert_eq!(model_again["incident_id"], json!(id));
    again.kill();
    let calm = Receiver::start();
    let models = world.model("fraud", &trigger(&calm.url("/retrain"), ""));
    let whole = Daemon::start(&world.write_config("other", "whole", &models));
    let expected = whole.until_end("fraud", end_ms);
    assert_eq!(whole.panes("fraud"), panes);
    assert_eq!(scores(&model_again), scores(&expected));
    assert_eq!(calm.accepted("/retrain").id(), id);
    assert_eq!(model["incident_id"], json!(id));
}

#[test]
fn a_full_disk_stops_no_counting_and_heals_by_itself() {
    lives_through(|disk| {
        let filler = disk.at.join("filler");
        // As much as fits: the last write fails, and leaves no room for a page.
        fs::write(&filler, vec![1; 4 << 20]).unwrap_err();
        Box::new(move || fs::remove_file(filler).unwrap())
    });
}

#[test]
fn a_read_only_disk_stops_no_counting_and_heals_by_itself() {
    lives_through(|disk| {
        let over = disk.read_only();
        Box::new(move || drop(over))
    });
}

#[test]
fn a_snapshot_that_cannot_be_read_is_waited_for_and_nothing_is_counted_twice() {
    let mut world = World::new();
    let url = Receiver::start().url("/retrain");
    let models = world.model("fraud", &trigger(&url, ""));
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(12, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert!(daemon.terminate().0.success());
    // A folder in the place of each file: there is something, and reading it fails.
    let (folder, aside) = (world.path("state").join("partitions"), world.path("aside"));
    let names = || fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names().collect();
    assert!(!names.is_empty());
    fs::create_dir(&aside).unwrap();
    for name in &names {
        fs::rename(folder.join(name), aside.join(name)).unwrap();
        fs::create_dir(folder.join(name)).unwrap();
    }
    world.minutes(3, false);
    let daemon = Daemon::start(&world.write_config("state", "two", &models));
    daemon.says(&["the state of a partition can't be read"]);
    assert_eq!(daemon.get_public("/livez").0, 200);
    for name in &names {
        fs::remove_dir(folder.join(name)).unwrap();
        fs::rename(aside.join(name), folder.join(name)).unwrap();
    }
    let end_ms = world.now_ms() - 2 * MINUTE;
    let model = daemon.until_end("fraud", end_ms);
    let whole = Daemon::start(&world.write_config("other", "whole", &models));
    let expected = whole.until_end("fraud", end_ms);
    assert_eq!(daemon.panes("fraud"), whole.panes("fraud"));
    assert_eq!(scores(&model), scores(&expected));
}

#[test]
fn a_trigger_whose_attempt_the_disk_refused_is_sent_once_it_can_be_written() {
    let mut world = World::new();
    let webhook = Receiver::start();
    webhook.answer(500);
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let Some(disk) = Mounted::disk(world.path("state")) else { return };
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    world.minutes(20, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    world.minutes(10, true);
    daemon.until("fraud", "a trigger", |m| m["incident"] == "triggered");
    until("an attempt", || (!webhook.seen("/retrain").is_empty()).then_some(()));
    let over = disk.read_only();
    webhook.answer(202);
    daemon.says(&["an incident record can't be written"]);
    let refused = webhook.seen("/retrain");
    assert!(refused.iter().all(|seen| seen.status == 500), "nothing is sent that is not written");
    drop(over);
    let accepted = webhook.accepted("/retrain");
    assert_eq!(accepted.id(), refused[0].id());
    daemon.until("fraud", "the acceptance", |m| m["incident"] == "accepted");
    assert_eq!(webhook.seen("/retrain").iter().filter(|seen| seen.status == 202).count(), 1);
}

#[test]
fn a_baseline_that_the_disk_refused_is_stored_once_it_can_be() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let Some(disk) = Mounted::disk(world.path("state")) else { return };
    let config = world.write_config("state", "one", &models);
    let text = fs::read_to_string(&config).unwrap() + "baselines: {refresh_interval: 1s}\n";
    fs::write(&config, text).unwrap();
    let daemon = Daemon::start(&config);
    world.minutes(5, false);
    let before = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let over = disk.read_only();
    super::world::train(&world.reference(), true);
    daemon.says(&["the new baseline can't be stored", "fraud"]);
    let failures = "driftd_baseline_refresh_failures_total{model=\"fraud\"}";
    until("the alarm", || daemon.metric(failures).filter(|n| *n > 0.0));
    assert_eq!(daemon.model("fraud")["baseline"], before["baseline"]);
    drop(over);
    let digest = |m: &serde_json::Value| m["baseline"]["digest"].clone();
    let adopted = daemon.until("fraud", "the new one", |m| digest(m) != digest(&before));
    daemon.kill();
    let daemon = Daemon::start(&config);
    daemon.until("fraud", "the stored one", |m| digest(m) == digest(&adopted));
}

/// Where there is no room from the beginning, a first start says so and ends: nothing that it would promise
/// could be kept. A later start has what it needs, counts on and writes when it can.
#[test]
fn a_disk_that_is_full_at_the_start_is_named_and_one_with_a_state_is_started_from() {
    let mut world = World::new();
    let models = world.model("fraud", "");
    let Some(disk) = Mounted::disk(world.path("state")) else { return };
    let config = world.write_config("state", "one", &models);
    let (filler, lock) = (disk.at.join("filler"), disk.at.join("lock"));
    let fill = || fs::write(&filler, vec![1; 4 << 20]).unwrap_err();
    fill();
    let (code, said) = refused(&config);
    assert_eq!(code, Some(1), "{said}");
    let parts = ["cannot write", lock.to_str().unwrap(), "No space left on device"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    let over = disk.read_only();
    let (code, said) = refused(&config);
    drop(over);
    assert_eq!(code, Some(1), "{said}");
    let parts = [lock.to_str().unwrap(), "Read-only file system"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");

    fs::remove_file(&filler).unwrap();
    let daemon = Daemon::start(&config);
    world.minutes(20, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    daemon.kill();
    fill();
    let daemon = Daemon::start(&world.write_config("state", "two", &models));
    world.minutes(5, false);
    let failures = || daemon.metric("driftd_state_snapshot_failures_total").unwrap();
    until("the alarm", || (failures() > 0.0).then_some(()));
    assert_eq!(daemon.get_public("/livez").0, 200);
    fs::remove_file(&filler).unwrap();
    let end_ms = world.now_ms() - 2 * MINUTE;
    daemon.until_end("fraud", end_ms);
    let panes: serde_json::Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    for pane in panes["panes"].as_array().unwrap() {
        assert_eq!(pane["records"], RATE * i64::from(PARTITIONS), "{pane:#}");
    }
}
