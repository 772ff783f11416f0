//! The past of a model as JSON: a column for each thing, an entry for each point.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::compare::Statistic;
use crate::decide::DriftState;
use crate::decide::history::{History, Point};
use crate::decide::time::rfc3339;
use crate::decide::view::ModelView;

/// `GET /api/v1/models/{model}/history`. Every array has an entry for each point, oldest first.
#[derive(Debug, Serialize)]
pub struct Past<'a> {
    model: &'a str,
    pane_ms: i64,
    /// Panes that a point stands for, the newest one up to so many.
    panes_per_point: usize,
    start: Vec<String>,
    end: Vec<String>,
    records: Vec<u64>,
    rejects: Vec<u64>,
    /// Null where it is not known: decided by an earlier process.
    drift: Vec<Option<DriftState>>,
    /// A new baseline was in force from there on.
    new_baseline: Vec<bool>,
    features: Vec<Lines<'a>>,
}

#[derive(Debug, Serialize)]
struct Lines<'a> {
    feature: &'a str,
    scores: BTreeMap<Statistic, Line>,
    /// Share of what the budget asks: a change is real from 1 on.
    evidence: Vec<Option<f64>>,
    /// PSI since the onset of a change that is real.
    onset_psi: Vec<Option<f64>>,
}

#[derive(Debug, Serialize)]
struct Line {
    value: Vec<Option<f64>>,
    noise_floor: Vec<Option<f64>>,
}

/// The past of a model, of the features that are `wanted`; of all if none is.
pub fn history<'a>(model: &'a ModelView, wanted: &[String]) -> Past<'a> {
    let history = &model.history;
    let points: Vec<&Point> = history.points().collect();
    let is_wanted = |name: &String| wanted.is_empty() || wanted.contains(name);
    let features = history.features().iter().enumerate().filter(|(_, name)| is_wanted(name));
    Past {
        model: &model.model,
        pane_ms: model.pane_ms,
        panes_per_point: history.panes_per_point(),
        start: points.iter().map(|point| rfc3339(point.start_ms)).collect(),
        end: points.iter().map(|point| rfc3339(point.end_ms)).collect(),
        records: points.iter().map(|point| point.records).collect(),
        rejects: points.iter().map(|point| point.rejects).collect(),
        drift: points.iter().map(|point| point.drift).collect(),
        new_baseline: points.iter().map(|point| point.new_baseline).collect(),
        features: features.map(|(at, feature)| lines(history, &points, at, feature)).collect(),
    }
}

fn lines<'a>(history: &History, points: &[&Point], at: usize, feature: &'a str) -> Lines<'a> {
    let line = |statistic: Statistic| {
        let scores = points.iter().map(|point| history.score(point, at, statistic));
        let (value, noise_floor) =
            scores.map(|score| (score.map(|s| s.0), score.and_then(|s| s.1))).unzip();
        Line { value, noise_floor }
    };
    let statistics = history.statistics().iter().map(|&statistic| (statistic, line(statistic)));
    Lines {
        feature,
        scores: statistics.filter(|(_, line)| line.value.iter().any(Option::is_some)).collect(),
        evidence: points.iter().map(|point| point.evidence(at)).collect(),
        onset_psi: points.iter().map(|point| point.onset_psi(at)).collect(),
    }
}
