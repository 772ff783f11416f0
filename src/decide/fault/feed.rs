//! The feed as a whole: records that come again, which a producer sends twice.
//!
//! Nothing but the feed itself tells which share of its records is usually like an earlier one: few
//! distinct records without an id or a time repeat by nature, or at one hour of the day. So this is only
//! asked of a feed whose records have differed for a day, and what it is expected to repeat is what it has
//! repeated.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::decide::fault::BLOCK;
use crate::decide::fault::FaultKind;
use crate::decide::fault::Finding;
use crate::decide::fault::LOOK;
use crate::decide::fault::UNUSABLE;
use crate::decide::fault::share;
use crate::decide::fault::share::Part;
use crate::decide::fault::track::Step;
use crate::decide::fault::track::Times;
use crate::decide::fault::track::Track;

/// A feed that repeats more than this share of its records does so by nature, and is not judged.
const USUAL: f64 = 0.01;
/// Records come in bunches: so many are worth one that is independent.
const DESIGN_EFFECT: f64 = 4.0;
/// Records after which what was seen before is worth half: what a feed did a year ago says little.
const REMEMBERED: u64 = 1 << 16;

/// Event time after which every hour of the day is known.
const KNOWN_MS: i64 = 86_400_000;

/// What is known of the repeats of a feed. All of it is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Feed {
    pub(super) track: Track,
    look: Part,
    look_from_ms: Option<i64>,
    /// Start of the look before.
    before_ms: Option<i64>,
    /// What single looks are too small to show.
    block: Part,
    /// What blocks without a fault have held, and since when.
    past: Part,
    past_from_ms: Option<i64>,
}

impl Feed {
    /// Takes in a pane, `[start_ms, end_ms)`: `sampled.n` of its records were looked at, and `sampled.k` of
    /// them had come before.
    pub(super) fn push(&mut self, sampled: Part, start_ms: i64, end_ms: i64, nats: f64) -> Step {
        if self.block.n == 0 {
            self.track.block_from_ms = start_ms;
        }
        self.look = sum(self.look, sampled);
        self.block = sum(self.block, sampled);
        let from_ms = *self.look_from_ms.get_or_insert(start_ms);
        let known_ms = start_ms - *self.past_from_ms.get_or_insert(start_ms);
        if self.look.n < LOOK {
            return Step::Nothing;
        }
        let times =
            Times { start_ms: from_ms, end_ms, before_ms: self.before_ms.unwrap_or(from_ms) };
        let look = std::mem::take(&mut self.look);
        (self.look_from_ms, self.before_ms) = (None, Some(from_ms));
        let nats = if known_ms < KNOWN_MS { f64::INFINITY } else { nats };
        let of_look = self.examine(look, nats).map(|finding| (finding, from_ms));
        // A share of the whole block is told of the block; single looks say when it is over.
        let is_new = self.track.active.is_none();
        let finding = of_look.or_else(|| {
            let of_block = self.examine(self.block, nats).filter(|_| is_new)?;
            Some((of_block, self.track.block_from_ms))
        });
        if finding.is_some() || !is_new {
            self.block = Part::default();
        } else if self.block.n >= BLOCK {
            self.remember();
        }
        self.track.follow(finding, times, &|_: &Finding| (Some(look), DESIGN_EFFECT))
    }

    fn remember(&mut self) {
        self.past = sum(self.past, std::mem::take(&mut self.block));
        if self.past.n > REMEMBERED {
            self.past = Part { k: self.past.k / 2, n: self.past.n / 2 };
        }
    }

    /// A feed that repeats more and more, because more and more of it is remembered, has repeated at most
    /// 3 % after as many records again as were free of it but for 1 %: so the past holds at least as much.
    fn examine(&self, sampled: Part, nats: f64) -> Option<Finding> {
        let is_known = self.past.n >= BLOCK.max(sampled.n) && self.past.share() <= USUAL;
        let (share, expected) = (sampled.share(), self.past.share());
        let certain = share::evidence(sampled, self.past, DESIGN_EFFECT) > nats;
        (is_known && certain && share - expected >= UNUSABLE).then_some(Finding {
            kind: FaultKind::Duplicates,
            records: sampled.n,
            share,
            expected,
            number: None,
        })
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        self.track.encode(out);
        for part in [self.look, self.block, self.past] {
            out.u64(part.k);
            out.u64(part.n);
        }
        for ms in [self.look_from_ms, self.before_ms, self.past_from_ms] {
            out.u64(u64::from(ms.is_some()));
            out.i64(ms.unwrap_or_default());
        }
    }

