//! A policy held against its baseline and the rate of its records: what it can never decide, and the number
//! that would do.
//!
//! The numbers come from the functions that decide: floors, design effects and tolerances.

use crate::baseline::{Baseline, FeatureBaseline, Unusable};
use crate::compare::{FLOOR_ALPHA, Statistic, WINDOW_ALPHA};
use crate::config::Model;
use crate::config::fault::did_you_mean;
use crate::decide::{DEFAULT_PSI_TOLERANCE, Level, Policy, Rule, effects, sequential};
use crate::feature::{Kind, Role};
use crate::report::words::grouped;

mod checks;
mod lines;

const HOUR_MS: f64 = 3_600_000.0;
/// Features that one sentence names.
const NAMED: usize = 3;

/// How many records come in an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_hour: f64,
    pub from: RateFrom,
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateFrom {
    /// A person.
    Given,
    /// The topic's own offsets.
    Topic,
    /// The baseline's time column: training data is often a part of what comes live.
    Baseline,
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The key of the model that it is about: `drift_config.min_features`.
    pub key: String,
    pub message: String,
    /// It cannot work at all; else a part of it can't, or it rests on a guess.
    pub fatal: bool,
}

/// What everything is held against.
struct Fit<'a> {
    model: &'a Model,
    policy: Policy,
    baseline: &'a Baseline,
    /// Those that can be watched and that decide.
    features: Vec<&'a FeatureBaseline>,
    rate: Option<Rate>,
    /// The design effects are known before anything has come, so the sequential test decides.
    is_calibrated: bool,
    found: Vec<Misfit>,
}

/// How many rows an hour of the baseline has, where its time column tells: in the panes that hold any.
pub fn baseline_rate(baseline: &Baseline) -> Option<Rate> {
    let measured = baseline.features.iter().find_map(|feature| feature.design_effect.as_ref())?;
    let single = measured.curve.iter().find(|scale| scale.panes == 1)?;
    let hours = single.blocks as f64 * measured.pane_ms as f64 / HOUR_MS;
    (hours > 0.0).then(|| Rate { per_hour: baseline.rows as f64 / hours, from: RateFrom::Baseline })
}

/// Everything that does not fit, in the order of the configuration's keys.
pub fn misfits(model: &Model, baseline: &Baseline, rate: Option<Rate>) -> Vec<Misfit> {
    let policy = model.policy();
    let sequential = policy.rule == Rule::Sequential;
    let decides = |feature: &&FeatureBaseline| {
        feature.unusable.is_none() && policy.importance(&feature.name) > 0.0
    };
    let mut fit = Fit {
        model,
        baseline,
        features: baseline.features.iter().filter(decides).collect(),
        rate,
        is_calibrated: sequential && effects::known(baseline, &policy, None).is_some(),
        policy,
        found: Vec::new(),
    };
    fit.checks();
    fit.importance();
    if !fit.features.is_empty() {
        fit.agreement();
        fit.min_records();
        fit.calibration();
        fit.tolerance();
        fit.outputs();
        fit.lines();
    }
    fit.found
}

