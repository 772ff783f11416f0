//! One model's decision at the close of one pane: levels, gates, and a sentence that explains them.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::compare::Statistic;
use crate::decide::ledger::Ledger;
use crate::decide::policy::Level;
use crate::decide::policy::Policy;
use crate::decide::rule::FeatureLevels;
use crate::decide::view::DriftState;
use crate::decide::view::FeatureVerdict;
use crate::decide::view::Suppression;
use crate::decide::view::Verdict;
use crate::window::Ring;

const HOUR_MS: i64 = 3_600_000;
/// Share of the window's panes that must be complete.
const COMPLETE_SHARE: f64 = 0.95;

/// What a model remembers from pane to pane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelState {
    pub levels: Vec<FeatureLevels>,
    /// End of the last pane that was decided.
    pub decided_end_ms: Option<i64>,
    /// People have been told of the present warning.
    pub warned: bool,
}

/// What one pane's decision came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub drift: DriftState,
    /// A trigger is due and nothing holds it back.
    pub trigger: bool,
    /// Drift has cleared on every feature.
    pub cleared: bool,
    /// Over `warning` for the first time since it was last healthy.
    pub warn: bool,
    pub suppressed_by: Vec<Suppression>,
    pub explanation: String,
}

/// What else bears on the decision.
pub struct Situation<'a> {
    pub policy: &'a Policy,
    pub ring: &'a Ring,
    pub ledger: &'a Ledger,
    pub model: &'a str,
    pub pane_end_ms: i64,
    /// Incident records exist that this binary cannot read.
    pub unreadable_incidents: bool,
}

impl ModelState {
    /// Decides the pane that has just entered the ring. `verdicts` are this pane's, one per feature
    /// of the baseline; their verdict becomes the level that holds over panes.
    pub fn decide(&mut self, verdicts: &mut [FeatureVerdict], at: &Situation<'_>) -> Decision {
        self.levels.resize(verdicts.len(), FeatureLevels::default());
        for (levels, verdict) in self.levels.iter_mut().zip(verdicts.iter()) {
            levels.push(verdict, at.policy, at.ring.records());
        }
        self.decided_end_ms = Some(at.pane_end_ms);
        let decision = self.judge(verdicts, at);
        if at.ring.is_full() {
            self.warned = decision.drift >= DriftState::Warning;
        }
        decision
    }

    /// What was decided of the last pane, for a process that has only just read this state: nothing
    /// in it is due again.
    pub fn review(&self, verdicts: &mut [FeatureVerdict], at: &Situation<'_>) -> Decision {
        Decision { trigger: false, warn: false, ..self.judge(verdicts, at) }
    }

    fn judge(&self, verdicts: &mut [FeatureVerdict], at: &Situation<'_>) -> Decision {
        for (levels, verdict) in self.levels.iter().zip(verdicts.iter_mut()) {
            verdict.verdict = held_verdict(levels.highest(), verdict.verdict);
        }
        let settled = at.ring.is_full();
        let drift = self.drift(at.policy, settled);
        let mut suppressed_by = Vec::new();
        let due = self.over(Level::Retrain) >= at.policy.min_features.max(1);
        if due {
            suppressed_by = gates(at);
        }
        let warn = settled && drift >= DriftState::Warning && !self.warned;
        let trigger = due && suppressed_by.is_empty();
        // A dry run decides and records; what it holds back is the sending.
        if due && at.policy.dry_run {
            suppressed_by.push(Suppression::DryRun);
        }
        let explanation = self.explain(verdicts, at, drift, &suppressed_by);
        let cleared = self.over(Level::Retrain) == 0;
        Decision { drift, trigger, cleared, warn, suppressed_by, explanation }
    }

    /// How many features are at a level or above it.
    fn over(&self, level: Level) -> usize {
        self.levels.iter().filter(|l| l.highest().is_some_and(|h| h >= level)).count()
    }

    fn drift(&self, policy: &Policy, settled: bool) -> DriftState {
        let enough = policy.min_features.max(1);
        if !settled {
            DriftState::Settling
        } else if self.over(Level::Retrain) >= enough {
            DriftState::Drifted
        } else if self.over(Level::Warning) >= enough {
            DriftState::Warning
        } else if self.over(Level::Notice) > 0 {
            DriftState::Notice
        } else {
            DriftState::Healthy
        }
    }

