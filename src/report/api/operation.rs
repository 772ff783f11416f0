//! The figures of a model's operation, as JSON.

use serde::Serialize;

use crate::baseline::{Trained, TrainedBy};
use crate::decide::ledger::{self, Runs};
use crate::decide::time::rfc3339;
use crate::decide::view::ModelView;

/// How the model is doing, over all incidents that it has ever had.
#[derive(Debug, Serialize)]
pub(super) struct Operation {
    /// Share of the watched features at `warning` or above; null while scores are absent.
    drift_ratio: Option<f64>,
    /// Onset to incident, in event time.
    time_to_detect: Durations,
    /// Incident opened to incident closed.
    time_to_recover: Durations,
    /// Trigger that was accepted to new baseline in force.
    retraining_cycle: Durations,
    runs: Runs,
}

#[derive(Debug, Serialize)]
struct Durations {
    count: u64,
    /// Null before the first.
    mean_seconds: Option<f64>,
    last_seconds: Option<f64>,
}

/// When the model was trained, and what says so.
#[derive(Debug, Serialize)]
pub(super) struct TrainedAt {
    at: String,
    by: TrainedBy,
}

pub(super) fn operation(model: &ModelView) -> Operation {
    let figures = &model.figures;
    Operation {
        drift_ratio: model.drift_ratio(),
        time_to_detect: durations(&figures.detection),
        time_to_recover: durations(&figures.recovery),
        retraining_cycle: durations(&figures.cycle),
        runs: figures.runs,
    }
}

pub(super) fn trained_at(trained: Trained) -> TrainedAt {
    TrainedAt { at: rfc3339(trained.at_ms), by: trained.by }
}

fn durations(of: &ledger::Durations) -> Durations {
    let seconds = |ms: Option<i64>| ms.map(|ms| ms as f64 / 1000.0);
    Durations {
        count: of.count(),
        mean_seconds: seconds(of.mean_ms()),
        last_seconds: seconds(of.last_ms()),
    }
}