impl Fit<'_> {
    fn tell(&mut self, key: &str, fatal: bool, message: String) {
        self.found.push(Misfit { key: format!("drift_config.{key}"), message, fatal });
    }

    /// The share of noise that is taken for a crossing by whatever decides first.
    fn alpha(&self) -> f64 {
        if self.is_calibrated { FLOOR_ALPHA } else { WINDOW_ALPHA }
    }

    /// The design effect is a guess, until three live days show it.
    fn is_assumed(&self, feature: &FeatureBaseline) -> bool {
        self.policy.rule == Rule::Sequential
            && self.policy.design_effect.is_none()
            && feature.design_effect.is_none()
    }

    fn importance(&mut self) {
        let weights = &self.model.drift_config.importance.weights;
        let key = |name: &str| match self.model.drift_config.importance.file {
            Some(_) => "importance".to_owned(),
            None => format!("importance.{name}"),
        };
        let columns: Vec<&str> =
            self.baseline.features.iter().map(|feature| feature.name.as_str()).collect();
        let mut told = Vec::new();
        for name in weights.keys() {
            let feature = self.baseline.features.iter().find(|feature| feature.name == *name);
            match feature.map(|feature| feature.unusable) {
                None => {
                    let near = did_you_mean(name, columns.iter().copied());
                    let has = shown(&columns);
                    let message =
                        format!("the baseline has no feature `{name}`{near}; it has {has}");
                    told.push((key(name), true, message));
                }
                Some(Some(unusable)) => {
                    let message = format!("`{name}` is not watched: {}", unusable.reason());
                    told.push((key(name), false, message));
                }
                Some(None) => {}
            }
        }
        if self.features.is_empty() && !weights.is_empty() {
            let message =
                "no feature is left that decides; give those that matter a weight above 0";
            told.push(("importance".to_owned(), true, message.to_owned()));
        }
        for (key, fatal, message) in told {
            self.tell(&key, fatal, message);
        }
    }

    /// As many features can agree as must.
    fn agreement(&mut self) {
        let usable = self.baseline.features.iter().filter(|f| f.unusable.is_none()).count();
        let (deciding, needed) = (self.features.len(), self.policy.features_needed(usable));
        if needed > deciding {
            let by_share = needed > self.policy.min_features;
            let (key, most) = match by_share {
                true => ("min_share", down(deciding as f64 / usable.max(1) as f64)),
                false => ("min_features", deciding.to_string()),
            };
            let message = format!(
                "asks for {needed} features at once, and {deciding} are watched; at most {most}"
            );
            self.tell(key, true, message);
        }
    }

    /// The window, or what it may reach back to, holds so many.
    fn min_records(&mut self) {
        let Some(rate) = self.rate else { return };
        let min_records = self.policy.min_records;
        let hours = |panes: usize| panes as f64 * self.policy.pane_ms as f64 / HOUR_MS;
        let held = |panes| whole(rate.per_hour * hours(panes));
        let most = held(self.policy.max_age_panes.max(self.policy.window_panes));
        let known = rate.from != RateFrom::Baseline;
        let needed = span(min_records as f64 / rate.per_hour);
        if most < min_records {
            let message = format!(
                "{} records are never there: max_age {} holds {} ({}); ask for fewer, or keep {needed}",
                grouped(min_records),
                self.model.drift_config.max_age,
                grouped(most),
                rate.shown()
            );
            self.tell("min_records", known, message);
        } else if held(self.policy.window_panes) < min_records {
            let message = format!(
                "the window of {} holds {} records ({}), so it will reach back over {needed} to have {}",
                self.model.window(),
                grouped(held(self.policy.window_panes)),
                rate.shown(),
                grouped(min_records)
            );
            self.tell("min_records", false, message);
        }
    }

    /// Live panes are kept for as long as it takes them to tell the design effects, where nothing else does.
    fn calibration(&mut self) {
        let kept = self.model.drift_config.max_age.max(self.model.window());
        let asked = self.policy.rule == Rule::Sequential && !self.is_calibrated;
        if !asked || kept.as_ms() >= effects::LEARNT_AFTER_MS {
            return;
        }
        let unknown = self.features.iter().filter(|feature| feature.design_effect.is_none());
        let names: Vec<&str> = unknown.map(|feature| feature.name.as_str()).collect();
        let message = format!(
            "{kept} of live panes never tell the design effect, which takes three days and which the \
             baseline does not tell of {}: rule `window` decides for good, and no budget of false retrains \
             is held; keep 3d or more (7d is the default), or give `design_effect`",
            shown(&names)
        );
        self.tell("max_age", false, message);
    }

    /// The tests of the model's outputs have something to compare with.
    fn outputs(&mut self) {
        let asked: Vec<Role> = self.policy.output_p_values.keys().copied().collect();
        for role in asked {
            let output = role.as_str();
            let column = self.baseline.features.iter().find(|feature| feature.role == role);
            let message = match column.map(|feature| (&feature.name, feature.unusable)) {
                Some((_, None)) => continue,
                Some((_, Some(Unusable::NoReference))) => format!(
                    "the baseline has no column of the {output}, so its first full window is what later \
                     ones are compared with; to compare with the training data, name its column by \
                     `features: {{NAME: {{role: {output}}}}}`"
                ),
                Some((name, Some(why))) => {
                    format!("is not tested: `{name}` is not watched: {}", why.reason())
                }
                None => format!(
                    "is not tested: the baseline has no column `{output}`; name the one that holds it by \
                     `features: {{NAME: {{role: {output}}}}}`, or add it to the training data"
                ),
            };
            self.tell(&format!("thresholds.{output}_drift_p_value"), false, message);
        }
    }

    /// What the baseline itself can tell from no change.
    fn tolerance(&mut self) {
        let Some(effects) = effects::known(self.baseline, &self.policy, None) else { return };
        if self.policy.rule == Rule::Window {
            return;
        }
        let wanted = self.policy.psi_tolerance;
        let all = self.baseline.features.iter().zip(&effects);
        let deciding =
            all.filter(|(feature, _)| self.features.iter().any(|f| f.name == feature.name));
        let mut raised: Vec<(&str, f64)> = deciding
            .filter_map(|(feature, effects)| {
                let least = sequential::supported_tolerance(feature, effects.body)?;
                (least > wanted).then_some((feature.name.as_str(), least))
            })
            .collect();
        raised.sort_by(|a, b| b.1.total_cmp(&a.1));
        let Some(&(_, least)) = raised.last() else { return };
        let all = raised.len() == self.features.len();
        let names: Vec<String> =
            raised.iter().map(|(name, least)| format!("{name} {}", up(*least))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let written = (wanted - DEFAULT_PSI_TOLERANCE).abs() > f64::EPSILON;
        let message = format!(
            "{wanted} is less than the {} rows of the baseline can tell from no change, and is raised \
             for {} of {} features: {}",
            grouped(self.baseline.rows),
            raised.len(),
            self.features.len(),
            shown(&names)
        );
        if all && written {
            let message = format!("{message}; write {} or more, or use more rows", up(least));
            self.tell("thresholds.psi_tolerance", true, message);
        } else {
            self.tell("thresholds.psi_tolerance", false, message);
        }
    }
}

