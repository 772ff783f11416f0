//! What keeps a due trigger from being decided.

use crate::compare::Statistic;
use crate::decide::model::Situation;
use crate::decide::policy::{Level, Policy};
use crate::decide::view::{FeatureVerdict, Suppression, Verdict};
use crate::window::{ClosedPane, Ring};

const HOUR_MS: i64 = 3_600_000;
/// Share of the window's panes that must be complete.
const COMPLETE_SHARE: f64 = 0.95;

/// Since when, if enough features are over their `retrain` line by what has come since their change began,
/// after the last incident: then the window need not have seen it all. The earliest of their onsets.
pub(super) fn due_since(verdicts: &[FeatureVerdict], at: &Situation<'_>) -> Option<i64> {
    let closed = at.ledger.last_closed_event_ms(at.model, at.policy.dry_run).unwrap_or(i64::MIN);
    let lines = at.policy.thresholds.iter().filter(|(_, of, _)| *of == Level::Retrain);
    let trusted = verdicts.iter().filter(|verdict| verdict.verdict != Verdict::Fault);
    let due = trusted.filter_map(|verdict| verdict.onset.as_ref()).filter(|onset| {
        let over = |&(statistic, _, line): &(Statistic, Level, f64)| {
            onset.is_over(statistic, line, at.policy.min_records)
        };
        onset.is_real() && onset.since_ms >= closed && lines.clone().any(over)
    });
    let since: Vec<i64> = due.map(|onset| onset.since_ms).collect();
    since
        .iter()
        .min()
        .copied()
        .filter(|_| since.len() >= at.policy.features_needed(watched(verdicts)))
}

/// How many features are watched at present.
pub(super) fn watched(verdicts: &[FeatureVerdict]) -> usize {
    let unwatched = |verdict| matches!(verdict, Verdict::Unusable | Verdict::AbsentInLive);
    verdicts.iter().filter(|verdict| !unwatched(verdict.verdict)).count()
}

/// Everything that keeps a due trigger from being decided. `since`: it is due by what has come since
/// then, whatever the window holds.
pub(super) fn gates(at: &Situation<'_>, since: Option<i64>) -> Vec<Suppression> {
    let policy = at.policy;
    let mut held = Vec::new();
    let mut hold = |when: bool, why: Suppression| {
        if when {
            held.push(why);
        }
    };
    let window_ms = i64::try_from(policy.window_panes).unwrap_or(i64::MAX / 2) * policy.pane_ms;
    let rearmed = at.ledger.last_closed_event_ms(at.model, policy.dry_run);
    let after_close = rearmed.is_some_and(|closed| at.pane_end_ms - closed < window_ms);
    let by_window = since.is_none();
    let complete = if by_window {
        is_complete(at.ring, policy)
    } else {
        is_last_hour_complete(at.ring, policy)
    };
    hold(by_window && (!at.ring.is_full() || after_close), Suppression::Settling);
    hold(!complete, Suppression::IncompleteWindow);
    hold(by_window && at.ring.records() < policy.min_records, Suppression::MinRecords);
    // A feed that broke together with the drift is no witness of it, however short it is since then.
    let since_onset = since.map_or(0.0, |since| {
        reject_ratio_of(at.ring.window().take_while(|pane| pane.start_ms >= since))
    });
    let rejected = reject_ratio(at.ring, policy.pane_ms).max(since_onset);
    hold(rejected > policy.max_reject_ratio, Suppression::Rejects);
    let since = at.pane_end_ms - policy.retrain_period_ms;
    let used = at.ledger.triggers_after(at.model, since);
    hold(used >= policy.max_retrains as usize, Suppression::Budget);
    hold(at.ledger.open(at.model).is_some(), Suppression::IncidentOpen);
    hold(!policy.has_trigger && !policy.dry_run, Suppression::NoTrigger);
    hold(at.unreadable_incidents, Suppression::UnreadableIncidents);
    held
}

/// 95 % of the window's panes are complete, and all of its last hour.
pub fn is_complete(ring: &Ring, policy: &Policy) -> bool {
    let panes = ring.window().count();
    let complete = ring.window().filter(|pane| pane.complete).count();
    ring.is_full()
        && complete as f64 >= COMPLETE_SHARE * panes as f64
        && is_last_hour_complete(ring, policy)
}

fn is_last_hour_complete(ring: &Ring, policy: &Policy) -> bool {
    ring.window().take(panes_an_hour(policy.pane_ms)).all(|pane| pane.complete)
}

/// Rejects / (rejects + records) of the last hour; 0 when there was nothing.
pub fn reject_ratio(ring: &Ring, pane_ms: i64) -> f64 {
    reject_ratio_of(ring.window().take(panes_an_hour(pane_ms)))
}

fn reject_ratio_of<'a>(panes: impl Iterator<Item = &'a ClosedPane>) -> f64 {
    let (mut rejects, mut records) = (0u64, 0u64);
    for pane in panes {
        rejects += pane.rejects;
        records += pane.records;
    }
    if rejects == 0 { 0.0 } else { rejects as f64 / (rejects + records) as f64 }
}

fn panes_an_hour(pane_ms: i64) -> usize {
    usize::try_from((HOUR_MS / pane_ms.max(1)).max(1)).unwrap_or(usize::MAX)
}
