//! The families of the tests of a model's outputs, by the output's name.

use crate::decide::view::ModelView;
use crate::feature::Role;
use crate::metrics::drift::{Named, flag};
use crate::metrics::text::{Families, Kind};

/// Score, p-value, threshold and verdict of one output.
macro_rules! families {
    ($output:literal, $score:literal, $p_value:literal, $threshold:literal, $detected:literal) => {
        [
            (
                $score,
                Kind::Gauge,
                concat!(
                    "How far the ",
                    $output,
                    " was from the reference in the last window that was tested."
                ),
            ),
            (
                $p_value,
                Kind::Gauge,
                concat!("The p-value of the last test of the ", $output, ", one a window."),
            ),
            (
                $threshold,
                Kind::Gauge,
                concat!(
                    "The p-value under which drift of the ",
                    $output,
                    " warns: ",
                    $output,
                    "_drift_p_value."
                ),
            ),
            (
                $detected,
                Kind::Gauge,
                concat!(
                    "1 when the ",
                    $output,
                    " had drifted at its last test; it warns and never retrains."
                ),
            ),
        ]
    };
}

const PREDICTION: [Named; 4] = families!(
    "prediction",
    "driftd_prediction_drift_score",
    "driftd_prediction_drift_p_value",
    "driftd_prediction_drift_threshold",
    "driftd_prediction_drift_detected"
);
const CONFIDENCE: [Named; 4] = families!(
    "confidence",
    "driftd_confidence_drift_score",
    "driftd_confidence_drift_p_value",
    "driftd_confidence_drift_threshold",
    "driftd_confidence_drift_detected"
);
const OUTPUTS: [(Role, [Named; 4]); 2] =
    [(Role::Prediction, PREDICTION), (Role::Confidence, CONFIDENCE)];

/// All of the above.
pub(super) fn all() -> impl Iterator<Item = Named> {
    OUTPUTS.into_iter().flat_map(|(_, families)| families)
}

/// Absent until a first window has been tested.
pub(super) fn render(out: &mut Families, model: &ModelView) {
    for (role, [score, p_value, threshold, drifted]) in OUTPUTS {
        let Some(last) = model.output(role) else { continue };
        let of = [("model", model.model.as_str()), ("feature", last.feature.as_str())];
        out.set(score, &[of[0], of[1], ("statistic", last.statistic.as_str())], last.score);
        out.set(p_value, &of, last.p_value);
        out.set(threshold, &of, last.threshold);
        out.set(drifted, &of, flag(last.drifted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_has_its_families_by_its_own_name() {
        assert_eq!(OUTPUTS.map(|(role, _)| role), Role::OUTPUTS);
        for (role, families) in OUTPUTS {
            let prefix = format!("driftd_{}_drift_", role.as_str());
            assert!(families.iter().all(|(name, ..)| name.starts_with(&prefix)), "{families:?}");
        }
    }
}
