//! The state of one input partition as one durable record: for each model that reads it, its offset,
//! watermark, totals and open panes.

use std::collections::BTreeMap;

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::window::PartitionState;
use crate::window::Rules;

/// Version of the body; written by this binary, and the highest that it reads.
pub(super) const VERSION: u8 = 1;

/// More models than this on one topic are refused by the configuration long before.
const MODELS_MAX: usize = 100_000;

/// The states of one partition, by model.
pub(super) fn encode<'a>(states: impl Iterator<Item = (&'a str, &'a PartitionState)>) -> Vec<u8> {
    let states: Vec<(&str, Vec<u8>)> = states
        .map(|(model, state)| {
            let mut out = Writer::default();
            state.encode(&mut out);
            (model, out.into_bytes())
        })
        .collect();
    let mut out = Writer::default();
    out.u64(states.len() as u64);
    for (model, body) in states {
        out.str(model);
        out.bytes(&body);
    }
    out.into_bytes()
}

/// The states of those models that are still configured, read by their present rules.
pub(super) fn decode(
    body: &[u8],
    rules: impl Fn(&str) -> Option<std::sync::Arc<Rules>>,
) -> Result<BTreeMap<String, PartitionState>, Truncated> {
    let mut input = Reader::new(body);
    let mut states = BTreeMap::new();
    for _ in 0..input.len_at_most(MODELS_MAX)? {
        let model = input.str()?;
        let mut state = Reader::new(input.bytes()?);
        if let Some(rules) = rules(model) {
            states.insert(model.to_owned(), PartitionState::decode(&mut state, &rules)?);
        }
    }
    Ok(states)
}
