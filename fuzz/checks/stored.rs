//! Everything stored as JSON: profiles, the records of the incident log, seals of panes.
//!
//! Input: a byte that chooses what the rest is; records of the log stand one to a line.

use std::sync::Arc;

use arrow::array::Float64Array;
use driftd::baseline::Baseline;
use driftd::decide::ledger::Ledger;
use driftd::decide::record::Record;
use driftd::feature::Column;
use driftd::histogram::{Counts, count};
use driftd::window::Seal;

use super::input::Input;

/// Reads the input as one of the stored things.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => profile(input.rest()),
        1 => log(input.rest()),
        _ => seal(input.rest()),
    }
}

/// A profile that is accepted comes back bit for bit, and can be counted into.
fn profile(json: &[u8]) {
    let Ok(baseline) = Baseline::from_json(json) else { return };
    let again = baseline.to_json();
    let read = Baseline::from_json(again.as_bytes()).expect("a profile of our own");
    assert_eq!(read.to_json(), again);
    assert_eq!(read, baseline);
    assert_eq!(read.rules_digest(), baseline.rules_digest());
    let odd = vec![0.0, -0.0, 1.5, 1e300, f64::MAX, f64::MIN, f64::NAN, f64::INFINITY];
    let column = Column { array: Arc::new(Float64Array::from(odd)), absent: Vec::new() };
    for feature in &baseline.features {
        let mut counts = Counts::zero(feature.cells.len());
        count(&feature.cells, &column, &mut counts);
        assert_eq!(counts.records(), 8, "{}", feature.name);
        assert_eq!(feature.bins.sum(&counts.cells).iter().sum::<u64>(), counts.in_cells());
    }
}

/// Records come back, and a log in which each stands twice tells the same as with each once.
fn log(lines: &[u8]) {
    let (mut once, mut twice) = (Ledger::default(), Ledger::default());
    for line in lines.split(|&byte| byte == b'\n') {
        let Ok(record) = serde_json::from_slice::<Record>(line) else { continue };
        let json = serde_json::to_vec(&record).expect("plain data");
        let again: Record = serde_json::from_slice(&json).expect("a record of our own");
        assert_eq!(again, record);
        once.apply(&record);
        twice.apply(&record);
        twice.apply(&record);
    }
    assert_eq!(twice, once);
    for entry in once.open_entries() {
        let model = &entry.incident.model;
        let open = once.open_entries().filter(|other| other.incident.model == *model).count();
        assert_eq!(open, 1, "incidents open beside each other for {model}");
    }
    for outgoing in once.pending() {
        assert!(once.knows(&outgoing.delivery));
    }
}

fn seal(json: &[u8]) {
    let Ok(seal) = serde_json::from_slice::<Seal>(json) else { return };
    let again = serde_json::to_vec(&seal).expect("plain data");
    assert_eq!(serde_json::from_slice::<Seal>(&again).expect("a seal of our own"), seal);
}
