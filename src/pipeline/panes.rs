//! The records of a model's pane log: partials, and the seals that the clock made necessary.

use crate::codec::Truncated;
use crate::store::PaneRecord;
use crate::window::Partial;
use crate::window::Seal;

const PARTIAL: u8 = 1;
const SEAL: u8 = 2;

/// One record, read.
#[derive(Debug)]
pub(super) enum Logged {
    Partial(Partial),
    Seal(Seal),
}

pub(super) fn partial(partial: &Partial) -> PaneRecord {
    PaneRecord { kind: PARTIAL, pane_start_ms: partial.pane.start_ms, body: partial.encode() }
}

pub(super) fn seal(seal: &Seal) -> PaneRecord {
    let body = serde_json::to_vec(seal).expect("a seal is plain integers and strings");
    PaneRecord { kind: SEAL, pane_start_ms: seal.pane_start_ms, body }
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
        _ => Ok(None),
    }
}
