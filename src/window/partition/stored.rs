//! The state of a partition as bytes. It grows at its end; what an earlier release wrote ends before.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::offsets::Lineage;
use crate::offsets::TopicId;
use crate::window::Pane;
use crate::window::PartitionState;
use crate::window::Watermark;
use crate::window::partition::Rules;
use crate::window::partition::repeats::Repeats;

/// Ends a state that has a lineage. Panes of other rules can't be read past, so that lies at the very end,
/// with a length of its own.
const LINEAGE: [u8; 8] = *b"DRFLOG01";
/// Id, epoch, breaks, and the mark.
pub const LINEAGE_BYTES: usize = 16 + 4 + 4 + LINEAGE.len();
/// In the place of an epoch that nobody knows.
const NO_EPOCH: i32 = -1;

impl PartitionState {
    pub fn encode(&self, out: &mut Writer) {
        debug_assert!(self.closed.is_empty(), "closed panes are published before a snapshot");
        out.u64(self.rules);
        out.i64(self.next_offset);
        self.watermark.encode(out);
        out.u64(u64::from(self.first_pane_ms.is_some()));
        out.i64(self.first_pane_ms.unwrap_or(0));
        let totals = &self.totals;
        out.u64(totals.records);
        out.u64(totals.late);
        out.u64(totals.before_active);
        out.u64(totals.lost);
        out.u64(totals.rejects.len() as u64);
        totals.rejects.iter().for_each(|&n| out.u64(n));
        out.u64(self.unplaced_rejects);
        out.u64(u64::from(self.gap));
        out.u64(self.open.len() as u64);
        self.open.values().for_each(|pane| pane.encode(out));
        self.open.values().for_each(|pane| pane.encode_sample(out));
        self.repeats.encode(out);
        encode_lineage(self.lineage, out);
    }

    /// Reads what `encode` wrote, or an earlier release that took no sample or knew of no lineage. `input`
    /// is this state and nothing else. A state of other rules keeps its position and its watermark, but not
    /// its panes: what they hold cannot be mixed with what will be counted from here on.
    pub fn decode(input: &mut Reader<'_>, rules: &Rules) -> Result<Self, Truncated> {
        let lineage = decode_lineage(input);
        let found = input.u64()?;
        let mut state = Self::new(rules, input.i64()?);
        state.lineage = lineage;
        state.watermark = Watermark::decode(input)?;
        let first_known = input.u64()? != 0;
        let first = input.i64()?;
        let totals = &mut state.totals;
        totals.records = input.u64()?;
        totals.late = input.u64()?;
        totals.before_active = input.u64()?;
        totals.lost = input.u64()?;
        let n_reasons = input.len_at_most(64)?;
        for reason in 0..n_reasons {
            let n = input.u64()?;
            if let Some(slot) = totals.rejects.get_mut(reason) {
                *slot = n;
            }
        }
        let unplaced = input.u64()?;
        state.gap = input.u64()? != 0;
        if found != rules.hash {
            return Ok(state);
        }
        state.first_pane_ms = first_known.then_some(first);
        state.unplaced_rejects = unplaced;
        let shape = rules.shape();
        for _ in 0..input.u64()? {
            let pane = Pane::decode(input, &shape)?;
            state.open.insert(pane.start_ms, pane);
        }
        if !input.is_empty() {
            for pane in state.open.values_mut() {
                pane.decode_sample(input)?;
            }
            state.repeats = Repeats::decode(input)?;
        }
        Ok(state)
    }
}

fn encode_lineage(lineage: Lineage, out: &mut Writer) {
    out.raw(&lineage.topic.map_or([0; 16], |TopicId(id)| id));
    out.raw(&lineage.leader_epoch.unwrap_or(NO_EPOCH).to_le_bytes());
    out.raw(&lineage.breaks.to_le_bytes());
    out.raw(&LINEAGE);
}

/// Nothing is known of the log that an earlier release has read.
fn decode_lineage(input: &mut Reader<'_>) -> Lineage {
    let mut read = || {
        let bytes: &[u8; LINEAGE_BYTES] = input.ending(&LINEAGE)?;
        let (id, rest) = bytes.split_first_chunk()?;
        let (&epoch, rest) = rest.split_first_chunk()?;
        let (&breaks, _) = rest.split_first_chunk()?;
        Some(Lineage {
            topic: TopicId::known(*id),
            leader_epoch: Some(i32::from_le_bytes(epoch)).filter(|&epoch| epoch != NO_EPOCH),
            breaks: u32::from_le_bytes(breaks),
        })
    };
    read().unwrap_or_default()
}
