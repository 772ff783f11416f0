//! A disjoint slice of event time: open in a partition, on its way as a partial, closed in the ring.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::decode::strangers::Strangers;
use crate::histogram::Counts;
use crate::offsets::TopicPartition;

/// What one partition, or all of them together, had in one pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pane {
    pub start_ms: i64,
    /// Rows that were counted.
    pub records: u64,
    /// Records that could not be used while the watermark stood in this pane.
    pub rejects: u64,
    /// Records are known to be lost here: retention overtook us, or a batch could not be decoded.
    pub gap: bool,
    /// Records that were looked at for whether they had come before, and those that had.
    pub sampled: u64,
    pub repeated: u64,
    /// Names that some records had and the model does not know; of a sample.
    pub strangers: Strangers,
    /// One per feature, in the model's order.
    pub features: Vec<Counts>,
}

impl Pane {
    /// An empty pane; `cells[i]` is the number of cells of feature `i`.
    pub fn empty(start_ms: i64, cells: &[usize]) -> Self {
        let features = cells.iter().map(|&n| Counts::zero(n)).collect();
        Self {
            start_ms,
            records: 0,
            rejects: 0,
            gap: false,
            sampled: 0,
            repeated: 0,
            strangers: Strangers::default(),
            features,
        }
    }

    /// Nothing was counted, rejected or lost here.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.rejects == 0 && !self.gap
    }

    /// Adds what another partition had in the same pane.
    pub fn add(&mut self, other: &Pane) {
        self.records += other.records;
        self.rejects += other.rejects;
        self.gap |= other.gap;
        self.sampled += other.sampled;
        self.repeated += other.repeated;
        self.strangers.add(&other.strangers);
        for (mine, theirs) in self.features.iter_mut().zip(&other.features) {
            mine.add(theirs);
        }
    }

    /// Writes all but the sample, which older releases don't know: whoever holds a pane writes it behind
    /// everything else.
    pub fn encode(&self, out: &mut Writer) {
        out.i64(self.start_ms);
        out.u64(self.records);
        out.u64(self.rejects);
        out.u64(u64::from(self.gap));
        out.u64(self.features.len() as u64);
        for counts in &self.features {
            counts.encode(out);
        }
    }

    /// Reads what `encode` wrote for features with these numbers of cells; anything else is refused.
    pub fn decode(input: &mut Reader<'_>, cells: &[usize]) -> Result<Self, Truncated> {
        let start_ms = input.i64()?;
        let (records, rejects, gap) = (input.u64()?, input.u64()?, input.u64()? != 0);
        if input.u64()? != cells.len() as u64 {
            return Err(Truncated);
        }
        let features = decode_counts(input, cells)?;
        Ok(Self { records, rejects, gap, features, ..Self::empty(start_ms, &[]) })
    }

    pub(super) fn encode_sample(&self, out: &mut Writer) {
        out.u64(self.sampled);
        out.u64(self.repeated);
        self.strangers.encode(out);
    }

    pub(super) fn decode_sample(&mut self, input: &mut Reader<'_>) -> Result<(), Truncated> {
        (self.sampled, self.repeated) = (input.u64()?, input.u64()?);
        self.strangers = Strangers::decode(input)?;
        Ok(())
    }
}

fn decode_counts(input: &mut Reader<'_>, cells: &[usize]) -> Result<Vec<Counts>, Truncated> {
    let exact = |&n: &usize| {
        let counts = Counts::decode(input, n)?;
        if counts.cells.len() == n { Ok(counts) } else { Err(Truncated) }
    };
    cells.iter().map(exact).collect()
}

/// One partition's whole counts of one pane, never a difference: the value with the highest
/// `applied_through` wins, so repeats and two owners at once are harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    pub partition: TopicPartition,
    /// Counting rules that it was counted by; counts of other rules never mix.
    pub rules: u64,
    /// Every record of the partition below this has been applied: an offset, on a scale that goes on where
    /// the log breaks off (`PartitionState::applied_through`).
    pub applied_through: i64,
    pub pane: Pane,
}

impl Partial {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.str(&self.partition.topic);
        out.i64(i64::from(self.partition.partition));
        out.u64(self.rules);
        out.i64(self.applied_through);
        self.pane.encode(&mut out);
        self.pane.encode_sample(&mut out);
        out.into_bytes()
    }

    /// Reads a partial if it was counted by `rules`; `None` is one of other rules.
    pub fn decode(body: &[u8], rules: u64, cells: &[usize]) -> Result<Option<Self>, Truncated> {
        let mut input = Reader::new(body);
        let topic = input.str()?;
        let partition = i32::try_from(input.i64()?).map_err(|_| Truncated)?;
        let partition = TopicPartition::new(topic, partition);
        if input.u64()? != rules {
            return Ok(None);
        }
        let applied_through = input.i64()?;
        let mut pane = Pane::decode(&mut input, cells)?;
        if !input.is_empty() {
            pane.decode_sample(&mut input)?;
        }
        Ok(Some(Self { partition, rules, applied_through, pane }))
    }
}

