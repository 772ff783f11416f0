//! Panes that close, one after the other: the window moves, scores are computed, a decision is made.

use tokio::time::Instant;
use tracing::error;
use tracing::info;

use crate::decide::DriftState;
use crate::decide::Incident;
use crate::decide::IncidentState;
use crate::decide::fault::Change;
use crate::decide::history::Seen;
use crate::decide::incident::Evidence;
use crate::decide::ledger::Ledger;
use crate::decide::model::Decision;
use crate::decide::model::Situation;
use crate::decide::sequential::Sequential;
use crate::decide::sequential::onset;
use crate::decide::time::rfc3339;
use crate::histogram::Counts;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::store::Kept;
use crate::window::ClosedPane;
use crate::window::Ring;
use crate::window::merge::Next;

/// Panes that close in one go at most: before the next go what was decided is saved and events are heard.
pub(super) const AT_ONCE: usize = 200;
/// A seal waits for the disk: it counts like so many panes.
const A_SEAL: usize = 10;

impl Evaluate {
    /// A baseline is in force: at start the one that was stored, later a new one.
    pub(super) fn adopt(&mut self, model: usize, watched: Watched, now_ms: i64) {
        let name = self.specs[model].name();
        let kept = self.store.kept(name).unwrap_or_else(|error| {
            error!(model = name, %error, "the stored window can't be used; it starts anew");
            Kept::default()
        });
        self.take_up(model, watched, kept, now_ms);
    }

    /// Goes on from what is kept of a model, or begins with a new baseline.
    pub(super) fn take_up(&mut self, model: usize, watched: Watched, kept: Kept, now_ms: i64) {
        let name = self.specs[model].name().to_owned();
        let new = self.log.ledger().baseline(&name) != Some(&watched.baseline.digest);
        if new {
            // First: a log that knows the baseline, and no levels, would say that levels were lost.
            self.models[model].begin(&self.store, &watched);
            self.replace_baseline(model, &watched, now_ms);
        }
        if let Some(notice) = watched.baseline.season_notice(self.specs[model].season()) {
            info!(model = name, "{notice}");
        }
        let digest = watched.baseline.digest.clone();
        self.models[model].watch(watched, now_ms);
        // Shared partials are of panes that some partition may not have closed yet: as long as nothing was
        // decided from them, they are no history.
        let undecided =
            self.store.kafka().is_some() && self.log.ledger().next_ordinal(&name, &digest) == 1;
        let first = new || undecided;
        if let Err(error) = self.models[model].restore(kept, &self.metrics, first) {
            error!(model = name, %error, "the stored window can't be used; it starts anew");
        }
        self.models[model].save(&self.store);
        self.review(model);
        self.metrics.baseline_refreshed(&name, now_ms);
    }

    /// Shows what an earlier process decided last, until the next pane closes.
    pub(super) fn review(&mut self, model: usize) {
        let evaluator = &mut self.models[model];
        let Some(end_ms) = evaluator.state.decided_end_ms else { return };
        // Lost levels know nothing of drift.
        if evaluator.state.levels.is_empty() {
            return;
        }
        let (spec, rule) = (&self.specs[model], evaluator.sequential.as_ref());
        let (ledger, unreadable) = (self.log.ledger(), self.log.is_unreadable());
        let situation = situation(spec, rule, &evaluator.ring, (ledger, unreadable), end_ms);
        let decision = evaluator.state.review(&mut evaluator.verdicts, &situation);
        evaluator.decision = Some(decision);
    }

    /// Closes and decides the panes that are ready, in order; if they are very many, those that come first.
    pub(super) fn close_panes(&mut self, model: usize, now_ms: i64) {
        if self.models[model].is_holding() {
            return;
        }
        let started = Instant::now();
        let clock_ms = self.sealed_to_ms(model, now_ms);
        let (mut closed, late) = (0, self.models[model].unopened.is_some());
        let mut left = AT_ONCE;
        self.models[model].overdue = self.models[model].merge.due() > left;
        loop {
            if let Some((decision, end_ms)) = self.models[model].unopened.take() {
                self.open_incident(model, &decision, end_ms, now_ms);
                if self.models[model].unopened.is_some() {
                    break;
                }
            }
            if self.models[model].sealing.is_some() {
                self.write_seal(model);
                break;
            }
            if left == 0 {
                break;
            }
            let n_partitions = self.models[model].n_partitions();
            match self.models[model].merge.next(n_partitions, clock_ms) {
                Next::Wait => break,
                Next::Close(pane) => {
                    (closed, left) = (closed + 1, left - 1);
                    self.close_pane(model, pane, now_ms);
                }
                Next::Seal(seal, partials) => {
                    left = left.saturating_sub(A_SEAL);
                    if !self.seal(model, seal, &partials) {
                        break;
                    }
                }
            }
        }
        self.models[model].overdue = left == 0;
        if closed == 0 && !late {
            return;
        }
        // Else whoever goes on from it would take the trigger for done.
        if self.models[model].unopened.is_none() {
            self.models[model].save(&self.store);
        }
        self.expire(model);
        let name = self.specs[model].name();
        self.metrics.panes_closed(name, closed);
        self.metrics.evaluated(name, started.elapsed(), now_ms);
        self.dirty = true;
    }

    /// What the clock closes ends here at the latest, which is where a partition that is not quiet would
    /// stand: what its records bring for the present is never sealed away. Whichever way the clock was set:
    /// rather too far than not at all.
    fn sealed_to_ms(&self, model: usize, now_ms: i64) -> i64 {
        let lateness_ms = self.specs[model].model.lateness.as_ms();
        now_ms.max(now_ms - self.clock_moved_ms) - lateness_ms
    }

