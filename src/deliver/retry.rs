//! When to try again: the schedule, its jitter, `Retry-After`, and when to give up.

use std::time::Duration;

use jiff::fmt::rfc2822;
use xxhash_rust::xxh3::xxh3_64;

use crate::setting::whole_ms;

/// How often and how long a delivery is tried. Every field is open, so that tests and the demo can
/// run the same code in less time.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Wait before each of the first attempts.
    pub steps: Vec<Duration>,
    /// Wait before every attempt after those.
    pub tail: Duration,
    /// Least wait after an answer that a person must act on, such as 401.
    pub slow: Duration,
    /// A wait is multiplied by something in `1 - jitter .. 1 + jitter`.
    pub jitter: f64,
    /// No attempt begins later than this after the first.
    pub max_age: Duration,
    /// What a server may ask for with `Retry-After`.
    pub retry_after: (Duration, Duration),
    /// So many failures in a row open the target's breaker.
    pub breaker_failures: u32,
    /// An open breaker lets one attempt through in this time.
    pub probe_interval: Duration,
    /// A run is asked after in the first of these times, then each time after twice as long, up to the second.
    pub ask: (Duration, Duration),
    /// A run that is not found is missed after so long.
    pub missing: Duration,
    /// A request begins at most so long after its attempt was written down; later it is written down again. So
    /// a process that slept in between sends nothing that another one is not waiting for.
    pub fence: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let steps = [0, 5, 30, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE];
        Self {
            steps: steps.map(Duration::from_secs).to_vec(),
            tail: Duration::from_secs(HOUR),
            slow: Duration::from_secs(15 * MINUTE),
            jitter: 0.5,
            max_age: Duration::from_secs(72 * HOUR),
            retry_after: (Duration::from_secs(1), Duration::from_secs(6 * HOUR)),
            breaker_failures: 5,
            probe_interval: Duration::from_secs(MINUTE),
            ask: (Duration::from_secs(10), Duration::from_secs(5 * MINUTE)),
            missing: Duration::from_secs(10 * MINUTE),
            fence: Duration::from_secs(10),
        }
    }
}

impl Schedule {
    /// The same schedule with every time that passes between attempts multiplied by `factor`.
    pub fn scaled(&self, factor: f64) -> Self {
        Self {
            steps: self.steps.iter().map(|step| step.mul_f64(factor)).collect(),
            tail: self.tail.mul_f64(factor),
            slow: self.slow.mul_f64(factor),
            max_age: self.max_age.mul_f64(factor),
            retry_after: (self.retry_after.0.mul_f64(factor), self.retry_after.1.mul_f64(factor)),
            probe_interval: self.probe_interval.mul_f64(factor),
            ask: (self.ask.0.mul_f64(factor), self.ask.1.mul_f64(factor)),
            missing: self.missing.mul_f64(factor),
            ..self.clone()
        }
    }
}

/// An attempt that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Attempts made, this one included.
    pub(crate) n: u32,
    pub(crate) first_ms: i64,
    pub(crate) now_ms: i64,
    /// Someone has to act before it can succeed.
    pub(crate) slow: bool,
    /// What the server asked for.
    pub(crate) retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again at this time, ms since the epoch.
    At(i64),
    GiveUp,
}

/// The time of the next attempt: `now + max(step(n) * (1 - j + 2 * j * jitter), retry_after)`, with
/// j of the schedule, and at least `slow` (with the same factor) after a slow failure.
///
/// `jitter` is in `0..1`. A server's wish makes the wait longer, never shorter: a receiver that
/// says "1 s" for three days must not be asked a quarter of a million times.
pub(crate) fn next_attempt(schedule: &Schedule, failure: &Failure, jitter: f64) -> Next {
    let made = usize::try_from(failure.n).unwrap_or(usize::MAX);
    let step = schedule.steps.get(made).copied().unwrap_or(schedule.tail);
    let step = if failure.slow { step.max(schedule.slow) } else { step };
    let factor = 1.0 - schedule.jitter + 2.0 * schedule.jitter * jitter;
    let (least, most) = schedule.retry_after;
    let asked = failure.retry_after.map_or(Duration::ZERO, |asked| asked.clamp(least, most));
    let wait = step.mul_f64(factor.max(0.0)).max(asked);
    let at = failure.now_ms.saturating_add(whole_ms(wait));
    let last = failure.first_ms.saturating_add(whole_ms(schedule.max_age));
    if at > last { Next::GiveUp } else { Next::At(at) }
}

