//! One check against the counts of a window.

use crate::baseline::FeatureBaseline;
use crate::decide::check::{Check, Condition, Range, numbers};
use crate::histogram::numeric::edges_of_range;
use crate::histogram::{CategoricalCells, Cells, Counts, NumericCells};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The number that the check is about; of `between`, `in` and `not_in` the share of the values that are
    /// not as it says.
    pub value: f64,
    /// What it has to lie in.
    pub expected: Range,
    /// Records, or values, that it was measured over.
    pub of: u64,
    /// Else the value is the least that is certain: the cells do not tell all values apart.
    pub exact: bool,
    pub passed: bool,
}

/// Measures a check of a feature over the counts of a window; `None` where there is nothing to measure, or
/// the feature is of the wrong kind. A check of `records` takes `records`, which is the window's.
///
/// - `missing`: (missing keys + nulls + NaN) / records; `type_error`: wrong types / records.
/// - `mean`, `stddev` (ddof 0): of the finite values, in the fixed point of the feature's scale.
/// - `between`, `in`, `not_in`: passed if `(n - violations) / n >= mostly`, with n the values that are not
///   missing and have the right type, infinite ones and unseen categories included.
pub fn measure(
    check: &Check,
    feature: Option<(&FeatureBaseline, &Counts)>,
    records: u64,
) -> Option<Measured> {
    let condition = check.condition()?;
    if let Condition::Records(range) = condition {
        return Some(ranged(records as f64, range, records));
    }
    let (feature, live) = feature.filter(|(feature, _)| feature.unusable.is_none())?;
    let share = |part: u64, range| {
        let of = live.records();
        (of > 0).then(|| ranged(part as f64 / of as f64, range, of))
    };
    let scale = match &feature.cells {
        Cells::Numeric(cells) => Some(cells.scale),
        Cells::Categorical(_) => None,
    };
    match condition {
        Condition::Records(_) => None,
        Condition::Missing(range) => share(live.absent(), range),
        Condition::TypeError(range) => share(live.type_error, range),
        Condition::Mean(range) => Some(ranged(scale?.mean(live)?, range, live.in_cells())),
        Condition::Stddev(range) => Some(ranged(scale?.sd(live)?, range, live.in_cells())),
        Condition::Between(_) | Condition::In(_) | Condition::NotIn(_) => {
            let of = live.in_cells() + live.unseen + live.pos_inf + live.neg_inf;
            let violations = violations(feature, live, condition)?;
            let enough = check.enough();
            // What 1 - 0.999 leaves of a decimal number is no news to people.
            let most = ((1.0 - enough) * 1e12).round() / 1e12;
            (of > 0).then(|| Measured {
                value: violations as f64 / of as f64,
                expected: [None, Some(most)],
                of,
                exact: is_exact(check, feature),
                passed: (of - violations) as f64 / of as f64 >= enough,
            })
        }
    }
}

fn ranged(value: f64, expected: Range, of: u64) -> Measured {
    let [low, high] = expected;
    let passed = low.is_none_or(|low| value >= low) && high.is_none_or(|high| value <= high);
    Measured { value, expected, of, exact: true, passed }
}

/// Values that are certainly not as the condition says; `None` if it is of another kind of feature.
fn violations(feature: &FeatureBaseline, live: &Counts, condition: Condition<'_>) -> Option<u64> {
    match (&feature.cells, condition) {
        (Cells::Numeric(cells), Condition::Between(range)) => Some(outside(cells, live, range)),
        (Cells::Numeric(cells), Condition::In(values)) => {
            let numbers = stored(cells, &numbers(values)?);
            let holds_none = |&(cell, _): &(usize, &u64)| {
                let (after, to) = ends(cells, cell);
                !numbers.iter().any(|number| *number > after && *number <= to)
            };
            let none: u64 = live.cells.iter().enumerate().filter(holds_none).map(|(_, n)| n).sum();
            Some(none + live.pos_inf + live.neg_inf)
        }
        (Cells::Numeric(cells), Condition::NotIn(values)) => {
            let mut own: Vec<usize> = stored(cells, &numbers(values)?)
                .into_iter()
                .map(|number| (cells.cell(number), number))
                .filter(|&(cell, number)| ends(cells, cell) == (number.next_down(), number))
                .map(|(cell, _)| cell)
                .collect();
            own.sort_unstable();
            own.dedup();
            Some(own.into_iter().map(|cell| live.cells[cell]).sum())
        }
        (Cells::Categorical(cells), Condition::In(values)) => {
            let listed = Listed::of(cells, values);
            let own = live.cells.iter().enumerate().filter(|(cell, _)| !listed.cells[*cell]);
            let unseen = if listed.unseen { 0 } else { live.unseen };
            Some(own.map(|(_, n)| n).sum::<u64>() + unseen + live.pos_inf + live.neg_inf)
        }
        (Cells::Categorical(cells), Condition::NotIn(values)) => {
            let listed = Listed::of(cells, values);
            let own = live.cells.iter().zip(&listed.cells).take(cells.categories.len());
            Some(own.filter(|(_, listed)| **listed).map(|(n, _)| n).sum())
        }
        _ => None,
    }
}

