//! From recorded data to a policy: what its records are worth, which window and lines they carry, and what
//! that policy will see how soon.
//!
//! Nothing is fitted to the data's own drift: lines stay at the field's custom unless noise forbids it.

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::baseline::design_effect::DesignEffect;
use crate::baseline::{Baseline, FeatureBaseline};
use crate::config::Model;
use crate::config::fit;
use crate::config::fit::{Rate, RateFrom};
use crate::decide::Policy;
use crate::decide::effects;
use crate::decide::rule::UNCALIBRATED;
use crate::decide::sequential::Sequential;
use crate::decide::shift::Shift;
use crate::decide::time::rfc3339;
use crate::pipeline::BadInput;
use crate::pipeline::replay::survey;
use crate::pipeline::replay::survey::{Survey, SurveyPane};
use crate::report::tune;
use crate::report::tune::{Effect, EffectFrom, Proposal, Row, Seen, Tuned};
use crate::report::words::grouped;
use crate::setting::Budget;
use crate::setting::HOUR_MS;
use crate::setting::Span;
use crate::source::file::{FileSource, TimeAsked};

mod choose;
mod windows;

/// Panes that a design effect is measured in, at the most.
const PANES_MOST: i64 = 50_000;

/// What is tuned, and on what.
pub struct Request {
    pub source: FileSource,
    pub time: TimeAsked,
    /// Put the rows in order of time first; they must fit in memory.
    pub sort: bool,
    pub model: Model,
    pub baseline: Baseline,
    /// Another budget than that of the configuration.
    pub budget: Option<Budget>,
}

/// Tunes; `progress` is told how many bytes have been counted.
///
/// # Errors
/// `BadInput` for files or baselines that can't be used, or that hold less than an hour.
pub fn tune(request: Request, progress: &dyn Fn(u64)) -> anyhow::Result<Tuned> {
    let Request { source, time, sort, mut model, baseline, budget } = request;
    let location = source.location().to_owned();
    if let Some(budget) = budget {
        model.drift_config.false_retrains = budget;
    }
    let (asked, reference) = (model.clone(), baseline.clone());
    let survey = survey::survey(
        survey::Request { source, time, model: asked, baseline: reference, sort },
        progress,
    )?;
    if survey.records == 0 {
        let rejected = grouped(survey.rejected);
        let why = anyhow!(
            "{location}: no record could be used ({rejected} were rejected); `driftd replay` with the same \
             options says why"
        );
        return Err(BadInput(why).into());
    }
    let (start, end) =
        survey.span_ms().filter(|(start, end)| end - start >= HOUR_MS).ok_or_else(|| {
            BadInput(anyhow!(
                "{location}: less than an hour of records tells no rate; give some days"
            ))
        })?;
    let per_hour = survey.records as f64 / ((end - start) as f64 / HOUR_MS as f64);
    let (calibrated, design_effects) = calibrated(&baseline, &model.policy(), &survey);
    let (windows, shuffled) = windows::windows(&calibrated, &model.policy(), &survey, per_hour);
    let (mut proposed, mut proposal) = choose::proposal(&model, &windows, per_hour);
    let from_records = |effect: &&Effect| effect.from == EffectFrom::Records;
    let largest = design_effects.iter().filter(from_records).map(|effect| effect.body);
    // Without a time column the daemon could not know it before three days have passed.
    proposal.design_effect = largest.reduce(f64::max).map(|effect| (effect * 10.0).ceil() / 10.0);
    proposed.drift_config.design_effect =
        model.drift_config.design_effect.or(proposal.design_effect);
    let policy = proposed.policy();
    let mut notes = choose::notes(&survey, &design_effects, (end - start) as f64 / HOUR_MS as f64);
    notes.extend(choose::seasonal(&baseline));
    notes.extend(choose::dull(&proposal));
    notes.extend(misfits(&proposed, &baseline, per_hour));
    let per_pane = per_hour * policy.pane_ms as f64 / HOUR_MS as f64;
    let watched = calibrated.features.iter().filter(|f| f.unusable.is_none()).count();
    proposal.panes_per_false_retrain = policy.log_panes_allowed.exp();
    proposal.evidence_needed = policy.log_panes_allowed + (watched.max(1) as f64).ln();
    let config = block(&proposed, &proposal);
    Ok(Tuned {
        model: model.name.clone(),
        input: tune::Input {
            source: location,
            time: survey.time.clone(),
            start: rfc3339(start),
            end: rfc3339(end),
            records: survey.records,
            rejected: survey.rejected,
            late: survey.late,
        },
        baseline: tune::Baseline {
            source: baseline.source.clone(),
            rows: baseline.rows,
            watched,
            features: baseline.features.len(),
        },
        rate: tune::Rate { per_hour, per_pane },
        design_effects,
        windows,
        shuffled,
        power: power(&calibrated, &policy, per_pane),
        proposal,
        notes,
        config,
    })
}

