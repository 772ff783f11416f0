//! Lag: so much of the feed is unread that what would be decided is about the past.
//!
//! Told by the clock, so it is no part of the evidence: panes count, faults and levels are as ever, and an
//! incident has the same id and pane. Only what follows from it waits until the present is reached.

use crate::decide::announcement::Audience;
use crate::decide::fault::Fault;
use crate::decide::fault::FaultKind;
use crate::decide::fault::audience;
use crate::decide::time::rfc3339;

const MINUTE_MS: i64 = 60_000;

/// How far a model is behind the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Since when it is too far, and when it was looked at last: by the wall clock, ms since the epoch.
    pub since_ms: i64,
    pub now_ms: i64,
    /// How far the event time that was read is behind that clock.
    pub behind_ms: i64,
    /// Records that are known to lie unread.
    pub records: u64,
}

impl Lag {
    /// For people, with its numbers.
    pub fn sentence(&self) -> String {
        format!(
            "what was read is {} behind the present, and at least {} records lie unread: what would be decided is about the past, so nothing is triggered until it is read",
            span(self.behind_ms),
            self.records
        )
    }

    /// The plumbing's people first; who owns the model once it lasts.
    pub fn audience(&self) -> Audience {
        audience(self.now_ms - self.since_ms)
    }

    /// As readers see it.
    pub fn fault(&self) -> Fault {
        Fault {
            kind: FaultKind::Lag,
            feature: None,
            since: rfc3339(self.since_ms),
            audience: self.audience(),
            evidence: None,
            sentence: self.sentence(),
            new_names: Vec::new(),
            accepted: false,
        }
    }
}

/// In the two largest units.
fn span(ms: i64) -> String {
    let minutes = ms / MINUTE_MS;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", ms / 1000),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_lag_is_told_with_its_numbers_and_after_a_day_to_the_people_of_the_model() {
        let lag = |behind_ms, for_ms| {
            let now_ms = 1_767_225_600_000;
            Lag { since_ms: now_ms - for_ms, now_ms, behind_ms, records: 4711 }
        };
        for (behind_ms, words) in [
            (42_000, "42 s behind"),
            (90 * MINUTE_MS, "1 h 30 min behind"),
            (5 * MINUTE_MS, "5 min behind"),
            (51 * HOUR, "2 d 3 h behind"),
        ] {
            let fault = lag(behind_ms, HOUR).fault();
            assert!(fault.sentence.contains(words), "{}", fault.sentence);
            assert!(fault.sentence.contains("4711 records"), "{}", fault.sentence);
            assert_eq!((fault.kind.as_str(), fault.audience), ("lag", Audience::Sre));
            assert_eq!(fault.since, "2025-12-31T23:00:00Z");
        }
        assert_eq!(lag(HOUR, 25 * HOUR).audience(), Audience::Ml);
    }
}
