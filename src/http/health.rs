//! Whether the loops turn, and whether the program has got ready: what the probes say.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A loop that has not turned for so long is stuck.
const STUCK_MS: i64 = 30_000;
/// A loop that does not run in this role.
const NEVER: i64 = i64::MIN;

/// Heartbeats of the loops and the latch of readiness. The caller brings the time: ms since the epoch.
#[derive(Debug)]
pub struct Health {
    ingest_ms: AtomicI64,
    evaluate_ms: AtomicI64,
    /// What is still waited for; `None` once all was there.
    waiting: Mutex<Option<Vec<String>>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            ingest_ms: AtomicI64::new(NEVER),
            evaluate_ms: AtomicI64::new(NEVER),
            waiting: Mutex::new(Some(vec!["the program is starting".to_owned()])),
        }
    }
}

impl Health {
    /// The ingest loop has turned. The first call is due where the loop is spawned: a loop that
    /// never beat is one that does not run in this role.
    pub fn ingest_turned(&self, now_ms: i64) {
        self.ingest_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The evaluate loop has turned; the first call is due where the loop is spawned.
    pub fn evaluate_turned(&self, now_ms: i64) {
        self.evaluate_ms.store(now_ms, Ordering::Relaxed);
    }

    /// What is still waited for, one sentence each. With nothing left the program is ready, and
    /// stays so: a broker that goes away later is no reason to take a replica out of service.
    pub fn waiting_for(&self, reasons: Vec<String>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_some() {
            *waiting = Some(reasons).filter(|reasons| !reasons.is_empty());
        }
    }

    pub fn is_ready(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Empty when ready.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Every loop that runs, with the ms since it last turned and whether that is too long.
    pub(super) fn loops(&self, now_ms: i64) -> Vec<(&'static str, i64, bool)> {
        [("ingest", &self.ingest_ms), ("evaluate", &self.evaluate_ms)]
            .into_iter()
            .map(|(name, beat)| (name, beat.load(Ordering::Relaxed)))
            .filter(|(_, beat_ms)| *beat_ms != NEVER)
            .map(|(name, beat_ms)| {
                let age_ms = now_ms.saturating_sub(beat_ms).max(0);
                (name, age_ms, age_ms > STUCK_MS)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_after_thirty_seconds_and_not_before() {
        let health = Health::default();
        assert!(health.loops(0).is_empty());
        health.ingest_turned(1_000);
        health.evaluate_turned(30_000);
        assert_eq!(health.loops(31_001), [("ingest", 30_001, true), ("evaluate", 1_001, false)]);
        health.ingest_turned(31_001);
        assert!(health.loops(31_001).iter().all(|(_, _, stuck)| !stuck));
    }

    #[test]
    fn readiness_is_a_latch() {
        let health = Health::default();
        assert!(!health.is_ready());
        health.waiting_for(vec!["model fraud: no baseline yet".to_owned()]);
        assert_eq!(health.reasons(), ["model fraud: no baseline yet"]);
        health.waiting_for(Vec::new());
        health.waiting_for(vec!["too late".to_owned()]);
        assert!(health.is_ready() && health.reasons().is_empty());
    }
}
