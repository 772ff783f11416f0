//! Quantiles of what was counted, read off the cells.

use crate::histogram::Counts;
use crate::histogram::NumericCells;

/// Values below which the given shares of `counts` lie, linear inside cells; `None` without values.
///
/// An outer cell is taken as even over twice the distance of its own mean from its edge, and not
/// beyond the reference's range unless values were. `shares` are in `[0, 1]`.
pub fn quantiles(cells: &NumericCells, counts: &Counts, shares: &[f64]) -> Option<Vec<f64>> {
    let n = counts.in_cells();
    (n > 0).then(|| shares.iter().map(|&share| one(cells, counts, share * n as f64)).collect())
}

fn one(cells: &NumericCells, counts: &Counts, rank: f64) -> f64 {
    let mut below = 0.0;
    let mut found = 0;
    for (k, &count) in counts.cells.iter().enumerate() {
        if count == 0 {
            continue;
        }
        found = k;
        if below + count as f64 >= rank {
            break;
        }
        below += count as f64;
    }
    let (low, high) = limits(cells, counts, found);
    let inside = ((rank - below) / counts.cells[found] as f64).clamp(0.0, 1.0);
    low + inside * (high - low)
}

fn limits(cells: &NumericCells, counts: &Counts, k: usize) -> (f64, f64) {
    let edges = &cells.edges;
    let from = |edge: f64, sum| {
        let mean = cells.scale.to_mean(sum, counts.cells[k]);
        mean.map_or(0.0, |mean| mean - edge)
    };
    let low = match k {
        0 => {
            let edge = edges.first().copied().unwrap_or(cells.highest);
            let mirrored = edge + 2.0 * from(edge, counts.low_sum).min(0.0);
            if counts.below == 0 { mirrored.max(cells.lowest.min(edge)) } else { mirrored }
        }
        _ => edges[k - 1],
    };
    let high = match edges.get(k) {
        Some(&edge) => edge,
        None => {
            let edge = edges.last().copied().unwrap_or(cells.lowest);
            let mirrored = edge + 2.0 * from(edge, counts.high_sum).max(0.0);
            if counts.above == 0 { mirrored.min(cells.highest.max(edge)) } else { mirrored }
        }
    };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Scale;
    use crate::histogram::Storage;

    #[test]
    fn quantiles_of_even_counts_are_even() {
        let scale = Scale { center: 0.0, unit: 1.0 };
        let cells = NumericCells::new(vec![1.0, 2.0, 3.0], 0.0, 4.0, scale, Storage::F64);
        let counts = Counts {
            cells: vec![10; 4],
            low_sum: 5 << 20,
            high_sum: 35 << 20,
            ..Counts::default()
        };
        let found = quantiles(&cells, &counts, &[0.0, 0.125, 0.25, 0.5, 0.875, 1.0]).unwrap();
        assert_eq!(found, [0.0, 0.5, 1.0, 2.0, 3.5, 4.0]);
        assert_eq!(quantiles(&cells, &Counts::zero(4), &[0.5]), None);
    }
}