/// Whether the feature's cells tell exactly which values are as the check says.
pub fn is_exact(check: &Check, feature: &FeatureBaseline) -> bool {
    match (&feature.cells, check.condition()) {
        (Cells::Numeric(cells), Some(condition)) => check.ranges().into_iter().all(|range| {
            let (below, last) = edges_of_range(cells.storage, range);
            let is_edge = |end: f64| !end.is_finite() || cells.edges.contains(&end);
            // What leaves the reference's own range is counted by itself.
            let whole = matches!(condition, Condition::Between(_));
            let same = |a: f64, b: f64| a.total_cmp(&b).is_eq();
            (is_edge(below) || whole && same(below, cells.lowest.next_down()))
                && (is_edge(last) || whole && same(last, cells.highest))
        }),
        (Cells::Categorical(cells), Some(Condition::In(values) | Condition::NotIn(values))) => {
            let listed = Listed::of(cells, values);
            !listed.unseen && listed.cells.last() != Some(&true)
        }
        (Cells::Categorical(_), _) | (Cells::Numeric(_), None) => true,
    }
}

/// The open start and the end of a cell.
fn ends(cells: &NumericCells, cell: usize) -> (f64, f64) {
    let after = cell.checked_sub(1).and_then(|before| cells.edges.get(before));
    let to = cells.edges.get(cell).copied().unwrap_or(f64::INFINITY);
    (after.copied().unwrap_or(f64::NEG_INFINITY), to)
}

fn stored(cells: &NumericCells, numbers: &[f64]) -> Vec<f64> {
    numbers.iter().map(|number| cells.storage.round(*number) + 0.0).collect()
}

/// Values that are certainly outside the range: in a cell that has no part in it, or out of the reference's
/// own range where that ends within it.
fn outside(cells: &NumericCells, live: &Counts, range: Range) -> u64 {
    let (below, last) = edges_of_range(cells.storage, range);
    let is_out = |cell: usize| {
        let (after, to) = ends(cells, cell);
        to <= below || after >= last
    };
    let of_cells: u64 =
        live.cells.iter().enumerate().filter(|(cell, _)| is_out(*cell)).map(|(_, n)| n).sum();
    // An outer cell that holds both sides of an end: what left the reference's range is known by itself.
    let (first, end) = (cells.edges.first(), cells.edges.len());
    let holds_below = !is_out(0) && first.is_none_or(|edge| *edge >= cells.lowest.next_down());
    let low_end = if holds_below && cells.lowest <= below.next_up() { live.below } else { 0 };
    let holds_above = !is_out(end) && cells.edges.last().is_none_or(|edge| *edge <= cells.highest);
    let high_end = if holds_above && cells.highest >= last { live.above } else { 0 };
    let infinite = |end: Option<f64>, n: u64| if end.is_some() { n } else { 0 };
    of_cells
        + low_end
        + high_end
        + infinite(range[0], live.neg_inf)
        + infinite(range[1], live.pos_inf)
}

/// Which cells hold a listed category.
struct Listed {
    /// One per cell, `rest` last.
    cells: Vec<bool>,
    /// One of them is no category that the baseline knows.
    unseen: bool,
}

impl Listed {
    fn of(cells: &CategoricalCells, values: &[String]) -> Self {
        let mut listed = Self { cells: vec![false; cells.len()], unseen: false };
        for value in values {
            match cells.cell(value) {
                Some(cell) => listed.cells[cell] = true,
                None => listed.unseen = true,
            }
        }
        listed
    }
}
