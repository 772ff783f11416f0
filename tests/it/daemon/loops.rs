//! The clock: partitions that go quiet, streams that end, probes.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::harness::{Daemon, until};
use super::world::{PARTITIONS, START, World, train};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Panes of a second, so that a partition is idle after two.
fn config(world: &World) -> PathBuf {
    let model = world
        .model("fraud", "")
        .replace("pane: 1m", "pane: 1s")
        .replace("lateness: 1m", "lateness: 1s")
        .replace("window: 10m", "window: 10s");
    world.write_config("state", "one", &model)
}

/// The same with a group of its own: nobody waits for a member that was killed.
fn regroup(config: &Path, group: &str) {
    let text = fs::read_to_string(config).unwrap();
    let (before, rest) = text.split_once("group: ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    fs::write(config, format!("{before}group: {group}\n{after}")).unwrap();
}

/// Event time that goes on by the second.
struct Clock(i64);

impl Clock {
    /// Ten records a second in the first `partitions`; the end of the last pane that closes with them.
    fn seconds(&mut self, world: &mut World, n: i64, partitions: i32) -> i64 {
        for second in self.0..self.0 + n {
            for i in 0..10 {
                for partition in 0..partitions {
                    let ts = START + second * 1000 + i * 100;
                    let features = world.dice.features(false);
                    world.send(partition, ts, &json!({"ts": ts, "features": features}));
                }
            }
        }
        self.0 += n;
        world.flush();
        START + (self.0 - 2) * 1000
    }
}

#[test]
fn a_quiet_partition_holds_nothing_back_and_its_panes_come_back() {
    let mut world = World::new();
    let config = config(&world);
    let daemon = Daemon::start(&config);
    assert_eq!(daemon.get_public("/livez").0, 200);
    let mut clock = Clock(0);
    let both = clock.seconds(&mut world, 10, PARTITIONS);
    daemon.until_end("fraud", both);
    let one = clock.seconds(&mut world, 20, 1);
    daemon.until_end("fraud", one);
    let panes = daemon.panes("fraud");
    daemon.until("fraud", "staleness", |m| m["quality"] == "stale");
    assert_eq!(daemon.model("fraud")["features"][0]["scores"], json!({}));
    assert_eq!(daemon.get_public("/readyz").0, 200);
    daemon.kill();

    regroup(&config, "two");
    let daemon = Daemon::start(&config);
    daemon.until_end("fraud", one);
    assert_eq!(daemon.panes("fraud"), panes);
    // The quiet one stays quiet, and is known to be at its end although nothing came of it.
    let still = clock.seconds(&mut world, 10, 1);
    daemon.until_end("fraud", still);
    let panes = daemon.panes("fraud");
    // It goes on where event time is now; the panes that were closed stay as they were.
    let later = clock.seconds(&mut world, 10, PARTITIONS);
    daemon.until_end("fraud", later);
    let now = daemon.panes("fraud");
    assert!(now.starts_with(panes.trim_end().trim_end_matches("]}")), "{panes}\n{now}");
    daemon.until("fraud", "life", |m| m["quality"] != "stale");
}

#[test]
fn a_partition_that_never_had_a_record_holds_nothing_back() {
    let mut world = World::new();
    let config = config(&world);
    let daemon = Daemon::start(&config);
    let mut clock = Clock(0);
    let end = clock.seconds(&mut world, 20, 1);
    let model = daemon.until_end("fraud", end);
    assert_eq!(model["window"]["complete"], true);
    train(&world.reference(), true);
    let digest = &model["baseline"]["digest"];
    daemon.until("fraud", "the new baseline", |m| m["baseline"]["digest"] != *digest);
    let end = clock.seconds(&mut world, 20, 1);
    let model = daemon.until_end("fraud", end);
    assert_eq!(model["window"]["complete"], true);
}

#[test]
fn a_baseline_that_was_named_by_hand_stays_over_looks_and_restarts() {
    let world = World::new();
    let models = world.model("fraud", "") + "baselines: {refresh_interval: 1s}\n";
    let config = world.write_config("state", "one", &models);
    fs::write(world.path("token"), TOKEN).unwrap();
    let with_token = format!("token_file: \"{}\", public:", world.path("token").display());
    let text = fs::read_to_string(&config).unwrap().replacen("public:", &with_token, 1);
    fs::write(&config, text).unwrap();
    train(&world.path("other.parquet"), true);

    let daemon = Daemon::start(&config);
    let digest = |daemon: &Daemon| daemon.model("fraud")["baseline"]["digest"].clone();
    let configured = daemon.until("fraud", "a baseline", |m| m["baseline"]["digest"].is_string());
    let configured = configured["baseline"]["digest"].clone();
    let body = format!("{{\"uri\": \"{}\"}}", world.path("other.parquet").display());
    assert_eq!(daemon.put("/api/v1/models/fraud/baseline", TOKEN, &body), 200);
    let named = daemon.until("fraud", "the named one", |m| m["baseline"]["digest"] != configured);
    let named = named["baseline"]["digest"].clone();
    // Several looks at the configured place later it is still in force, and after a restart, too.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(digest(&daemon), named);
    daemon.kill();
    let daemon = Daemon::start(&config);
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(digest(&daemon), named);
}

#[test]
fn a_folder_that_changes_is_taken_up_when_it_has_stayed_the_same_or_by_a_command() {
    let world = World::new();
    let folder = world.path("parts");
    fs::create_dir(&folder).unwrap();
    train(&folder.join("part-0.parquet"), false);
    let reference = world.reference().display().to_string();
    let model = world.model("fraud", "").replace(&reference, &folder.display().to_string());
    // With an hour between two looks, what a file event shows is only the first of them.
    let config = world.write_config(
        "state",
        "one",
        &format!("{model}baselines: {{refresh_interval: 1h}}\n"),
    );
    fs::write(world.path("token"), TOKEN).unwrap();
    let with_token = format!("token_file: \"{}\", public:", world.path("token").display());
    let text = fs::read_to_string(&config).unwrap().replacen("public:", &with_token, 1);
    fs::write(&config, &text).unwrap();

    let daemon = Daemon::start(&config);
    let digest = |daemon: &Daemon, before: &Value| {
        let other = |m: &Value| {
            let digest = &m["baseline"]["digest"];
            digest.is_string() && digest != before
        };
        daemon.until("fraud", "another baseline", other)["baseline"]["digest"].clone()
    };
    let first = digest(&daemon, &Value::Null);
    train(&folder.join("part-1.parquet"), true);
    daemon.says(&["may still be being written", "fraud"]);
    assert_eq!(daemon.model("fraud")["baseline"]["digest"], first);
    assert_eq!(daemon.put("/api/v1/models/fraud/baseline", TOKEN, "{}"), 200);
    let second = digest(&daemon, &first);
    daemon.kill();

    fs::write(&config, text.replace("refresh_interval: 1h", "refresh_interval: 1s")).unwrap();
    let daemon = Daemon::start(&config);
    train(&folder.join("part-2.parquet"), true);
    digest(&daemon, &second);
}

/// Pushes what `path` holds as DVC 3 does, and names it in `reference.parquet.dvc`; its MD5, and where it is.
fn push(world: &World, path: &Path) -> (String, PathBuf) {
    let bytes = fs::read(path).unwrap();
    let md5: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let place = world.path("store/files/md5").join(&md5[..2]).join(&md5[2..]);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, bytes).unwrap();
    (md5, place)
}

