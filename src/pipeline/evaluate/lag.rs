//! A model that is behind the present: people are told, and what it decides waits.

use tracing::info;
use tracing::warn;

use crate::decide::Audience;
use crate::decide::Kind;
use crate::decide::Suppression;
use crate::decide::fault::Lag;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::trouble::News;

impl Evaluate {
    /// Tells the plumbing's people once it has lasted for `max_stall`: what a stop has left is mostly read by
    /// then. Those of the model hear of it after a day. That it is over is told as for any trouble of
    /// the data, when all of it can be trusted again.
    pub(super) fn tell_lag(&mut self, model: usize, now_ms: i64) {
        let Some(lag) = self.models[model].lag else {
            if self.models[model].lag_told.take().is_some() {
                info!(model = self.specs[model].name(), "the present is reached: the lag is over");
            }
            return;
        };
        let patience_ms = self.specs[model].model.drift_config.max_stall.as_ms();
        let told = self.models[model].lag_told;
        if now_ms - lag.since_ms < patience_ms || told == Some(lag.audience()) {
            return;
        }
        let name = self.specs[model].name().to_owned();
        if self.tell_of(model, &name, &lag, now_ms) {
            if told.is_none() {
                warn!(model = name, behind_ms = lag.behind_ms, records = lag.records, "lag");
            }
            self.models[model].lag_told = Some(lag.audience());
        }
    }

    fn tell_of(&mut self, model: usize, name: &str, lag: &Lag, now_ms: i64) -> bool {
        let (suffix, lasting) = match lag.audience() {
            Audience::Sre => ("data_quality", ""),
            Audience::Ml => ("data_quality_old", "for more than a day, "),
        };
        let at = self.told_at(model, now_ms);
        let id = self.trouble_id(model, ("lag of the feed", suffix), lag.audience(), now_ms);
        match self.news(model, &id, lag.audience()) {
            News::Waits => false,
            News::Told => true,
            News::Untold => {
                let told = (format!("{name}: {lasting}{}", lag.sentence()), "fault");
                let about = (Kind::DataQuality, id, None);
                self.notify_audience(model, about, told, at, lag.audience())
            }
        }
    }

    /// A due trigger waits for the present.
    pub(super) fn held_by_lag(&mut self, model: usize) {
        let evaluator = &mut self.models[model];
        if evaluator.lag.is_some() {
            *evaluator.suppressed.entry(Suppression::Lag).or_default() += 1;
        }
    }
}