    pub(super) fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let track = Track::decode(input)?;
        let mut part = || Ok::<Part, Truncated>(Part { k: input.u64()?, n: input.u64()? });
        let (look, block, past) = (part()?, part()?, part()?);
        let mut ms = || -> Result<Option<i64>, Truncated> {
            let is_some = input.u64()? != 0;
            let ms = input.i64()?;
            Ok(is_some.then_some(ms))
        };
        let (look_from_ms, before_ms, past_from_ms) = (ms()?, ms()?, ms()?);
        Ok(Self { track, look, look_from_ms, before_ms, block, past, past_from_ms })
    }
}

/// Saturating: what was stored may be rubbish.
fn sum(a: Part, b: Part) -> Part {
    Part { k: a.k.saturating_add(b.k), n: a.n.saturating_add(b.n) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fault::nats;

    const PANE: i64 = 300_000;

    struct Told {
        feed: Feed,
        pane: i64,
        began: Vec<(i64, i64)>,
        ended: Vec<(i64, i64)>,
    }

    impl Told {
        fn new() -> Self {
            Self { feed: Feed::default(), pane: 0, began: Vec::new(), ended: Vec::new() }
        }

        /// So many panes with `k` repeats of `n` records; stored and read back between them.
        fn send(&mut self, panes: i64, k: u64, n: u64) {
            for _ in 0..panes {
                let start = self.pane * PANE;
                match self.feed.push(Part { k, n }, start, start + PANE, nats(20)) {
                    Step::Nothing => {}
                    Step::Began(from_ms) => self.began.push((self.pane, from_ms / PANE)),
                    Step::Ended { to_ms, .. } => self.ended.push((self.pane, to_ms / PANE)),
                }
                self.pane += 1;
                let mut out = Writer::default();
                self.feed.encode(&mut out);
                self.feed = Feed::decode(&mut Reader::new(&out.into_bytes())).unwrap();
            }
        }
    }

    #[test]
    fn a_producer_that_sends_everything_twice_is_found_and_its_end_too() {
        let mut told = Told::new();
        told.send(290, 0, 100);
        told.send(10, 50, 100);
        // The look before may hold the beginning.
        assert_eq!(told.began, [(290, 289)]);
        let finding = told.feed.track.active.as_ref().unwrap().finding;
        assert_eq!((finding.share, finding.expected), (0.5, 0.0));
        told.send(5, 0, 100);
        assert_eq!(told.ended, [(301, 301)]);
        let withheld: Vec<i64> =
            (0..told.pane).filter(|pane| told.feed.track.is_withheld(pane * PANE)).collect();
        assert_eq!(withheld, (289..301).collect::<Vec<_>>());
    }

    #[test]
    fn a_tenth_that_comes_again_is_found_over_a_thousand_records() {
        let mut told = Told::new();
        told.send(300, 0, 30);
        told.send(40, 3, 30);
        assert_eq!(told.began.len(), 1);
        assert!(told.began[0].0 < 340, "{:?}", told.began);
    }

    #[test]
    fn a_thin_sample_is_looked_at_together() {
        let mut told = Told::new();
        told.send(300, 0, 4);
        told.send(60, 2, 4);
        assert_eq!(told.began.len(), 1);
        assert!(told.began[0].0 < 330, "{:?}", told.began);
    }

    #[test]
    fn records_that_repeat_by_nature_are_no_fault() {
        // Of few distinct records: from the first on, more and more, or by the hour.
        let mut few = Told::new();
        few.send(300, 90, 100);
        few.send(300, 99, 100);
        assert_eq!(few.began, []);
        // As many as 1 - (1 - 1/D)^n of what was sent before, for any D.
        for distinct in [1e3, 1e4, 1e5, 3e5, 1e6] {
            let mut more = Told::new();
            let mut sent = 0.0_f64;
            for _ in 0..2000 {
                let share = 1.0 - (-(sent + 250.0) / distinct).exp();
                let repeats = (0..500).filter(|record| f64::from(*record) < 500.0 * share);
                more.send(1, repeats.count() as u64, 500);
                sent += 500.0;
            }
            assert_eq!(more.began, [], "{distinct} distinct records");
        }
        let mut hourly = Told::new();
        for _ in 0..60 {
            hourly.send(11, 0, 100);
            hourly.send(1, 60, 100);
        }
        assert_eq!(hourly.began, []);
    }

    #[test]
    fn nothing_is_said_of_a_feed_that_is_not_known_yet() {
        let mut told = Told::new();
        told.send(100, 0, 100);
        told.send(400, 50, 100);
        assert_eq!(told.began, []);
        let mut thin = Told::new();
        thin.send(300, 0, 3);
        thin.send(300, 3, 3);
        assert_eq!(thin.began, []);
    }
}
