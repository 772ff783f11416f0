//! A View as the JSON of the API. Keys are a contract: more may be added, none may change.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::baseline::{FeatureBaseline, Unusable};
use crate::compare;
use crate::compare::Statistic;
use crate::decide::check::CheckView;
use crate::decide::fault::Fault;
use crate::decide::incident::Incident;
use crate::decide::output::OutputDrift;
use crate::decide::policy::Level;
use crate::decide::time::rfc3339;
use crate::decide::view::{
    DriftState, FeatureVerdict, ModelView, Quality, Suppression, VerdictScore, View,
};
use crate::feature::{Kind, Role};
use crate::histogram::{Bins, Cells, Counts};

mod history;
mod operation;
mod panes;

pub use history::{Past, history};
use operation::{Operation, TrainedAt, operation, trained_at};
pub use panes::{PaneFilter, panes};

/// `GET /api/v1/models`.
#[derive(Debug, Serialize)]
pub struct Models<'a> {
    models: Vec<ModelSummary<'a>>,
}

/// `GET /api/v1/models/{model}/report`: all that is known of a model, in one document.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    generated: String,
    #[serde(flatten)]
    model: Model<'a>,
    history: Past<'a>,
    /// Counts of every feature of the baseline, in its order.
    distributions: Vec<Feature<'a>>,
    #[serde(flatten)]
    incidents: Incidents,
}

/// One model, without its features.
#[derive(Debug, Serialize)]
struct ModelSummary<'a> {
    model: &'a str,
    topic: &'a str,
    drift: DriftState,
    quality: Quality,
    /// `none`, or the state of the open incident.
    incident: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident_id: Option<&'a str>,
    /// Where the model is evaluated, if not by the replica that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluated_by: Option<&'a str>,
    window: Window,
}

#[derive(Debug, Serialize)]
struct Window {
    /// Null until a pane has closed.
    start: Option<String>,
    end: Option<String>,
    records: u64,
    complete: bool,
}

/// `GET /api/v1/models/{model}`.
#[derive(Debug, Serialize)]
pub struct Model<'a> {
    #[serde(flatten)]
    summary: ModelSummary<'a>,
    /// End of the last pane that was evaluated.
    evaluated: Option<String>,
    baseline: Option<BaselineSummary<'a>>,
    min_records: u64,
    thresholds: Vec<Threshold>,
    features: Vec<FeatureVerdict>,
    faults: &'a [Fault],
    /// What was asked of live values, in the order of the configuration.
    checks: &'a [CheckView],
    /// The last test of each output, where one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction_drift: Option<&'a OutputDrift>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence_drift: Option<&'a OutputDrift>,
    suppressed_by: &'a [Suppression],
    explanation: &'a str,
    triggers: u64,
    operation: Operation,
    suppressed: &'a BTreeMap<Suppression, u64>,
}

#[derive(Debug, Serialize)]
struct BaselineSummary<'a> {
    source: &'a str,
    digest: &'a str,
    rows: u64,
    loaded: Option<String>,
    /// Null where nothing tells.
    trained: Option<TrainedAt>,
}

#[derive(Debug, Serialize)]
struct Threshold {
    statistic: Statistic,
    level: Level,
    threshold: f64,
}

/// `GET /api/v1/models/{model}/features/{feature}`.
#[derive(Debug, Serialize)]
pub struct Feature<'a> {
    #[serde(flatten)]
    verdict: Named<'a>,
    column_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<Unusable>,
    cells: CellCounts<'a>,
    bins: BinCounts,
    /// Missing keys, nulls and NaN together, of all records.
    missing: Pair<Missing>,
    type_error: Pair<Share>,
    /// Infinite values, of all records.
    infinite: Pair<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_of_range: Option<Pair<Share>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unseen: Option<Pair<Share>>,
}

/// The verdict where there is one yet, else the name alone.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Named<'a> {
    Judged(Box<FeatureVerdict>),
    Unjudged { feature: &'a str, kind: Kind, role: Role },
}

/// Cell `i` of a numeric feature is `(edges[i-1], edges[i]]`, open outside; of a categorical one
/// `categories[i]`, and the last is the rest of the known categories.
#[derive(Debug, Serialize)]
struct CellCounts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    edges: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    categories: Option<&'a [String]>,
    reference: &'a [u64],
    live: Vec<u64>,
}

