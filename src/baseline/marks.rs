//! Edges that a person asked for: the ends of ranges whose values are to be told apart exactly.

use crate::histogram::Storage;
use crate::histogram::numeric::edges_of_range;

/// Edges on the way from the reference's range to an end beyond it, on each side.
const STEPS_MAX: f64 = 128.0;
/// They begin at this share of the range, each `GROWTH` times as far out as the one before.
const FIRST: f64 = 1.0 / 64.0;
const GROWTH: f64 = 1.25;

/// Adds the ends of `ranges` to `edges`, which ascend strictly and do so afterwards.
///
/// Within a cell values are taken as evenly spread, and an outer cell by its sum. An end far beyond the
/// reference's own range would make one wide cell of what lies between, so there are edges on the way.
pub(super) fn add(
    edges: &mut Vec<f64>,
    ranges: &[[Option<f64>; 2]],
    (lowest, highest): (f64, f64),
    storage: Storage,
) {
    if ranges.is_empty() {
        return;
    }
    let ends = ranges.iter().map(|range| edges_of_range(storage, *range));
    let mut marks: Vec<f64> = ends.flat_map(|(below, last)| [below, last]).collect();
    marks.retain(|mark| mark.is_finite());
    let width = match highest - lowest {
        range if range > 0.0 && range.is_finite() => range,
        _ => highest.abs().clamp(1.0, f64::MAX / 2.0),
    };
    let farthest = marks.iter().copied().fold(highest, f64::max);
    if farthest > highest {
        edges.push(highest);
        edges.extend(steps(farthest - highest, width).map(|step| highest + step));
    }
    let farthest = marks.iter().copied().fold(lowest.next_down(), f64::min);
    if farthest < lowest.next_down() {
        edges.push(lowest.next_down());
        edges.extend(steps(lowest - farthest, width).map(|step| lowest - step));
    }
    edges.extend(marks);
    edges.retain(|edge| edge.is_finite());
    edges.sort_unstable_by(f64::total_cmp);
    edges.dedup();
}

/// Distances under `to`, each a fixed multiple of the one before.
fn steps(to: f64, width: f64) -> impl Iterator<Item = f64> {
    let first = width * FIRST;
    let growth = GROWTH.max((to / first).powf(1.0 / STEPS_MAX));
    let next = move |step: &f64| Some(step * growth);
    std::iter::successors(Some(first), next).take_while(move |step| *step < to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(ranges: &[[Option<f64>; 2]]) -> Vec<f64> {
        let mut edges = vec![1.0, 2.0, 3.0];
        add(&mut edges, ranges, (0.0, 4.0), Storage::F64);
        assert!(edges.is_sorted_by(|a, b| a < b), "{edges:?}");
        edges
    }

    #[test]
    fn ends_within_the_range_are_edges_and_nothing_else_changes() {
        assert_eq!(with(&[]), [1.0, 2.0, 3.0]);
        assert_eq!(with(&[[None, None]]), [1.0, 2.0, 3.0]);
        let half = 0.5f64.next_down();
        assert_eq!(with(&[[Some(0.5), Some(2.0)]]), [half, 1.0, 2.0, 3.0]);
        // A range of one value is a cell of its own.
        assert_eq!(with(&[[Some(2.5), Some(2.5)]]), [1.0, 2.0, 2.5f64.next_down(), 2.5, 3.0]);
        // Training's own range needs its two ends only.
        assert_eq!(with(&[[Some(0.0), Some(4.0)]]), [-5e-324, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn there_are_edges_on_the_way_to_an_end_far_out() {
        for (far, most) in [(10.0, 30), (1e4, 70), (1e12, 140), (1e300, 140)] {
            let edges = with(&[[Some(-far), Some(far)]]);
            assert!(edges.len() < 2 * most, "{far}: {}", edges.len());
            for expected in [-5e-324, 4.0, far, (-far).next_down()] {
                assert!(edges.contains(&expected), "{far}: {expected}");
            }
        }
        let edges = with(&[[None, Some(400.0)]]);
        let beyond: Vec<f64> = edges.iter().copied().filter(|edge| *edge > 4.0).collect();
        let wide = beyond.windows(2).all(|pair| pair[1] - 4.0 <= 1.2501 * (pair[0] - 4.0));
        assert!(wide, "{beyond:?}");
    }

    #[test]
    fn an_open_end_is_written_as_the_next_double() {
        let single = Storage::F32;
        assert_eq!(edges_of_range(single, [Some(5e-324), None]), (0.0, f64::INFINITY));
        let double = edges_of_range(Storage::F64, [Some(5e-324), None]);
        assert_eq!(double, (0.0, f64::INFINITY));
        let tenth = f64::from(0.1f32);
        assert_eq!(edges_of_range(single, [Some(0.1), Some(0.1)]), (tenth.next_down(), tenth));
        let under = 1f64.next_down();
        assert_eq!(edges_of_range(single, [None, Some(under)]), (f64::NEG_INFINITY, under));
    }
}
