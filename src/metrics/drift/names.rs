//! The names of the drift families, and what each says.

use crate::metrics::names::Named;
use crate::metrics::text::Kind;

pub(super) const MODEL_INFO: Named =
    ("driftd_model_info", Kind::Gauge, "What the model is watched with: topic, baseline, digest.");
pub(super) const SCORE: Named = (
    "driftd_feature_drift_score",
    Kind::Gauge,
    "How far live is from the reference, over the window or since the onset of a change that is real.",
);
pub(super) const EVIDENCE: Named = (
    "driftd_feature_drift_evidence_ratio",
    Kind::Gauge,
    "Logarithm of the evidence of drift over what the budget of false retrains asks; real from 1 on.",
);
pub(super) const THRESHOLD: Named =
    ("driftd_feature_drift_threshold", Kind::Gauge, "Threshold of the score, by level.");
pub(super) const DETECTED: Named =
    ("driftd_feature_drift_detected", Kind::Gauge, "1 when drift has reached the level.");
pub(super) const MISSING: Named = (
    "driftd_feature_missing_ratio",
    Kind::Gauge,
    "Share of the window's records with no value, null or NaN.",
);
pub(super) const OUT_OF_RANGE: Named = (
    "driftd_feature_out_of_range_ratio",
    Kind::Gauge,
    "Share of the window's values outside the reference's own range.",
);
pub(super) const UNSEEN: Named = (
    "driftd_feature_unseen_category_ratio",
    Kind::Gauge,
    "Share of the window's values that the reference has never seen.",
);
pub(super) const INVALID_TYPE: Named = (
    "driftd_feature_invalid_type_ratio",
    Kind::Gauge,
    "Share of the window's records whose value has the wrong type.",
);
pub(super) const FAULT: Named = (
    "driftd_feature_fault",
    Kind::Gauge,
    "1 while the feature has a fault of this kind and decides nothing; absent without one.",
);
pub(super) const PRESENT: Named = (
    "driftd_feature_present",
    Kind::Gauge,
    "1 when some record of the window carries the feature; labels and latencies are not asked for.",
);
pub(super) const USABLE: Named =
    ("driftd_feature_usable", Kind::Gauge, "1 when the baseline's column can be watched.");
pub(super) const OBSERVATIONS: Named = (
    "driftd_window_observations",
    Kind::Gauge,
    "Live values of the feature that the scores rest on.",
);
pub(super) const RECORDS: Named = ("driftd_window_records", Kind::Gauge, "Records in the window.");
pub(super) const COMPLETE: Named = (
    "driftd_window_complete",
    Kind::Gauge,
    "1 when the window is full, and at least 95 % of its panes and all of its last hour are complete.",
);
pub(super) const WINDOW_END: Named = (
    "driftd_window_end_timestamp_seconds",
    Kind::Gauge,
    "Event time at which the window ends, seconds since the epoch.",
);
pub(super) const LEAST: Named = (
    "driftd_window_min_observations",
    Kind::Gauge,
    "Records that a window needs before anything is decided.",
);
pub(super) const STATUS: Named = (
    "driftd_evaluation_status",
    Kind::Gauge,
    "1 for the status of the last evaluation: why scores are there or absent.",
);
pub(super) const STATE: Named =
    ("driftd_model_drift_state", Kind::Gauge, "1 for the model's drift state.");
pub(super) const QUALITY: Named =
    ("driftd_model_quality", Kind::Gauge, "1 for the quality of the feed.");
pub(super) const RATIO: Named =
    ("driftd_model_drift_ratio", Kind::Gauge, "Share of the watched features at warning or above.");
pub(super) const INCIDENT_OPEN: Named =
    ("driftd_incident_open", Kind::Gauge, "1 while an incident of the model is open.");
pub(super) const INCIDENT: Named =
    ("driftd_incident_state", Kind::Gauge, "1 for the state of the model's incident.");
pub(super) const TRIGGERS: Named = (
    "driftd_retrain_triggers_total",
    Kind::Counter,
    "Incidents opened, those of dry runs and those that were never sent included.",
);
pub(super) const SUPPRESSED: Named = (
    "driftd_retrain_suppressed_total",
    Kind::Counter,
    "Evaluations that would have triggered and were held back, by reason.",
);
pub(super) const LOADED: Named = (
    "driftd_baseline_loaded_timestamp_seconds",
    Kind::Gauge,
    "When the baseline in use was taken up, seconds since the epoch.",
);
pub(super) const ROWS: Named =
    ("driftd_baseline_rows", Kind::Gauge, "Rows of the baseline in use.");

/// All of the above.
pub(super) const ALL: [Named; 27] = [
    MODEL_INFO,
    SCORE,
    EVIDENCE,
    THRESHOLD,
    DETECTED,
    MISSING,
    OUT_OF_RANGE,
    UNSEEN,
    INVALID_TYPE,
    FAULT,
    PRESENT,
    USABLE,
    OBSERVATIONS,
    RECORDS,
    COMPLETE,
    WINDOW_END,
    LEAST,
    STATUS,
    STATE,
    QUALITY,
    RATIO,
    INCIDENT_OPEN,
    INCIDENT,
    TRIGGERS,
    SUPPRESSED,
    LOADED,
    ROWS,
];
