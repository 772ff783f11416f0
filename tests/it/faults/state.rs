//! Thousands of damaged state directories: nothing wrong is loaded, nothing panics, and what was not
//! touched is found again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use driftd::offsets::TopicPartition;
use driftd::store::{Error, FileStore, Loaded, PaneRecord};

use super::dice::{Dice, damage};
use super::{folder, rounds};

const MODEL: &str = "fraud";

/// What the untouched directory says.
struct Truth {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Both generations of each, the older first.
    partitions: [[Vec<u8>; 2]; 2],
    tests: [Vec<u8>; 2],
    profile: Vec<u8>,
    panes: Vec<PaneRecord>,
    incidents: Vec<Vec<u8>>,
}

fn body(dice: &mut Dice, most: usize) -> Vec<u8> {
    let mut body: Vec<u8> =
        (0..8 + dice.below(most)).map(|_| dice.next().to_le_bytes()[0]).collect();
    if dice.below(4) == 0 {
        // What begins a record, inside of one.
        body.splice(4..4, *b"DRF1\x05\x01\x03\0\0\0");
    }
    body
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("inferences", number)
}

fn write_truth(dir: &Path) -> Truth {
    let mut dice = Dice::new(7);
    let mut two = || [body(&mut dice, 400), body(&mut dice, 400)];
    let (partitions, tests) = ([two(), two()], two());
    let store = FileStore::open(dir).unwrap();
    for (number, bodies) in (0..).zip(&partitions) {
        for body in bodies {
            store.save_partition(&partition(number), 1, body).unwrap();
        }
    }
    for body in &tests {
        store.save_test(MODEL, 1, body).unwrap();
    }
    let profile = body(&mut dice, 900);
    store.save_profile(MODEL, 1, &profile).unwrap();
    let mut panes = Vec::new();
    for minute in 0..90 {
        let record =
            PaneRecord { kind: 2, pane_start_ms: minute * 60_000, body: body(&mut dice, 60) };
        store.append_panes(MODEL, std::slice::from_ref(&record)).unwrap();
        panes.push(record);
    }
    let incidents: Vec<_> = (0..12).map(|_| body(&mut dice, 200)).collect();
    for body in &incidents {
        store.append_incident(1, body).unwrap();
    }
    drop(store);
    Truth { files: files(dir), partitions, tests, profile, panes, incidents }
}

/// Every file with its bytes; the lock is no state.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("lock") {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Changes files of the directory; their names, and what was done.
fn harm(dir: &Path, truth: &Truth, dice: &mut Dice) -> (Vec<PathBuf>, String) {
    let names: Vec<&PathBuf> = truth.files.keys().collect();
    let name = names[dice.below(names.len())];
    let mut bytes = truth.files[name].clone();
    let shown = name.display();
    match dice.below(10) {
        0 => {
            let other = names[dice.below(names.len())];
            fs::write(dir.join(name), &truth.files[other]).unwrap();
            fs::write(dir.join(other), bytes).unwrap();
            (vec![name.clone(), other.clone()], format!("{shown} and {} swapped", other.display()))
        }
        1 => {
            bytes.fill(0);
            fs::write(dir.join(name), bytes).unwrap();
            (vec![name.clone()], format!("{shown} is all zeros"))
        }
        2 => {
            fs::remove_file(dir.join(name)).unwrap();
            (vec![name.clone()], format!("{shown} is gone"))
        }
        3 => {
            // Of a later release: the version is read before anything of it is believed.
            bytes[5] = 2 + dice.next().to_le_bytes()[0] % 250;
            let body = bytes[14..14 + length(&bytes)].to_vec();
            let rest = bytes.split_off(14 + body.len());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..10]), &body);
            bytes[10..14].copy_from_slice(&crc.to_le_bytes());
            bytes.extend(rest);
            fs::write(dir.join(name), bytes).unwrap();
            (vec![name.clone()], format!("{shown} is of a later version"))
        }
        _ => {
            let mut done = String::new();
            for _ in 0..1 + dice.below(4) {
                if !bytes.is_empty() {
                    let all = bytes.len();
                    done += &format!("; {}", damage(&mut bytes, all, dice));
                }
            }
            fs::write(dir.join(name), bytes).unwrap();
            (vec![name.clone()], format!("{shown}{done}"))
        }
    }
}

/// The other generation of a file that has two.
fn sibling(name: &Path) -> Option<PathBuf> {
    let other = match name.extension()?.to_str()? {
        "0" => "1",
        "1" => "0",
        _ => return None,
    };
    Some(name.with_extension(other))
}

fn length(frame: &[u8]) -> usize {
    u32::from_le_bytes(frame[6..10].try_into().unwrap()) as usize
}

/// What happened in all rounds, for the report and so that no check is idle.
#[derive(Debug, Default)]
struct Tally {
    newest: usize,
    older: usize,
    nothing: usize,
    refused: usize,
    incidents_barred: usize,
    tails_cut: usize,
    panes_lost: usize,
}

