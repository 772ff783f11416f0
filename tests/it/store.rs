//! The state directory under `kill -9`: what was acknowledged is there, and the lock is free again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use driftd::offsets::TopicPartition;
use driftd::store::{Error, FileStore, PaneRecord};

/// Tells a child of the test below which directory to write to.
const CHILD_DIR: &str = "DRIFTD_TEST_STORE_CHILD";
const ROUNDS: u64 = 20;

#[test]
fn twenty_kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        write_until_killed(Path::new(&dir));
    }
    let root = tempfile::tempdir().unwrap();
    let seed = RandomState::new().build_hasher().finish();
    println!("seed {seed}");
    let mut acknowledged = None;
    for round in 0..ROUNDS {
        let delay = xxhash_rust::xxh3::xxh3_64_with_seed(&round.to_le_bytes(), seed) % 60;
        let seen = kill_after(root.path(), Duration::from_millis(delay));
        acknowledged = acknowledged.max(seen);
        check(root.path(), acknowledged.map_or(0, |last| last + 1));
    }
    assert!(acknowledged > Some(ROUNDS), "the child got to write: {acknowledged:?}");
}

/// Lets a child write until it has acknowledged something and `delay` is over; its last number.
fn kill_after(dir: &Path, delay: Duration) -> Option<u64> {
    let test = std::thread::current().name().unwrap().to_owned();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&test, "--exact", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = lines.find(|line| line.as_ref().is_ok_and(|line| line == "open"));
    assert!(started.is_some(), "the killed process holds no lock");
    let refused = FileStore::open(dir).unwrap_err();
    assert!(matches!(refused, Error::Locked { pid, .. } if pid == Some(child.id())), "{refused}");
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    // A line that was cut by the kill has no end, so it was not acknowledged.
    lines.map_while(Result::ok).filter_map(|line| line.strip_suffix('.')?.parse().ok()).max()
}

fn partition() -> TopicPartition {
    TopicPartition::new("events", 0)
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// A line for the parent, at once.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

fn write_until_killed(dir: &Path) -> ! {
    let store = FileStore::open(dir).unwrap();
    tell("\nopen");
    let mut next = store.load_incidents().unwrap().records.len() as u64;
    loop {
        let body = next.to_le_bytes();
        store.append_incident(1, &body).unwrap();
        let pane_start_ms = i64::try_from(next).unwrap() * 300_000;
        let record = PaneRecord { kind: 2, pane_start_ms, body: body.to_vec() };
        store.append_panes("m", &[record]).unwrap();
        store.save_partition(&partition(), 1, &body).unwrap();
        tell(&format!("{next}."));
        next += 1;
    }
}

/// All numbers below `acknowledged` are in each kind of record, in order, and at most one beyond.
fn check(dir: &Path, acknowledged: u64) {
    let store = FileStore::open(dir).unwrap();
    let found = store.load_incidents().unwrap();
    assert_eq!(found.unreadable, 0);
    let incidents: Vec<u64> = found.records.iter().map(|(_, body)| number(body)).collect();
    let written = incidents.len() as u64;
    assert!(incidents.iter().copied().eq(0..written), "{incidents:?}");
    assert!(written >= acknowledged);

    let mut panes = Vec::new();
    let rejected = store.load_panes("m", 0, |record| panes.push(number(&record.body))).unwrap();
    assert_eq!(rejected, []);
    // A kill between the two leaves an incident without its pane; the next child goes on after it.
    assert!(panes.is_sorted() && panes.iter().all(|&number| number < written));
    assert!((written - panes.len() as u64) <= ROUNDS);

    let loaded = store.load_partition(&partition()).unwrap();
    assert_eq!(loaded.rejected, []);
    let last = loaded.body.map(|(_, body)| number(&body) + 1).unwrap_or(0);
    assert!(last >= acknowledged && last <= written, "{acknowledged} {last} {written}");
}
