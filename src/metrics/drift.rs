//! The drift families, rendered from the last View: what cannot be computed is absent, never NaN.

use std::collections::BTreeMap;

use crate::baseline::FeatureBaseline;
use crate::compare::Statistic;
use crate::decide::incident::IncidentState;
use crate::decide::policy::Level;
use crate::decide::view::{
    DriftState, FeatureVerdict, ModelView, Quality, Suppression, Verdict, View,
};
use crate::feature::{Kind as FeatureKind, Role};
use crate::histogram::Counts;
use crate::metrics::drift::names::{
    COMPLETE, DETECTED, EVIDENCE, FAULT, INCIDENT, INCIDENT_OPEN, INVALID_TYPE, LEAST, LOADED,
    MISSING, MODEL_INFO, OBSERVATIONS, OUT_OF_RANGE, PRESENT, QUALITY, RATIO, RECORDS, ROWS, SCORE,
    STATE, STATUS, SUPPRESSED, THRESHOLD, TRIGGERS, UNSEEN, USABLE, WINDOW_END,
};
use crate::metrics::names::Named;
use crate::metrics::text::{Families, Kind};

mod checks;
mod duplicates;
mod faults;
mod names;
mod operation;
mod outputs;
mod owner;

pub(super) const LIMITED: Named = (
    "driftd_metrics_series_limited",
    Kind::Gauge,
    "1 when per-feature families were left out to stay under max_series.",
);
pub(super) const SERIES: Named =
    ("driftd_metrics_series", Kind::Gauge, "Series in this exposition, this one included.");

const LEVELS: [Level; 3] = [Level::Notice, Level::Warning, Level::Retrain];
const QUALITIES: [Quality; 5] =
    [Quality::Ok, Quality::Fault, Quality::Stale, Quality::Incomplete, Quality::Misconfigured];
/// A closed incident is none.
const INCIDENT_STATES: [IncidentState; 6] = [
    IncidentState::Triggered,
    IncidentState::Accepted,
    IncidentState::Retraining,
    IncidentState::Unconfirmed,
    IncidentState::Stuck,
    IncidentState::DeliveryFailed,
];
const SUPPRESSIONS: [Suppression; 11] = [
    Suppression::Settling,
    Suppression::IncompleteWindow,
    Suppression::MinRecords,
    Suppression::Rejects,
    Suppression::Fault,
    Suppression::Budget,
    Suppression::IncidentOpen,
    Suppression::DryRun,
    Suppression::NoTrigger,
    Suppression::UnreadableIncidents,
    Suppression::Lag,
];
const STATUSES: [&str; 5] = ["ok", "insufficient_samples", "no_baseline", "stale_input", "error"];

/// Every drift family, whether it has series at present or not.
pub(super) fn families() -> impl Iterator<Item = Named> {
    let more = [SERIES, LIMITED, owner::EVALUATED, duplicates::DUPLICATES, checks::PASSED];
    let families = names::ALL.into_iter().chain(faults::ALL).chain(outputs::all());
    families.chain(operation::ALL).chain(more)
}

/// Adds the drift families of every model to `out`; with more than `max_series` in all, the
/// per-feature families of the last models are left out, whole models at a time.
pub(super) fn render(out: &mut Families, view: &View, statistics: &[Statistic], max_series: usize) {
    owner::render(out, view);
    for model in owner::here(view) {
        model_families(out, model);
    }
    // SERIES and LIMITED are themselves two.
    let mut series = out.series() + 2;
    let mut limited = false;
    for model in owner::here(view) {
        let mut features = Families::default();
        feature_families(&mut features, model, statistics);
        series += features.series();
        if series > max_series {
            limited = true;
            break;
        }
        out.merge(features);
    }
    out.set(LIMITED, &[], flag(limited));
}