    fn explain(
        &self,
        verdicts: &[FeatureVerdict],
        at: &Situation<'_>,
        drift: DriftState,
        suppressed_by: &[Suppression],
    ) -> String {
        let Some(worst) = worst(verdicts, &at.policy.thresholds) else {
            return format!(
                "no feature has a score yet; the window holds {} records",
                at.ring.records()
            );
        };
        let crossings = self.levels.get(worst.at).map_or(0, |l| l.level(worst.level).crossings());
        let floor = worst.noise_floor.map(|f| format!(", noise floor {f:.4}")).unwrap_or_default();
        let line = format!(
            "{} {} is {:.4} against {} {}{floor}, crossed in {crossings} of the last 5 panes, over {} records",
            worst.feature,
            worst.statistic.as_str(),
            worst.value,
            worst.level.as_str(),
            worst.threshold,
            at.ring.records(),
        );
        let names: Vec<&str> = suppressed_by.iter().map(|s| s.as_str()).collect();
        match (drift, names.is_empty()) {
            (_, false) => format!("{line}; retraining is held back by {}", names.join(", ")),
            (DriftState::Drifted, true) => format!("{line}; retraining is due"),
            (DriftState::Settling, true) => format!(
                "{line}; settling: {} of {} panes seen",
                at.ring.len(),
                at.policy.window_panes
            ),
            (DriftState::Warning, true) => format!("{line}; over warning, under retrain"),
            (DriftState::Notice, true) => format!("{line}; real, but under the configured lines"),
            (DriftState::Healthy | DriftState::NoBaseline, true) => format!("{line}; no drift"),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(u64::from(self.decided_end_ms.is_some()));
        out.i64(self.decided_end_ms.unwrap_or(0));
        out.u64(u64::from(self.warned));
        out.u64(self.levels.len() as u64);
        self.levels.iter().for_each(|levels| levels.encode(&mut out));
        out.into_bytes()
    }

    pub fn decode(body: &[u8], n_features: usize) -> Result<Self, Truncated> {
        let mut input = Reader::new(body);
        let known = input.u64()? != 0;
        let decided = input.i64()?;
        let warned = input.u64()? != 0;
        let n = input.len_at_most(n_features)?;
        let levels = (0..n).map(|_| FeatureLevels::decode(&mut input)).collect::<Result<_, _>>()?;
        Ok(Self { levels, decided_end_ms: known.then_some(decided), warned })
    }
}

/// The level that holds, else what this pane alone says.
fn held_verdict(level: Option<Level>, now: Verdict) -> Verdict {
    match (level, now) {
        (_, Verdict::Unusable | Verdict::AbsentInLive) => now,
        (Some(Level::Retrain), _) => Verdict::Drifted,
        (Some(Level::Warning), _) => Verdict::Warning,
        (Some(Level::Notice), _) => Verdict::Notice,
        (None, Verdict::InsufficientSamples | Verdict::Fault) => now,
        (None, Verdict::Stable | Verdict::Notice | Verdict::Warning | Verdict::Drifted) => {
            Verdict::Stable
        }
    }
}

/// Everything that keeps a due trigger from being decided.
fn gates(at: &Situation<'_>) -> Vec<Suppression> {
    let policy = at.policy;
    let mut held = Vec::new();
    let mut hold = |when: bool, why: Suppression| {
        if when {
            held.push(why);
        }
    };
    let window_ms = i64::try_from(policy.window_panes).unwrap_or(i64::MAX / 2) * policy.pane_ms;
    let rearmed = at.ledger.last_closed_event_ms(at.model);
    let after_close = rearmed.is_some_and(|closed| at.pane_end_ms - closed < window_ms);
    hold(!at.ring.is_full() || after_close, Suppression::Settling);
    hold(!is_complete(at.ring, policy), Suppression::IncompleteWindow);
    hold(at.ring.records() < policy.min_records, Suppression::MinRecords);
    hold(reject_ratio(at.ring, policy.pane_ms) > policy.max_reject_ratio, Suppression::Rejects);
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
        && ring.window().take(panes_an_hour(policy.pane_ms)).all(|pane| pane.complete)
}

/// Rejects / (rejects + records) of the last hour; 0 when there was nothing.
pub fn reject_ratio(ring: &Ring, pane_ms: i64) -> f64 {
    let (mut rejects, mut records) = (0u64, 0u64);
    for pane in ring.window().take(panes_an_hour(pane_ms)) {
        rejects += pane.rejects;
        records += pane.records;
    }
    if rejects == 0 { 0.0 } else { rejects as f64 / (rejects + records) as f64 }
}

fn panes_an_hour(pane_ms: i64) -> usize {
    usize::try_from((HOUR_MS / pane_ms.max(1)).max(1)).unwrap_or(usize::MAX)
}

/// The score that is furthest over, or nearest to, a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst<'a> {
    /// Index of the feature.
    pub at: usize,
    pub feature: &'a str,
    pub statistic: Statistic,
    pub value: f64,
    pub threshold: f64,
    pub level: Level,
    pub noise_floor: Option<f64>,
}

/// Every feature's score nearest to a line, worst first: above its floor before below, then by level,
/// then by score / threshold.
pub fn ranked<'a>(
    verdicts: &'a [FeatureVerdict],
    thresholds: &[(Statistic, Level, f64)],
) -> Vec<Worst<'a>> {
    let mut all: Vec<(bool, f64, Worst<'a>)> = Vec::new();
    for (at, verdict) in verdicts.iter().enumerate() {
        let mut best: Option<(bool, f64, Worst<'a>)> = None;
        for (statistic, level, threshold) in thresholds {
            let Some(score) = verdict.scores.get(statistic) else { continue };
            let real = score.noise_floor.is_none_or(|floor| score.value > floor);
            let over = score.value > *threshold;
            let ratio = score.value / threshold;
            // Of several lines that are crossed the highest is named, else the nearest.
            let rank = if over { 1e6 * (*level as u8 as f64 + 1.0) + ratio } else { ratio };
            if best.as_ref().is_none_or(|(r, k, _)| (real, rank) > (*r, *k)) {
                let worst = Worst {
                    at,
                    feature: &verdict.feature,
                    statistic: *statistic,
                    value: score.value,
                    threshold: *threshold,
                    level: *level,
                    noise_floor: score.noise_floor,
                };
                best = Some((real, rank, worst));
            }
        }
        all.extend(best);
    }
    all.sort_by(|a, b| (b.0, b.1).partial_cmp(&(a.0, a.1)).unwrap_or(std::cmp::Ordering::Equal));
    all.into_iter().map(|(_, _, worst)| worst).collect()
}

fn worst<'a>(
    verdicts: &'a [FeatureVerdict],
    thresholds: &[(Statistic, Level, f64)],
) -> Option<Worst<'a>> {
    let deciding: Vec<_> =
        thresholds.iter().copied().filter(|(_, level, _)| *level != Level::Notice).collect();
    ranked(verdicts, &deciding).into_iter().next()
}

#[cfg(test)]
mod tests;
