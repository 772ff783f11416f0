//! One policy over a replay: the daemon's own evaluation and ledger, with event time as the clock.

use tokio::time::Instant;

use crate::decide::Audience;
use crate::decide::CloseReason;
use crate::decide::Delivery;
use crate::decide::Kind as Told;
use crate::decide::announcement::Announcement;
use crate::decide::announcement::Data;
use crate::decide::ledger::Ledger;
use crate::decide::ledger::incident_id;
use crate::decide::model::Decision;
use crate::decide::record::DeliveryResult;
use crate::decide::record::Record;
use crate::decide::time::rfc3339;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::replay::After;
use crate::pipeline::replay::Shuffles;
use crate::pipeline::replay::shuffle;
use crate::pipeline::replay::tape::Tape;
use crate::pipeline::replay::track::Seen;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::report::replay::Run;
use crate::window::ClosedPane;
use crate::window::Partial;
use crate::window::Progress;
use crate::window::merge::Next;
use crate::window::partition::Totals;

const TARGET: &str = "retraining_trigger";

/// An evaluator whose incidents are folded by the daemon's ledger, and written nowhere.
pub(super) struct Bench {
    pub evaluator: ModelEvaluator,
    pub ledger: Ledger,
    /// Incidents are closed after so long.
    close_after_ms: Option<i64>,
}

/// What a pane came to.
pub(super) struct Outcome {
    pub decision: Decision,
    /// People are told of a warning.
    pub warned: bool,
    /// The incident that it opened; the one that was closed after it, and how.
    pub opened: Option<String>,
    pub closed: Option<(String, CloseReason)>,
}

impl Bench {
    pub(super) fn new(spec: Spec, watched: Watched, close_after_ms: Option<i64>) -> Self {
        let mut evaluator = ModelEvaluator::new(spec, Instant::now());
        evaluator.watch(watched, 0);
        Self { evaluator, ledger: Ledger::default(), close_after_ms }
    }

    /// Decides a closed pane and does what would be done: an incident opens, its trigger is accepted
    /// at once, and it stays open until it is closed or expires.
    pub(super) fn pane(&mut self, pane: ClosedPane) -> Outcome {
        let end_ms = pane.start_ms + self.evaluator.spec.policy.pane_ms;
        let (decision, _) = self.evaluator.decide(pane, &self.ledger, false);
        let opened = if decision.trigger { self.open(&decision, end_ms) } else { None };
        // While an incident is open people have been told already.
        let warned = decision.warn && self.ledger.open(self.evaluator.spec.name()).is_none();
        let closed = self.close_old(end_ms);
        Outcome { decision, warned, opened, closed }
    }

    fn open(&mut self, decision: &Decision, end_ms: i64) -> Option<String> {
        let name = self.evaluator.spec.name().to_owned();
        let digest = self.evaluator.watched.as_ref()?.baseline.digest.clone();
        let ordinal = self.ledger.next_ordinal(&name, &digest);
        let id = incident_id(&name, &digest, ordinal);
        let incident = Box::new(self.evaluator.incident(&id, ordinal, decision, end_ms)?);
        let (held, at_ms) = (false, end_ms);
        let delivery = Delivery {
            id: id.clone(),
            target: TARGET.to_owned(),
            channel: None,
            model: name,
            kind: Told::Trigger,
            audience: Audience::Ml,
            announcement: Announcement {
                event_type: "driftd.drift.detected".to_owned(),
                id: id.clone(),
                timestamp: rfc3339(end_ms),
                data: Data::default(),
            },
        };
        let target = delivery.target_name();
        let deliveries = vec![delivery];
        let event_ms = end_ms;
        self.ledger.apply(&Record::Opened { incident, digest, event_ms, at_ms, held, deliveries });
        let (delivery, n) = (id.clone(), 1);
        self.ledger.apply(&Record::Attempt { delivery, target: target.clone(), n, at_ms });
        let (result, detail) = (DeliveryResult::Accepted, "replayed: nothing was sent".to_owned());
        let (delivery, status) = (id.clone(), None);
        let reference = None;
        let outcome =
            Record::Outcome { delivery, target, n, at_ms, status, result, detail, reference };
        self.ledger.apply(&outcome);
        Some(id)
    }

    /// An incident that is old enough is closed; by event time, for there is no other.
    fn close_old(&mut self, end_ms: i64) -> Option<(String, CloseReason)> {
        let policy = &self.evaluator.spec.policy;
        let entry = self.ledger.open(self.evaluator.spec.name())?;
        let age_ms = end_ms - entry.opened_event_ms;
        let closed_as = if self.close_after_ms.is_some_and(|after| age_ms >= after) {
            CloseReason::Dismissed
        } else if age_ms > policy.expire_after_ms {
            CloseReason::Expired
        } else {
            return None;
        };
        let incident = entry.incident.id.clone();
        let (by, event_ms) = ("replay".to_owned(), end_ms);
        let at_ms = end_ms;
        let closed = Record::Closed { incident: incident.clone(), closed_as, event_ms, at_ms, by };
        self.ledger.apply(&closed);
        Some((incident, closed_as))
    }
}

/// A policy that is being replayed, and what is to be told of it.
pub(super) struct Judge {
    at: usize,
    bench: Bench,
    tape: Tape,
    n_partitions: usize,
    /// Every closed pane, if its days are to be shuffled.
    panes: Option<Vec<ClosedPane>>,
}

impl Judge {
    pub(super) fn new(
        (at, label): (usize, &str),
        spec: Spec,
        watched: Watched,
        partitions: Vec<Progress>,
        after: After,
    ) -> Self {
        let tape = Tape::new(label, &spec, &watched, after.close_after_ms);
        let mut bench = Bench::new(spec, watched, after.close_after_ms);
        let n_partitions = partitions.len();
        partitions.into_iter().for_each(|first| bench.evaluator.merge.assign(first));
        Self { at, bench, tape, n_partitions, panes: after.shuffles.map(|_| Vec::new()) }
    }

    /// Takes panes that have closed in a partition, and decides each that has closed in all.
    pub(super) fn take(&mut self, partials: &[Partial], progress: Progress) {
        let merge = &mut self.bench.evaluator.merge;
        partials.iter().for_each(|partial| merge.add(partial.clone()));
        merge.progress(progress);
        // All partitions are here and none is ever idle: nothing is sealed.
        let next =
            |judge: &mut Self| judge.bench.evaluator.merge.next(judge.n_partitions, i64::MAX);
        while let Next::Close(pane) = next(self) {
            if let Some(panes) = &mut self.panes {
                panes.push(pane.clone());
            }
            let records = pane.records;
            let outcome = self.bench.pane(pane);
            self.tape.record(&self.bench, &outcome, records);
        }
    }

    pub(super) fn finish(
        self,
        totals: &Totals,
        seen: &Seen,
        shuffles: Option<Shuffles>,
    ) -> (usize, Run) {
        let null = match (&self.panes, shuffles, &self.bench.evaluator.watched) {
            (Some(panes), Some(shuffles), Some(watched)) => {
                shuffle::null(&self.bench.evaluator.spec, watched, panes, shuffles)
            }
            _ => None,
        };
        (self.at, self.tape.finish(&self.bench, totals, seen, null))
    }
}