#[test]
fn content_that_is_not_what_dvc_knows_leaves_the_baseline_in_force() {
    let world = World::new();
    let repo = world.path("repo");
    fs::create_dir_all(repo.join(".dvc")).unwrap();
    let config = "[core]\n    remote = store\n['remote \"store\"']\n    url = ../../store\n";
    fs::write(repo.join(".dvc/config"), config).unwrap();
    let name = |md5: &str| {
        let text = format!("outs:\n- md5: {md5}\n  hash: md5\n  path: reference.parquet\n");
        fs::write(repo.join("unfinished"), text).unwrap();
        fs::rename(repo.join("unfinished"), repo.join("reference.parquet.dvc")).unwrap();
    };
    let (first, _) = push(&world, &world.reference());
    name(&first);
    let location = format!("dvc:{}/reference.parquet.dvc", repo.display());
    let model = world.model("fraud", "");
    let model = model.replace(&world.reference().display().to_string(), &location);
    let config = world.write_config(
        "state",
        "one",
        &format!("{model}baselines: {{refresh_interval: 1s}}\n"),
    );
    let daemon = Daemon::start(&config);
    let of = |md5: &str| format!("{location} (md5 {md5})");
    daemon.until("fraud", "a baseline", |m| m["baseline"]["source"] == of(&first));

    train(&world.path("next.parquet"), true);
    let (second, place) = push(&world, &world.path("next.parquet"));
    let whole = fs::read(&place).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&place, damaged).unwrap();
    name(&second);
    let said = daemon.says(&["has the MD5", "DVC knows it by"]);
    assert!(said.contains(&second) && said.contains("reference.parquet is damaged"), "{said}");
    assert_eq!(daemon.model("fraud")["baseline"]["source"], of(&first));
    fs::write(&place, whole).unwrap();
    daemon.until("fraud", "the next baseline", |m| m["baseline"]["source"] == of(&second));
}

#[test]
fn a_configuration_that_a_restart_would_refuse_is_known_before_it() {
    let world = World::new();
    let config = config(&world);
    let good = fs::read_to_string(&config).unwrap();
    let daemon = Daemon::start(&config);
    let is = |value: f64| {
        until("the last reload", || {
            (daemon.metric("driftd_config_last_reload_successful") == Some(value)).then_some(())
        });
    };
    is(1.0);
    fs::write(&config, format!("{good}\nstat: {{}}\n")).unwrap();
    daemon.signal("HUP");
    is(0.0);
    assert_eq!(daemon.metric("driftd_config_reload_failures_total"), Some(1.0));
    daemon.says(&["stat: unknown key; did you mean `state`?"]);
    fs::write(&config, good.replace("snapshot_interval: 1s", "snapshot_interval: 2s")).unwrap();
    daemon.signal("HUP");
    is(1.0);
    daemon.says(&["the configuration has changed; restart to take it up"]);
}
