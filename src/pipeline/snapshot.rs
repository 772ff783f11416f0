//! The state of one input partition as one durable record: for each model that reads it, its offset,
//! watermark, totals and open panes.

use std::collections::BTreeMap;

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::store::ModelState;
use crate::window::PartitionState;
use crate::window::Rules;

/// Version of the body; written by this binary, and the highest that it reads.
pub(super) const VERSION: u8 = 1;

/// More models than this on one topic are refused by the configuration long before.
const MODELS_MAX: usize = 100_000;

/// One model's state, as it is stored beside those of others.
pub(super) fn encode(model: &str, state: &PartitionState) -> ModelState {
    let mut out = Writer::default();
    state.encode(&mut out);
    let (rules, next_offset) = (state.rules, state.next_offset);
    ModelState { model: model.to_owned(), rules, next_offset, state: out.into_bytes() }
}

/// The states that a record holds.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) states: BTreeMap<String, PartitionState>,
    /// Models whose state makes no sense.
    pub(super) malformed: Vec<String>,
}

/// The states of those models that are still configured, read by their present rules.
pub(super) fn decode(
    body: &[u8],
    rules: impl Fn(&str) -> Option<std::sync::Arc<Rules>>,
) -> Result<Decoded, Truncated> {
    let mut input = Reader::new(body);
    let mut decoded = Decoded::default();
    for _ in 0..input.len_at_most(MODELS_MAX)? {
        let model = input.str()?;
        let mut state = Reader::new(input.bytes()?);
        let Some(rules) = rules(model) else { continue };
        match PartitionState::decode(&mut state, &rules) {
            Ok(state) => drop(decoded.states.insert(model.to_owned(), state)),
            Err(Truncated) => decoded.malformed.push(model.to_owned()),
        }
    }
    Ok(decoded)
}
