//! A feature that is stuck: one value, where the reference has many.

use crate::baseline::FeatureBaseline;
use crate::decide::fault::share::effective;
use crate::histogram::Cells;
use crate::histogram::Counts;

/// The only cell that live values are in, when they are one and the same value.
pub(super) fn only_cell(feature: &FeatureBaseline, live: &Counts) -> Option<usize> {
    let mut held = live.cells.iter().enumerate().filter(|(_, count)| **count > 0);
    let (cell, &count) = held.next()?;
    if held.next().is_some() || count < 2 || live.unseen > 0 {
        return None;
    }
    let same = match &feature.cells {
        // Integers: n times the sum of squares is the square of the sum for equal values only.
        Cells::Numeric(cells) => cells.scale.variance(live).is_some_and(|v| v <= 0.0),
        // The last cell is all the rest.
        Cells::Categorical(cells) => cell < cells.categories.len(),
    };
    same.then_some(cell)
}

/// Nats against `n` values in a row in this cell by chance: each has the reference's share of it.
pub(super) fn evidence(feature: &FeatureBaseline, cell: usize, n: u64, design_effect: f64) -> f64 {
    let reference = &feature.reference;
    let m = reference.in_cells() as f64;
    let held = reference.cells.get(cell).copied().unwrap_or(0) as f64;
    let share = (held + 1.0) / (m + 2.0);
    // More values say nothing new about the reference: 1 + n/m is about estimating a share.
    -effective(n, f64::INFINITY, design_effect) * share.ln()
}

/// The value of a numeric feature that is constant.
pub(super) fn value(feature: &FeatureBaseline, live: &Counts) -> Option<f64> {
    match &feature.cells {
        Cells::Numeric(cells) => cells.scale.mean(live),
        Cells::Categorical(_) => None,
    }
}
