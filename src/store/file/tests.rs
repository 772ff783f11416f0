//! The directory as its owner uses it: locking, panes, incidents, and what a crash leaves.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

fn open(root: &tempfile::TempDir) -> FileStore {
    FileStore::open(root.path().join("state")).unwrap()
}

fn record(minute: i64, body: &[u8]) -> PaneRecord {
    PaneRecord { kind: 2, pane_start_ms: minute * 60_000, body: body.to_owned() }
}

fn panes(store: &FileStore, model: &str, since_ms: i64) -> Vec<PaneRecord> {
    let mut found = Vec::new();
    let rejected = store.load_panes(model, since_ms, |record| found.push(record)).unwrap();
    assert_eq!(rejected, []);
    found
}

#[test]
fn a_second_store_on_a_directory_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    let error = FileStore::open(store.dir()).unwrap_err();
    let pid = std::process::id();
    assert!(matches!(&error, Error::Locked { pid: Some(found), .. } if *found == pid), "{error}");
    assert!(error.to_string().contains(&format!("(pid {pid})")), "{error}");
    drop(store);
    open(&root);
}

#[test]
fn the_directory_is_for_its_owner_only() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    store.append_incident(1, b"evidence").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.dir()), 0o700);
    assert_eq!(mode(&store.incidents_path()), 0o600);
}

#[test]
fn it_tells_how_far_everything_has_come() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    assert_eq!(store.partitions().unwrap(), []);
    assert_eq!(store.newest_pane("m").unwrap(), None);
    let all = [("a-b.c", 12), ("fraud.inferences", 3)].map(|(t, p)| TopicPartition::new(t, p));
    for partition in all.iter().chain(&all) {
        store.save_partition(partition, 1, b"offset").unwrap();
    }
    store.append_panes("m", &[record(61, b""), record(125, b""), record(3, b"")]).unwrap();
    fs::write(store.dir().join("partitions/torn-7.0"), "DRF1").unwrap();
    assert_eq!(store.partitions().unwrap(), all);
    assert_eq!(store.newest_pane("m").unwrap(), Some(125 * 60_000));
}

#[test]
fn a_place_that_cannot_be_a_directory_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = anyhow::Error::from(FileStore::open(file.join("state")).unwrap_err());
    let message = format!("{error:#}");
    assert!(message.contains("file/state") && message.contains("Not a directory"), "{message}");
}

#[test]
fn every_kind_of_record_comes_back_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let partition = TopicPartition::new("fraud.inferences", 3);
    let store = open(&root);
    let saved = store.save_partition(&partition, 1, b"partition").unwrap();
    assert!(saved.bytes > 9);
    store.save_test("modèle/1", 2, b"test").unwrap();
    store.save_profile("modèle/1", 1, b"{}").unwrap();
    store.append_incident(1, b"opened").unwrap();
    store.append_panes("modèle/1", &[record(5, b"pane")]).unwrap();
    drop(store);

    let store = open(&root);
    let loaded = store.load_partition(&partition).unwrap();
    assert_eq!(loaded.body, Some((1, b"partition".to_vec())));
    assert!(loaded.modified.is_some());
    assert_eq!(store.load_test("modèle/1").unwrap().body, Some((2, b"test".to_vec())));
    assert_eq!(store.load_profile("modèle/1").unwrap().body, Some((1, b"{}".to_vec())));
    assert_eq!(store.load_incidents().unwrap().records, [(1, b"opened".to_vec())]);
    assert_eq!(panes(&store, "modèle/1", 0), [record(5, b"pane")]);
    assert!(store.load_test("other").unwrap().body.is_none());
    assert!(panes(&store, "other", 0).is_empty());
}

#[test]
fn a_profile_has_no_older_self_to_fall_back_to() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    store.save_profile("m", 1, b"old").unwrap();
    store.save_profile("m", 1, b"new").unwrap();
    assert_eq!(store.load_profile("m").unwrap().body, Some((1, b"new".to_vec())));
    let path = store.profiles.dir().join("m.frame");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let loaded = store.load_profile("m").unwrap();
    assert_eq!(loaded.body, None);
    assert_eq!(loaded.rejected, [Rejected { path, offset: 0, reason: Damage::Checksum }]);
}

