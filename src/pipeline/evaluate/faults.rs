//! Faults of a running model: its panes are judged, left out of the window, and people are told.

use tracing::error;
use tracing::info;
use tracing::warn;

use crate::decide::Audience;
use crate::decide::Kind;
use crate::decide::Quality;
use crate::decide::announcement::OVER;
use crate::decide::effects;
use crate::decide::fault::Change;
use crate::decide::fault::Fault;
use crate::decide::fault::FaultKind;
use crate::decide::fault::Lag;
use crate::decide::fault::PaneCounts;
use crate::decide::fault::Untold;
use crate::decide::gates::reject_ratio;
use crate::decide::ledger::incident_id;
use crate::decide::record::Record;
use crate::decide::time::rfc3339;
use crate::histogram::Counts;
use crate::pipeline::evaluate::Accepting;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::evaluate::quality::quality;
use crate::pipeline::evaluate::trouble::News;

mod withheld;

pub(crate) use withheld::Withheld;

/// Features that one message names.
const NAMED: usize = 5;

impl ModelEvaluator {
    /// Looks for faults in the pane that has just entered the window, before drift is decided.
    pub(super) fn judge_faults(&mut self, counts: &[Counts]) -> Vec<Change> {
        let Some(watched) = &self.watched else { return Vec::new() };
        let Some(pane) = self.ring.window().next() else { return Vec::new() };
        let start_ms = pane.start_ms;
        let policy = &self.spec.policy;
        let oldest = i64::try_from(policy.max_age_panes.max(policy.window_panes));
        let changes = self.state.faults.push(&PaneCounts {
            features: &watched.baseline.features,
            counts,
            sampled: pane.sampled,
            repeated: pane.repeated,
            strangers: &pane.strangers,
            start_ms,
            pane_ms: policy.pane_ms,
            design_effect: &|at, span_ms| {
                let learnt = self.state.learnt_effects.as_ref().and_then(|all| all.get(at));
                effects::of_window(&watched.baseline.features[at], policy, learnt, span_ms)
            },
            window_ms: i64::try_from(policy.window_panes).unwrap_or(i64::MAX / 2) * policy.pane_ms,
            slots: &|at, from_ms, to_ms| {
                let calendar = watched.baseline.calendar(&watched.baseline.features[at]);
                calendar.map_or_else(Vec::new, |calendar| calendar.covered(from_ms, to_ms))
            },
            kept_from_ms: start_ms - oldest.unwrap_or(i64::MAX / 2) * policy.pane_ms,
        });
        // The panes in which it began may have been taken for evidence of drift.
        for change in &changes {
            if let (Change::Began { feature, from_ms }, Some(rule), Some(state)) =
                (change, &self.sequential, &mut self.state.sequential)
            {
                let panes = (start_ms - from_ms) / self.spec.policy.pane_ms;
                let panes = u64::try_from(panes).unwrap_or_default();
                let all = 0..counts.len();
                for at in all.filter(|at| feature.is_none_or(|feature| feature == *at)) {
                    rule.forget(state, at, panes);
                }
            }
        }
        self.withhold();
        changes
    }

    /// Leaves the panes of faults out of the window's scores.
    pub(super) fn withhold(&mut self) {
        let Some(watched) = &self.watched else { return };
        let shape = watched.rules.shape();
        if self.withheld.follow(&self.state.faults, &self.ring, &shape).is_err() {
            error!(model = self.spec.name(), "a closed pane can't be read back; this is a bug");
        }
    }

    /// What is looked at together with the next panes, after a restart.
    pub(super) fn refill_faults(&mut self) {
        let Some(watched) = &self.watched else { return };
        let shape = watched.rules.shape();
        let from_ms = self.state.faults.refill_from_ms().unwrap_or(i64::MAX);
        for pane in self.ring.panes() {
            if let Ok(counts) = pane.counts(&shape)
                && pane.start_ms >= from_ms
            {
                let features = &watched.baseline.features;
                self.state.faults.refill(features, pane.start_ms, &counts);
            }
        }
        self.withhold();
    }