    fn close_pane(&mut self, model: usize, pane: ClosedPane, now_ms: i64) {
        self.models[model].began_ms.get_or_insert(pane.start_ms);
        let end_ms = pane.start_ms + self.specs[model].policy.pane_ms;
        let unreadable = self.log.is_unreadable();
        let seen = self.models[model].seen(&pane);
        let (decision, changes) = self.models[model].decide(pane, self.log.ledger(), unreadable);
        self.models[model].remember(Seen { drift: Some(decision.drift), ..seen });
        self.follow_faults(model, &changes, (end_ms, now_ms));
        self.act(model, &decision, end_ms, now_ms);
    }

    /// Panes older than `max_age` go from the disk, too.
    fn expire(&mut self, model: usize) {
        let kept_ms = self.models[model].kept_ms();
        let Some((_, end_ms)) = self.models[model].ring.span_ms() else { return };
        let before = end_ms.saturating_sub(kept_ms);
        self.models[model].merge.expire(before);
        if let Err(error) = self.store.expire_panes(self.specs[model].name(), before) {
            error!(model = self.specs[model].name(), %error, "old panes can't be deleted");
        }
    }

    /// Once everything that waited at the start has been read, a trigger that was decided meanwhile
    /// is sent if it is still true, and closed as missed if not.
    pub(super) fn release_held(&mut self, model: usize, now_ms: i64) {
        let evaluator: &ModelEvaluator = &self.models[model];
        if !evaluator.is_caught_up() {
            return;
        }
        let name = self.specs[model].name();
        let held = self.log.ledger().open(name).filter(|entry| entry.held);
        let Some(id) = held.map(|entry| entry.incident.id.clone()) else { return };
        // Without a decision nothing is known of the drift: the next pane tells.
        let Some(drifted) = evaluator.decision.as_ref().map(|d| !d.cleared) else { return };
        self.settle_held(model, &id, drifted, now_ms);
    }
}

impl ModelEvaluator {
    /// Moves the window by a closed pane, looks for faults, scores it and decides; the same for the
    /// daemon, which carries the decision out, and for a replay, which only tells it. Also gives which
    /// faults began or ended.
    pub(crate) fn decide(
        &mut self,
        pane: ClosedPane,
        ledger: &Ledger,
        unreadable_incidents: bool,
    ) -> (Decision, Vec<Change>) {
        let end_ms = pane.start_ms + self.spec.policy.pane_ms;
        let (counts, complete) = (self.counts(&pane), pane.complete);
        self.push(pane);
        self.calibrate();
        let changes = self.judge_faults(&counts);
        // An incomplete pane has another law than a whole one: it is no evidence. Nor is one of a fault.
        let faulty = self.state.faults.last_pane();
        let learnt: Vec<Option<&Counts>> = counts
            .iter()
            .enumerate()
            .map(|(at, counts)| (complete && faulty.get(at) != Some(&true)).then_some(counts))
            .collect();
        self.score();
        self.judge_checks(end_ms - self.spec.policy.pane_ms);
        let tested = self.test_outputs(end_ms);
        let (rule, ledger) = (self.sequential.as_ref(), (ledger, unreadable_incidents));
        let situation =
            Situation { tested, ..situation(&self.spec, rule, &self.ring, ledger, end_ms) };
        let decision = self.state.decide(&mut self.verdicts, &learnt, &situation);
        tell(self.spec.name(), self.decision.as_ref().map(|d| d.drift), &decision);
        for why in &decision.suppressed_by {
            *self.suppressed.entry(*why).or_default() += 1;
        }
        self.decision = Some(decision.clone());
        (decision, changes)
    }

    /// The incident that a trigger opens, with the numbers as they stand.
    pub(crate) fn incident(
        &self,
        id: &str,
        ordinal: u64,
        decision: &Decision,
        end_ms: i64,
    ) -> Option<Incident> {
        let (start, end) = self.ring.span_ms().unwrap_or((end_ms, end_ms));
        let (features, more_features) =
            Evidence::worst_features(&self.verdicts, &self.spec.policy.thresholds);
        Some(Incident {
            id: id.to_owned(),
            model: self.spec.name().to_owned(),
            ordinal,
            state: IncidentState::Triggered,
            opened: rfc3339(end_ms),
            onset: onset(&self.verdicts).map(rfc3339),
            closed: None,
            closed_as: None,
            attempts: Vec::new(),
            run: None,
            evidence: Evidence {
                baseline_digest: self.watched.as_ref()?.baseline.digest.clone(),
                window_start: rfc3339(start),
                window_end: rfc3339(end),
                records: self.ring.records(),
                explanation: decision.explanation.clone(),
                features,
                more_features,
            },
        })
    }
}

fn situation<'a>(
    spec: &'a Spec,
    sequential: Option<&'a Sequential>,
    ring: &'a Ring,
    (ledger, unreadable_incidents): (&'a Ledger, bool),
    pane_end_ms: i64,
) -> Situation<'a> {
    Situation {
        policy: &spec.policy,
        sequential,
        ring,
        ledger,
        model: spec.name(),
        pane_end_ms,
        unreadable_incidents,
        tested: Vec::new(),
    }
}

/// One line for every meaningful change.
fn tell(model: &str, before: Option<DriftState>, decision: &Decision) {
    if before != Some(decision.drift) {
        let from = before.map_or("none", DriftState::as_str);
        let to = decision.drift.as_str();
        info!(model, from, to, why = decision.explanation, "drift state");
    }
}
