//! How far event time has come in one partition, and which records may move it.
//!
//! All rules read the log only: no clock and no other partition, so a replay decides the same.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;

/// A record later than its own Kafka time stamp by more than this is refused.
pub const FUTURE_MS: i64 = 5 * 60 * 1000;
/// Event times further apart than this do not support each other.
pub const JUMP_MS: i64 = 7 * 24 * 3600 * 1000;
/// Records that must agree before a time that nothing else supports is believed.
pub const SUPPORT: u8 = 8;

/// What to do with a record of a given event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Accept,
    /// Later than its own Kafka time stamp allows.
    Future,
    /// Too far from the other records, without support.
    TimeJump,
    /// Accepted, and what was believed before it was not true: fewer than eight records said so, and
    /// eight in a row tell of these times. Open panes of others go.
    Reset {
        lowest_ms: i64,
        highest_ms: i64,
    },
}

/// An event time, as far as a clock that says `now_ms` bears it out.
pub fn believable(event_ms: i64, now_ms: i64) -> i64 {
    event_ms.min(now_ms.saturating_add(FUTURE_MS))
}

/// The highest supported event time, and what supports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    highest_ms: Option<i64>,
    /// Records that lie within `JUMP_MS` of the watermark, up to `SUPPORT`.
    support: u8,
    run: Option<Run>,
}

/// Records in a row that agree with each other, but not with the watermark.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    lowest_ms: i64,
    highest_ms: i64,
    length: u8,
}

impl Watermark {
    /// The watermark once enough records support it; nothing closes before.
    #[inline]
    pub fn get(&self) -> Option<i64> {
        self.highest_ms.filter(|_| self.support >= SUPPORT)
    }

    /// The highest event time seen, supported or not.
    pub fn highest(&self) -> Option<i64> {
        self.highest_ms
    }

    /// Judges the next record of the partition and moves the watermark if it may.
    #[inline]
    pub fn observe(&mut self, event_ms: i64, kafka_ms: i64) -> Judgement {
        if event_ms > kafka_ms.saturating_add(FUTURE_MS) {
            return Judgement::Future;
        }
        let Some(highest) = self.highest_ms else {
            self.highest_ms = Some(event_ms);
            self.support = 1;
            return Judgement::Accept;
        };
        let forward = event_ms > highest.saturating_add(JUMP_MS);
        let backward = event_ms < highest.saturating_sub(JUMP_MS) && self.support < SUPPORT;
        if forward || backward {
            return self.extend_run(event_ms);
        }
        self.run = None;
        // A late record far behind a supported watermark says nothing about it.
        if event_ms >= highest.saturating_sub(JUMP_MS) {
            self.support = self.support.saturating_add(1).min(SUPPORT);
        }
        self.highest_ms = Some(highest.max(event_ms));
        Judgement::Accept
    }

    fn extend_run(&mut self, event_ms: i64) -> Judgement {
        let mut run = Run { lowest_ms: event_ms, highest_ms: event_ms, length: 1 };
        if let Some(before) = &self.run {
            let lowest_ms = before.lowest_ms.min(event_ms);
            let highest_ms = before.highest_ms.max(event_ms);
            if highest_ms.saturating_sub(lowest_ms) <= JUMP_MS {
                run = Run { lowest_ms, highest_ms, length: before.length + 1 };
            }
        }
        if run.length < SUPPORT {
            self.run = Some(run);
            return Judgement::TimeJump;
        }
        let Run { lowest_ms, highest_ms, .. } = run;
        let supported = self.support >= SUPPORT;
        self.highest_ms = Some(highest_ms);
        self.support = SUPPORT;
        self.run = None;
        if supported { Judgement::Accept } else { Judgement::Reset { lowest_ms, highest_ms } }
    }

    pub fn encode(&self, out: &mut Writer) {
        out.u64(u64::from(self.highest_ms.is_some()));
        out.i64(self.highest_ms.unwrap_or(0));
        out.u64(u64::from(self.support));
        let run = self.run.clone().unwrap_or(Run { lowest_ms: 0, highest_ms: 0, length: 0 });
        out.u64(u64::from(run.length));
        out.i64(run.lowest_ms);
        out.i64(run.highest_ms);
    }