    /// Every fault at present, the whole feed's first.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let Some(watched) = &self.watched else { return Vec::new() };
        let policy = &self.spec.policy;
        let now_ms = self.ring.span_ms().map_or(0, |(_, end)| end);
        let rejects = reject_ratio(&self.ring, policy.pane_ms);
        let of_feed = (rejects > policy.max_reject_ratio)
            .then(|| Fault::of_rejects(rejects, policy.max_reject_ratio, now_ms));
        let features = watched.baseline.features.iter().enumerate();
        let of_features =
            features.filter_map(|(at, f)| self.state.faults.fault(at, &f.name, now_ms));
        let repeats = self.state.faults.fault_of_feed(now_ms);
        let lag = self.lag.as_ref().map(Lag::fault);
        lag.into_iter().chain(of_feed).chain(repeats).chain(of_features).collect()
    }

    fn fault(&self, feature: Option<usize>, now_ms: i64) -> Option<Fault> {
        match feature {
            Some(at) => self.state.faults.fault(at, self.fault_of(feature), now_ms),
            None => self.state.faults.fault_of_feed(now_ms),
        }
    }

    /// What a fault is of.
    fn fault_of(&self, feature: Option<usize>) -> &str {
        let Some(feature) = feature else { return "the feed" };
        let of = self.watched.as_ref().and_then(|w| w.baseline.features.get(feature));
        of.map_or("", |feature| &feature.name)
    }
}

impl Evaluate {
    /// One line for every fault that begins or ends, and people hear of the end of what they heard of.
    pub(super) fn follow_faults(
        &mut self,
        model: usize,
        changes: &[Change],
        (end_ms, now_ms): (i64, i64),
    ) {
        let name = self.specs[model].name().to_owned();
        let (mut over, mut first_ms) = (Vec::new(), end_ms);
        for change in changes {
            let evaluator = &self.models[model];
            match *change {
                Change::Began { feature, .. } => {
                    let Some(fault) = evaluator.fault(feature, end_ms) else { continue };
                    let (kind, why) = (fault.kind.as_str(), fault.sentence);
                    match &fault.feature {
                        Some(feature) => warn!(
                            model = name,
                            feature,
                            kind,
                            why,
                            "fault: the feature decides nothing until it is over"
                        ),
                        None => warn!(
                            model = name,
                            kind,
                            why,
                            "fault of the whole feed: nothing is decided until it is over"
                        ),
                    }
                }
                Change::Ended { feature, kind, since_ms, to_ms, told } => {
                    let feature = evaluator.fault_of(feature);
                    info!(
                        model = name,
                        feature,
                        kind = kind.as_str(),
                        since = rfc3339(since_ms),
                        until = rfc3339(to_ms),
                        "the fault is over; its panes are no evidence of drift"
                    );
                    if told {
                        over.push(format!("{} of {feature}", kind.as_str()));
                        first_ms = first_ms.min(since_ms);
                    }
                }
            }
        }
        if over.is_empty() || !self.models[model].is_caught_up() {
            return;
        }
        // One for each that people were told of: it begins only once.
        let id = incident_id(&name, &format!("over|{}", over.join("|")), first_ms.cast_unsigned());
        let summary = format!(
            "{name}: over: {}; the panes it lasted for are no evidence of drift",
            named(&over)
        );
        let about = (Kind::DataQuality, format!("{id}.over"), None);
        // Other trouble may last.
        let is_ok = quality(&self.models[model]) == Quality::Ok;
        let verdict = if is_ok { OVER } else { "fault" };
        self.notify(model, about, (summary, verdict), (end_ms, now_ms));
    }

