//! A batch that cannot be decompressed or fails its checksum: librdkafka stands before it for ever, so
//! its end is searched by reading from later offsets.

/// Where the search stands: nothing can be read from `bad`, something from `good`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The first offset that was not read.
    pub(crate) from: i64,
    bad: i64,
    good: Option<i64>,
    step: i64,
}

impl Hole {
    pub(crate) fn new(from: i64) -> Self {
        Self { from, bad: from, good: None, step: 1 }
    }

    /// Nothing can be read from `at`; where to try next. What comes at `high`, the end of the log, can be
    /// read until it is known better. Steps double until something can, so that only this batch is
    /// passed over, and not a good one before another that is bad.
    pub(crate) fn failed(&mut self, at: i64, high: i64) -> i64 {
        self.bad = self.bad.max(at);
        if self.good.is_some_and(|good| good <= self.bad) {
            (self.good, self.step) = (None, 1);
        }
        if self.good.is_none() {
            let next = self.bad.saturating_add(self.step);
            self.step = self.step.saturating_mul(2);
            if next < high {
                return next;
            }
            self.good = Some(high.max(self.bad + 1));
        }
        self.between()
    }

    /// Something can be read from `at`: `None` if that is right behind what cannot, else where to try
    /// next.
    pub(crate) fn worked(&mut self, at: i64) -> Option<i64> {
        if at <= self.bad + 1 {
            return None;
        }
        self.good = Some(at);
        Some(self.between())
    }

    fn between(&self) -> i64 {
        let good = self.good.unwrap_or(self.bad + 1);
        self.bad + ((good - self.bad) / 2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where reading goes on, and how often was tried, in a log whose offsets `bad` cannot be read.
    fn search(from: i64, bad: &[std::ops::Range<i64>], high: i64) -> (i64, usize) {
        let mut hole = Hole::new(from);
        let is_bad = |at: i64| bad.iter().any(|range| range.contains(&at));
        let mut at = from;
        for tried in 0..200 {
            assert!((from..=high).contains(&at), "{at}");
            if is_bad(at) {
                at = hole.failed(at, high);
            } else {
                match hole.worked(at) {
                    None => return (at, tried),
                    Some(next) => at = next,
                }
            }
        }
        panic!("{hole:?}")
    }

    #[test]
    fn the_end_of_a_batch_is_found_in_a_few_steps() {
        for length in [1, 2, 3, 5, 64, 1000, 4096, 99_999] {
            for high in [100 + length, 101 + length, 150 + length, 10_000_000] {
                let (end, tried) = search(100, std::slice::from_ref(&(100..100 + length)), high);
                assert_eq!(end, 100 + length, "of {length} before {high}");
                assert!(tried < 40, "{tried} for {length} before {high}");
            }
        }
    }

    #[test]
    fn it_begins_in_the_middle_of_a_batch_after_a_restart() {
        assert_eq!(search(107, std::slice::from_ref(&(100..110)), 500).0, 110);
    }

    #[test]
    fn what_came_at_the_end_meanwhile_may_be_bad_too() {
        let mut hole = Hole::new(10);
        assert_eq!(hole.failed(10, 11), 11);
        assert_eq!(hole.failed(11, 15), 12);
        assert_eq!(hole.worked(12), None);
    }
}