fn model_families(out: &mut Families, model: &ModelView) {
    let of = [("model", model.model.as_str())];
    let (source, digest) = match &model.baseline {
        Some(baseline) => (baseline.source.as_str(), baseline.digest.as_str()),
        None => ("", ""),
    };
    let info = [of[0], ("topic", &model.topic), ("baseline", source), ("baseline_digest", digest)];
    out.set(MODEL_INFO, &info, 1.0);
    if let Some(baseline) = &model.baseline {
        out.set(ROWS, &of, baseline.rows as f64);
    }
    if let Some(loaded_ms) = model.baseline_loaded_ms {
        out.set(LOADED, &of, loaded_ms as f64 / 1000.0);
    }
    out.set(RECORDS, &of, model.window.records as f64);
    out.set(COMPLETE, &of, flag(model.window.complete));
    out.set(LEAST, &of, model.min_records as f64);
    if model.evaluated_ms.is_some() {
        out.set(WINDOW_END, &of, model.window.end_ms as f64 / 1000.0);
    }
    let status = status(model);
    for name in STATUSES {
        out.set(STATUS, &[of[0], ("status", name)], flag(name == status));
    }
    for state in DriftState::ALL {
        out.set(STATE, &[of[0], ("state", state.as_str())], flag(state == model.drift));
    }
    for quality in QUALITIES {
        let labels = [of[0], ("quality", quality.as_str())];
        out.set(QUALITY, &labels, flag(quality == model.quality));
    }
    let incident = model.incident.filter(|state| *state != IncidentState::Closed);
    out.set(INCIDENT_OPEN, &of, flag(incident.is_some()));
    out.set(INCIDENT, &[of[0], ("state", "none")], flag(incident.is_none()));
    for state in INCIDENT_STATES {
        out.set(INCIDENT, &[of[0], ("state", state.as_str())], flag(incident == Some(state)));
    }
    out.set(TRIGGERS, &of, model.triggers as f64);
    for reason in SUPPRESSIONS {
        let count = model.suppressed.get(&reason).copied().unwrap_or(0);
        out.set(SUPPRESSED, &[of[0], ("reason", reason.as_str())], count as f64);
    }
    faults::render(out, model);
    checks::render(out, model);
    duplicates::render(out, model);
    outputs::render(out, model);
    operation::render(out, model);
    if let Some(ratio) = model.drift_ratio() {
        out.set(RATIO, &of, ratio);
    }
}

fn status(model: &ModelView) -> &'static str {
    match (model.drift, model.quality) {
        (DriftState::NoBaseline, _) => "no_baseline",
        (_, Quality::Stale) => "stale_input",
        (_, Quality::Misconfigured) => "error",
        (_, Quality::Fault) if is_of_feed(model) => "error",
        (_, Quality::Ok | Quality::Fault | Quality::Incomplete) => {
            let too_few = model.window.records < model.min_records;
            if too_few || model.evaluated_ms.is_none() { "insufficient_samples" } else { "ok" }
        }
    }
}

/// The fault is not one of features only, whose companions are evaluated as ever.
fn is_of_feed(model: &ModelView) -> bool {
    model.faults.is_empty() || model.faults.iter().any(|fault| fault.feature.is_none())
}

/// The highest level that a verdict has reached.
fn level(verdict: Verdict) -> Option<Level> {
    match verdict {
        Verdict::Notice => Some(Level::Notice),
        Verdict::Warning => Some(Level::Warning),
        Verdict::Drifted => Some(Level::Retrain),
        Verdict::Stable
        | Verdict::Unusable
        | Verdict::AbsentInLive
        | Verdict::InsufficientSamples
        | Verdict::Fault => None,
    }
}

fn feature_families(out: &mut Families, model: &ModelView, statistics: &[Statistic]) {
    let verdicts: BTreeMap<&str, &FeatureVerdict> =
        model.features.iter().map(|feature| (feature.feature.as_str(), feature)).collect();
    if let Some(baseline) = &model.baseline {
        for (i, feature) in baseline.features.iter().enumerate() {
            let of = [("model", model.model.as_str()), ("feature", feature.name.as_str())];
            count_families(out, &of, feature, (model.live.get(i), model.scored(i)));
        }
    }
    for fault in model.faults.iter().filter(|fault| !fault.accepted) {
        if let Some(name) = &fault.feature {
            let of = [("model", model.model.as_str()), ("feature", name.as_str())];
            out.set(FAULT, &[of[0], of[1], ("kind", fault.kind.as_str())], 1.0);
        }
    }
    // Silence withdraws scores: the last ones would look like the present ones.
    if model.quality == Quality::Stale {
        return;
    }
    for (name, verdict) in verdicts {
        score_families(
            out,
            [("model", model.model.as_str()), ("feature", name)],
            verdict,
            statistics,
        );
        threshold_families(out, model, verdict, statistics);
    }
}

fn count_families(
    out: &mut Families,
    of: &[(&str, &str)],
    feature: &FeatureBaseline,
    (live, scored): (Option<&Counts>, Option<&Counts>),
) {
    let (records, seen) = match live {
        Some(live) => (live.records(), live.records() - live.missing),
        None => (0, 0),
    };
    // Labels and latencies come later, in other records, or not at all.
    match feature.role {
        Role::Feature | Role::Prediction | Role::Confidence => {
            out.set(PRESENT, of, flag(seen > 0));
        }
        Role::Label | Role::Latency => {}
    }
    out.set(USABLE, of, flag(feature.unusable.is_none()));
    let sides = live.zip(scored).filter(|_| feature.unusable.is_none());
    let Some((live, scored)) = sides else { return };
    let in_cells = scored.in_cells();
    out.set(OBSERVATIONS, of, in_cells as f64);
    // What a fault does to values is shown, though no score rests on them.
    out.set(MISSING, of, ratio(live.absent(), records));
    out.set(INVALID_TYPE, of, ratio(live.type_error, records));
    match feature.kind {
        FeatureKind::Numeric => {
            out.set(OUT_OF_RANGE, of, ratio(scored.below + scored.above, in_cells));
        }
        FeatureKind::Categorical => {
            out.set(UNSEEN, of, ratio(scored.unseen, in_cells + scored.unseen));
        }
    }
}

