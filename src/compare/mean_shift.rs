//! How far the mean has moved.

use statrs::function::erf::erfc;

use crate::histogram::Counts;
use crate::histogram::Scale;

/// `mean_live - mean_reference` of the values in cells, in the feature's unit. The scale's centre
/// drops out, so that a small shift of a large mean is exact.
pub(crate) fn shift(scale: Scale, reference: &Counts, live: &Counts) -> f64 {
    let steps = |counts: &Counts| counts.sum as f64 / counts.in_cells() as f64;
    (steps(live) - steps(reference)) / scale.factor()
}

/// Two-sided, `z = shift / sqrt f`, with the shift in standard deviations of the reference.
pub(crate) fn p_value(shift: f64, f: f64) -> f64 {
    erfc(shift.abs() / (2.0 * f).sqrt())
}
