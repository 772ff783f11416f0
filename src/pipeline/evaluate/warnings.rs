//! Warnings, of features and of what comes out of the model: told while they last, and told to be over.

use crate::decide::Audience;
use crate::decide::Kind;
use crate::decide::ledger::incident_id;
use crate::decide::output::OutputDrift;
use crate::feature::Role;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::trouble::News;

const WARNING: &str = "warning";

impl Evaluate {
    /// Tells the people of the model of what is over a line and they have not heard of, whenever it began,
    /// and of what they have heard of and is over. While catching up nothing is news, and while an
    /// incident is open it says it all.
    pub(super) fn tell_warnings(&mut self, model: usize, now_ms: i64) {
        let evaluator = &self.models[model];
        let is_present = evaluator.is_caught_up() && evaluator.unopened.is_none();
        if !is_present || evaluator.decision.is_none() || self.is_refused(model) {
            return;
        }
        for output in [None].into_iter().chain(Role::OUTPUTS.map(Some)) {
            let what = output.map_or(WARNING, Role::as_str);
            let story = format!("driftd/{}/{what}", self.specs[model].name());
            let began = self.log.ledger().told(&story).map(str::to_owned);
            match (self.is_over_line(model, output), began) {
                (false, None) => {}
                (false, Some(began)) => self.tell_recovered(model, what, &began, now_ms),
                (true, began) => {
                    if let Some(id) = began.or_else(|| self.warning_id(model, output)) {
                        self.tell_warning(model, output, id, now_ms);
                    }
                }
            }
        }
    }

    /// The present drift of an output that is asked for.
    fn drifted_output(&self, model: usize, output: Role) -> Option<&OutputDrift> {
        let asked = self.specs[model].policy.output_p_values.contains_key(&output);
        let mut drifted = self.models[model].state.drifted_outputs();
        drifted.find(|last| asked && last.role == output)
    }

    /// Whether the features (`None`) or an output are over a line.
    fn is_over_line(&self, model: usize, output: Option<Role>) -> bool {
        match output {
            None => self.models[model].state.warned,
            Some(output) => self.drifted_output(model, output).is_some(),
        }
    }

    /// The id of the message that tells of it; `None` where an incident tells or has told of it.
    fn warning_id(&self, model: usize, output: Option<Role>) -> Option<String> {
        let (name, ledger) = (self.specs[model].name(), self.log.ledger());
        if ledger.open(name).is_some() {
            return None;
        }
        let (what, since_ms) = match output {
            None => {
                let since_ms = self.models[model].state.warned_since_ms?;
                (
                    WARNING,
                    Some(since_ms).filter(|since_ms| !ledger.was_told_since(name, *since_ms))?,
                )
            }
            Some(output) => (output.as_str(), self.drifted_output(model, output)?.end_ms),
        };
        Some(format!("{}.{what}", incident_id(name, what, since_ms.cast_unsigned())))
    }

    fn tell_warning(&mut self, model: usize, output: Option<Role>, id: String, now_ms: i64) {
        if self.news(model, &id, Audience::Ml) != News::Untold {
            return;
        }
        let summary = match output {
            None => self.explanation(model),
            Some(output) => {
                let drift = self.drifted_output(model, output).map(OutputDrift::sentence);
                format!("{}: {}", self.specs[model].name(), drift.unwrap_or_default())
            }
        };
        let at = self.told_at(model, now_ms);
        self.notify(model, (Kind::Warning, id, None), (summary, WARNING), at);
    }

    fn tell_recovered(&mut self, model: usize, what: &str, began: &str, now_ms: i64) {
        let (name, why) = (self.specs[model].name(), self.explanation(model));
        let summary = format!("{name}: the {what} is over: {why}");
        let about = (Kind::Recovered, format!("{began}.over"), None);
        let at = self.told_at(model, now_ms);
        self.notify(model, about, (summary, "healthy"), at);
    }

    fn explanation(&self, model: usize) -> String {
        let decision = self.models[model].decision.as_ref();
        decision.map(|decision| decision.explanation.clone()).unwrap_or_default()
    }
}