#[test]
fn a_temporary_file_of_a_crash_is_swept_and_never_read() {
    let root = tempfile::tempdir().unwrap();
    let partition = TopicPartition::new("t", 0);
    let store = open(&root);
    store.save_partition(&partition, 1, b"good").unwrap();
    // Between temp and rename: create, write and fsync pass, then the process is gone.
    store.disk.faults.plan(3, usize::MAX, 0);
    store.save_partition(&partition, 1, b"lost").unwrap_err();
    let temp = store.partitions.dir().join("t-0.tmp");
    fs::write(&temp, b"half").unwrap();
    drop(store);
    let store = open(&root);
    assert!(!temp.exists());
    assert_eq!(store.load_partition(&partition).unwrap().body, Some((1, b"good".to_vec())));
}

#[test]
fn a_damaged_incident_is_counted_and_the_later_ones_are_found() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    for body in [&b"one"[..], b"two", b"three"] {
        store.append_incident(1, body).unwrap();
    }
    let path = store.incidents_path();
    let mut bytes = fs::read(&path).unwrap();
    let two = bytes.windows(3).position(|window| window == b"two").unwrap();
    bytes[two] ^= 1;
    bytes.extend(b"DRF1\x05");
    drop(store);
    fs::write(&path, bytes).unwrap();

    let store = open(&root);
    let found = store.load_incidents().unwrap();
    assert_eq!(found.records, [(1, b"one".to_vec()), (1, b"three".to_vec())]);
    assert_eq!((found.unreadable, found.torn_tail), (1, true));
    let again = store.load_incidents().unwrap();
    assert_eq!((again.unreadable, again.torn_tail), (1, false));
}

#[test]
fn a_rewritten_incident_log_is_the_old_one_or_the_new_one_at_every_fault() {
    let old: Vec<_> = (0..9u8).map(|n| (1, vec![n; 40])).collect();
    let new = vec![(1, b"short".to_vec()), (2, b"log".to_vec())];
    for (step, fails) in (0..8).flat_map(|step| [(step, 1), (step, usize::MAX)]) {
        let root = tempfile::tempdir().unwrap();
        let store = open(&root);
        old.iter().for_each(|(version, body)| drop(store.append_incident(*version, body)));
        store.disk.faults.plan(step, fails, 300);
        let rewritten = store.rewrite_incidents(&new);
        // The process goes on with a disk that is well again, or is gone.
        let expected = store.load_incidents().unwrap().records;
        assert!(expected == old || expected == new, "step {step}: {expected:?}");
        assert!(rewritten.is_err() || expected == new, "step {step}");
        store.disk.faults.plan(usize::MAX, 0, 0);
        store.append_incident(1, b"later").unwrap();
        let later = [expected, vec![(1, b"later".to_vec())]].concat();
        assert_eq!(store.load_incidents().unwrap().records, later, "step {step}");
        drop(store);
        let found = open(&root).load_incidents().unwrap();
        assert_eq!((found.records, found.unreadable, found.torn_tail), (later, 0, false));
        assert!(!root.path().join("state/incidents.tmp").exists());
    }
}

#[test]
fn a_record_of_an_unknown_kind_among_the_incidents_bars_too() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    let mut frame = Vec::new();
    write_frame(&mut frame, 99, 1, b"from the future");
    fs::write(store.incidents_path(), frame).unwrap();
    assert_eq!(store.load_incidents().unwrap().unreadable, 1);
}

