//! Lines of scores: that noise leaves them visible in a window, and that some feature has the statistic.

use crate::baseline::FeatureBaseline;
use crate::compare::{self, FLOOR_ALPHA, Statistic};
use crate::config::fit::{Fit, HOUR_MS, RateFrom, has_statistic, key_of, shown, span, up, whole};
use crate::decide::{Level, default_thresholds, effects};
use crate::report::words::grouped;

/// What one feature's window is worth to a line.
enum Worth<'a> {
    Fine,
    /// No number of records is enough: the least line that the baseline supports.
    Never(&'a str, f64),
    /// More records than a window holds; and whether so with independent records, too.
    Short(&'a str, u64, bool),
}

impl<'a> Fit<'a> {
    pub(super) fn lines(&mut self) {
        let lines = self.policy.thresholds.clone();
        let retrains = lines.iter().any(|line| line.1 == Level::Retrain);
        for &(statistic, level, line) in &lines {
            let of_it: Vec<&FeatureBaseline> = self
                .features
                .iter()
                .copied()
                .filter(|feature| has_statistic(feature.kind, statistic))
                .collect();
            let written = !default_thresholds().contains(&(statistic, level, line));
            if of_it.is_empty() {
                if written {
                    let key = format!("thresholds.{}", key_of(statistic, level));
                    let message =
                        format!("no feature of the baseline has {statistic}: {}", why(statistic));
                    self.tell(&key, true, message);
                }
                continue;
            }
            // The customary lines on shares are alarms beside the policy; noise may hide them.
            if !statistic.has_floor() || (statistic.is_rate() && !written) {
                continue;
            }
            let worth: Vec<Worth<'a>> =
                of_it.iter().map(|feature| self.worth(feature, statistic, line)).collect();
            let decides = level == Level::Retrain || !retrains;
            self.never((statistic, level, line), &worth, decides);
            self.short((statistic, level, line), &worth, decides);
        }
    }

    fn worth(&self, feature: &'a FeatureBaseline, statistic: Statistic, line: f64) -> Worth<'a> {
        let bins = compare::bins(feature, &feature.reference).reference.len();
        let m = feature.reference.in_cells();
        let unit = compare::unit(feature.convention, statistic);
        let window_ms = self.model.window().as_ms();
        let phi = effects::of_window(feature, &self.policy, None, window_ms);
        let needed =
            |phi, alpha| compare::records_needed(statistic, line / unit, bins, m, phi, alpha);
        let best = match self.is_assumed(feature) {
            true => needed(1.0, FLOOR_ALPHA),
            false => needed(phi, self.alpha()),
        };
        let least = || {
            let phi = if self.is_assumed(feature) { 1.0 } else { phi };
            compare::supported_threshold(statistic, bins, m, phi, self.alpha()).unwrap_or(f64::NAN)
        };
        let Some(best) = best else { return Worth::Never(&feature.name, least() * unit) };
        let Some(rate) = self.rate else { return Worth::Fine };
        let records = feature.reference.records().max(1) as f64;
        let carried = if statistic.is_rate() { 1.0 } else { m as f64 / records };
        let held = rate.per_hour * window_ms as f64 / HOUR_MS * carried;
        match needed(phi, self.alpha()) {
            Some(needed) if needed as f64 <= held => Worth::Fine,
            needed => {
                let at_best = best as f64 > held;
                Worth::Short(&feature.name, needed.unwrap_or(best).max(best), at_best)
            }
        }
    }

    /// Lines that the baseline is too small for.
    fn never(
        &mut self,
        (statistic, level, line): (Statistic, Level, f64),
        worth: &[Worth<'_>],
        decides: bool,
    ) {
        let mut never: Vec<(&str, f64)> = worth
            .iter()
            .filter_map(|worth| match worth {
                Worth::Never(name, least) => Some((*name, *least)),
                Worth::Fine | Worth::Short(..) => None,
            })
            .collect();
        never.sort_by(|a, b| b.1.total_cmp(&a.1));
        let Some(&(_, least)) = never.last() else { return };
        let line = named(statistic, level, line);
        let names: Vec<String> =
            never.iter().map(|(name, least)| format!("{name} {}", up(*least))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = never.len() == worth.len();
        let message = if all {
            format!(
                "{line} is never met: the {} rows of the baseline support {} and more",
                grouped(self.baseline.rows),
                up(least)
            )
        } else {
            format!(
                "{line} is never met by {} of {} features; their least lines: {}",
                never.len(),
                worth.len(),
                shown(&names)
            )
        };
        self.tell(&format!("thresholds.{}", key_of(statistic, level)), all && decides, message);
    }

    /// Lines that noise hides in a window.
    fn short(
        &mut self,
        (statistic, level, line): (Statistic, Level, f64),
        worth: &[Worth<'_>],
        decides: bool,
    ) {
        let Some(rate) = self.rate else { return };
        let mut short: Vec<(&str, u64, bool)> = worth
            .iter()
            .filter_map(|worth| match worth {
                Worth::Short(name, needed, at_best) => Some((*name, *needed, *at_best)),
                Worth::Fine | Worth::Never(..) => None,
            })
            .collect();
        short.sort_by_key(|(_, needed, _)| *needed);
        let (Some(least), Some(most)) = (short.first(), short.last()) else { return };
        let window = self.model.window();
        let held = whole(rate.per_hour * window.as_ms() as f64 / HOUR_MS);
        let needs = match (least.1, most.1) {
            (least, most) if least == most => grouped(most),
            (least, most) => format!("{} to {}", grouped(least), grouped(most)),
        };
        let all = short.len() == worth.len();
        let of = if all {
            String::new()
        } else {
            let names: Vec<&str> = short.iter().rev().map(|(name, _, _)| *name).collect();
            format!(" for {} of {} features ({})", short.len(), worth.len(), shown(&names))
        };
        let certain = short.iter().all(|(_, _, at_best)| *at_best);
        let assumed = if certain {
            ""
        } else {
            ", with the design effect of 4 that is assumed until three live days show it"
        };
        let message = format!(
            "the window holds {} records ({}); {} needs {needs}{of}{assumed}: a window of {} holds them",
            grouped(held),
            rate.shown(),
            named(statistic, level, line),
            span(most.1 as f64 / rate.per_hour)
        );
        let fatal = all && certain && decides && rate.from != RateFrom::Baseline;
        self.tell(&format!("thresholds.{}", key_of(statistic, level)), fatal, message);
    }
}

/// `psi_retrain 0.2`, `ks 0.1 (retrain)`.
fn named(statistic: Statistic, level: Level, line: f64) -> String {
    match statistic {
        Statistic::Psi => format!("{} {line}", key_of(statistic, level)),
        other => format!("{other} {line} ({})", level.as_str()),
    }
}

fn why(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Unseen => "it is one of categories, and all of them are numbers",
        _ => "it is one of numbers, and all of them are categories; psi and js are of both",
    }
}
