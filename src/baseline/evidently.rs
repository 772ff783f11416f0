//! Edges that Evidently's bins need: equal widths over the range of both sides together.
//!
//! Evidently takes `numpy.histogram_bin_edges(both sides, "sturges")`. How many bins that is follows
//! from how many values both sides have, and where they end from both sides' range; a baseline knows
//! neither of live. So its cells get the edges of every number of bins that may come, over the
//! reference's own range: while live stays inside it, the very bins of Evidently are unions of cells.
//! Cells beyond the range tell how far live has left it.

use crate::histogram::Bins;
use crate::histogram::Storage;

/// Up to so many distinct reference values Evidently has one bin for each value.
pub const DISTINCT_MAX: u64 = 20;
/// Live values to a reference value up to which the edges are there: 2^12.
const RATIO: u64 = 4096;

/// Number of bins that NumPy's `sturges` gives `values` values over `range`, which is above 0:
/// `ceil(range / width)`, `width = range / (log2(values) + 1)`. Integers have bins of at least 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small whole number above 0"
)]
pub fn sturges(range: f64, values: u64, integer: bool) -> usize {
    let width = range / ((values as f64).log2() + 1.0);
    let width = if integer { width.max(1.0) } else { width };
    // A range of a few denormals has no width to divide by; NumPy takes one bin, too.
    if width > 0.0 { ((range / width).ceil() as usize).max(1) } else { 1 }
}

/// Edge `i` of `bins` equal bins over `[lowest, highest]`, as `numpy.linspace` rounds it for columns
/// of this storage type.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "NumPy does this sum in the column's own type"
)]
pub fn edge((lowest, highest): (f64, f64), i: usize, bins: usize, storage: Storage) -> f64 {
    match storage {
        Storage::F32 => {
            let (low, high) = (lowest as f32, highest as f32);
            f64::from(i as f32 * ((high - low) / bins as f32) + low)
        }
        Storage::F64 | Storage::F16 | Storage::Decimal { .. } => {
            i as f64 * ((highest - lowest) / bins as f64) + lowest
        }
    }
}

/// Equal bins over `range` as unions of the cells between `edges`: each inner edge is taken at the
/// nearest cell edge, which is itself while `range` is the reference's own. Bins between inner edges
/// that fall together are left out: nothing is in them.
pub fn equal_bins(edges: &[f64], range: (f64, f64), bins: usize, storage: Storage) -> Bins {
    let inner = (1..bins).map(|i| nearest(edges, closed_left(edge(range, i, bins, storage))));
    let mut starts: Vec<u32> = std::iter::once(0).chain(inner).collect();
    starts.dedup();
    Bins { starts }
}

/// The cell behind the edge that is nearest to `at`.
fn nearest(edges: &[f64], at: f64) -> u32 {
    let above = edges.partition_point(|&edge| edge < at);
    let is_lower = match (above.checked_sub(1).map(|below| edges[below]), edges.get(above)) {
        (Some(below), Some(above)) => at - below < above - at,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let cell = if is_lower { above } else { above + 1 };
    u32::try_from(cell.min(edges.len())).unwrap_or(u32::MAX)
}

/// Evidently's bins are closed on the left, cells on the right: the edge of the cell below `edge`.
pub fn closed_left(edge: f64) -> f64 {
    edge.next_down()
}

/// Arrow's name of a type of whole numbers, for which NumPy has wider bins.
pub fn is_integer(column_type: &str) -> bool {
    let bits = column_type.strip_prefix('U').unwrap_or(column_type).strip_prefix("Int");
    bits.is_some_and(|bits| bits.parse::<u8>().is_ok())
}

/// What is known of a numeric column when its cells are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) range: (f64, f64),
    pub(super) finite: u64,
    pub(super) distinct: u64,
    pub(super) storage: Storage,
    pub(super) integer: bool,
}

