//! Checks of a running model: measured at the end of each pane, and people are told of those that are violated.

use tracing::{info, warn};

use crate::decide::announcement::OVER;
use crate::decide::check::{CheckView, Checks, Condition, Measured, Untold, measure};
use crate::decide::gates::is_complete;
use crate::decide::time::rfc3339;
use crate::decide::{Audience, Kind};
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::faults::named;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::evaluate::trouble::{CHECKS, News};

impl ModelEvaluator {
    /// What every check finds in the window as it came, panes of faults included; `None` where the window is
    /// not complete or holds fewer than `min_records`, which `records` does not ask for.
    fn measured(&self) -> Vec<Option<Measured>> {
        let checks = &self.spec.model.checks;
        let Some(watched) = self.watched.as_ref().filter(|_| !checks.is_empty()) else {
            return vec![None; checks.len()];
        };
        let policy = &self.spec.policy;
        if !is_complete(&self.ring, policy) {
            return vec![None; checks.len()];
        }
        // A thin window reaches back; what is asked of its records is asked of its own.
        let records = self.ring.window().map(|pane| pane.records).sum();
        let enough = self.ring.records() >= policy.min_records;
        let features = &watched.baseline.features;
        checks
            .iter()
            .map(|check| {
                let of_table = matches!(check.condition(), Some(Condition::Records(_)));
                let at = features.iter().position(|f| Some(&f.name) == check.feature.as_ref());
                let feature = at.and_then(|at| Some((&features[at], self.ring.live().get(at)?)));
                measure(check, feature, records).filter(|_| enough || of_table)
            })
            .collect()
    }

    /// Measures the window at the end of the pane that begins at `start_ms`.
    pub(super) fn judge_checks(&mut self, start_ms: i64) {
        if self.spec.model.checks.is_empty() {
            return;
        }
        let checks = &self.spec.model.checks;
        let violated = |state: &Checks| -> Vec<Option<bool>> {
            (0..checks.len()).map(|at| state.violated(at).map(|since| since.is_some())).collect()
        };
        let before = violated(&self.state.checks);
        let measured = self.measured();
        self.state.checks.push(checks, &measured, start_ms);
        let after = violated(&self.state.checks);
        let model = self.spec.name();
        for (at, (before, after)) in before.into_iter().zip(after).enumerate() {
            let now = || CheckView::new(&checks[at], at, &self.state.checks, measured[at].as_ref());
            match (before, after) {
                (Some(true), Some(false)) => {
                    let CheckView { check, sentence: why, .. } = now();
                    info!(model, check, why, "the check passes again");
                }
                (None | Some(false), Some(true)) => {
                    let CheckView { check, sentence: why, .. } = now();
                    warn!(model, check, why, "check violated");
                }
                _ => {}
            }
        }
    }

    /// Every check as readers see it.
    pub(crate) fn checks(&self) -> Vec<CheckView> {
        let (checks, known) = (&self.spec.model.checks, &self.state.checks);
        // Old numbers of a silent stream are not passed off as present ones.
        let measured = if self.stale { vec![None; checks.len()] } else { self.measured() };
        let all = checks.iter().zip(&measured).enumerate();
        all.map(|(at, (check, measured))| CheckView::new(check, at, known, measured.as_ref()))
            .collect()
    }
}

impl Evaluate {
    /// Tells the people of the model of checks that are violated, and when all of them pass again. While catching
    /// up nothing is news.
    pub(super) fn tell_checks(&mut self, model: usize, now_ms: i64) {
        let is_here = self.models[model].is_caught_up() && self.models[model].owned;
        if !is_here || self.is_refused(model) {
            return;
        }
        let specs = self.specs.clone();
        let (checks, known) = (&specs[model].model.checks, &self.models[model].state.checks);
        let at = self.told_at(model, now_ms);
        let untold = known.untold(checks);
        if !untold.is_empty() {
            self.tell_violated(model, &untold, at);
        } else if known.pass(checks) {
            self.tell_passed(model, at);
        }
    }

    fn tell_violated(&mut self, model: usize, untold: &[Untold], at: (i64, i64)) {
        let checks = &self.specs[model].model.checks;
        let names: Vec<String> = untold
            .iter()
            .filter_map(|untold| Some(checks.get(untold.check)?.to_string()))
            .collect();
        let id = self.trouble_id(model, (&names.join("|"), CHECKS), Audience::Ml, at.1);
        let known = match self.news(model, &id, Audience::Ml) {
            News::Waits => false,
            News::Told => true,
            News::Untold => {
                let about = (Kind::DataQuality, id, None);
                let told = (self.violated(model, untold), "check");
                self.notify_audience(model, about, told, at, Audience::Ml)
            }
        };
        // What people have not heard of is told at a later look.
        if known {
            for untold in untold {
                self.models[model].state.checks.told(*untold);
            }
            self.models[model].save(&self.store);
        }
    }

    fn violated(&self, model: usize, untold: &[Untold]) -> String {
        let views = self.models[model].checks();
        let sentences: Vec<String> = untold
            .iter()
            .filter_map(|untold| {
                let since = rfc3339(untold.since_ms);
                Some(format!("{} (since {since})", views.get(untold.check)?.sentence))
            })
            .collect();
        format!("{}: not as expected: {}", self.specs[model].name(), named(&sentences))
    }

    /// People who were told of violated checks are told that all pass, also after a restart.
    fn tell_passed(&mut self, model: usize, at: (i64, i64)) {
        let name = self.specs[model].name().to_owned();
        let story = self.trouble_story(model, CHECKS, Audience::Ml);
        let Some(began) = self.log.ledger().told(&story) else { return };
        let about = (Kind::DataQuality, format!("{began}.over"), None);
        let told = (format!("{name}: all checks pass again"), OVER);
        self.notify_audience(model, about, told, at, Audience::Ml);
    }
}
