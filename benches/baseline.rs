//! Reading a baseline and comparing two files, as whole commands of the release binary:
//!
//! ```text
//! cargo bench --bench baseline            # 1 M x 30 beside pyarrow, and beside Evidently's preset
//! cargo bench --bench baseline -- large   # 100 M x 1: time, and the peak memory of the worker
//! ```
//!
//! Ours is all of a command: starting, the worker process, reading, cells, counts, the digest, the
//! profile. pyarrow only reads. The CPU time is that of all processes and threads of a side.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

#[expect(dead_code, reason = "both clocks are read here")]
#[expect(clippy::print_stderr, clippy::panic, reason = "a bench without its peer says why")]
mod peer;
mod table;

use peer::Peer;

const ROUNDS: usize = 5;
/// Enough to be sure of every cell, and to see which columns are read at what cost.
const COLUMNS: u32 = 30;

fn main() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let Some(mut peer) = Peer::start("baseline.py", "fast", &[folder.path()]) else { return };
    if env::args().any(|argument| argument == "large") {
        large(&folder, &mut peer);
        return;
    }
    for kind in ["numbers", "mixed"] {
        make(&mut peer, &format!("{kind}.parquet 1000000 {COLUMNS} {kind} 1 0"));
        read(&folder, &mut peer, kind);
    }
    // Half a deviation in one column: a drift that nobody misses, in nothing else.
    make(&mut peer, &format!("live.parquet 1000000 {COLUMNS} numbers 2 0.5"));
    drop(peer);
    compare(&folder);
}

fn make(peer: &mut Peer, what: &str) {
    let bytes = peer.turn(&format!("make {what}"))["result"].as_f64().expect("the file's size");
    println!("made {what}: {:.0} MB", bytes / 1e6);
}

/// What one run took, in seconds.
#[derive(Clone, Copy, Debug)]
struct Taken {
    wall: f64,
    cpu: f64,
}

impl Taken {
    const NEVER: Self = Self { wall: f64::INFINITY, cpu: f64::INFINITY };

    fn of(answer: &Value) -> Self {
        let seconds = |key: &str| answer[key].as_f64().expect("every turn is timed");
        Self { wall: seconds("wall_seconds"), cpu: seconds("cpu_seconds") }
    }

    fn or_less(self, other: Self) -> Self {
        Self { wall: self.wall.min(other.wall), cpu: self.cpu.min(other.cpu) }
    }
}

/// Runs driftd, with what it took.
fn driftd(folder: &TempDir, arguments: &[&str]) -> (Taken, Output) {
    let (start, cpu) = (Instant::now(), children().0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftd"));
    let output = command.args(arguments).current_dir(folder).output().expect("it starts");
    let taken = Taken { wall: start.elapsed().as_secs_f64(), cpu: children().0 - cpu };
    (taken, output)
}

fn build(folder: &TempDir, name: &str) -> Taken {
    let (taken, output) = driftd(folder, &["baseline", "build", name, "-o", "profile.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    taken
}

fn read(folder: &TempDir, peer: &mut Peer, kind: &str) {
    let name = format!("{kind}.parquet");
    build(folder, &name);
    check(&folder.path().join("profile.json"), &peer.turn(&format!("cells {name} f0")));
    let (mut ours, mut again, mut first) = (Taken::NEVER, Taken::NEVER, Taken::NEVER);
    for _ in 0..ROUNDS {
        ours = ours.or_less(build(folder, &name));
        again = again.or_less(Taken::of(&peer.turn(&format!("read {name}"))));
        first = first.or_less(Taken::of(&peer.turn(&format!("first {name}"))));
    }
    println!(
        "ours {ours:.3?}\npyarrow, a process of its own {first:.3?}\npyarrow again {again:.3?}"
    );
    let what = format!("1 M x {COLUMNS} {kind}: read + build");
    let reach = (kind == "numbers").then_some(0.5);
    let row = |clock: &str, peer: &str, better: f64, reach: Option<f64>| {
        table::row("baseline", &format!("{what}, {clock}"), peer, better, reach);
    };
    row("wall", "pyarrow read, first of a process", first.wall / ours.wall, reach);
    row("CPU", "pyarrow read, first of a process", first.cpu / ours.cpu, reach);
    row("wall", "pyarrow read again", again.wall / ours.wall, None);
    row("CPU", "pyarrow read again", again.cpu / ours.cpu, None);
}

/// The first column has the edges that numpy finds, and its counts.
fn check(profile: &Path, expected: &Value) {
    let json = fs::read(profile).expect("it was written");
    let profile: Value = serde_json::from_slice(&json).expect("it is JSON");
    let feature = &profile["features"][0];
    assert_eq!(feature["name"], "f0");
    assert_eq!(feature["cells"]["edges"], expected["edges"]);
    assert_eq!(feature["reference"]["cells"], expected["counts"]);
}

fn compare(folder: &TempDir) {
    let files = ["numbers.parquet", "live.parquet"];
    let Some(mut evidently) = Peer::start("compare.py", "evidently", &[folder.path()]) else {
        return;
    };
    let answer = evidently.turn(&format!("preset {} {}", files[0], files[1]));
    let theirs = Taken::of(&answer);
    let mut ours = Taken::NEVER;
    for _ in 0..ROUNDS {
        let (taken, output) = driftd(folder, &["compare", files[0], files[1], "--format", "json"]);
        assert_eq!(output.status.code(), Some(3), "drift");
        let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let features = report["features"].as_array().expect("a list");
        let drifted = features.iter().filter(|feature| feature["verdict"] != "stable").count();
        assert_eq!(Some(drifted as f64), answer["drifted"].as_f64(), "the same columns drifted");
        ours = ours.or_less(taken);
    }
    println!("ours {ours:.3?}\nEvidently {theirs:.3?}");
    let what = format!("driftd compare, two of 1 M x {COLUMNS}");
    let peer = "Evidently DataDriftPreset, psi";
    table::row("compare", &format!("{what}, wall"), peer, theirs.wall / ours.wall, Some(20.0));
    table::row("compare", &format!("{what}, CPU"), peer, theirs.cpu / ours.cpu, Some(20.0));
}

/// More rows than are held: edges from a sample, counts exact.
fn large(folder: &TempDir, peer: &mut Peer) {
    make(peer, "large.parquet 100000000 1 numbers 1 0");
    let taken = build(folder, "large.parquet");
    let peak = children().1;
    let json = fs::read(folder.path().join("profile.json")).expect("it was written");
    let profile: Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(profile["sampled"], true);
    let counts = profile["features"][0]["reference"]["cells"].as_array().expect("a list");
    let counted: u64 = counts.iter().filter_map(Value::as_u64).sum();
    assert_eq!(counted, 100_000_000, "every row is counted");
    println!("100 M x 1: {taken:.2?}, at most {:.0} MiB resident", peak as f64 / 1024.0);
}

/// Of all processes that have ended and been waited for: CPU seconds, and the largest resident size
/// of any of them in KiB.
#[expect(unsafe_code, reason = "the count is a C call")]
fn children() -> (f64, i64) {
    // SAFETY: an rusage is plain integers, for which zeros are values.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage for the whole call, which only writes to it.
    let done = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    assert_eq!(done, 0, "every Unix has this count");
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    (seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss)
}