/// Bins are unions of cells: bin `b` begins with cell `starts[b]`.
#[derive(Debug, Serialize)]
struct BinCounts {
    #[serde(skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    starts: Vec<u32>,
    reference: Vec<u64>,
    live: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Pair<T> {
    reference: T,
    live: T,
}

#[derive(Debug, Serialize)]
struct Share {
    count: u64,
    /// Null when there is nothing to be a share of.
    ratio: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Missing {
    #[serde(flatten)]
    all: Share,
    key: u64,
    null: u64,
    nan: u64,
}

/// `GET /api/v1/incidents`.
#[derive(Debug, Serialize)]
pub struct Incidents {
    incidents: Vec<Incident>,
}

/// Every model, in the order of the configuration.
pub fn models(view: &View) -> Models<'_> {
    Models { models: view.models.iter().map(|model| summary(model)).collect() }
}

/// One model with its features.
pub fn model(model: &ModelView) -> Model<'_> {
    let threshold = |&(statistic, level, threshold): &_| Threshold { statistic, level, threshold };
    Model {
        summary: summary(model),
        evaluated: model.evaluated_ms.map(rfc3339),
        baseline: model.baseline.as_ref().map(|baseline| BaselineSummary {
            source: &baseline.source,
            digest: &baseline.digest,
            rows: baseline.rows,
            loaded: model.baseline_loaded_ms.map(rfc3339),
            trained: baseline.trained.map(trained_at),
        }),
        min_records: model.min_records,
        thresholds: model.thresholds.iter().map(threshold).collect(),
        features: model.features.iter().map(finite).collect(),
        faults: &model.faults,
        checks: &model.checks,
        prediction_drift: model.output(Role::Prediction),
        confidence_drift: model.output(Role::Confidence),
        suppressed_by: &model.suppressed_by,
        explanation: &model.explanation,
        triggers: model.triggers,
        operation: operation(model),
        suppressed: &model.suppressed,
    }
}

/// The counts of one feature; `None` when the baseline has no such column.
pub fn feature<'a>(model: &'a ModelView, name: &str) -> Option<Feature<'a>> {
    let baseline = model.baseline.as_ref()?;
    let index = baseline.features.iter().position(|feature| feature.name == name)?;
    let of = &baseline.features[index];
    let zero = Counts::zero(of.cells.len());
    let whole = |counts: Option<&'a Counts>| {
        counts.filter(|counts| counts.cells.len() == zero.cells.len()).unwrap_or(&zero)
    };
    let (live, rest) = (whole(model.live.get(index)), whole(model.scored(index)));
    // Of a feature with a season, what its scores are of.
    let mixture = model.references.get(index).and_then(Option::as_ref);
    let reference = mixture.unwrap_or(&of.reference);
    let verdict = model.features.iter().find(|verdict| verdict.feature == name);
    let (out_of_range, unseen) = match &of.cells {
        Cells::Numeric(_) => (Some(pair(of, rest, out_of_range)), None),
        Cells::Categorical(_) => (None, Some(pair(of, rest, unseen))),
    };
    Some(Feature {
        verdict: match verdict {
            Some(verdict) => Named::Judged(Box::new(finite(verdict))),
            None => Named::Unjudged { feature: &of.name, kind: of.kind, role: of.role },
        },
        column_type: &of.column_type,
        unusable: of.unusable,
        cells: cell_counts(of, reference, rest),
        bins: bin_counts(of, reference, rest),
        missing: pair(of, live, missing),
        type_error: pair(of, live, |c| share(c.type_error, c.records())),
        infinite: pair(of, live, |c| share(c.pos_inf + c.neg_inf, c.records())),
        out_of_range,
        unseen,
    })
}

/// Open and recently closed incidents, newest first.
pub fn incidents(view: &View) -> Incidents {
    let clean = |incident: &Incident| {
        let mut incident = incident.clone();
        incident.evidence.features = incident.evidence.features.iter().map(finite).collect();
        incident
    };
    Incidents { incidents: view.incidents.iter().map(clean).collect() }
}

