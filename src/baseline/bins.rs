//! Quantile cells with atoms, and decile or category bins on them.

use crate::histogram::Bins;

/// Quantile cells of a numeric feature, before atoms add theirs.
pub(super) const RESOLUTION: usize = 240;
/// Up to so many distinct values each one is an atom.
const ATOMS_MAX: usize = 64;
/// A category with at least this share of the values is a bin of its own ...
const SHARE_MIN: f64 = 0.005;
/// ... unless there are more than this many.
const CATEGORY_BINS_MAX: usize = 50;

/// The order statistic of rank `ceil(k m / n)`: SciPy's `inverted_cdf` at `k / n`.
pub(super) fn quantile(sorted: &[f64], k: usize, n: usize) -> f64 {
    let rank = (k * sorted.len()).div_ceil(n).max(1);
    sorted[rank - 1]
}

/// Strictly ascending edges of the cells of `sorted` (finite, not empty), the outer two open.
///
/// At most 64 distinct values: each is an atom, `(pred(a), a]`. Else the quantiles of rank
/// `ceil(k m / 240)`, ties collapsed, and `pred(a)` before each value that holds more than `m / 240`.
/// The maximum is an edge only if it is an atom, because the last cell is open.
pub(super) fn edges(sorted: &[f64]) -> Vec<f64> {
    let atoms = match distinct_at_most(sorted, ATOMS_MAX) {
        Some(all) => all,
        None => heavy(sorted),
    };
    let max = sorted[sorted.len() - 1];
    let mut edges: Vec<f64> = (1..RESOLUTION)
        .map(|k| quantile(sorted, k, RESOLUTION))
        .filter(|&edge| edge < max)
        .chain(atoms.iter().flat_map(|&a| [a.next_down(), a]))
        .filter(|edge| edge.is_finite())
        .collect();
    edges.sort_unstable_by(f64::total_cmp);
    edges.dedup();
    edges
}

/// How many distinct values there are, and how many occur once.
pub(super) fn distinct_and_singletons(sorted: &[f64]) -> (u64, u64) {
    let differ = |pair: &[f64]| !same(pair[0], pair[1]);
    let changes: u64 = sorted.windows(2).map(|pair| u64::from(differ(pair))).sum();
    let alone = |three: &[f64]| u64::from(differ(&three[..2]) & differ(&three[1..]));
    let inner: u64 = sorted.windows(3).map(alone).sum();
    let ends = match sorted {
        [] => return (0, 0),
        [_] => 1,
        [first, second, ..] => {
            let last = &sorted[sorted.len() - 2..];
            u64::from(!same(*first, *second)) + u64::from(differ(last))
        }
    };
    (changes + 1, inner + ends)
}

/// Values that each hold more than `m / 240`: so many neighbours reach over one of the quantiles.
fn heavy(sorted: &[f64]) -> Vec<f64> {
    let mut candidates: Vec<f64> =
        (1..=RESOLUTION).map(|k| quantile(sorted, k, RESOLUTION)).collect();
    candidates.dedup();
    candidates.retain(|value| {
        let before = sorted.partition_point(|other| other < value);
        let with = sorted.partition_point(|other| other <= value);
        (with - before) * RESOLUTION > sorted.len()
    });
    candidates
}

/// Ties are exact; zeros have one sign here.
fn same(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
}

fn distinct_at_most(sorted: &[f64], max: usize) -> Option<Vec<f64>> {
    let mut distinct = Vec::new();
    let mut rest = sorted;
    while let Some(&value) = rest.first() {
        if distinct.len() == max {
            return None;
        }
        distinct.push(value);
        rest = &rest[rest.partition_point(|&other| other <= value)..];
    }
    Some(distinct)
}

/// Decile bins on `edges`: as `pandas.qcut(method="inverted_cdf", duplicates="drop")`, except that a
/// minimum which fills the first decile is a bin of its own (qcut would join it with its neighbour,
/// and a flag that is mostly 0 would have one bin). A maximum that fills all deciles is one, too.
pub(super) fn decile_bins(sorted: &[f64], edges: &[f64]) -> Bins {
    let max = sorted[sorted.len() - 1];
    let mut ends: Vec<f64> =
        (1..10).map(|j| quantile(sorted, j, 10)).filter(|&end| end < max).collect();
    ends.dedup();
    if ends.is_empty() && sorted[0] < max {
        ends.push(max.next_down());
    }
    let after = |end: &f64| {
        let cell = edges.partition_point(|edge| edge < end) + 1;
        u32::try_from(cell).expect("there are at most 480 cells")
    };
    Bins { starts: std::iter::once(0).chain(ends.iter().map(after)).collect() }
}

/// One bin per category with at least half a percent of the values (at most 50), and one for the
/// rest. `counts` descend; the last cell holds the categories beyond those listed.
pub(super) fn category_bins(counts: &[u64]) -> Bins {
    let total: u64 = counts.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "shares need no more than 53 bits")]
    let is_large = |&&count: &&u64| count > 0 && count as f64 >= SHARE_MIN * total as f64;
    let listed = &counts[..counts.len() - 1];
    let large = listed.iter().take_while(is_large).take(CATEGORY_BINS_MAX).count();
    // A rest that nothing is in would be a bin that no law describes; it joins the last one.
    let has_rest = counts[large..].iter().any(|&count| count > 0);
    let bins = (large + usize::from(has_rest)).max(1);
    Bins { starts: (0u32..).take(bins).collect() }
}