#[test]
fn ten_thousand_damaged_states_load_what_is_true_or_nothing() {
    let original = folder();
    let truth = write_truth(&original.path().join("state"));
    let all = rounds("DRIFTD_TEST_STATE_MUTATIONS", 10_000);
    let work = folder();
    let dir = work.path().join("state");
    let mut tally = Tally::default();
    restore(&dir, &truth, truth.files.keys());
    for round in 0..all {
        let mut dice = Dice::new(round as u64);
        let (mut harmed, done) = harm(&dir, &truth, &mut dice);
        let mut done = format!("round {round}: {done}");
        if let Some(other) = sibling(&harmed[0]).filter(|_| dice.below(4) == 0) {
            let bytes = &truth.files[&other];
            fs::write(dir.join(&other), &bytes[..dice.below(bytes.len())]).unwrap();
            done += &format!(", {} cut short", other.display());
            harmed.push(other);
        }
        let store = FileStore::open(&dir).unwrap_or_else(|error| panic!("{done}: {error}"));
        look(&store, &truth, &harmed, &done, &mut tally);
        drop(store);
        // An append-only file of which the tail was cut has changed once more.
        restore(&dir, &truth, harmed.iter());
    }
    println!("{all} damaged states: {tally:?}");
    let seen = [tally.newest, tally.older, tally.nothing, tally.refused, tally.incidents_barred];
    assert!(seen.iter().chain([&tally.tails_cut, &tally.panes_lost]).all(|n| *n > 0), "{tally:?}");
}

fn restore<'a>(dir: &Path, truth: &Truth, names: impl Iterator<Item = &'a PathBuf>) {
    for name in names {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &truth.files[name]).unwrap();
    }
}

fn look(store: &FileStore, truth: &Truth, harmed: &[PathBuf], done: &str, tally: &mut Tally) {
    let is_harmed = |name: &str| harmed.iter().any(|path| path.to_string_lossy().contains(name));
    for (number, bodies) in (0..).zip(&truth.partitions) {
        let files = [0, 1].map(|slot| is_harmed(&format!("inferences-{number}.{slot}")));
        generations(store.load_partition(&partition(number)), bodies, files, done, tally);
    }
    let files = [0, 1].map(|slot| is_harmed(&format!("tests/{MODEL}.{slot}")));
    generations(store.load_test(MODEL), &truth.tests, files, done, tally);
    match store.load_profile(MODEL) {
        Ok(Loaded { body: Some((1, body)), .. }) => assert_eq!(body, truth.profile, "{done}"),
        Ok(Loaded { body: None, .. }) | Err(Error::NewerVersion { .. }) => {
            assert!(is_harmed("profiles"), "{done}");
        }
        other => panic!("{done}: {other:?}"),
    }
    let mut panes = Vec::new();
    match store.load_panes(MODEL, i64::MIN, |record| panes.push(record)) {
        Ok(_) => {
            // One that was copied within its segment comes twice, and its readers keep one.
            assert!(panes.iter().all(|pane| truth.panes.contains(pane)), "{done}");
            assert!(is_harmed("panes") || panes.len() == truth.panes.len(), "{done}");
            let lost = truth.panes.iter().any(|pane| !panes.contains(pane));
            tally.panes_lost += usize::from(lost);
        }
        Err(Error::NewerVersion { .. }) => assert!(is_harmed("panes"), "{done}"),
        Err(error) => panic!("{done}: {error}"),
    }
    let found = store.load_incidents().unwrap_or_else(|error| panic!("{done}: {error}"));
    // One that was copied comes twice, which changes nothing when it is folded.
    let mut next = 0;
    for (version, record) in &found.records {
        let known = truth.incidents.iter().position(|known| known == record);
        // A record of a later version keeps its body; who folds it sees the version first.
        let known = known.unwrap_or_else(|| panic!("{done}: a false record of version {version}"));
        assert!(known <= next || found.unreadable > 0, "{done}: {next} is missing before {known}");
        next = next.max(known + 1);
    }
    tally.incidents_barred += usize::from(found.unreadable > 0);
    tally.tails_cut += usize::from(found.torn_tail);
    if !is_harmed("incidents") {
        assert_eq!((found.records.len(), found.unreadable), (truth.incidents.len(), 0), "{done}");
    }
}

/// The newest good generation, in whichever slot: never another body, never a panic.
fn generations(
    loaded: Result<Loaded, Error>,
    bodies: &[Vec<u8>; 2],
    harmed: [bool; 2],
    done: &str,
    tally: &mut Tally,
) {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(Error::NewerVersion { .. }) => {
            assert!(harmed != [false; 2], "{done}");
            tally.refused += 1;
            return;
        }
        Err(error) => panic!("{done}: {error}"),
    };
    match loaded.body {
        Some((1, body)) if body == bodies[1] => tally.newest += 1,
        Some((1, body)) if body == bodies[0] => {
            assert!(harmed[1], "{done}: the newer one was not touched");
            tally.older += 1;
        }
        // Both are gone only if both were touched.
        None => {
            assert_eq!(harmed, [true; 2], "{done}");
            tally.nothing += 1;
        }
        other => panic!("{done}: {other:?}"),
    }
}