/// Adds the edges to `edges`, which ascend strictly and do so afterwards.
pub(super) fn add_edges(edges: &mut Vec<f64>, column: &Column) {
    let (lowest, highest) = column.range;
    let range = highest - lowest;
    if column.distinct <= DISTINCT_MAX || !range.is_finite() {
        return;
    }
    edges.extend([closed_left(lowest), highest]);
    for bins in numbers_of_bins(range, column) {
        let inner = (1..bins).map(|i| edge(column.range, i, bins, column.storage));
        edges.extend(inner.map(closed_left));
    }
    for beyond in beyond() {
        edges.extend([lowest - range * beyond, highest + range * beyond]);
    }
    edges.retain(|edge| edge.is_finite());
    edges.sort_unstable_by(f64::total_cmp);
    edges.dedup();
}

/// The bins of a reference compared with as many live values in its own range; one bin for every
/// cell where Evidently has one for every value.
pub(super) fn usual_bins(edges: &[f64], column: &Column) -> Bins {
    let range = column.range.1 - column.range.0;
    if column.distinct <= DISTINCT_MAX || !range.is_finite() {
        return Bins { starts: (0..).take(edges.len() + 1).collect() };
    }
    let bins = sturges(range, column.finite.saturating_mul(2), column.integer);
    equal_bins(edges, column.range, bins, column.storage)
}

/// Every number of bins from one live value to `RATIO` times the reference's.
fn numbers_of_bins(range: f64, column: &Column) -> impl Iterator<Item = usize> {
    let first = sturges(range, column.finite + 1, false);
    let last = sturges(range, column.finite.saturating_mul(RATIO + 1), false);
    let widest = column.integer.then(|| sturges(range, u64::MAX, true));
    (first..=last + 1).chain(widest.filter(|&bins| bins < first))
}

/// How far beyond the range there are edges, in ranges: 1/256 apart up to a quarter of it, 1/64 up to
/// a half, 1/16 up to one, and 1/4 up to four. What lies further is in an outer cell, whose mean is known.
fn beyond() -> impl Iterator<Item = f64> {
    let steps = |from: u32, to: u32, unit: f64| (from..=to).map(move |i| f64::from(i) * unit);
    let near = steps(1, 64, 1.0 / 256.0).chain(steps(17, 32, 1.0 / 64.0));
    near.chain(steps(9, 16, 1.0 / 16.0)).chain(steps(5, 16, 1.0 / 4.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sturges_is_numpys() {
        // numpy.histogram_bin_edges(numpy.linspace(0, 1, n), "sturges")
        for (n, bins) in [(2, 2), (100, 8), (1024, 11), (1025, 12), (25_000, 16), (1 << 20, 21)] {
            assert_eq!(sturges(1.0, n, false), bins, "{n}");
        }
        assert_eq!(sturges(20.0, 1 << 24, true), 20);
        assert_eq!(sturges(20.0, 1 << 24, false), 25);
    }

    #[test]
    fn whole_numbers_are_known_by_their_type() {
        assert!(["Int8", "Int64", "UInt16"].into_iter().all(is_integer));
        assert!(!["Float64", "Interval(YearMonth)", "Utf8", "U"].into_iter().any(is_integer));
    }

    #[test]
    fn all_numbers_of_bins_are_unions_of_cells() {
        let column = Column {
            range: (-3.0, 5.0),
            finite: 20_000,
            distinct: 20_000,
            storage: Storage::F64,
            integer: false,
        };
        let mut edges = vec![-1.0, 0.25, 2.0];
        add_edges(&mut edges, &column);
        assert!(edges.is_sorted_by(|a, b| a < b));
        assert!(edges.len() < 500, "{}", edges.len());
        for live in [1, 5_000, 20_000, 1_000_000, 20_000 * 4096] {
            let bins = sturges(8.0, 20_000 + live, false);
            for i in 1..bins {
                let at = closed_left(edge(column.range, i, bins, Storage::F64));
                assert!(edges.contains(&at), "{live}: {i} of {bins}");
            }
        }
    }
}
