//! A number's reference and live values over each other: shares of all values along the value itself.

use maud::{Markup, html};

use crate::baseline::FeatureBaseline;
use crate::compare::quantiles;
use crate::histogram::{Counts, NumericCells};
use crate::report::page::axis::{anchor, area, frame, percent};
use crate::report::page::words::{number, percent as share};
use crate::report::svg::round_marks;

const STEPS: usize = 56;
const TOP: f64 = 10.0;
const BASE: f64 = 170.0;
const HEIGHT: f64 = 192.0;
/// From this ratio of the largest to the smallest value on a logarithm shows more.
const LOGARITHMIC: f64 = 60.0;

/// Values along x, even or by their logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Values {
    low: f64,
    high: f64,
    log: bool,
}

impl Values {
    /// Nearly all values of both sides, inside what the reference knows.
    fn of(cells: &NumericCells, sides: [&Counts; 2]) -> Option<Self> {
        let ends: Vec<Vec<f64>> =
            sides.iter().filter_map(|side| quantiles(cells, side, &[0.004, 0.996])).collect();
        let low = ends.iter().map(|end| end[0]).fold(f64::INFINITY, f64::min);
        let high = ends.iter().map(|end| end[1]).fold(f64::NEG_INFINITY, f64::max);
        let low = low.max(cells.lowest);
        let high = high.min(cells.highest);
        if !(low.is_finite() && high.is_finite() && low < high) {
            return None;
        }
        let room = 0.12 * (high - low);
        // The end of the range is near: it is shown.
        let low = if low - cells.lowest < room { cells.lowest } else { low };
        let high = if cells.highest - high < room { cells.highest } else { high };
        Some(Self { low, high, log: low > 0.0 && high / low > LOGARITHMIC })
    }

    fn step(self, i: usize) -> f64 {
        let share = i as f64 / STEPS as f64;
        if self.log {
            self.low * (self.high / self.low).powf(share)
        } else {
            self.low + share * (self.high - self.low)
        }
    }

    fn at(self, value: f64) -> f64 {
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        100.0 * share.clamp(0.0, 1.0)
    }

    fn marks(self) -> Vec<f64> {
        if self.log {
            let first = self.low.log10().floor();
            let powers = (0..40).map(|i| 10f64.powf(first + f64::from(i)));
            let all: Vec<f64> = powers.take_while(|p| *p <= self.high).collect();
            let fine: &[f64] = if all.len() > 3 { &[1.0] } else { &[1.0, 3.0] };
            let marks = all.iter().flat_map(|power| fine.iter().map(move |k| k * power));
            return marks.filter(|mark| (self.low..=self.high).contains(mark)).collect();
        }
        let steps = round_marks(self.high - self.low, 5);
        let step = steps.get(1).copied().unwrap_or(self.high - self.low);
        let first = (self.low / step).ceil() * step;
        (0..12).map(|i| first + f64::from(i) * step).take_while(|mark| *mark <= self.high).collect()
    }
}

/// How many values lie at or below `x`, even inside of a cell; those beyond the reference's range are not
/// among them.
fn below(cells: &NumericCells, counts: &Counts, x: f64) -> f64 {
    let last = counts.cells.len().saturating_sub(1);
    let mut sum = 0.0;
    for (k, &count) in counts.cells.iter().enumerate() {
        let mut inside = count;
        if k == 0 {
            inside = inside.saturating_sub(counts.below);
        }
        if k == last {
            inside = inside.saturating_sub(counts.above);
        }
        let low =
            k.checked_sub(1).and_then(|i| cells.edges.get(i)).copied().unwrap_or(cells.lowest);
        let high = cells.edges.get(k).copied().unwrap_or(cells.highest);
        if x >= high {
            sum += inside as f64;
        } else if x > low {
            sum += inside as f64 * (x - low) / (high - low);
            break;
        } else {
            break;
        }
    }
    sum
}

/// The share of all values between each two steps.
fn shares(cells: &NumericCells, counts: &Counts, values: Values) -> Vec<f64> {
    let n = (counts.in_cells() as f64).max(1.0);
    let to: Vec<f64> = (0..=STEPS).map(|i| below(cells, counts, values.step(i)) / n).collect();
    to.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).collect()
}

