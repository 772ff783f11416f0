//! What a daemon that was stopped has counted, read from its state: published panes and open ones.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use driftd::baseline::Baseline;
use driftd::codec::Reader;
use driftd::histogram::Cells;
use driftd::offsets::TopicPartition;
use driftd::store::FileStore;
use driftd::window::{Pane, Partial, PartitionState, Rules};
use serde_json::{Value, json};

/// Records, and each feature's counts by cell.
#[derive(Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) records: u64,
    pub(crate) cells: BTreeMap<String, Vec<u64>>,
}

fn baseline(store: &FileStore, model: &str) -> Baseline {
    let loaded = store.load_profile(model).expect("the state can be read");
    let (_, json) = loaded.body.expect("a daemon keeps its baseline");
    let mut kept: Value = serde_json::from_slice(&json).expect("a profile is JSON");
    serde_json::from_value(kept["baseline"].take()).expect("it holds a baseline")
}

/// What a peer needs to count the same: edges of numbers, categories of the others.
pub(crate) fn plan(state: &Path, model: &str) -> Value {
    let store = FileStore::open(state).expect("nobody else has it");
    let (mut numbers, mut texts) = (BTreeMap::new(), BTreeMap::new());
    for feature in baseline(&store, model).features {
        match feature.cells {
            Cells::Numeric(cells) => drop(numbers.insert(feature.name, cells.edges)),
            Cells::Categorical(cells) => drop(texts.insert(feature.name, cells.categories)),
        }
    }
    json!({"numbers": numbers, "texts": texts})
}

/// Adds up everything that the state of `model` holds of a topic's partitions.
pub(crate) fn counted(state: &Path, model: &str, topic: &str) -> Counted {
    let store = FileStore::open(state).expect("nobody else has it");
    let baseline = baseline(&store, model);
    let cells: Vec<Cells> = baseline.features.iter().map(|f| f.cells.clone()).collect();
    let shape: Vec<usize> = cells.iter().map(Cells::len).collect();
    let mut panes: BTreeMap<(TopicPartition, i64), (i64, Pane)> = BTreeMap::new();
    let mut hashes = BTreeSet::new();
    for partition in (0..).map(|n| TopicPartition::new(topic, n)) {
        let loaded = store.load_partition(&partition).expect("the state can be read");
        // The partitions of a topic are numbered without gaps.
        let Some((_, body)) = loaded.body else { break };
        let mut body = Reader::new(&body);
        assert_eq!(body.u64(), Ok(1), "one model reads it");
        assert_eq!(body.str(), Ok(model));
        let bytes = body.bytes().expect("a whole snapshot");
        // Its first word is the hash of the rules that it was counted by.
        let hash = Reader::new(bytes).u64().expect("a whole snapshot");
        hashes.insert(hash);
        let rules = Rules {
            hash,
            pane_ms: 1,
            lateness_ms: 0,
            active_from_ms: i64::MIN,
            cells: cells.clone(),
        };
        let read = PartitionState::decode(&mut Reader::new(bytes), &rules);
        let read = read.expect("a whole snapshot");
        for pane in read.open() {
            let key = (partition.clone(), pane.start_ms);
            panes.insert(key, (read.next_offset, pane.clone()));
        }
    }
    let mut add = |partial: Partial| {
        let through = partial.applied_through;
        let pane = panes.entry((partial.partition, partial.pane.start_ms));
        let known = pane.or_insert_with(|| (through, partial.pane.clone()));
        if known.0 < through {
            *known = (through, partial.pane);
        }
    };
    let damaged = store.load_panes(model, i64::MIN, |record| {
        for &hash in &hashes {
            if let Ok(Some(partial)) = Partial::decode(&record.body, hash, &shape) {
                add(partial);
            }
        }
    });
    assert!(damaged.expect("the state can be read").is_empty());
    let mut total = Pane::empty(0, &shape);
    panes.values().for_each(|(_, pane)| total.add(pane));
    let names = baseline.features.iter().map(|feature| feature.name.clone());
    let cells = names.zip(total.features.into_iter().map(|counts| counts.cells)).collect();
    Counted { records: total.records, cells }
}