    /// Tells people of faults, once, and once more when they have lasted for a day: then those of the
    /// model. While catching up nothing is news.
    pub(super) fn tell_faults(&mut self, model: usize, now_ms: i64) {
        if !self.models[model].is_caught_up() || self.is_refused(model) {
            return;
        }
        let end_ms = self.decided_end_ms(model);
        let untold = self.models[model].state.faults.untold(end_ms);
        if untold.is_empty() {
            return;
        }
        let (old, new): (Vec<Untold>, Vec<Untold>) = untold.iter().partition(|fault| fault.old);
        let mut told = false;
        for (faults, audience) in [(new, Audience::Sre), (old, Audience::Ml)] {
            told |= !faults.is_empty() && self.tell(model, &faults, audience, (end_ms, now_ms));
        }
        if told {
            self.models[model].save(&self.store);
        }
    }

    /// True if these people know of the faults now.
    fn tell(
        &mut self,
        model: usize,
        faults: &[Untold],
        audience: Audience,
        at: (i64, i64),
    ) -> bool {
        let evaluator = &self.models[model];
        let of = |fault: &Untold| {
            format!("{} of {}", fault.kind.as_str(), evaluator.fault_of(fault.feature))
        };
        let about = faults.iter().map(of).collect::<Vec<_>>().join("|");
        let suffix = match audience {
            Audience::Sre => "data_quality",
            Audience::Ml => "data_quality_old",
        };
        let id = self.trouble_id(model, (&about, suffix), audience, at.1);
        let known = match self.news(model, &id, audience) {
            News::Waits => false,
            News::Told => true,
            News::Untold => {
                let told = (self.sentence_of(model, faults, audience, at.0), "fault");
                self.notify_audience(model, (Kind::DataQuality, id, None), told, at, audience)
            }
        };
        // What people have not heard of is told at a later look.
        for fault in faults.iter().filter(|_| known) {
            self.models[model].state.faults.told(*fault);
        }
        known
    }

    fn sentence_of(
        &self,
        model: usize,
        faults: &[Untold],
        audience: Audience,
        end_ms: i64,
    ) -> String {
        let evaluator = &self.models[model];
        let sentences: Vec<String> = faults
            .iter()
            .filter_map(|fault| Some(evaluator.fault(fault.feature, end_ms)?.sentence))
            .collect();
        let lasting = match audience {
            Audience::Sre => "",
            Audience::Ml => " for more than a day",
        };
        format!(
            "{}: a fault of the data{lasting}, no drift: {}; accept it as drift if it is meant",
            self.specs[model].name(),
            named(&sentences)
        )
    }

    /// A person says that the present faults of a model are drift.
    pub(super) fn accept_faults(&mut self, name: &str, by: &str, now_ms: i64) -> Accepting {
        let Some(model) = self.specs.iter().position(|spec| spec.name() == name) else {
            return Accepting::Unknown;
        };
        if let Some(elsewhere) = self.elsewhere(name) {
            return Accepting::Elsewhere(elsewhere);
        }
        let end_ms = self.decided_end_ms(model);
        let evaluator = &mut self.models[model];
        if !evaluator.state.faults.any() {
            return Accepting::NoFault;
        }
        let mut faults = evaluator.state.faults.clone();
        let accepted = faults.accept();
        let told: Vec<String> = accepted
            .iter()
            .map(|(at, kind): &(Option<usize>, FaultKind)| {
                format!("{} of {}", kind.as_str(), evaluator.fault_of(*at))
            })
            .collect();
        let record = Record::Accepted {
            model: name.to_owned(),
            faults: told.clone(),
            event_ms: end_ms,
            at_ms: now_ms,
            by: by.to_owned(),
        };
        if !self.log.append(&record) {
            return Accepting::NotDurable;
        }
        let evaluator = &mut self.models[model];
        evaluator.state.faults = faults;
        evaluator.withhold();
        evaluator.score();
        evaluator.save(&self.store);
        self.review(model);
        self.dirty = true;
        let said = named(&told);
        info!(model = name, faults = said, by, "accepted as drift: it decides again");
        Accepting::Done(said)
    }
}

/// The first few, and how many there are besides.
pub(super) fn named(all: &[String]) -> String {
    let shown = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