/// Both sides over each other; `None` of categories, and where there is nothing to draw.
pub(super) fn shape(
    of: &FeatureBaseline,
    cells: &NumericCells,
    reference: &Counts,
    live: &Counts,
) -> Option<Markup> {
    let values = Values::of(cells, [reference, live])?;
    let sides = [shares(cells, reference, values), shares(cells, live, values)];
    let most = sides.iter().flatten().copied().fold(0.0, f64::max);
    let y = |share: f64| BASE - (BASE - TOP) * share / most.max(1e-12);
    let x = |i: usize| 100.0 * i as f64 / STEPS as f64;
    let outline = |side: &[f64]| -> Vec<Option<(f64, f64)>> {
        let step = |(i, share): (usize, &f64)| [(x(i), y(*share)), (x(i + 1), y(*share))].map(Some);
        side.iter().enumerate().flat_map(step).collect()
    };
    let outlines = [outline(&sides[0]), outline(&sides[1])];
    let label = format!("Reference and live values of {} over each other", of.name);
    Some(html! {
        figure {
            svg.chart width="100%" height=(HEIGHT) role="img" aria-label=(label) {
                (frame(HEIGHT, &html! {
                    (area("reference", &outlines[0], BASE))
                    @if live.in_cells() > 0 {
                        (area("live", &outlines[1], BASE))
                    }
                }))
                line.axis x1="0" x2="100%" y1=(BASE) y2=(BASE) {}
                @for mark in values.marks() {
                    @let at = values.at(mark);
                    line.axis x1=(percent(at)) x2=(percent(at)) y1=(BASE) y2=(BASE + 4.0) {}
                    text x=(percent(at)) y=(BASE + 16.0) text-anchor=(anchor(at)) { (number(mark)) }
                }
                @for i in 0..STEPS {
                    rect.band x=(percent(x(i))) width=(percent(x(1))) y=(TOP) height=(BASE - TOP) {
                        title {
                            (number(values.step(i))) " to " (number(values.step(i + 1)))
                            "\nreference " (share(sides[0][i])) "\nlive " (share(sides[1][i]))
                        }
                    }
                }
            }
            figcaption.legend {
                span { i.k-reference {} "reference" }
                span { i.k-live {} "live" }
                @if values.log { span { "logarithmic scale" } }
                @if live.below + live.above > 0 {
                    span { (share((live.below + live.above) as f64 / live.in_cells().max(1) as f64)) " of live values lie outside of training's range" }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{Scale, Storage};

    fn cells() -> NumericCells {
        let scale = Scale { center: 0.0, unit: 1.0 };
        NumericCells::new(vec![1.0, 2.0, 4.0], 0.0, 8.0, scale, Storage::F64)
    }

    #[test]
    fn values_inside_the_range_are_shared_out_and_those_outside_are_not() {
        let counts =
            Counts { cells: vec![10, 20, 40, 30], below: 4, above: 10, ..Counts::default() };
        let (cells, all) = (cells(), 100.0);
        assert!((below(&cells, &counts, 8.0) - 86.0).abs() < 1e-9);
        assert!((below(&cells, &counts, 1.0) - 6.0).abs() < 1e-9);
        assert!((below(&cells, &counts, 3.0) - 46.0).abs() < 1e-9);
        let values = Values { low: 0.0, high: 8.0, log: false };
        let sum: f64 = shares(&cells, &counts, values).iter().sum();
        assert!((sum - 86.0 / all).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn marks_stand_inside() {
        for values in [
            Values { low: 3.0, high: 400.0, log: true },
            Values { low: 1e-9, high: 1e9, log: true },
            Values { low: -5.0, high: 12.0, log: false },
            Values { low: 1e15, high: 1e15 + 2.0, log: false },
        ] {
            let marks = values.marks();
            assert!(!marks.is_empty() && marks.len() <= 24, "{values:?} {marks:?}");
            assert!(marks.iter().all(|m| (values.low..=values.high).contains(m)), "{marks:?}");
        }
    }
}
