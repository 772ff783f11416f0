//! What of a partition's state can't be read is neither taken for none nor written over.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::baseline::Baseline;
use crate::codec::write_frame;
use crate::config;
use crate::store::FileStore;

const CONFIG: &str = r#"
kafka: {brokers: "localhost:9092"}
models:
  - name: fraud
    topic: inferences
    start: latest
    drift_config: {reference_dataset: /reference.parquet}
"#;

fn spec() -> Spec {
    let model = config::parse(CONFIG, &|_| None).unwrap().config.models[0].clone();
    Spec { policy: model.policy(), trigger: None, people: Vec::new(), url: None, model }
}

fn watched(spec: &Spec) -> Watched {
    Watched::new(spec, Arc::new(Baseline::of(Vec::new())), i64::MIN)
}

fn partition(n: i32) -> TopicPartition {
    TopicPartition::new("inferences", n)
}

/// A process that finds a state of partition 0, counted up to an offset.
fn desk_with(dir: &Path, next_offset: i64) -> Desk {
    let spec = spec();
    let watched = watched(&spec);
    let store = Arc::new(Store::File(Box::new(FileStore::open(dir).unwrap())));
    let state = PartitionState::new(&watched.rules, next_offset);
    let states = vec![snapshot::encode("fraud", &state)];
    store.save_partition(&partition(0), snapshot::VERSION, states).unwrap();
    Desk::new(Arc::new(vec![spec]), store, Metrics::new(), vec![Some(watched)])
}

fn snapshot_of(dir: &Path) -> PathBuf {
    let mut files = fs::read_dir(dir.join("partitions")).unwrap();
    files.next().unwrap().unwrap().path()
}

/// Time between attempts is over.
fn later(desk: &Desk) {
    desk.unreadable().clear();
}

#[test]
fn a_state_that_cannot_be_read_is_asked_for_again_and_not_counted_anew() {
    let dir = TempDir::new().unwrap();
    let desk = desk_with(dir.path(), 77);
    let (file, aside) = (snapshot_of(dir.path()), dir.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(desk.starts(&partition(0)), None);
    // Nor does anybody know where an added partition begins, or how far the model has come.
    assert_eq!(desk.starts(&partition(1)), None);
    assert!(matches!(desk.furthest(0), Err(store::Error::Io { .. })));
    assert!(matches!(desk.take_states(&partition(0)), Err(store::Error::Io { .. })));
    fs::remove_dir(&file).unwrap();
    fs::rename(&aside, &file).unwrap();
    assert_eq!(desk.starts(&partition(0)), None, "not at every turn");
    later(&desk);
    let starts = desk.starts(&partition(0)).unwrap();
    assert!(matches!(starts[..], [Start::Offset(77, _)]), "{starts:?}");
    assert!(matches!(desk.starts(&partition(1)).unwrap()[..], [Start::Time(_)]));
    // It is read once: what goes wrong from here on does not matter.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(desk.take_states(&partition(0)).unwrap()[&0].next_offset, 77);
}

#[test]
fn a_state_of_a_newer_layout_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let desk = desk_with(dir.path(), 77);
    let mut frame = Vec::new();
    write_frame(&mut frame, 1, 99, b"of a newer release");
    fs::write(snapshot_of(dir.path()), frame).unwrap();
    assert_eq!(desk.starts(&partition(0)), Some(vec![Start::Latest]));
    let refused = desk.take_states(&partition(0));
    assert!(matches!(refused, Err(store::Error::NewerVersion { .. })), "{refused:?}");
}
