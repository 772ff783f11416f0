//! The batch under construction, beside its columns.

use super::super::columns::Columns;
use super::super::strangers::Strangers;
use super::super::{Batch, Reject};
use super::found::Found;
use crate::feature::Column;

/// What rows have beside their columns, and what became of the other records.
#[derive(Debug, Default)]
pub(super) struct Output {
    offsets: Vec<i64>,
    kafka_ms: Vec<i64>,
    event_ms: Vec<i64>,
    fingerprints: Vec<u64>,
    strangers: Vec<(u32, Strangers)>,
    pub(super) rejects: Vec<Reject>,
    pub(super) duplicate_keys: u64,
    pub(super) other_models: u64,
    imprecise: u64,
}

/// What a row has from its record.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) offset: i64,
    pub(super) kafka_ms: i64,
    pub(super) event_ms: i64,
    pub(super) fingerprint: u64,
}

impl Output {
    /// Notes names that the next row has and the model does not know.
    pub(super) fn note(&mut self, names: Strangers) {
        if let (false, Ok(row)) = (names.is_empty(), u32::try_from(self.offsets.len())) {
            self.strangers.push((row, names));
        }
    }

    pub(super) fn push(&mut self, columns: &mut Columns, found: &Found, text: &str, of: Origin) {
        columns.push(&found.row, text, &found.scratch);
        self.offsets.push(of.offset);
        self.kafka_ms.push(of.kafka_ms);
        self.event_ms.push(of.event_ms);
        self.fingerprints.push(of.fingerprint);
        self.imprecise += found.imprecise;
    }

    /// The batch so far; the next one starts empty, with room for as many rows.
    pub(super) fn finish(&mut self, columns: Vec<Column>, looked_up: u64) -> Batch {
        let rows = self.offsets.len();
        let take = |times: &mut Vec<i64>| std::mem::replace(times, Vec::with_capacity(rows));
        Batch {
            offsets: take(&mut self.offsets),
            kafka_ms: take(&mut self.kafka_ms),
            event_ms: take(&mut self.event_ms),
            fingerprints: std::mem::replace(&mut self.fingerprints, Vec::with_capacity(rows)),
            strangers: std::mem::take(&mut self.strangers),
            columns,
            rejects: std::mem::take(&mut self.rejects),
            duplicate_keys: std::mem::take(&mut self.duplicate_keys),
            other_models: std::mem::take(&mut self.other_models),
            imprecise: std::mem::take(&mut self.imprecise),
            looked_up,
        }
    }
}