/// One bin per category, and one for those beyond the listed ones if there are any.
pub(super) fn value_bins(counts: &[u64]) -> Bins {
    let bins = counts.iter().filter(|&&count| count > 0).count().max(1);
    Bins { starts: (0u32..).take(bins).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let tied = proptest::collection::vec((-20..20i32).prop_map(f64::from), 1..400);
        let many =
            proptest::collection::vec((-900..900i32).prop_map(|x| f64::from(x) / 8.0), 1..900);
        let free = proptest::collection::vec(-1e9..1e9f64, 1..700);
        let heavy = (free.clone(), 0..500usize).prop_map(|(mut v, zeros)| {
            v.extend(std::iter::repeat_n(0.0, zeros));
            v
        });
        prop_oneof![tied, many, free, heavy].prop_map(sorted)
    }

    proptest! {
        #[test]
        fn edges_ascend_and_cells_are_at_most_480(values in values()) {
            let edges = edges(&values);
            prop_assert!(edges.len() < 480);
            prop_assert!(edges.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(edges.iter().all(|e| e.is_finite()));
        }

        #[test]
        fn looking_where_quantiles_are_finds_what_looking_everywhere_finds(values in values()) {
            let runs = || values.chunk_by(|a, b| same(*a, *b));
            let plain: Vec<f64> = runs()
                .filter(|run| run.len() * RESOLUTION > values.len())
                .map(|run| run[0])
                .collect();
            prop_assert_eq!(heavy(&values), plain);
            let all: Vec<f64> = runs().map(|run| run[0]).collect();
            let n = all.len();
            prop_assert_eq!(distinct_at_most(&values, n - 1), None);
            prop_assert_eq!(distinct_at_most(&values, n), Some(all));
            let singletons = runs().filter(|run| run.len() == 1).count();
            prop_assert_eq!(distinct_and_singletons(&values), (n as u64, singletons as u64));
        }

        #[test]
        fn every_decile_is_a_cell_edge(values in values()) {
            let edges = edges(&values);
            let max = values[values.len() - 1];
            for j in 1..10 {
                let decile = quantile(&values, j, 10);
                prop_assert!(decile >= max || edges.contains(&decile), "{decile}");
            }
            let bins = decile_bins(&values, &edges);
            prop_assert!(bins.starts.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(bins.starts.iter().all(|&s| (s as usize) <= edges.len()));
        }

        #[test]
        fn no_cell_but_an_atom_holds_more_than_two_shares(values in values()) {
            let edges = edges(&values);
            let mut low = f64::NEG_INFINITY;
            for &high in edges.iter().chain([&f64::INFINITY]) {
                let within: Vec<f64> =
                    values.iter().copied().filter(|&v| low < v && v <= high).collect();
                let is_atom = within.windows(2).all(|w| same(w[0], w[1]));
                prop_assert!(is_atom || within.len() <= 2 * values.len().div_ceil(RESOLUTION));
                low = high;
            }
        }
    }

    #[test]
    fn a_flag_has_two_bins_whichever_side_is_rare() {
        for rare in [3, 97] {
            let values = sorted((0..100).map(|i| f64::from(u8::from(i >= rare))).collect());
            let edges = edges(&values);
            let bins = decile_bins(&values, &edges);
            let counts: Vec<u64> = (0..=edges.len())
                .map(|i| {
                    let low = if i == 0 { f64::NEG_INFINITY } else { edges[i - 1] };
                    let high = edges.get(i).copied().unwrap_or(f64::INFINITY);
                    values.iter().filter(|&&v| low < v && v <= high).count() as u64
                })
                .collect();
            assert_eq!(bins.sum(&counts), [rare, 100 - rare]);
        }
    }

    #[test]
    fn a_constant_is_one_atom_in_one_bin() {
        let values = vec![7.5; 100];
        let edges = edges(&values);
        assert_eq!(edges, [7.5f64.next_down(), 7.5]);
        assert_eq!(decile_bins(&values, &edges).starts, [0]);
    }

    #[test]
    fn the_lowest_double_needs_no_edge_below_it() {
        let values = [vec![-f64::MAX; 50], vec![f64::MAX; 50]].concat();
        let edges = edges(&values);
        assert_eq!(edges, [-f64::MAX, f64::MAX.next_down(), f64::MAX]);
    }

    #[test]
    fn small_categories_share_the_rest_bin_and_an_empty_rest_is_none() {
        assert_eq!(category_bins(&[990, 6, 4, 0]).starts, [0, 1, 2]);
        assert_eq!(category_bins(&[500, 500, 0]).starts, [0, 1]);
        assert_eq!(category_bins(&[500, 400, 100]).starts, [0, 1, 2]);
        assert_eq!(category_bins(&[0]).starts, [0]);
        let many = [vec![10; 60], vec![0]].concat();
        assert_eq!(category_bins(&many).len(), 51);
    }
}