/// All of one model, as of `now_ms`.
pub fn report<'a>(view: &View, of: &'a ModelView, now_ms: i64) -> Report<'a> {
    let names = of.baseline.iter().flat_map(|baseline| &baseline.features);
    let mut incidents = incidents(view);
    incidents.incidents.retain(|incident| incident.model == of.model);
    Report {
        generated: rfc3339(now_ms),
        model: model(of),
        history: history(of, &[]),
        distributions: names.filter_map(|named| feature(of, &named.name)).collect(),
        incidents,
    }
}

fn summary(model: &ModelView) -> ModelSummary<'_> {
    let window = model.window;
    let begun = window.end_ms > window.start_ms;
    ModelSummary {
        model: &model.model,
        topic: &model.topic,
        drift: model.drift,
        quality: model.quality,
        incident: model.incident.map_or("none", |state| state.as_str()),
        incident_id: model.incident_id.as_deref(),
        evaluated_by: model.elsewhere.as_deref(),
        window: Window {
            start: begun.then(|| rfc3339(window.start_ms)),
            end: begun.then(|| rfc3339(window.end_ms)),
            records: window.records,
            complete: window.complete,
        },
    }
}

/// JSON has no NaN and no infinity: a score that is not finite is absent.
fn finite(verdict: &FeatureVerdict) -> FeatureVerdict {
    let keep = |value: Option<f64>| value.filter(|value| value.is_finite());
    let mut verdict = verdict.clone();
    verdict.scores.retain(|_, score| score.value.is_finite());
    for score in verdict.scores.values_mut() {
        let VerdictScore { value, noise_floor, p_value, threshold } = *score;
        *score = VerdictScore {
            value,
            noise_floor: keep(noise_floor),
            p_value: keep(p_value),
            threshold: keep(threshold),
        };
    }
    verdict
}

fn cell_counts<'a>(
    of: &'a FeatureBaseline,
    reference: &'a Counts,
    live: &Counts,
) -> CellCounts<'a> {
    let (edges, categories) = match &of.cells {
        Cells::Numeric(cells) => (Some(cells.edges.as_slice()), None),
        Cells::Categorical(cells) => (None, Some(cells.categories.as_slice())),
    };
    CellCounts { edges, categories, reference: &reference.cells, live: live.cells.clone() }
}

fn bin_counts(of: &FeatureBaseline, reference: &Counts, live: &Counts) -> BinCounts {
    let bins = compare::score_bins(of, live);
    let (edges, labels) = match &of.cells {
        Cells::Numeric(cells) => {
            // The edge between two bins is the one below the second's first cell.
            let inner = bins.starts.iter().skip(1);
            let edge = |&start: &u32| cells.edges.get((start as usize).checked_sub(1)?).copied();
            (Some(inner.filter_map(edge).collect()), None)
        }
        Cells::Categorical(cells) => (None, Some(labels(&bins, &cells.categories))),
    };
    BinCounts {
        edges,
        labels,
        reference: bins.sum(&reference.cells),
        live: bins.sum(&live.cells),
        starts: bins.starts,
    }
}

/// A bin of one category has its name; one of several says how many, the rest cell not counted.
fn labels(bins: &Bins, categories: &[String]) -> Vec<String> {
    let ends = bins.starts.iter().skip(1).map(|&start| start as usize);
    let ends = ends.chain([categories.len() + 1]);
    let label = |(start, end): (usize, usize)| match (categories.get(start), end - start) {
        (Some(name), 1) => name.clone(),
        _ => format!("other ({} listed)", end.min(categories.len()) - start),
    };
    bins.starts.iter().map(|&start| start as usize).zip(ends).map(label).collect()
}

fn pair<T>(of: &FeatureBaseline, live: &Counts, of_counts: impl Fn(&Counts) -> T) -> Pair<T> {
    Pair { reference: of_counts(&of.reference), live: of_counts(live) }
}

fn missing(counts: &Counts) -> Missing {
    Missing {
        all: share(counts.absent(), counts.records()),
        key: counts.missing,
        null: counts.null,
        nan: counts.nan,
    }
}

fn out_of_range(counts: &Counts) -> Share {
    share(counts.below + counts.above, counts.in_cells())
}

fn unseen(counts: &Counts) -> Share {
    share(counts.unseen, counts.in_cells() + counts.unseen)
}

fn share(count: u64, whole: u64) -> Share {
    Share { count, ratio: (whole > 0).then(|| count as f64 / whole as f64) }
}
