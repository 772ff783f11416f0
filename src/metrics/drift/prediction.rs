//! The families of the prediction's own test.

use crate::decide::view::ModelView;
use crate::metrics::drift::{Named, flag};
use crate::metrics::text::{Families, Kind};

const PREDICTION: Named = (
    "driftd_prediction_drift_score",
    Kind::Gauge,
    "How far the prediction was from the reference in the last window that was tested.",
);
const PREDICTION_P: Named = (
    "driftd_prediction_drift_p_value",
    Kind::Gauge,
    "The p-value of the last test of the prediction, one a window.",
);
const PREDICTION_LINE: Named = (
    "driftd_prediction_drift_threshold",
    Kind::Gauge,
    "The p-value under which drift of the prediction warns: prediction_drift_p_value.",
);
const PREDICTED: Named = (
    "driftd_prediction_drift_detected",
    Kind::Gauge,
    "1 when the prediction had drifted at its last test; it warns and never retrains.",
);

/// All of the above.
pub(super) const ALL: [Named; 4] = [PREDICTION, PREDICTION_P, PREDICTION_LINE, PREDICTED];

/// Absent until a first window has been tested.
pub(super) fn render(out: &mut Families, model: &ModelView) {
    let Some(last) = &model.prediction else { return };
    let of = [("model", model.model.as_str()), ("feature", last.feature.as_str())];
    out.set(PREDICTION, &[of[0], of[1], ("statistic", last.statistic.as_str())], last.score);
    out.set(PREDICTION_P, &of, last.p_value);
    out.set(PREDICTION_LINE, &of, last.threshold);
    out.set(PREDICTED, &of, flag(last.drifted));
}