/// The baseline with a design effect for every feature, by whatever shows it first: the configuration, its
/// own order, these records; and where each came from.
fn calibrated(baseline: &Baseline, policy: &Policy, survey: &Survey) -> (Baseline, Vec<Effect>) {
    let mut baseline = baseline.clone();
    let mut found = Vec::new();
    let panes = dense(survey);
    for (at, feature) in baseline.features.iter_mut().enumerate() {
        let Some(columns) = survey.columns.get(at).and_then(Option::as_ref) else { continue };
        let mut from = EffectFrom::Baseline;
        if policy.design_effect.is_some() {
            from = EffectFrom::Configured;
        } else if feature.design_effect.is_none() {
            let width = columns.body(&vec![0.0; columns.len()]).len();
            let body = |pane: &Option<&SurveyPane>| {
                pane.map_or_else(|| vec![0.0; width], |pane| columns.body(&pane.columns[at]))
            };
            let of_feature: Vec<Vec<f64>> = panes.1.iter().map(body).collect();
            feature.design_effect = DesignEffect::measure(&of_feature, panes.0);
            from = EffectFrom::Records;
        }
        let (body, missing) = match (policy.design_effect, &feature.design_effect) {
            (Some(effect), _) => (effect, effect),
            (None, Some(measured)) => (measured.effects.body, measured.effects.missing),
            (None, None) => {
                from = EffectFrom::Assumed;
                (UNCALIBRATED, UNCALIBRATED)
            }
        };
        found.push(Effect { feature: feature.name.clone(), body, missing, from });
    }
    (baseline, found)
}

/// Panes without gaps, and how long they are.
fn dense(survey: &Survey) -> (i64, Vec<Option<&SurveyPane>>) {
    let Some((start, end)) = survey.span_ms() else { return (survey.pane_ms, Vec::new()) };
    let n = ((end - start) / survey.pane_ms).min(PANES_MOST);
    let mut panes = vec![None; usize::try_from(n).unwrap_or(0)];
    for pane in &survey.panes {
        let at = usize::try_from((pane.start_ms - start) / survey.pane_ms).unwrap_or(usize::MAX);
        if let Some(slot) = panes.get_mut(at) {
            *slot = Some(pane);
        }
    }
    (survey.pane_ms, panes)
}

/// What `validate` will say of it, beside what has been said.
fn misfits(model: &Model, baseline: &Baseline, per_hour: f64) -> Vec<String> {
    let rate = Rate { per_hour, from: RateFrom::Given };
    let told = fit::misfits(model, baseline, Some(rate)).into_iter();
    told.map(|misfit| format!("{}: {}", misfit.key, misfit.message)).collect()
}

/// The power table: every change that some feature can have.
fn power(baseline: &Baseline, policy: &Policy, per_pane: f64) -> Vec<Row> {
    let Some(effects) = effects::known(baseline, policy, None) else { return Vec::new() };
    let Some(rule) = Sequential::new(baseline, policy, &effects) else { return Vec::new() };
    let rows = Shift::TABLE.into_iter().map(|shift| {
        let seen = |(at, feature): (usize, &FeatureBaseline)| {
            let power = rule.power(feature, at, shift, (policy, per_pane))?;
            let feature = feature.name.clone();
            let (psi, real) = (power.psi, power.real);
            Some(Seen { feature, psi, real, warning: power.warning, retrain: power.retrain })
        };
        let mut features: Vec<Seen> =
            baseline.features.iter().enumerate().filter_map(seen).collect();
        let key = |seen: &Seen| seen.real.unwrap_or(f64::INFINITY);
        features.sort_by(|a, b| key(a).total_cmp(&key(b)).then(b.psi.total_cmp(&a.psi)));
        Row { change: shift.describe(), features }
    });
    rows.filter(|row| !row.features.is_empty()).collect()
}

/// The keys of a model that are proposed, in the form of the configuration.
fn block(model: &Model, proposal: &Proposal) -> Value {
    let drift = &model.drift_config;
    let mut block = json!({
        "reference_dataset": drift.reference_dataset,
        "window": proposal.window,
        "thresholds": {"psi_alert": proposal.psi_alert, "psi_retrain": proposal.psi_retrain},
        "false_retrains": proposal.false_retrains,
        "min_records": proposal.min_records,
    });
    if let Some(effect) = drift.design_effect {
        block["design_effect"] = json!(effect);
    }
    if drift.max_age > Span::from_secs(7 * 86_400) {
        block["max_age"] = json!(drift.max_age.to_string());
    }
    json!({"pane": proposal.pane, "drift_config": block})
}