#[test]
fn damaged_moved_and_newer_pane_records_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    store.append_panes("a", &[record(1, b"a1"), record(2, b"a2")]).unwrap();
    store.append_panes("b", &[record(1, b"b1")]).unwrap();
    let segment = |model: &str| root.path().join("state/panes").join(model).join("0.seg");
    let (a, b) = (fs::read(segment("a")).unwrap(), fs::read(segment("b")).unwrap());
    fs::write(segment("a"), [a.as_slice(), &b].concat()).unwrap();
    drop(store);

    let store = open(&root);
    let reload = || {
        let mut bodies = Vec::new();
        let result = store.load_panes("a", 0, |record| bodies.push(record.body));
        (bodies, result)
    };
    let (bodies, rejected) = reload();
    assert_eq!(bodies, [b"a1", b"a2"]);
    let (path, offset) = (segment("a"), a.len() as u64);
    assert_eq!(rejected.unwrap(), [Rejected { path, offset, reason: Damage::Misplaced }]);

    let mut flipped = a.clone();
    flipped[20] ^= 1;
    fs::write(segment("a"), &flipped).unwrap();
    let (bodies, rejected) = reload();
    assert_eq!(bodies, [b"a2"]);
    assert_eq!(rejected.unwrap()[0].reason, Damage::Checksum);

    let mut newer = Vec::new();
    write_frame(&mut newer, 2, PANE_FORMAT + 1, b"who knows");
    fs::write(segment("a"), newer).unwrap();
    assert!(matches!(reload().1, Err(Error::NewerVersion { found: 2, .. })));
}

#[test]
fn panes_that_found_no_room_are_told_and_fit_later() {
    for step in 0..20 {
        let root = tempfile::tempdir().unwrap();
        let store = open(&root);
        store.append_panes("m", &[record(0, b"first")]).unwrap();
        let more = [record(1, b"second"), record(61, b"next hour")];
        store.disk.faults.plan(step, 1, 300);
        let result = store.append_panes("m", &more);
        let seen = panes(&store, "m", 0);
        assert_eq!(seen[0], record(0, b"first"), "step {step}");
        assert!(more[..seen.len() - 1] == seen[1..], "step {step}: {seen:?}");
        if result.is_ok() {
            assert_eq!(seen.len(), 3);
            continue;
        }
        store.append_panes("m", &more).unwrap();
        drop(store);
        let after = panes(&open(&root), "m", 0);
        assert!(more.iter().all(|record| after.contains(record)), "step {step}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<(i64, u8)>),
    Expire(i64),
    Restart,
    /// Bytes of an append that a crash interrupted.
    Tear(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => proptest::collection::vec((-200i64..400, any::<u8>()), 0..6).prop_map(Op::Append),
        1 => (-200i64..400).prop_map(Op::Expire),
        2 => Just(Op::Restart),
        2 => (1usize..22).prop_map(Op::Tear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_pane_log_behaves_like_a_list(ops in proptest::collection::vec(op(), 1..20), since in -200i64..400) {
        let root = tempfile::tempdir().unwrap();
        let mut store = open(&root);
        let mut model: Vec<PaneRecord> = Vec::new();
        for op in ops {
            match op {
                Op::Append(records) => {
                    let records: Vec<_> =
                        records.iter().map(|&(minute, byte)| record(minute, &[byte; 3])).collect();
                    store.append_panes("m", &records).unwrap();
                    model.extend(records);
                }
                Op::Expire(minute) => {
                    let before = minute * 60_000;
                    store.expire_panes("m", before).unwrap();
                    model.retain(|r| hour_of(r.pane_start_ms) + HOUR_MS > before);
                }
                Op::Restart => {
                    drop(store);
                    store = open(&root);
                }
                Op::Tear(bytes) => {
                    // An append cuts what an earlier one left before it can be torn itself.
                    panes(&store, "m", i64::MIN);
                    drop(store);
                    let dir = root.path().join("state/panes/m");
                    let mut frame = Vec::new();
                    write_frame(&mut frame, 2, PANE_FORMAT, &encode_pane("m", &record(0, b"torn")));
                    for path in entries(&dir).unwrap() {
                        let whole = fs::read(&path).unwrap();
                        fs::write(&path, [&whole[..], &frame[..bytes]].concat()).unwrap();
                    }
                    store = open(&root);
                }
            }
        }
        let mut expected: Vec<_> =
            model.into_iter().filter(|r| r.pane_start_ms >= since * 60_000).collect();
        expected.sort_by_key(|r| hour_of(r.pane_start_ms));
        prop_assert_eq!(panes(&store, "m", since * 60_000), expected);
    }
}
