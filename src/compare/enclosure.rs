//! Limits of what Evidently says, from counts alone: where its edges may lie, what its bins may hold.

use crate::baseline::FeatureBaseline;
use crate::baseline::evidently::edge;
use crate::baseline::evidently::is_integer;
use crate::baseline::evidently::sturges;
use crate::histogram::Cells;
use crate::histogram::Counts;
use crate::histogram::NumericCells;

/// From the least to the most that a number may be.
pub(crate) type Interval = (f64, f64);

/// The limits of Evidently's PSI, KL and Jensen-Shannon distance for a numeric feature with equal bins.
///
/// Every inner edge grows with both ends of the joint range, and each end is known up to a cell; what
/// lies below an edge is known up to the cells that it may fall into. So every bin's share is known
/// up to an interval on each side, and each bin's term up to its least and most over the two.
pub(crate) fn enclosure(baseline: &FeatureBaseline, live: &Counts) -> [Interval; 3] {
    let Cells::Numeric(cells) = &baseline.cells else { panic!("numeric") };
    let (first, last) = (lower_end(cells, live), upper_end(cells, live));
    let values = baseline.reference.in_cells() + live.in_cells();
    let gaps = baseline.reference.absent() + live.absent();
    let integer = gaps == 0 && is_integer(&baseline.column_type);
    let (narrowest, widest) = ((first.1, last.0), (first.0, last.1));
    let number = sturges(widest.1 - widest.0, values, integer);
    assert_eq!(number, sturges(narrowest.1 - narrowest.0, values, integer));
    let storage = cells.storage;
    let at = |i| {
        (edge((first.0, last.0), i, number, storage), edge((first.1, last.1), i, number, storage))
    };
    let inner: Vec<Interval> = (1..number).map(at).collect();
    let (m, n) = (baseline.reference.in_cells() as f64, live.in_cells() as f64);
    let reference = shares(cells, &baseline.reference, &inner);
    let live = shares(cells, live, &inner);
    let both = || reference.iter().copied().zip(live.iter().copied());
    let filled = || both().map(|(r, c)| (fill(r, m), fill(c, n)));
    let psi = sum(filled().map(|(r, c)| convex(r, c, |r, c| (r - c) * (r / c).ln())));
    let totals = (total(&reference, m), total(&live, n));
    let kl = kl(filled().map(|(r, c)| relative(r, c)), totals.0, totals.1);
    let js = sum(both().map(|(r, c)| convex(r, c, |r, c| half(r, c) + half(c, r))));
    let distance = |sum: f64| (0.5 * sum).clamp(0.0, std::f64::consts::LN_2).sqrt();
    [psi, kl, (distance(js.0), distance(js.1))]
}

fn lower_end(cells: &NumericCells, live: &Counts) -> Interval {
    let k = live.cells.iter().position(|&count| count > 0).unwrap();
    match k.checked_sub(1) {
        _ if live.below == 0 => (cells.lowest, cells.lowest),
        Some(before) => (cells.edges[before], cells.edges[k].min(cells.lowest)),
        None => {
            let mean = cells.scale.to_mean(live.low_sum, live.cells[0]).unwrap();
            let edge = cells.edges[0];
            (edge - live.cells[0] as f64 * (edge - mean), mean)
        }
    }
}

fn upper_end(cells: &NumericCells, live: &Counts) -> Interval {
    let k = live.cells.iter().rposition(|&count| count > 0).unwrap();
    let before = cells.edges[k - 1];
    match cells.edges.get(k) {
        _ if live.above == 0 => (cells.highest, cells.highest),
        Some(&edge) => (before.max(cells.highest), edge),
        None => {
            let mean = cells.scale.to_mean(live.high_sum, live.cells[k]).unwrap();
            (mean, before + live.cells[k] as f64 * (mean - before))
        }
    }
}

/// Shares of the bins between `inner` edges, each somewhere in its interval.
fn shares(cells: &NumericCells, counts: &Counts, inner: &[Interval]) -> Vec<Interval> {
    let n = counts.in_cells();
    let up_to = |cells: usize| counts.cells[..cells].iter().sum::<u64>();
    let below = |&(low, high): &Interval| {
        let whole = cells.edges.partition_point(|&edge| edge <= low.next_down());
        let begun = cells.edges.partition_point(|&edge| edge < high.next_down()) + 1;
        (up_to(whole), up_to(begun.min(counts.cells.len())))
    };
    let ends: Vec<(u64, u64)> =
        std::iter::once((0, 0)).chain(inner.iter().map(below)).chain([(n, n)]).collect();
    let share = |count: u64| count as f64 / n as f64;
    let between = |w: &[(u64, u64)]| {
        (share(w[1].0.saturating_sub(w[0].1)), share(w[1].1.saturating_sub(w[0].0)))
    };
    ends.windows(2).map(between).collect()
}

/// A share that may be 0 may be a fill: 1e-4, or a millionth of the least share if that is as small.
fn fill((low, high): Interval, n: f64) -> Interval {
    let least = if 1.0 / n > 1e-4 { 1e-4 } else { 1e-6 / n };
    if low > 0.0 { (low, high) } else { (least, high.max(1e-4)) }
}

/// Least and most of a convex function that is 0 where both are equal.
fn convex(r: Interval, c: Interval, f: impl Fn(f64, f64) -> f64) -> Interval {
    let corners = [f(r.0, c.0), f(r.0, c.1), f(r.1, c.0), f(r.1, c.1)];
    let most = corners.into_iter().fold(0.0, f64::max);
    match (r.0 > c.1, c.0 > r.1) {
        (true, _) => (f(r.0, c.1), most),
        (_, true) => (f(r.1, c.0), most),
        (false, false) => (0.0, most),
    }
}

/// `r ln(r / c)`: falls with `c`, and is least in `r` at `c / e`.
fn relative(r: Interval, c: Interval) -> Interval {
    let f = |r: f64, c: f64| r * (r / c).ln();
    let least = (c.1 / std::f64::consts::E).clamp(r.0, r.1);
    (f(least, c.1), f(r.0, c.0).max(f(r.1, c.0)))
}

/// `sum r ln(r / c)` of shares that are made to add up to 1 again.
fn kl(terms: impl Iterator<Item = Interval>, of: Interval, from: Interval) -> Interval {
    let (low, high) = sum(terms);
    let least = (low / of.0).min(low / of.1) + (from.0 / of.1).ln();
    let most = (high / of.0).max(high / of.1) + (from.1 / of.0).ln();
    (least.max(0.0), most)
}

/// What shares add up to with their fills.
fn total(shares: &[Interval], n: f64) -> Interval {
    let surely = shares.iter().filter(|share| share.1 == 0.0).count() as f64;
    let maybe = shares.iter().filter(|share| share.0 == 0.0).count() as f64;
    (1.0 + surely * fill((0.0, 0.0), n).0, 1.0 + maybe * 1e-4)
}

fn half(a: f64, b: f64) -> f64 {
    if a > 0.0 { a * (2.0 * a / (a + b)).ln() } else { 0.0 }
}

fn sum(terms: impl Iterator<Item = Interval>) -> Interval {
    terms.fold((0.0, 0.0), |sum, term| (sum.0 + term.0, sum.1 + term.1))
}
