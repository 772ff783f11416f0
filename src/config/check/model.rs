//! What is checked of one model: names, times, season, thresholds, trigger.

use std::time::Duration;

use crate::compare::Statistic;
use crate::config::Model;
use crate::config::check::Checker;
use crate::setting::Span;
use crate::setting::season::Calendar;
use crate::setting::season::Cycle;

const PANES_MS: [i64; 13] = [
    1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000,
];

/// Statistics without a noise floor: nothing says what is real, so they cannot start a retraining.
const WITHOUT_FLOOR: [Statistic; 5] = [
    Statistic::TotalVariation,
    Statistic::LInfinity,
    Statistic::Wasserstein,
    Statistic::WassersteinRaw,
    Statistic::MeanShift,
];

impl Checker<'_> {
    pub(super) fn model(&mut self, i: usize, model: &Model) {
        let at = |key: &str| format!("models.{i}.{key}");
        let name_char = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
        if !fits(&model.name, 128, name_char) {
            let message = format!(
                "`{}` cannot name a model; use 1 to 128 of the letters A-Z a-z, digits and _ . : / -",
                model.name
            );
            self.fault(&[&at("name"), &at("topic")], message);
        }
        let topic_char = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !fits(&model.topic, 249, topic_char) || matches!(model.topic.as_str(), "." | "..") {
            let message = format!(
                "`{}` cannot be a topic; Kafka takes 1 to 249 letters, digits and . _ -",
                model.topic
            );
            self.fault(&[&at("topic")], message);
        }
        for name in &model.ignore {
            if model.features.contains_key(name) {
                let message = format!("`{name}` is in `ignore` too; it cannot be both");
                self.fault(&[&at(&format!("features.{name}")), &at("ignore")], message);
            }
        }
        self.checks(i, model);
        self.times(i, model);
        self.thresholds(i, model);
        self.season(i, model);
        self.policy(i, model);
        self.trigger(i, model);
    }

    fn season(&mut self, i: usize, model: &Model) {
        let at = |key: &str| format!("models.{i}.drift_config.season{key}");
        let season = &model.drift_config.season;
        if let Err(error) = Calendar::new(Cycle::Day, &season.time_zone) {
            self.fault(&[&at(".time_zone")], error.to_string());
        }
        let of_period = season.period.cycle().map(Cycle::slots);
        let fits = |slots: u32| match of_period {
            Some(expected) => expected == slots as usize,
            None => Cycle::ALL.into_iter().any(|cycle| cycle.slots() == slots as usize),
        };
        if let Some(slots) = season.slots.filter(|&slots| !fits(slots)) {
            let message = format!(
                "{slots} slots do not fit; a slot is an hour: 24 of `period: day`, 168 of `period: week` \
                 (`slots` can be left out)"
            );
            self.fault(&[&at(".slots")], message);
        }
    }

    fn times(&mut self, i: usize, model: &Model) {
        let at = |key: &str| format!("models.{i}.{key}");
        let drift = &model.drift_config;
        let (pane, window) = (model.pane, model.window());
        let pane_is_fine = PANES_MS.contains(&pane.as_ms());
        if !pane_is_fine {
            let message =
                format!("a pane of {pane} is not one of 1, 2, 5, 10, 15, 30 s or min, or 1h");
            self.fault(&[&at("pane")], message);
        }
        let (hours, span) = (at("drift_config.monitoring_window_hours"), at("drift_config.window"));
        if drift.window.is_some() && drift.monitoring_window_hours.is_some() {
            self.twice(&at("drift_config"), "monitoring_window_hours", "window");
        }
        if window.0.is_zero() || drift.monitoring_window_hours.is_some_and(|hours| hours <= 0.0) {
            self.fault(&[&hours, &span], "a window must be longer than nothing");
        } else if pane_is_fine && window.as_ms() % pane.as_ms() != 0 {
            let panes = (window.as_ms() / pane.as_ms()).max(1).unsigned_abs();
            let multiple =
                |n: u64| Span(Duration::from_millis(pane.as_ms().unsigned_abs().saturating_mul(n)));
            let message = format!(
                "a window of {window} is no whole multiple of a pane of {pane}; {} and {} are",
                multiple(panes),
                multiple(panes + 1)
            );
            self.fault(&[&hours, &span, &at("pane")], message);
        } else if drift.max_age < window {
            let message = format!("{} is shorter than the window of {window}", drift.max_age);
            self.fault(&[&at("drift_config.max_age"), &hours, &span], message);
        }
    }

    fn thresholds(&mut self, i: usize, model: &Model) {
        let at = |key: &str| format!("models.{i}.drift_config.thresholds.{key}");
        let lines = &model.drift_config.thresholds;
        let (alert, retrain) = (at("psi_alert"), at("psi_retrain"));
        if self.find(&at("psi")).0.is_some() {
            for key in [&alert, &retrain] {
                if self.find(key).0.is_some() {
                    self.fault(&[key, &at("psi")], "is given twice; `psi` is the same line");
                }
            }
        }
        if lines.psi_alert > lines.psi_retrain {
            let message = format!(
                "psi_alert {} is above psi_retrain {}: people would be told after the retraining",
                lines.psi_alert, lines.psi_retrain
            );
            self.fault(&[&alert, &retrain, &at("psi")], message);
        }
        if lines.psi_tolerance > lines.psi_alert {
            let message = format!(
                "{} is above psi_alert {}: what is tolerated cannot alert",
                lines.psi_tolerance, lines.psi_alert
            );
            self.fault(&[&at("psi_tolerance"), &alert, &at("psi")], message);
        }
        for (statistic, line) in &lines.others {
            let name = name_of(*statistic);
            let at = at(&name);
            let values = [line.warning(), line.retrain()];
            if values.into_iter().flatten().any(|value| value <= 0.0) {
                self.fault(&[&at], "a threshold must be above 0");
            }
            if let (Some(warning), Some(retrain)) = (line.warning(), line.retrain())
                && warning > retrain
            {
                let message = format!("warning {warning} is above retrain {retrain}");
                self.fault(&[&at], message);
            }
            if line.retrain().is_none() {
                continue;
            }
            if matches!(statistic, Statistic::Missing | Statistic::TypeError) {
                let message = format!(
                    "`{name}` is a fault of the data and never retrains; \
                                       leave `retrain` out"
                );
                self.fault(&[&at], message);
            } else if WITHOUT_FLOOR.contains(statistic) {
                let message = format!(
                    "`{name}` has no noise floor, so it can warn and never \
                                       retrain; leave `retrain` out"
                );
                self.fault(&[&at], message);
            }
        }
    }

    fn trigger(&mut self, i: usize, model: &Model) {
        let at = format!("models.{i}.drift_config.retraining_trigger");
        let Some(trigger) = &model.drift_config.retraining_trigger else { return };
        for fault in trigger.check() {
            self.fault(&[&format!("{at}.{}", fault.key)], fault.message);
        }
        if let Some(advice) = trigger.advice() {
            self.warn(&format!("{at}.{}", advice.key), advice.message);
        }
    }
}

fn fits(text: &str, most: usize, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.len() <= most && text.chars().all(allowed)
}

/// As it is written in a configuration.
pub(super) fn name_of(statistic: Statistic) -> String {
    let name = serde_json::to_value(statistic).ok();
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