    pub fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let known = input.u64()? != 0;
        let highest_ms = input.i64()?;
        let support = u8::try_from(input.u64()?).map_err(|_| Truncated)?;
        let length = u8::try_from(input.u64()?).map_err(|_| Truncated)?;
        let (lowest, highest) = (input.i64()?, input.i64()?);
        // A run of so many would have been believed.
        if support > SUPPORT || length >= SUPPORT {
            return Err(Truncated);
        }
        let run = (length > 0).then_some(Run { lowest_ms: lowest, highest_ms: highest, length });
        Ok(Self { highest_ms: known.then_some(highest_ms), support, run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;
    const NOW: i64 = 20_000 * DAY;

    fn feed(watermark: &mut Watermark, times: &[i64]) -> Vec<Judgement> {
        times.iter().map(|&t| watermark.observe(t, i64::MAX)).collect()
    }

    fn settled() -> Watermark {
        let mut watermark = Watermark::default();
        feed(&mut watermark, &[NOW; 8]);
        watermark
    }

    #[test]
    fn nothing_closes_before_eight_records_agree() {
        let mut watermark = Watermark::default();
        feed(&mut watermark, &[NOW; 7]);
        assert_eq!(watermark.get(), None);
        feed(&mut watermark, &[NOW + 5]);
        assert_eq!(watermark.get(), Some(NOW + 5));
    }

    #[test]
    fn a_record_later_than_its_kafka_time_is_refused() {
        let mut watermark = settled();
        assert_eq!(watermark.observe(NOW + FUTURE_MS + 1, NOW), Judgement::Future);
        assert_eq!(watermark.observe(NOW + FUTURE_MS, NOW), Judgement::Accept);
    }

    #[test]
    fn one_liar_cannot_poison_a_partition() {
        let mut watermark = settled();
        assert_eq!(feed(&mut watermark, &[NOW + 30 * DAY]), [Judgement::TimeJump]);
        assert_eq!(feed(&mut watermark, &[NOW + 1]), [Judgement::Accept]);
        assert_eq!(watermark.get(), Some(NOW + 1));
        // Seven liars, one honest record, seven liars: never eight in a row.
        feed(&mut watermark, &[NOW + 30 * DAY; 7]);
        feed(&mut watermark, &[NOW + 2]);
        feed(&mut watermark, &[NOW + 30 * DAY; 7]);
        assert_eq!(watermark.get(), Some(NOW + 2));
    }

    #[test]
    fn eight_in_a_row_that_agree_are_believed() {
        let mut watermark = settled();
        let judged = feed(&mut watermark, &[NOW + 30 * DAY; 8]);
        assert_eq!(judged[..7], [Judgement::TimeJump; 7]);
        assert_eq!(judged[7], Judgement::Accept);
        assert_eq!(watermark.get(), Some(NOW + 30 * DAY));
    }

    #[test]
    fn a_first_liar_is_forgotten_whether_it_is_ahead_or_behind() {
        for liar in [NOW + 400 * DAY, NOW - 9000 * DAY] {
            let mut watermark = Watermark::default();
            feed(&mut watermark, &[liar]);
            let judged = feed(&mut watermark, &[NOW, NOW + 4, NOW, NOW, NOW, NOW, NOW, NOW + 1]);
            assert_eq!(judged[..7], [Judgement::TimeJump; 7]);
            let (lowest_ms, highest_ms) = (NOW, NOW + 4);
            assert_eq!(judged[7], Judgement::Reset { lowest_ms, highest_ms });
            assert_eq!(watermark.get(), Some(NOW + 4));
        }
    }

    #[test]
    fn a_time_is_believed_as_far_as_the_clock_bears_it_out() {
        assert_eq!(believable(NOW - DAY, NOW), NOW - DAY);
        assert_eq!(believable(NOW + 3650 * DAY, NOW), NOW + FUTURE_MS);
    }

    #[test]
    fn the_state_comes_back() {
        let mut watermark = settled();
        feed(&mut watermark, &[NOW + 30 * DAY; 3]);
        let mut out = Writer::default();
        watermark.encode(&mut out);
        let bytes = out.into_bytes();
        assert_eq!(Watermark::decode(&mut Reader::new(&bytes)), Ok(watermark));
    }

    #[test]
    fn a_state_that_no_record_leads_to_is_refused() {
        for (support, length) in [(SUPPORT + 1, 0), (0, SUPPORT), (0, u8::MAX)] {
            let run = Some(Run { lowest_ms: NOW, highest_ms: NOW, length });
            let mut out = Writer::default();
            Watermark { highest_ms: Some(NOW), support, run }.encode(&mut out);
            let bytes = out.into_bytes();
            assert_eq!(Watermark::decode(&mut Reader::new(&bytes)), Err(Truncated));
        }
    }
}