impl Rate {
    /// `12.5 an hour`, and who says so.
    pub fn shown(self) -> String {
        let number = match self.per_hour {
            few if few < 100.0 => format!("{few:.1}"),
            many => grouped(whole(many)),
        };
        let from = match self.from {
            RateFrom::Given => "as given",
            RateFrom::Topic => "measured on the topic",
            RateFrom::Baseline => "in the baseline",
        };
        format!("{number} an hour, {from}")
    }
}

/// Whether a kind of feature has a statistic at all.
pub fn has_statistic(kind: Kind, statistic: Statistic) -> bool {
    match statistic {
        Statistic::Unseen => kind == Kind::Categorical,
        Statistic::OutOfRange
        | Statistic::Ks
        | Statistic::Wasserstein
        | Statistic::WassersteinRaw
        | Statistic::MeanShift => kind == Kind::Numeric,
        Statistic::Psi
        | Statistic::Kl
        | Statistic::KlReverse
        | Statistic::Js
        | Statistic::JsDistance
        | Statistic::Hellinger
        | Statistic::TotalVariation
        | Statistic::LInfinity
        | Statistic::ChiSquare
        | Statistic::Missing
        | Statistic::TypeError => true,
    }
}

/// The key of a line, as it is written: `psi_retrain`, `ks`.
fn key_of(statistic: Statistic, level: Level) -> &'static str {
    match (statistic, level) {
        (Statistic::Psi, Level::Warning) => "psi_alert",
        (Statistic::Psi, Level::Retrain) => "psi_retrain",
        (other, _) => other.as_str(),
    }
}

/// The first few, and how many there are besides.
fn shown(names: &[&str]) -> String {
    let first = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Rounded up to three digits behind the point, so that it is enough.
fn up(least: f64) -> f64 {
    (least * 1e3).ceil() / 1e3
}

/// Rounded down to two digits behind the point, so that it is not too much.
fn down(most: f64) -> String {
    format!("{:.2}", (most * 1e2).floor() / 1e2)
}

/// Hours as people write them, rounded up: `36h`, `4d`.
fn span(hours: f64) -> String {
    let hours = whole(hours.max(0.0).ceil()).max(1);
    if hours <= 48 { format!("{hours}h") } else { format!("{}d", hours.div_ceil(24)) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn whole(x: f64) -> u64 {
    x as u64
}

#[cfg(test)]
mod tests;
