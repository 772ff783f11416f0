//! Which records have come before: a sample of what the last day or two brought, chosen by the records
//! themselves, so that every copy of one is in it or none.

use std::collections::BTreeSet;

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;

/// Fingerprints that are remembered at most; of a faster feed a smaller share is.
const MOST: usize = 4096;
/// Event time that a generation takes in; the one before it is remembered, too.
const GENERATION_MS: i64 = 86_400_000;
/// Bits of a fingerprint that may have to be zero for it to be in the sample.
const LEVEL_MAX: u32 = 40;

/// The sample: fingerprints that end in `level` zeros. Once more are remembered than `MOST`, one zero more
/// is asked; the level falls with a new generation, when few are left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Repeats {
    level: u32,
    generation: i64,
    now: BTreeSet<u64>,
    before: BTreeSet<u64>,
}

impl Repeats {
    /// Bytes that it takes at most: a tree's nodes are at least half full.
    pub(super) const BYTES_MAX: u64 = 4 * 8 * MOST as u64;

    /// Whether a record is in the sample.
    #[inline]
    pub(super) fn samples(&self, fingerprint: u64) -> bool {
        fingerprint.trailing_zeros() >= self.level
    }

    /// Notes a record of the sample, at a watermark of `watermark_ms`; whether it has come before.
    pub(super) fn note(&mut self, fingerprint: u64, watermark_ms: i64) -> bool {
        self.turn(watermark_ms.div_euclid(GENERATION_MS));
        if self.before.contains(&fingerprint) || !self.now.insert(fingerprint) {
            return true;
        }
        while self.now.len() + self.before.len() > MOST && self.level < LEVEL_MAX {
            self.level += 1;
            let level = self.level;
            let keep = |fingerprint: &u64| fingerprint.trailing_zeros() >= level;
            self.now.retain(keep);
            self.before.retain(keep);
        }
        false
    }

    /// Only the generation before is worth keeping; a watermark that was set back begins anew.
    fn turn(&mut self, generation: i64) {
        if generation == self.generation {
            return;
        }
        let ended = std::mem::take(&mut self.now);
        self.before = if generation == self.generation + 1 { ended } else { BTreeSet::new() };
        self.generation = generation;
        // As many will come as in the generation before.
        let mut expected = self.before.len().max(1);
        while self.level > 0 && expected < MOST / 8 {
            self.level -= 1;
            expected *= 2;
        }
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.u64(u64::from(self.level));
        out.i64(self.generation);
        for generation in [&self.now, &self.before] {
            out.u64(generation.len() as u64);
            let mut last = 0;
            for &fingerprint in generation {
                out.u64(fingerprint - last);
                last = fingerprint;
            }
        }
    }

    pub(super) fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let level = u32::try_from(input.len_at_most(LEVEL_MAX as usize)?).map_err(|_| Truncated)?;
        let generation = input.i64()?;
        let mut read = || -> Result<BTreeSet<u64>, Truncated> {
            let mut last = 0u64;
            let mut next = |step: u64| {
                last = last.checked_add(step).ok_or(Truncated)?;
                Ok(last)
            };
            (0..input.len_at_most(MOST)?).map(|_| next(input.u64()?)).collect()
        };
        let (now, before) = (read()?, read()?);
        Ok(Self { level, generation, now, before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fingerprint;

    fn fingerprints(records: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        records.map(|record| fingerprint::of_bytes(&record.to_le_bytes()))
    }

    /// (sampled, repeated) of records that come at `watermark_ms`.
    fn send(repeats: &mut Repeats, records: std::ops::Range<u64>, watermark_ms: i64) -> (u64, u64) {
        let (mut sampled, mut repeated) = (0, 0);
        for fingerprint in fingerprints(records) {
            if repeats.samples(fingerprint) {
                sampled += 1;
                repeated += u64::from(repeats.note(fingerprint, watermark_ms));
            }
        }
        (sampled, repeated)
    }

    #[test]
    fn a_slow_feed_is_remembered_whole_and_a_fast_one_by_a_sample() {
        let mut slow = Repeats::default();
        assert_eq!(send(&mut slow, 0..2000, 0), (2000, 0));
        assert_eq!(send(&mut slow, 0..2000, 1), (2000, 2000));
        let mut fast = Repeats::default();
        let (_, repeated) = send(&mut fast, 0..500_000, 0);
        assert_eq!(repeated, 0);
        assert!(fast.now.len() <= MOST && fast.now.len() > MOST / 4, "{}", fast.now.len());
        // Every copy of a record of the sample is known, and no other record is taken for one.
        let (sampled, repeated) = send(&mut fast, 0..500_000, 1);
        assert!(sampled == repeated && sampled > MOST as u64 / 4, "{sampled}");
        let (_, repeated) = send(&mut fast, 500_000..900_000, 2);
        assert_eq!(repeated, 0);
    }

    #[test]
    fn what_came_the_day_before_is_remembered_and_what_came_earlier_is_not() {
        let mut repeats = Repeats::default();
        send(&mut repeats, 0..100, GENERATION_MS / 2);
        assert_eq!(send(&mut repeats, 0..50, GENERATION_MS), (50, 50));
        send(&mut repeats, 100..101, 2 * GENERATION_MS);
        assert_eq!(send(&mut repeats, 50..100, 2 * GENERATION_MS), (50, 0));
        // A watermark that a liar had set is set back.
        send(&mut repeats, 200..201, 9 * GENERATION_MS);
        assert_eq!(send(&mut repeats, 50..100, 2 * GENERATION_MS), (50, 0));
    }

    #[test]
    fn a_feed_that_has_become_slow_is_remembered_whole_again() {
        let mut repeats = Repeats::default();
        send(&mut repeats, 0..500_000, 0);
        assert!(repeats.level > 4);
        for day in 1..20 {
            let first = 1_000_000 + 100 * day;
            send(&mut repeats, first..first + 100, i64::try_from(day).unwrap() * GENERATION_MS);
        }
        assert_eq!(repeats.level, 0);
    }

    #[test]
    fn it_comes_back_whole_and_never_from_rubbish() {
        let mut repeats = Repeats::default();
        send(&mut repeats, 0..20_000, 5 * GENERATION_MS);
        send(&mut repeats, 20_000..21_000, 6 * GENERATION_MS);
        let mut out = Writer::default();
        repeats.encode(&mut out);
        let bytes = out.into_bytes();
        assert_eq!(Repeats::decode(&mut Reader::new(&bytes)), Ok(repeats));
        assert!(bytes.len() < 9 * MOST);
        for end in (0..bytes.len()).step_by(97) {
            assert_eq!(Repeats::decode(&mut Reader::new(&bytes[..end])), Err(Truncated));
        }
    }
}
