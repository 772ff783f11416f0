//! The records of a model's pane log: partials, and the seals that the clock made necessary.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::store::PaneRecord;
use crate::window::Pane;
use crate::window::Partial;
use crate::window::Seal;

const PARTIAL: u8 = 1;
const SEAL: u8 = 2;
/// A seal with the sum of what it covers.
const SUM: u8 = 3;

/// One record, read.
#[derive(Debug)]
pub(super) enum Logged {
    Partial(Partial),
    Seal(Seal),
    Sum(Seal, Pane),
}

pub(super) fn partial(partial: &Partial) -> PaneRecord {
    PaneRecord { kind: PARTIAL, pane_start_ms: partial.pane.start_ms, body: partial.encode() }
}

pub(super) fn seal(seal: &Seal) -> PaneRecord {
    let body = serde_json::to_vec(seal).expect("a seal is plain integers and strings");
    PaneRecord { kind: SEAL, pane_start_ms: seal.pane_start_ms, body }
}

/// A seal that needs no partials beside it.
pub(super) fn sum(seal: &Seal, rules: u64, sum: &Pane) -> PaneRecord {
    let mut out = Writer::default();
    out.u64(rules);
    out.bytes(&serde_json::to_vec(seal).expect("a seal is plain integers and strings"));
    sum.encode(&mut out);
    PaneRecord { kind: SUM, pane_start_ms: seal.pane_start_ms, body: out.into_bytes() }
}

/// Whether it is one partition's, and not a seal.
pub(super) fn is_partial(record: &PaneRecord) -> bool {
    record.kind == PARTIAL
}

/// Whether it is not one partition's of another topic.
pub(super) fn may_be_of(record: &PaneRecord, topic: &str) -> bool {
    let is_foreign = || Reader::new(&record.body).str().is_ok_and(|of| of != topic);
    !(is_partial(record) && is_foreign())
}

/// Reads a record if it belongs to `rules`; `None` is one of other rules, or of a kind that only a
/// newer release knows.
pub(super) fn read(
    record: &PaneRecord,
    rules: u64,
    shape: &[usize],
) -> Result<Option<Logged>, Truncated> {
    match record.kind {
        PARTIAL => Ok(Partial::decode(&record.body, rules, shape)?.map(Logged::Partial)),
        SEAL => {
            let seal = serde_json::from_slice(&record.body).map_err(|_| Truncated)?;
            Ok(Some(Logged::Seal(seal)))
        }
        SUM => {
            let mut input = Reader::new(&record.body);
            if input.u64()? != rules {
                return Ok(None);
            }
            let seal = serde_json::from_slice(input.bytes()?).map_err(|_| Truncated)?;
            Ok(Some(Logged::Sum(seal, Pane::decode(&mut input, shape)?)))
        }
        _ => Ok(None),
    }
}