/// A varint of so many bytes holds counts up to 2^21 - 1.
const COUNT_BYTES: u64 = 3;
/// Of a feature's counts, beside its cells: their number, nine counts and four sums. The sums of
/// 2^29 values of at most 2^46 have 76 bits, those of their squares 122.
const OTHER_BYTES: u64 = 2 + 9 * COUNT_BYTES + 3 * 11 + 18;

/// A pane that will not change any more, summed over all partitions.
///
/// Counts are kept encoded: a day of quiet panes is small, and readers decode what they show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedPane {
    pub start_ms: i64,
    pub records: u64,
    pub rejects: u64,
    /// Every partition had it, or was idle, and nothing was lost; else the window is incomplete.
    pub complete: bool,
    /// Records that were looked at for whether they had come before, and those that had.
    pub sampled: u64,
    pub repeated: u64,
    /// Names that some records had and the model does not know; of a sample.
    pub strangers: Strangers,
    /// Encoded counts, one after the other, in the order of the model's features.
    encoded: Box<[u8]>,
}

impl ClosedPane {
    pub fn new(pane: &Pane, complete: bool) -> Self {
        let mut out = Writer::default();
        for counts in &pane.features {
            counts.encode(&mut out);
        }
        Self {
            start_ms: pane.start_ms,
            records: pane.records,
            rejects: pane.rejects,
            complete: complete && !pane.gap,
            sampled: pane.sampled,
            repeated: pane.repeated,
            strangers: pane.strangers.clone(),
            encoded: out.into_bytes().into_boxed_slice(),
        }
    }

    /// Bytes that a feature of `cells` cells takes at most: three a cell and 80. It holds while no
    /// cell has more than 2 million values in one pane; beyond, a cell takes a fourth byte.
    pub fn bytes_max(cells: u64) -> u64 {
        cells * COUNT_BYTES + OTHER_BYTES
    }

    /// The counts of every feature, in the model's order; `cells[i]` is feature i's number of cells.
    pub fn counts(&self, cells: &[usize]) -> Result<Vec<Counts>, Truncated> {
        decode_counts(&mut Reader::new(&self.encoded), cells)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_not_larger_than_was_said(
            cells in proptest::collection::vec(prop_oneof![Just(0), 0..1u64 << 21], 1..480),
            other in 0..1u64 << 21,
            negative: bool,
        ) {
            let n = i128::from(cells.iter().sum::<u64>());
            let sum = if negative { -n << 46 } else { n << 46 };
            let counts = Counts {
                cells,
                missing: other,
                null: other,
                nan: other,
                pos_inf: other,
                neg_inf: other,
                type_error: other,
                below: other,
                above: other,
                unseen: other,
                sum,
                sum_squares: n << 92,
                low_sum: sum,
                high_sum: sum,
            };
            let max = ClosedPane::bytes_max(counts.cells.len() as u64);
            let pane = Pane { features: vec![counts], ..Pane::empty(0, &[]) };
            prop_assert!(ClosedPane::new(&pane, true).encoded.len() as u64 <= max);
        }
    }

    fn pane() -> Pane {
        let mut pane = Pane::empty(300_000, &[3, 2]);
        pane.records = 7;
        pane.rejects = 1;
        (pane.sampled, pane.repeated) = (5, 2);
        pane.strangers.note("id");
        pane.features[0].cells = vec![1, 0, 6];
        pane.features[1].unseen = 7;
        pane
    }

    #[test]
    fn a_partial_comes_back_whole() {
        let partial = Partial {
            partition: TopicPartition::new("t", 3),
            rules: 9,
            applied_through: 1234,
            pane: pane(),
        };
        let body = partial.encode();
        assert_eq!(Partial::decode(&body, 9, &[3, 2]), Ok(Some(partial)));
        assert_eq!(Partial::decode(&body, 8, &[3, 2]), Ok(None));
        assert_eq!(Partial::decode(&body, 9, &[3, 3]), Err(Truncated));
        let sample = body.len() - 6;
        for end in (0..body.len()).filter(|end| *end != sample) {
            assert!(!matches!(Partial::decode(&body[..end], 9, &[3, 2]), Ok(Some(_))));
        }
        // As releases wrote it that took no sample.
        let old = Partial::decode(&body[..sample], 9, &[3, 2]).unwrap().unwrap().pane;
        assert_eq!(
            old,
            Pane { sampled: 0, repeated: 0, strangers: Strangers::default(), ..pane() }
        );
    }

    #[test]
    fn a_gap_makes_a_pane_incomplete() {
        let mut pane = pane();
        assert!(ClosedPane::new(&pane, true).complete);
        assert!(!ClosedPane::new(&pane, false).complete);
        pane.gap = true;
        assert!(!ClosedPane::new(&pane, true).complete);
        assert_eq!(ClosedPane::new(&pane, true).counts(&[3, 2]).unwrap(), pane.features);
    }
}
