//! How long records lie in a partition's log before they are read, by the clock of this process.

use std::time::Duration;

use tokio::time::Instant;

/// The way to where the log ended at some moment: how long it takes is how far reading is behind. That
/// needs no time stamps, which may be of another day by nature.
pub(super) struct Behind {
    mark: i64,
    /// When the log ended there.
    since: Instant,
    /// How long the way to the mark before took.
    took: Duration,
    next_offset: i64,
    caught_up: bool,
}

impl Behind {
    pub(super) fn new(next_offset: i64, high: i64, now: Instant) -> Self {
        let caught_up = next_offset >= high;
        Self { mark: high, since: now, took: Duration::ZERO, next_offset, caught_up }
    }

    /// It has been read up to `next_offset`; the log ends at `high`, which is lower than before where it
    /// has begun anew.
    pub(super) fn reads(&mut self, next_offset: i64, high: i64, caught_up: bool, now: Instant) {
        if caught_up || next_offset >= self.mark || high < self.mark {
            self.took = if caught_up { Duration::ZERO } else { now.duration_since(self.since) };
            (self.mark, self.since) = (high, now);
        }
        (self.next_offset, self.caught_up) = (next_offset, caught_up);
    }

    /// How long the next record has lain there, at least.
    pub(super) fn for_how_long(&self, now: Instant) -> Duration {
        if self.caught_up {
            return Duration::ZERO;
        }
        now.duration_since(self.since).max(self.took)
    }

    /// Records that are known to be unread.
    pub(super) fn records(&self) -> u64 {
        self.mark.saturating_sub(self.next_offset).max(0).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_who_keeps_up_is_not_behind_however_fast_it_comes() {
        let mut now = Instant::now();
        let mut behind = Behind::new(0, 0, now);
        for second in 1..1000 {
            now += SECOND;
            // Never at the end, and always where it was a second ago.
            behind.reads(1000 * second, 1000 * second + 999, false, now);
            assert!(behind.for_how_long(now) <= SECOND);
        }
    }

    #[test]
    fn one_who_is_slower_than_its_log_falls_behind_and_a_standstill_is_seen() {
        let start = Instant::now();
        let mut behind = Behind::new(0, 100_000, start);
        let at = |second: u32| start + second * SECOND;
        for second in 1..=600 {
            behind.reads(
                i64::from(second) * 500,
                100_000 + i64::from(second) * 1000,
                false,
                at(second),
            );
        }
        // What is read at 600 s came at 200 s.
        let told = behind.for_how_long(at(600));
        assert!(told >= 200 * SECOND && told <= 400 * SECOND, "{told:?}");
        assert!(behind.records() > 0);
        assert!(behind.for_how_long(at(1600)) >= 1000 * SECOND);
        // The end is reached; a day without records is no lag.
        behind.reads(700_000, 700_000, true, at(1601));
        assert_eq!(behind.for_how_long(at(88_000)), Duration::ZERO);
        assert_eq!(behind.records(), 0);
    }

    #[test]
    fn a_log_that_begins_anew_is_not_waited_for() {
        let start = Instant::now();
        let mut behind = Behind::new(50, 1_000_000, start);
        behind.reads(3, 10, false, start + SECOND);
        assert_eq!(behind.records(), 7);
        behind.reads(10, 10, true, start + 2 * SECOND);
        assert_eq!(behind.for_how_long(start + 90 * SECOND), Duration::ZERO);
    }
}
