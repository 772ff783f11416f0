//! Logs under torn appends, flipped bits and failing disks.

use proptest::prelude::*;

use super::*;
use crate::codec::write_frame;

fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, 5, 1, body);
    out
}

fn bodies(contents: &Contents) -> Vec<Vec<u8>> {
    contents.entries().map(|entry| entry.body.to_owned()).collect()
}

struct OneLog {
    _root: tempfile::TempDir,
    path: PathBuf,
}

fn one_log() -> OneLog {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("incidents.log");
    OneLog { _root: root, path }
}

fn logs() -> Logs {
    Logs::new(&Arc::default())
}

#[test]
fn an_append_torn_at_any_byte_is_cut_and_the_next_one_follows_cleanly() {
    let log = one_log();
    let (first, second) = (frame(b"first"), frame(b"second, the torn one"));
    for torn_at in 1..second.len() {
        fs::write(&log.path, [&first[..], &second[..torn_at]].concat()).unwrap();
        let contents = logs().read(&log.path).unwrap();
        assert_eq!(bodies(&contents), [b"first"], "torn at {torn_at}");
        assert!(contents.torn && contents.damaged.is_empty());
        assert_eq!(fs::read(&log.path).unwrap(), first);

        fs::write(&log.path, [&first[..], &second[..torn_at]].concat()).unwrap();
        let restarted = logs();
        restarted.append(&log.path, &frame(b"third")).unwrap();
        let contents = restarted.read(&log.path).unwrap();
        assert_eq!(bodies(&contents), [&b"first"[..], b"third"]);
        assert!(!contents.torn && contents.damaged.is_empty());
    }
}

#[test]
fn reserved_zeros_at_the_end_are_a_torn_tail() {
    let log = one_log();
    let first = frame(b"first");
    fs::write(&log.path, [&first[..], &[0; 4096]].concat()).unwrap();
    let contents = logs().read(&log.path).unwrap();
    assert!(contents.torn && contents.damaged.is_empty());
    assert_eq!(fs::read(&log.path).unwrap(), first);
}

#[test]
fn every_flipped_bit_is_noticed_and_what_follows_is_still_found() {
    let log = one_log();
    let parts = [frame(b"first"), frame(b"second"), frame(b"third")];
    let whole = parts.concat();
    for bit in 0..whole.len() * 8 {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&log.path, &bad).unwrap();
        let contents = logs().read(&log.path).unwrap();
        let hit = if bit / 8 < parts[0].len() {
            0
        } else {
            1 + usize::from(bit / 8 >= parts[0].len() + parts[1].len())
        };
        let mut expected = vec![b"first".to_vec(), b"second".to_vec(), b"third".to_vec()];
        expected.remove(hit);
        assert_eq!(bodies(&contents), expected, "bit {bit}");
        assert_eq!(contents.damaged.len(), 1, "bit {bit}");
        assert!(!contents.torn, "an acknowledged record is not a torn one, bit {bit}");
        assert_eq!(fs::read(&log.path).unwrap(), bad, "the evidence stays");
    }
}

#[test]
fn appends_behind_a_damaged_end_are_found() {
    let log = one_log();
    let mut bad = [frame(b"first"), frame(b"second")].concat();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&log.path, &bad).unwrap();
    let restarted = logs();
    restarted.append(&log.path, &frame(b"third")).unwrap();
    let contents = logs().read(&log.path).unwrap();
    assert_eq!(bodies(&contents), [&b"first"[..], b"third"]);
    assert_eq!(contents.damaged.len(), 1);
}

#[test]
fn a_failed_append_is_never_seen_and_the_next_one_takes_its_place() {
    let mut steps = 0;
    for step in 0.. {
        let log = one_log();
        logs().append(&log.path, &frame(b"first")).unwrap();
        let logs = logs();
        logs.disk.faults.plan(step, 1, 700);
        let result = logs.append(&log.path, &frame(b"second"));
        if !logs.disk.faults.reached() {
            steps = step;
            break;
        }
        let message = format!("{:#}", anyhow::Error::from(result.unwrap_err()));
        assert!(message.contains("No space left"), "{message}");
        assert_eq!(bodies(&logs.read(&log.path).unwrap()), [b"first"], "step {step}");
        logs.append(&log.path, &frame(b"third")).unwrap();
        assert_eq!(bodies(&logs.read(&log.path).unwrap()), [&b"first"[..], b"third"]);
        let restarted = self::logs().read(&log.path).unwrap();
        assert_eq!(bodies(&restarted), [&b"first"[..], b"third"], "step {step}");
        assert!(!restarted.torn && restarted.damaged.is_empty());
    }
    assert!(steps >= 5, "open, fsync, fsync the directory, open, write, fsync: {steps}");
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(
        prop_oneof![any::<u8>(), Just(b'D'), Just(b'R'), Just(b'F'), Just(b'1'), Just(0)], 0..400,
    )) {
        let (contents, keep) = scan(&bytes);
        let length = bytes.len() as u64;
        prop_assert!(keep <= length);
        prop_assert_eq!(contents.torn, keep < length);
    }

    #[test]
    fn good_frames_are_found_among_garbage(
        pieces in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..30), any::<bool>()), 0..12,
        ),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (piece, good) in pieces {
            if good {
                bytes.extend(frame(&piece));
                expected.push(piece);
            } else {
                bytes.extend(piece);
            }
        }
        let (mut contents, _) = scan(&bytes);
        contents.bytes = bytes;
        prop_assert_eq!(bodies(&contents), expected);
    }
}
