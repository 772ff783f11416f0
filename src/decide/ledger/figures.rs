//! How a model's incidents have gone, in figures that outlive the incidents.
//!
//! They are folded from the log, so a restart, another replica and a log that was rewritten say the same.

use serde::{Deserialize, Serialize};

use crate::decide::incident::{CloseReason, RunState};
use crate::decide::ledger::{Entry, Ledger};

/// Upper edges, in seconds, of what durations are counted by: a minute to a week.
pub const EDGES_S: [u32; 12] =
    [60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 172_800, 259_200, 604_800];

/// Of all incidents that a model has ever had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Onset to the end of the pane that opened the incident, in event time; of those with an onset.
    pub detection: Durations,
    /// Opening to closing by the wall clock, however it ended; of all but those that were missed.
    pub recovery: Durations,
    /// The same of incidents whose trigger was accepted and that a new baseline closed.
    pub cycle: Durations,
    pub runs: Runs,
}

/// How often, and how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Durations {
    /// How many took longer than the edge before and no longer than this one; last, longer than all.
    /// Empty before the first.
    counts: Vec<u64>,
    sum_ms: i64,
    /// The latest: when it ended, and how long it took.
    last: Option<(i64, i64)>,
}

/// How many retraining runs there were, by what was heard of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runs {
    /// Triggers that the pipeline took.
    pub accepted: u64,
    /// The pipeline said that the run goes on.
    pub confirmed: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// The pipeline knew of no such run.
    pub missing: u64,
}

impl Runs {
    /// By the word that metrics have for it.
    pub fn by_state(&self) -> [(&'static str, u64); 5] {
        [
            ("accepted", self.accepted),
            ("confirmed", self.confirmed),
            ("succeeded", self.succeeded),
            ("failed", self.failed),
            ("missing", self.missing),
        ]
    }

    pub(super) fn count(&mut self, heard: RunState) {
        match heard {
            RunState::Missing => self.missing += 1,
            RunState::Running => self.confirmed += 1,
            RunState::Succeeded => self.succeeded += 1,
            RunState::Failed => self.failed += 1,
        }
    }
}

impl Durations {
    /// Counts one that ended at `at_ms`. A clock that was set back makes none of them negative.
    fn add(&mut self, took_ms: i64, at_ms: i64) {
        let took_ms = took_ms.max(0);
        self.counts.resize(EDGES_S.len() + 1, 0);
        let over = |edge: &u32| took_ms > 1000 * i64::from(*edge);
        self.counts[EDGES_S.partition_point(over)] += 1;
        self.sum_ms = self.sum_ms.saturating_add(took_ms);
        if self.last.is_none_or(|(known_ms, _)| known_ms <= at_ms) {
            self.last = Some((at_ms, took_ms));
        }
    }

    /// How many were no longer than each edge, and how many there were.
    pub fn cumulated(&self) -> impl Iterator<Item = u64> {
        let counts = (0..=EDGES_S.len()).map(|i| self.counts.get(i).copied().unwrap_or(0));
        counts.scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum_ms(&self) -> i64 {
        self.sum_ms
    }

    /// `None` before the first.
    pub fn mean_ms(&self) -> Option<i64> {
        let count = i64::try_from(self.count()).ok().filter(|count| *count > 0)?;
        Some(self.sum_ms / count)
    }

    /// How long the latest took.
    pub fn last_ms(&self) -> Option<i64> {
        self.last.map(|(_, took_ms)| took_ms)
    }
}

impl Figures {
    pub(super) fn add(&mut self, entry: &Entry) {
        let opened_ms = entry.opened_at_ms;
        if let Some(onset_ms) = entry.onset_ms {
            self.detection.add(entry.opened_event_ms.saturating_sub(onset_ms), opened_ms);
        }
        if let Some(closed_ms) = entry.closed_at_ms {
            let (took_ms, ending) = (closed_ms.saturating_sub(opened_ms), entry.incident.closed_as);
            if ending != Some(CloseReason::Missed) {
                self.recovery.add(took_ms, closed_ms);
            }
            if ending == Some(CloseReason::Replaced) && entry.accepted_at_ms.is_some() {
                self.cycle.add(took_ms, closed_ms);
            }
        }
        let runs = &mut self.runs;
        runs.accepted += u64::from(entry.accepted_at_ms.is_some());
        runs.confirmed += entry.runs.confirmed;
        runs.succeeded += entry.runs.succeeded;
        runs.failed += entry.runs.failed;
        runs.missing += entry.runs.missing;
    }