/// In `0..1`, the same for the same attempt on every replica, and different between deliveries.
pub(crate) fn jitter_of(id: &str, n: u32) -> f64 {
    const BITS: u32 = 53;
    let hash = xxh3_64(format!("{id}/{n}").as_bytes());
    (hash >> (u64::BITS - BITS)) as f64 / (1u64 << BITS) as f64
}

/// `Retry-After` as seconds or as an HTTP date; `None` if it is neither.
pub(crate) fn parse_retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let wait = date.as_millisecond().saturating_sub(now_ms).max(0);
    Some(Duration::from_millis(wait.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: i64 = 1_700_000_000_000;
    const HOUR_MS: i64 = 3_600_000;

    fn failure(n: u32) -> Failure {
        Failure { n, first_ms: T0, now_ms: T0, slow: false, retry_after: None }
    }

    fn wait_ms(failure: &Failure, jitter: f64) -> Option<i64> {
        match next_attempt(&Schedule::default(), failure, jitter) {
            Next::At(at) => Some(at - failure.now_ms),
            Next::GiveUp => None,
        }
    }

    #[test]
    fn attempts_follow_the_schedule_and_then_come_hourly() {
        let waits: Vec<_> = (1..=9).map(|n| wait_ms(&failure(n), 0.5).unwrap() / 1000).collect();
        assert_eq!(waits, [5, 30, 120, 300, 900, 1800, 3600, 3600, 3600]);
    }

    #[test]
    fn jitter_is_half_of_the_wait_either_way() {
        assert_eq!(wait_ms(&failure(2), 0.0), Some(15_000));
        assert!(wait_ms(&failure(2), 1.0 - f64::EPSILON).unwrap() <= 45_000);
    }

    #[test]
    fn seventy_two_hours_after_the_first_attempt_it_gives_up() {
        let late = |hours: i64| Failure { now_ms: T0 + hours * HOUR_MS, ..failure(70) };
        assert_eq!(wait_ms(&late(70), 0.5), Some(HOUR_MS));
        assert_eq!(wait_ms(&late(72), 0.5), None);
        assert_eq!(wait_ms(&late(400), 0.0), None);
    }

    #[test]
    fn a_fault_that_needs_a_person_is_retried_slowly_from_the_start() {
        let slow = |n| Failure { slow: true, ..failure(n) };
        assert_eq!(wait_ms(&slow(1), 0.5), Some(900_000));
        assert_eq!(wait_ms(&slow(8), 0.5), Some(HOUR_MS));
    }

    #[test]
    fn retry_after_is_obeyed_between_a_second_and_six_hours() {
        let asked =
            |seconds| Failure { retry_after: Some(Duration::from_secs(seconds)), ..failure(1) };
        assert_eq!(wait_ms(&asked(60), 0.5), Some(60_000));
        assert_eq!(wait_ms(&asked(1_000_000), 0.5), Some(6 * HOUR_MS));
        assert_eq!(wait_ms(&asked(0), 0.5), Some(5_000));
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now_ms = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
        let read = |text| parse_retry_after(text, now_ms);
        assert_eq!(read(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Sun, 06 Nov 1994 08:40:37 GMT"), Some(Duration::ZERO));
        for bad in ["", "soon", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn jitter_is_the_same_for_the_same_attempt_only() {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        assert!(same(jitter_of("a", 1), jitter_of("a", 1)));
        assert!(!same(jitter_of("a", 1), jitter_of("a", 2)));
        assert!(!same(jitter_of("a", 1), jitter_of("b", 1)));
    }

    proptest! {
        /// Between attempts there is always a wait, and none begins after the greatest age.
        #[test]
        fn a_retry_comes_later_but_never_too_late(
            n in 1u32..200,
            age_ms in 0i64..(100 * HOUR_MS),
            slow: bool,
            asked in proptest::option::of(0u64..1_000_000_000),
            id in "[a-z]{1,8}",
        ) {
            let now_ms = T0 + age_ms;
            let retry_after = asked.map(Duration::from_secs);
            let failure = Failure { n, first_ms: T0, now_ms, slow, retry_after };
            let jitter = jitter_of(&id, n);
            prop_assert!((0.0..1.0).contains(&jitter));
            match next_attempt(&Schedule::default(), &failure, jitter) {
                Next::At(at) => prop_assert!(at > now_ms && at <= T0 + 72 * HOUR_MS),
                Next::GiveUp => prop_assert!(age_ms > 65 * HOUR_MS),
            }
        }

        #[test]
        fn any_retry_after_text_is_survived(text in ".{0,40}", now_ms: i64) {
            let read = parse_retry_after(&text, now_ms);
            prop_assert!(read.is_none() || !text.trim().is_empty());
        }
    }
}