fn score_families(
    out: &mut Families,
    [model, feature]: [(&str, &str); 2],
    verdict: &FeatureVerdict,
    statistics: &[Statistic],
) {
    for &statistic in statistics {
        if let Some(score) = verdict.scores.get(&statistic) {
            let labels = [model, feature, ("statistic", statistic.as_str()), ("span", "window")];
            out.set(SCORE, &labels, score.value);
        }
    }
    if let Some(onset) = &verdict.onset {
        // Before it is real, the likeliest of all beginnings is where noise has been the loudest.
        let since = onset.psi.filter(|_| onset.is_real() && statistics.contains(&Statistic::Psi));
        if let Some(psi) = since {
            let labels =
                [model, feature, ("statistic", Statistic::Psi.as_str()), ("span", "onset")];
            out.set(SCORE, &labels, psi.value);
        }
        if onset.log_needed > 0.0 {
            out.set(EVIDENCE, &[model, feature], onset.log_evidence / onset.log_needed);
        }
    }
    if is_judged(verdict.verdict) {
        let reached = level(verdict.verdict);
        for line in LEVELS {
            let labels = [model, feature, ("level", line.as_str())];
            out.set(DETECTED, &labels, flag(reached >= Some(line)));
        }
    }
}

fn is_judged(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Stable | Verdict::Notice | Verdict::Warning | Verdict::Drifted => true,
        Verdict::Unusable
        | Verdict::AbsentInLive
        | Verdict::InsufficientSamples
        | Verdict::Fault => false,
    }
}

/// A threshold is there as long as its feature is watched, also while the score is absent.
fn threshold_families(
    out: &mut Families,
    model: &ModelView,
    verdict: &FeatureVerdict,
    statistics: &[Statistic],
) {
    if matches!(verdict.verdict, Verdict::Unusable | Verdict::AbsentInLive) {
        return;
    }
    for (statistic, level, threshold) in &model.thresholds {
        if statistics.contains(statistic) {
            let labels = [
                ("model", model.model.as_str()),
                ("feature", &verdict.feature),
                ("statistic", statistic.as_str()),
                ("level", level.as_str()),
            ];
            out.set(THRESHOLD, &labels, *threshold);
        }
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// NaN of an empty whole, which sets nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matches make a new variant a compile error here, where its list is.
    #[test]
    fn every_state_has_its_series() {
        let quality = |quality| match quality {
            Quality::Ok => 0,
            Quality::Fault => 1,
            Quality::Stale => 2,
            Quality::Incomplete => 3,
            Quality::Misconfigured => 4,
        };
        assert!(QUALITIES.into_iter().map(quality).eq(0..5));
        let incident = |state| match state {
            IncidentState::Triggered => 0,
            IncidentState::Accepted => 1,
            IncidentState::Retraining => 2,
            IncidentState::Unconfirmed => 3,
            IncidentState::Stuck => 4,
            IncidentState::DeliveryFailed => 5,
            IncidentState::Closed => 6,
        };
        assert!(INCIDENT_STATES.into_iter().map(incident).eq(0..6));
        let suppression = |reason| match reason {
            Suppression::Settling => 0,
            Suppression::IncompleteWindow => 1,
            Suppression::MinRecords => 2,
            Suppression::Rejects => 3,
            Suppression::Fault => 4,
            Suppression::Budget => 5,
            Suppression::IncidentOpen => 6,
            Suppression::DryRun => 7,
            Suppression::NoTrigger => 8,
            Suppression::UnreadableIncidents => 9,
            Suppression::Lag => 10,
        };
        assert!(SUPPRESSIONS.into_iter().map(suppression).eq(0..11));
    }

    #[test]
    fn a_statistic_has_the_same_word_as_in_json() {
        for statistic in [Statistic::KlReverse, Statistic::LInfinity, Statistic::WassersteinRaw] {
            let word = serde_json::to_value(statistic).unwrap();
            assert_eq!(word.as_str(), Some(statistic.as_str()));
        }
    }
}
