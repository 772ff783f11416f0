//! Damage to saved records: never a panic, never wrong data, always the best that is left.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;
use crate::store::file::disk::faults::EIO;

const NAME: &str = "events-0";
const OLD: &[u8] = b"the state as of offset 1000, a little longer than the other one";
const NEW: &[u8] = b"the state as of offset 2000";

struct Saved2 {
    root: tempfile::TempDir,
    old: PathBuf,
    new: PathBuf,
}

fn slots_in(dir: &Path) -> Slots {
    Slots::new(&Arc::default(), dir.to_owned(), 1, GENERATIONS)
}

/// A directory with both generations, the newer one in `new`.
fn two_generations() -> Saved2 {
    let root = tempfile::tempdir().unwrap();
    let slots = slots_in(root.path());
    slots.save(NAME, NAME, 1, b"first").unwrap();
    slots.save(NAME, NAME, 1, OLD).unwrap();
    slots.save(NAME, NAME, 1, NEW).unwrap();
    let (old, new) = (slots.path(NAME, 1), slots.path(NAME, 0));
    Saved2 { root, old, new }
}

fn load(dir: &Path) -> Loaded {
    slots_in(dir).load(NAME, NAME).unwrap()
}

fn body(loaded: &Loaded) -> Option<&[u8]> {
    loaded.body.as_ref().map(|(_, body)| body.as_slice())
}

#[test]
fn the_newest_generation_wins_and_the_one_before_it_stays() {
    let saved = two_generations();
    let loaded = load(saved.root.path());
    assert_eq!(body(&loaded), Some(NEW));
    assert_eq!(loaded.path.as_ref(), Some(&saved.new));
    assert!(loaded.rejected.is_empty());
    fs::remove_file(&saved.new).unwrap();
    assert_eq!(body(&load(saved.root.path())), Some(OLD));
}

#[test]
fn a_restarted_process_goes_on_with_the_older_slot() {
    let saved = two_generations();
    slots_in(saved.root.path()).save(NAME, NAME, 2, b"after restart").unwrap();
    let loaded = load(saved.root.path());
    assert_eq!(loaded.body, Some((2, b"after restart".to_vec())));
    assert_eq!(loaded.path, Some(saved.old), "the newest of before is untouched");
}

#[test]
fn every_truncation_falls_back_to_the_other_generation() {
    let saved = two_generations();
    let whole = fs::read(&saved.new).unwrap();
    for length in 0..whole.len() {
        fs::write(&saved.new, &whole[..length]).unwrap();
        let loaded = load(saved.root.path());
        assert_eq!(body(&loaded), Some(OLD), "{length} of {} bytes", whole.len());
        assert_eq!(loaded.rejected.len(), 1);
        assert_eq!(loaded.rejected[0].reason, Damage::Truncated);
    }
}

#[test]
fn ten_thousand_mutations_never_load_wrong_data() {
    let saved = two_generations();
    let (old, new) = (fs::read(&saved.old).unwrap(), fs::read(&saved.new).unwrap());
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for round in 0..10_000 {
        let mut bad = new.clone();
        let (at, other) = (pick(&mut rng, bad.len()), pick(&mut rng, bad.len()));
        match round % 5 {
            0 => bad[at] ^= 1 << pick(&mut rng, 8),
            1 => bad[at.min(other)..=at.max(other)].fill(0),
            2 => bad.insert(at, b'D'),
            3 => drop(bad.drain(at.min(other)..=at.max(other))),
            _ => bad.swap(at, other),
        }
        fs::write(&saved.new, &bad).unwrap();
        let loaded = load(saved.root.path());
        let expected = if bad == new { NEW } else { OLD };
        assert_eq!(body(&loaded), Some(expected), "round {round}");
        assert_eq!(loaded.rejected.is_empty(), bad == new);
    }
    fs::write(&saved.new, b"").unwrap();
    fs::write(&saved.old, &old[1..]).unwrap();
    let loaded = load(saved.root.path());
    assert_eq!((loaded.body, loaded.rejected.len()), (None, 2));
}

fn pick(rng: &mut TestRng, below: usize) -> usize {
    rng.random_range(0..below)
}

#[test]
fn a_file_of_another_name_or_kind_is_not_taken_for_ours() {
    let saved = two_generations();
    let slots = slots_in(saved.root.path());
    slots.save("events-1", "events-1", 1, b"another partition").unwrap();
    fs::copy(slots.path("events-1", 0), &saved.new).unwrap();
    let loaded = load(saved.root.path());
    assert_eq!(body(&loaded), Some(OLD));
    assert_eq!(loaded.rejected[0].reason, Damage::Misplaced);
    let test = Slots::new(&Arc::default(), saved.root.path().to_owned(), 12, GENERATIONS);
    assert_eq!(test.load(NAME, NAME).unwrap().rejected.len(), 2);
}

