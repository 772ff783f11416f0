//! What the sequential test remembers, in the model's state.

use std::hash::Hasher;

use xxhash_rust::xxh3::Xxh3;

use crate::baseline::Baseline;
use crate::codec::{Reader, Truncated, Writer};
use crate::decide::evidence::Detector;
use crate::decide::sequential::{Sequential, SequentialState};

/// Which slots map the counts of which feature; 0 without any season.
pub(super) fn slots(baseline: &Baseline) -> u64 {
    let mut hasher = Xxh3::new();
    let mut any = false;
    for feature in &baseline.features {
        let (Some(calendar), Some(season)) = (baseline.calendar(feature), &feature.season) else {
            continue;
        };
        any = true;
        hasher.write(feature.name.as_bytes());
        hasher.write(calendar.to_string().as_bytes());
        for count in season.slots.iter().flat_map(|slot| &slot.cells) {
            hasher.write_u64(*count);
        }
    }
    if any { hasher.finish().max(1) } else { 0 }
}

impl SequentialState {
    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.seen.len() as u64);
        self.seen.iter().for_each(|&seen| out.u64(u64::from(seen)));
        self.detector.encode(out);
        // Without a season it is what programs write that know none.
        if self.slots != 0 {
            out.u64(self.slots);
        }
    }

    /// Reads what `encode` wrote by the same rule; what other slots have mapped is refused.
    pub fn decode(input: &mut Reader<'_>, rule: &Sequential) -> Result<Self, Truncated> {
        let n = input.len_at_most(rule.features.len())?;
        let seen = (0..n).map(|_| Ok(input.u64()? != 0)).collect::<Result<Vec<_>, Truncated>>()?;
        let detector = Detector::decode(input, &rule.n_columns())?;
        let slots = if input.is_empty() { 0 } else { input.u64()? };
        let same = n == rule.features.len() && slots == rule.slots;
        if same { Ok(Self { detector, seen, slots }) } else { Err(Truncated) }
    }
}
