//! Wasserstein distance from cells and the sums of the outer cells.

use crate::compare::mean_shift;
use crate::histogram::Counts;
use crate::histogram::NumericCells;

/// `integral abs(F_p - F_q)` in the feature's unit. F is linear inside cells; in an outer cell, which
/// has no end, each side's share sits at its own mean there. Both sides have values in cells.
///
/// Live values between the atoms of an all-integer reference are spread over the gap.
pub(crate) fn raw(cells: &NumericCells, reference: &Counts, live: &Counts) -> f64 {
    let Some((&first, &last)) = cells.edges.first().zip(cells.edges.last()) else {
        return mean_shift::shift(cells.scale, reference, live).abs();
    };
    let (m, n) = (reference.in_cells() as f64, live.in_cells() as f64);
    let share = |k: usize| (reference.cells[k] as f64 / m, live.cells[k] as f64 / n);
    let top = cells.edges.len();
    // Rounding to the fixed point can carry a mean past its edge by less than one step.
    let from_first = |counts: &Counts| {
        let mean = cells.scale.to_mean(counts.low_sum, counts.cells[0]);
        mean.map_or(0.0, |mean| (first - mean).max(0.0))
    };
    let from_last = |counts: &Counts| {
        let mean = cells.scale.to_mean(counts.high_sum, counts.cells[top]);
        mean.map_or(0.0, |mean| (mean - last).max(0.0))
    };
    let mut distance = outer(share(0), (from_first(reference), from_first(live)))
        + outer(share(top), (from_last(reference), from_last(live)));
    let (mut below_reference, mut below_live) = (reference.cells[0], live.cells[0]);
    let mut before = below_reference as f64 / m - below_live as f64 / n;
    for k in 1..top {
        below_reference += reference.cells[k];
        below_live += live.cells[k];
        let after = below_reference as f64 / m - below_live as f64 / n;
        distance += inner(cells.edges[k] - cells.edges[k - 1], before, after);
        before = after;
    }
    distance
}

/// Outer cell: shares `(p, q)` at distances `(u_p, u_q)` from the edge.
fn outer((p, q): (f64, f64), (u_p, u_q): (f64, f64)) -> f64 {
    let nearer = u_p.min(u_q);
    (p - q).abs() * nearer + p * (u_p - nearer) + q * (u_q - nearer)
}

/// Integral of the absolute value of a line from `before` to `after` over `width`.
fn inner(width: f64, before: f64, after: f64) -> f64 {
    let (a, b) = (before.abs(), after.abs());
    if before * after >= 0.0 {
        return width * 0.5 * (a + b);
    }
    width * (a * a + b * b) / (2.0 * (a + b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_without_mass_in_an_outer_cell_has_no_distance_of_its_own() {
        assert!((outer((0.25, 0.0), (2.0, 0.0)) - 0.5).abs() < 1e-15);
        assert!((outer((0.0, 0.25), (0.0, 2.0)) - 0.5).abs() < 1e-15);
    }

    #[test]
    fn a_line_through_zero_counts_both_triangles() {
        assert!((inner(2.0, -0.5, 0.5) - 0.5).abs() < 1e-15);
        assert!((inner(2.0, 0.5, 0.5) - 1.0).abs() < 1e-15);
        assert!(inner(2.0, 0.0, 0.0).abs() < 1e-300);
    }
}