#[test]
fn a_newer_layout_is_neither_read_nor_overwritten() {
    let saved = two_generations();
    let mut frame = Vec::new();
    write_frame(&mut frame, 1, FORMAT + 1, b"who knows");
    fs::write(&saved.new, &frame).unwrap();
    let slots = slots_in(saved.root.path());
    for error in [
        slots.load(NAME, NAME).map(|_| ()).unwrap_err(),
        slots.save(NAME, NAME, 1, NEW).map(|_| ()).unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::NewerVersion { path, found: 2, supported: 1 } if *path == saved.new),
            "{error}"
        );
    }
    assert_eq!(fs::read(&saved.new).unwrap(), frame);
}

#[test]
fn what_cannot_be_read_does_not_pass_for_absent() {
    let root = tempfile::tempdir().unwrap();
    let slots = slots_in(root.path());
    fs::create_dir(slots.path(NAME, 0)).unwrap();
    let error = slots.load(NAME, NAME).unwrap_err();
    assert!(error.to_string().contains("events-0.0"), "{error}");
    slots.newest.lock().unwrap().insert(NAME.to_owned(), Newest { slot: 0, sequence: 1 });
    slots.save(NAME, NAME, 1, NEW).unwrap();
    let loaded = slots_in(root.path()).load(NAME, NAME).unwrap();
    assert_eq!(body(&loaded), Some(NEW));
    assert_eq!(loaded.rejected[0].reason, Damage::Unreadable);
}

#[test]
fn a_full_disk_at_any_step_keeps_the_last_good_record_and_heals() {
    for step in 0.. {
        let saved = two_generations();
        let slots = slots_in(saved.root.path());
        slots.disk.faults.plan(step, 1, 500);
        let result = slots.save(NAME, NAME, 1, b"third");
        if !slots.disk.faults.reached() {
            assert!(step >= 5, "create, write, fsync, rename, fsync the directory: {step}");
            break;
        }
        let error = anyhow::Error::from(result.unwrap_err());
        let message = format!("{error:#}");
        let root = saved.root.path().display().to_string();
        assert!(message.contains(&root) && message.contains("No space left"), "{message}");
        let left = load(saved.root.path());
        assert!([Some(NEW), Some(b"third".as_slice())].contains(&body(&left)), "step {step}");
        assert!(left.rejected.is_empty(), "nothing half written is visible");
        slots.save(NAME, NAME, 1, b"fourth").unwrap();
        assert_eq!(body(&load(saved.root.path())), Some(b"fourth".as_slice()));
    }
}

/// As of a disk that dies. After a failed fsync the kernel may call the next one of the same file good, so
/// what was written before it counts for nothing.
#[test]
fn an_error_of_the_medium_at_any_step_keeps_the_last_good_record_and_heals() {
    for (step, doing) in
        ["create", "write", "fsync", "rename to", "fsync directory"].iter().enumerate()
    {
        let saved = two_generations();
        let slots = slots_in(saved.root.path());
        slots.disk.faults.say(EIO);
        slots.disk.faults.plan(step, 1, 500);
        let error = anyhow::Error::from(slots.save(NAME, NAME, 1, b"third").unwrap_err());
        let message = format!("{error:#}");
        let told =
            message.starts_with(&format!("cannot {doing} ")) && message.contains("(os error 5)");
        assert!(told, "step {step}: {message}");
        let left = load(saved.root.path());
        let expected = if step < 4 { NEW } else { b"third".as_slice() };
        assert_eq!((body(&left), left.rejected.len()), (Some(expected), 0), "step {step}");
        // The next write begins a file of its own, whatever the failed one has left.
        slots.save(NAME, NAME, 1, b"fourth").unwrap();
        assert_eq!(body(&load(saved.root.path())), Some(b"fourth".as_slice()));
    }
}

#[test]
fn a_crash_at_any_byte_of_any_step_leaves_the_old_or_the_new_record() {
    for part in (0..=1000).step_by(100) {
        for step in 0..5 {
            let saved = two_generations();
            let slots = slots_in(saved.root.path());
            slots.disk.faults.plan(step, usize::MAX, part);
            slots.save(NAME, NAME, 1, b"third").unwrap_err();
            drop(slots);
            let left = load(saved.root.path());
            let expected = if step < 4 { NEW } else { b"third".as_slice() };
            assert_eq!(body(&left), Some(expected), "step {step}");
        }
    }
}
