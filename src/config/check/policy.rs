//! A policy that cannot work, as far as the file alone tells: lines that no score reaches, budgets that
//! are used up at once, gates that never open.

use std::time::Duration;

use crate::compare::Statistic;
use crate::compare::unit;
use crate::config::Model;
use crate::config::check::Checker;
use crate::config::check::model::name_of;
use crate::config::drift::DriftConfig;
use crate::feature::Role;
use crate::setting::Budget;
use crate::setting::Span;

/// A budget that allows a false retrain more often than once in so many panes asks for no evidence.
const PANES_MIN: i64 = 20;

/// Statistics of which no value is above 1: shares, and distances of distributions.
const UP_TO_ONE: [Statistic; 10] = [
    Statistic::Js,
    Statistic::JsDistance,
    Statistic::Hellinger,
    Statistic::TotalVariation,
    Statistic::LInfinity,
    Statistic::Ks,
    Statistic::Missing,
    Statistic::Unseen,
    Statistic::OutOfRange,
    Statistic::TypeError,
];

impl Checker<'_> {
    pub(super) fn policy(&mut self, i: usize, model: &Model) {
        let drift = &model.drift_config;
        let at = |key: &str| format!("models.{i}.drift_config.{key}");
        self.reachable(i, drift);
        self.false_retrains(&at("false_retrains"), &at("max_retrains"), model);
        let most = drift.max_retrains;
        if most.count == 0 {
            let message = "allows no retraining at all; to decide and record without sending, write \
                           `dry_run: true`";
            self.fault(&[&at("max_retrains")], message);
        } else if most.period < model.pane {
            let message = format!(
                "{most} holds nothing back: there is one decision a pane of {}; write a period of \
                 several windows, such as `2 per 7d`",
                model.pane
            );
            self.fault(&[&at("max_retrains")], message);
        }
        if drift.expire_after < model.pane {
            let message = format!(
                "{} is shorter than a pane of {}: every incident would be closed before the next \
                 decision; a retraining takes hours or days",
                drift.expire_after, model.pane
            );
            self.fault(&[&at("expire_after"), &at("pane")], message);
        }
        if let Some(most) = drift.max_lag.filter(|most| *most < model.pane) {
            let message = format!(
                "{most} is shorter than a pane of {}, which is how old the newest decision always is; \
                 without it, it is as long as the window, {}",
                model.pane,
                model.window()
            );
            self.fault(&[&at("max_lag"), &at("pane")], message);
        }
        if model.lateness > drift.max_age {
            let message = format!(
                "panes would wait {} for late records, and are kept for max_age {} only",
                model.lateness, drift.max_age
            );
            self.fault(&[&format!("models.{i}.lateness"), &at("max_age")], message);
        }
    }

    /// Lines that a score can get over.
    fn reachable(&mut self, i: usize, drift: &DriftConfig) {
        let at = |key: &str| format!("models.{i}.drift_config.thresholds.{key}");
        let lines = &drift.thresholds;
        for output in Role::OUTPUTS {
            if lines.p_value(output).is_some_and(|p_value| p_value >= 1.0) {
                let message = "every p-value is below 1, so it would always warn; write a chance, such \
                               as 0.05 or 0.001";
                self.fault(&[&at(&format!("{}_drift_p_value", output.as_str()))], message);
            }
        }
        #[expect(clippy::float_cmp, reason = "the same number was written twice")]
        if lines.psi_alert == lines.psi_retrain {
            let message = format!(
                "psi_alert is {} as well as psi_retrain: nobody is told before the retraining; half \
                 of psi_retrain is customary",
                lines.psi_alert
            );
            self.warn_at(&[&at("psi_alert"), &at("psi_retrain"), &at("psi")], message);
        }
        for (statistic, line) in &lines.others {
            let most = unit(drift.profile.unwrap_or_default(), *statistic);
            let highest = [line.warning(), line.retrain()].into_iter().flatten().reduce(f64::max);
            let Some(value) = highest.filter(|value| *value >= most) else { continue };
            if UP_TO_ONE.contains(statistic) {
                let name = name_of(*statistic);
                let most = (most * 1e3).round() / 1e3;
                let message = format!("{value} is never crossed: `{name}` is never above {most}");
                self.fault(&[&at(&name)], message);
            }
        }
    }

    /// `A`, the panes in which one false retrain is tolerated, must ask for some evidence.
    fn false_retrains(&mut self, at: &str, at_most: &str, model: &Model) {
        let Budget { count, period } = model.drift_config.false_retrains;
        if count == 0 {
            let message = "no test promises that there is never a false retrain; write how many are \
                           tolerated, such as `1 per 365d`";
            return self.fault(&[at], message);
        }
        let pane_ms = model.pane.as_ms().max(1);
        let panes = period.as_ms() / pane_ms / i64::from(count);
        if panes < PANES_MIN {
            let least_ms = pane_ms.saturating_mul(PANES_MIN).unsigned_abs();
            let least = Span(Duration::from_millis(least_ms));
            let message = format!(
                "tolerates a false retrain every {panes} panes of {}, which asks for no evidence; the \
                 shortest that can be held is `1 per {least}`, and `1 per 30d` is customary",
                model.pane
            );
            return self.fault(&[at], message);
        }
        let most = model.drift_config.max_retrains;
        let rate = |budget: Budget| f64::from(budget.count) / budget.period.0.as_secs_f64();
        if self.find(at).0.is_some() && rate(model.drift_config.false_retrains) > rate(most) {
            let message = format!(
                "tolerates more false retrains than max_retrains ({most}) starts at all: every \
                 retraining could be a false one"
            );
            self.warn_at(&[at, at_most], message);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config;

    fn warnings(more: &str) -> Vec<String> {
        let text = format!("kafka: {{brokers: 'k:9092'}}\ntopic: t\nreference_dataset: r\n{more}");
        let loaded = config::parse(&text, &|_| None).unwrap();
        loaded.warnings.iter().map(|warning| warning.message.clone()).collect()
    }

    #[test]
    fn what_no_value_can_be_over_is_refused() {
        let refused = |more: &str| {
            let text =
                format!("kafka: {{brokers: 'k:9092'}}\ntopic: t\nreference_dataset: r\n{more}");
            format!("{:?}", config::parse(&text, &|_| None).unwrap_err())
        };
        let lag = refused("max_lag: 30s\n");
        assert!(
            lag.contains("shorter than a pane of 5m") && lag.contains("the window, 1d"),
            "{lag}"
        );
        for output in ["prediction", "confidence"] {
            let sure = refused(&format!("thresholds: {{{output}_drift_p_value: 1}}\n"));
            assert!(sure.contains("always warn") && sure.contains(output), "{sure}");
        }
    }

    #[test]
    fn what_works_and_is_hardly_meant_is_a_warning() {
        assert_eq!(warnings(""), Vec::<String>::new());
        let same = warnings("thresholds: {psi_alert: 0.2}\n");
        assert!(same.len() == 1 && same[0].contains("half of psi_retrain"), "{same:?}");
        let loose = warnings("false_retrains: 3 per 7d\n");
        assert!(loose.len() == 1 && loose[0].contains("more false retrains than"), "{loose:?}");
        // The default budget beside a stricter cap is no contradiction of the user's.
        assert_eq!(warnings("max_retrains: 1 per 60d\n"), Vec::<String>::new());
    }
}
