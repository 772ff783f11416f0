//! The figures of a model's operation: how old it is, how soon drift is found, and how long until it is over.
//!
//! All of them come from the baseline and the incident log, so they go on over restarts.

use crate::decide::ledger::{Durations, EDGES_S};
use crate::decide::view::ModelView;
use crate::metrics::names::Named;
use crate::metrics::text::{Families, Kind};

const TRAINED: Named = (
    "driftd_model_trained_timestamp_seconds",
    Kind::Gauge,
    "When the model was trained, as its baseline tells, seconds since the epoch; absent where it does not.",
);
const DETECTION: Named = (
    "driftd_incident_detection_seconds",
    Kind::Histogram,
    "Event time from the onset of a drift to the end of the pane that opened its incident.",
);
const RECOVERY: Named = (
    "driftd_incident_recovery_seconds",
    Kind::Histogram,
    "Time from the opening of an incident to its end, whichever that was.",
);
const CYCLE: Named = (
    "driftd_retraining_cycle_seconds",
    Kind::Histogram,
    "Time from a trigger that was accepted to the new baseline in force.",
);
const RUNS: Named = (
    "driftd_retraining_runs_total",
    Kind::Counter,
    "Retrainings, by what the pipeline has said of them.",
);

/// All of the above.
pub(super) const ALL: [Named; 5] = [TRAINED, DETECTION, RECOVERY, CYCLE, RUNS];

pub(super) fn render(out: &mut Families, model: &ModelView) {
    let of = [("model", model.model.as_str())];
    if let Some(trained) = model.baseline.as_ref().and_then(|baseline| baseline.trained) {
        out.set(TRAINED, &of, trained.at_ms as f64 / 1000.0);
    }
    let figures = &model.figures;
    for (family, took) in
        [(DETECTION, &figures.detection), (RECOVERY, &figures.recovery), (CYCLE, &figures.cycle)]
    {
        histogram(out, family, &of, took);
    }
    for (state, runs) in figures.runs.by_state() {
        out.set(RUNS, &[of[0], ("state", state)], runs as f64);
    }
}

fn histogram(out: &mut Families, family: Named, of: &[(&str, &str)], took: &Durations) {
    out.set_histogram(family, of, &EDGES_S, took.cumulated(), took.sum_ms() as f64 / 1000.0);
}
