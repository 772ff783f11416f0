//! Files of the state directory, damaged: what was acknowledged and not touched is found again.
//!
//! Input: records, then bytes of their files that change and a length to cut to.

use std::fs;
use std::ops::Range;
use std::path::Path;

use driftd::offsets::TopicPartition;
use driftd::store::FileStore;

use super::input::Input;

/// Writes a log of incidents and three generations of a partition, damages both, and reads.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let bodies: Vec<Vec<u8>> = (0..1 + input.byte() % 6).map(|_| body(&mut input)).collect();
    let edits: Vec<(usize, u8)> =
        (0..input.byte() % 8).map(|_| (input.below(usize::MAX), input.byte())).collect();
    let cut = input.byte().is_multiple_of(3).then(|| input.below(usize::MAX));
    // Nothing has to survive a crash here, so memory will do for a disk.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.expect("a temporary directory");
    log(dir.path(), &bodies, &edits, cut);
    generations(dir.path(), &bodies, &edits, cut);
}

/// Short bodies; some hold what begins a record.
fn body(input: &mut Input<'_>) -> Vec<u8> {
    let len = usize::from(input.byte() % 48);
    let mut body: Vec<u8> = (0..len).map(|_| input.byte()).collect();
    if input.byte().is_multiple_of(4) {
        body.splice(len / 2..len / 2, *b"DRF1\x05\x01\x03\0\0\0");
    }
    body
}

/// Changes and cuts the file; which bytes are no longer what they were.
fn damage(path: &Path, edits: &[(usize, u8)], cut: Option<usize>) -> Vec<Range<usize>> {
    let mut bytes = fs::read(path).expect("just written");
    let before = bytes.clone();
    for (at, byte) in edits {
        if let Some(at) = at.checked_rem(bytes.len()) {
            bytes[at] ^= byte;
        }
    }
    let len = cut.map_or(bytes.len(), |cut| cut % (bytes.len() + 1));
    bytes.truncate(len);
    fs::write(path, &bytes).expect("a file of our own");
    let changed = bytes.iter().zip(&before).enumerate().filter(|(_, (a, b))| a != b);
    let mut touched: Vec<Range<usize>> = changed.map(|(at, _)| at..at + 1).collect();
    touched.extend((len < before.len()).then_some(len..before.len()));
    touched
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn log(dir: &Path, bodies: &[Vec<u8>], edits: &[(usize, u8)], cut: Option<usize>) {
    let path = dir.join("incidents.log");
    let mut places = Vec::new();
    {
        let store = FileStore::open(dir).expect("a directory of our own");
        let mut at = 0;
        for body in bodies {
            let saved = store.append_incident(1, body).expect("a disk that works");
            let end = at + usize::try_from(saved.bytes).expect("small");
            places.push(at..end);
            at = end;
        }
    }
    let touched = damage(&path, edits, cut);
    let whole: Vec<&Vec<u8>> = places
        .iter()
        .zip(bodies)
        .filter(|(place, _)| !touched.iter().any(|touched| overlap(touched, place)))
        .map(|(_, body)| body)
        .collect();
    let store = FileStore::open(dir).expect("a directory of our own");
    let found = store.load_incidents().expect("a disk that works");
    let mut records = found.records.iter().map(|(_, body)| body);
    for body in &whole {
        assert!(records.any(|found| found == *body), "lost {body:?}: {found:?}, {touched:?}");
    }
    if touched.is_empty() {
        assert_eq!(
            (found.records.len(), found.unreadable, found.torn_tail),
            (bodies.len(), 0, false)
        );
    }
    // What is appended behind the damage is found as well, with all that was found before.
    store.append_incident(2, b"behind").expect("a disk that works");
    let mut expected = found.records;
    expected.push((2, b"behind".to_vec()));
    assert_eq!(store.load_incidents().expect("a disk that works").records, expected);
}

fn generations(dir: &Path, bodies: &[Vec<u8>], edits: &[(usize, u8)], cut: Option<usize>) {
    let partition = TopicPartition::new("topic", 3);
    {
        let store = FileStore::open(dir).expect("a directory of our own");
        for body in bodies {
            store.save_partition(&partition, 1, body).expect("a disk that works");
        }
    }
    // The first body is in generation 0, the second in 1, the third in 0 again.
    let newest = (bodies.len() - 1) % 2;
    let damaged = edits.len() % 2;
    let path = dir.join(format!("partitions/topic-3.{damaged}"));
    let touched = path.exists() && !damage(&path, edits, cut).is_empty();
    let expected = match (touched && damaged == newest, bodies) {
        (false, [.., last]) => Some(last),
        (true, [.., before, _]) => Some(before),
        (true, [_]) | (_, []) => None,
    };
    let store = FileStore::open(dir).expect("a directory of our own");
    let loaded = store.load_partition(&partition).expect("a disk that works");
    assert_eq!(loaded.body.as_ref().map(|(_, body)| body), expected, "{touched}: {loaded:?}");
    assert_eq!(loaded.rejected.len(), usize::from(touched));
}