    /// Nothing is known yet, so nothing has to be written.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Ledger {
    /// The figures of all incidents that a model has ever had.
    pub fn figures(&self, model: &str) -> Figures {
        let mut figures =
            self.forgotten.get(model).map(|gone| gone.figures.clone()).unwrap_or_default();
        let mine = self.entries.iter().filter(|entry| entry.incident.model == model);
        mine.for_each(|entry| figures.add(entry));
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::incident::Run;
    use crate::decide::ledger::tests::{closed, fold, id, opened, outcome};
    use crate::decide::record::{DeliveryResult, Record};
    use crate::decide::time::rfc3339;

    fn run(state: RunState) -> Record {
        let run = Run { state, word: String::new(), url: None, reference: None, at: rfc3339(0) };
        Record::Run { incident: id(1), run, at_ms: 20 }
    }

    fn since(mut record: Record, onset_ms: i64) -> Record {
        if let Record::Opened { incident, .. } = &mut record {
            incident.onset = Some(rfc3339(onset_ms));
        }
        record
    }

    #[test]
    fn a_cycle_is_one_that_was_accepted_and_replaced() {
        let minute = 60_000;
        let mut log = vec![
            since(opened("fraud", 1, 10 * minute, false, false), 4 * minute),
            outcome(1, DeliveryResult::Accepted),
            run(RunState::Running),
            run(RunState::Running),
            run(RunState::Succeeded),
        ];
        let running = fold(&log).figures("fraud");
        assert_eq!(running.detection.last_ms(), Some(6 * minute));
        assert_eq!((running.recovery.count(), running.cycle.count()), (0, 0));
        log.push(closed(1, CloseReason::Replaced, 40 * minute));
        // Nobody had taken this one, and this one was missed.
        log.push(opened("fraud", 2, 50 * minute, false, false));
        log.push(closed(2, CloseReason::Replaced, 51 * minute));
        log.push(opened("fraud", 3, 60 * minute, true, false));
        log.push(closed(3, CloseReason::Missed, 61 * minute));
        let figures = fold(&log).figures("fraud");
        assert_eq!(figures.cycle.mean_ms(), Some(30 * minute));
        assert_eq!(figures.recovery.count(), 2);
        assert_eq!(figures.recovery.last_ms(), Some(minute));
        assert_eq!(figures.recovery.sum_ms(), 31 * minute);
        // At most a minute, 5, 15, 30 ...: an edge belongs to what is below it.
        let cumulated: Vec<u64> = figures.recovery.cumulated().collect();
        assert_eq!(cumulated, [&[1, 1, 1, 2][..], &[2; 9]].concat());
        let runs = Runs { accepted: 1, confirmed: 1, succeeded: 1, failed: 0, missing: 0 };
        assert_eq!(figures.runs, runs);
        assert_eq!(fold(&log).figures("churn"), Figures::default());
    }

    #[test]
    fn figures_outlive_the_incidents_that_are_forgotten() {
        let mut log = Vec::new();
        for ordinal in 1..400 {
            let at = 1000 * i64::try_from(ordinal).unwrap();
            log.push(since(opened("fraud", ordinal, at, false, false), at - 500));
            log.push(closed(ordinal, CloseReason::Recovered, at + 100));
        }
        let ledger = fold(&log);
        let figures = ledger.figures("fraud");
        assert!(ledger.incidents().len() < 399);
        assert_eq!((figures.detection.count(), figures.detection.sum_ms()), (399, 399 * 500));
        assert_eq!((figures.recovery.count(), figures.recovery.sum_ms()), (399, 399 * 100));
        let again = fold(&crate::decide::ledger::compact(log));
        assert_eq!(again.figures("fraud"), figures);
    }
}
