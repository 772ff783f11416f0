//! A score over time: against its lines, its noise floor, and what happened; large, and as small as a word.

use maud::{Markup, html};

use crate::compare::Statistic;
use crate::decide::Level;
use crate::decide::history::{History, Point};
use crate::report::page::axis::{Mark, Roots, Time, area, draw_marks, frame, path, percent};
use crate::report::page::words::{minute, number, percent as share, statistic_name};

const TOP: f64 = 22.0;
const BASE: f64 = 182.0;
const HEIGHT: f64 = 204.0;

/// The score, its floor and what is known since the onset, at one point.
type Seen = (Option<f64>, Option<f64>, Option<f64>);
/// A place in a picture, where there is a value.
type Place = Option<(f64, f64)>;

/// A line ends where panes lack between two points, or where another baseline is in force.
fn unbroken<'a>(points: impl Iterator<Item = (&'a Point, Place)>) -> Vec<Place> {
    let mut out = Vec::new();
    let mut end_ms = None;
    for (point, place) in points {
        if point.new_baseline || end_ms.is_some_and(|end_ms| end_ms != point.start_ms) {
            out.push(None);
        }
        end_ms = Some(point.end_ms);
        out.push(place);
    }
    out
}

/// A line of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Score(Statistic),
    /// That there is a change at all, as a share of what the budget asks.
    Evidence,
}

impl What {
    pub(super) fn name(self) -> String {
        match self {
            What::Score(statistic) => statistic_name(statistic),
            What::Evidence => "evidence of a change".to_owned(),
        }
    }

    fn is_rate(self) -> bool {
        matches!(self, What::Score(statistic) if statistic.is_rate())
    }
}

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored<'a> {
    pub(super) history: &'a History,
    pub(super) name: &'a str,
    pub(super) what: What,
    pub(super) lines: &'a [(Statistic, Level, f64)],
    pub(super) marks: &'a [Mark],
}

impl Scored<'_> {
    fn at(&self, feature: usize, point: &Point) -> Seen {
        let What::Score(statistic) = self.what else {
            return (point.evidence(feature).map(|share| share.max(0.0)), None, None);
        };
        let score = self.history.score(point, feature, statistic);
        let since = point.onset_psi(feature).filter(|_| statistic == Statistic::Psi);
        (score.map(|s| s.0), score.and_then(|s| s.1), since)
    }

    fn value(&self, value: f64) -> String {
        match self.what {
            What::Score(statistic) if !statistic.is_rate() => number(value),
            What::Score(_) | What::Evidence => share(value),
        }
    }

    /// Class, place and word of each line across.
    fn across(&self) -> Vec<(&'static str, f64, &'static str)> {
        match self.what {
            What::Score(statistic) => {
                let lines = self.lines.iter().filter(|line| line.0 == statistic);
                lines.map(|line| (line.1.as_str(), line.2, line.1.as_str())).collect()
            }
            What::Evidence => vec![("retrain", 1.0, "real from")],
        }
    }

    /// Whether there is any score to show.
    pub(super) fn tells(&self) -> bool {
        let Some(feature) = self.history.feature(self.name) else { return false };
        self.history.points().any(|point| {
            self.at(feature, point).0.is_some_and(|score| {
                // A rate that was nothing throughout is no news.
                !self.what.is_rate() || score.abs() > 1e-9
            })
        })
    }

    /// The picture with its legend.
    pub(super) fn picture(&self) -> Markup {
        let (Some(feature), Some(time)) = (self.history.feature(self.name), Time::of(self.history))
        else {
            return html! { p.quiet { "No pane has closed yet." } };
        };
        let lines = self.across();
        let points: Vec<&Point> = self.history.points().collect();
        let seen: Vec<_> = points.iter().map(|point| self.at(feature, point)).collect();
        let top =
            seen.iter().flat_map(|(a, b, c)| [a, b, c]).flatten().copied().fold(0.0, f64::max);
        let top_line = lines.iter().map(|line| line.1).fold(0.0, f64::max);
        let y = Roots::new(top.max(top_line * 1.3).max(1e-6) * 1.06, TOP, BASE);
        let x = |point: &Point| time.at(point.end_ms);
        let drawn = |of: &dyn Fn(&Seen) -> Option<f64>| {
            let values = points.iter().zip(&seen);
            unbroken(values.map(|(point, seen)| (*point, of(seen).map(|v| (x(point), y.at(v))))))
        };
        let floor = drawn(&|seen| seen.1);
        let has_since = seen.iter().any(|s| s.2.is_some());
        let name = self.what.name();
        let label = format!("{name} of {} over time, with its lines and noise floor", self.name);
        html! {
            figure {
                svg.chart width="100%" height=(HEIGHT) role="img" aria-label=(label) {
                    (y.marks(|mark| self.value(mark)))
                    (time.marks(BASE))
                    @for (class, line, _) in &lines {
                        @let at = format!("{:.1}", y.at(*line));
                        line class=(class) x1="0" x2="100%" y1=(at) y2=(at) {}
                    }
                    (frame(HEIGHT, &html! {
                        (area("floor", &floor, BASE))
                        (path("floor-line", floor.iter().copied()))
                        (path("score", drawn(&|seen| seen.0).into_iter()))
                        (path("since", drawn(&|seen| seen.2).into_iter()))
                    }))
                    @for (class, line, word) in &lines {
                        // One above its line, the other below: they may be close.
                        @let shift = if *class == "retrain" { -4.0 } else { 12.0 };
                        text.value x="100%" y=(format!("{:.1}", y.at(*line) + shift)) text-anchor="end" {
                            (word) " " (self.value(*line))
                        }
                    }
                    @for (point, seen) in points.iter().zip(&seen) {
                        @let (from, to) = (time.at(point.start_ms), time.at(point.end_ms));
                        rect.band x=(percent(from)) width=(percent(to - from)) y=(TOP) height=(BASE - TOP) {
                            title { (self.told(&name, point, *seen)) }
                        }
                    }
                    (draw_marks(self.marks, time, TOP - 6.0, BASE))
                }
                (self.legend(&name, has_since))
            }
        }
    }

    fn told(&self, name: &str, point: &Point, (score, floor, since): Seen) -> String {
        let mut out = minute(point.end_ms);
        match score {
            Some(score) => out += &format!("\n{name} {}", self.value(score)),
            None => out += "\nno score",
        }
        out +=
            &floor.map(|floor| format!(", noise floor {}", self.value(floor))).unwrap_or_default();
        out += &since
            .map(|since| format!("\nsince the onset {}", self.value(since)))
            .unwrap_or_default();
        out
    }

    fn legend(&self, name: &str, has_since: bool) -> Markup {
        html! {
            figcaption.legend {
                span { i.k-score {} (name) @if self.what != What::Evidence { " over the window" } }
                @if has_since { span { i.k-since {} "since the onset" } }
                @if !self.what.is_rate() && self.what != What::Evidence { span { i.k-floor {} "what noise reaches" } }
                @if self.marks.iter().any(Mark::is_trigger) { span { i.k-mark {} "trigger" } }
                @if self.marks.iter().any(|mark| !mark.is_trigger()) { span { i.k-renewed {} "new baseline" } }
            }
        }
    }
}

/// No more than about `most` places of a line: of neighbours the highest stands for them all.
fn thinned(places: &[Place], most: usize) -> Vec<Place> {
    let few = places.len().div_ceil(most).max(1);
    let runs = places.chunk_by(|a, b| a.is_some() && b.is_some());
    let highest = |few: &[Place]| few.iter().flatten().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    runs.flat_map(|run| run.chunks(few).map(highest)).collect()
}

/// A score over time without axes: window and since the onset, against the lowest line.
pub(super) fn spark(history: &History, name: &str, lines: &[(Statistic, Level, f64)]) -> Markup {
    const HIGH: f64 = 30.0;
    /// It is some hundred pixels wide.
    const PLACES: usize = 60;
    let (Some(feature), Some(time)) = (history.feature(name), Time::of(history)) else {
        return html! {};
    };
    let of = |point: &Point| history.score(point, feature, Statistic::Psi).map(|score| score.0);
    let psi = lines.iter().filter(|line| line.0 == Statistic::Psi && line.1 != Level::Notice);
    let line = psi.map(|line| line.2).reduce(f64::min);
    let both = |point: &Point| of(point).into_iter().chain(point.onset_psi(feature));
    if history.points().all(|point| of(point).is_none()) {
        return html! {};
    }
    let top = history.points().flat_map(both).fold(0.0, f64::max);
    let y = Roots::new(top.max(line.unwrap_or(0.0) * 1.5).max(1e-6), 2.0, HIGH - 2.0);
    let drawn = |value: &dyn Fn(&Point) -> Option<f64>| {
        let place = |point: &Point| value(point).map(|v| (time.at(point.end_ms), y.at(v)));
        thinned(&unbroken(history.points().map(|point| (point, place(point)))), PLACES)
    };
    html! {
        svg width="100%" height=(HIGH) aria-hidden="true" {
            @if let Some(line) = line {
                @let at = format!("{:.1}", y.at(line));
                line.warning x1="0" x2="100%" y1=(at) y2=(at) {}
            }
            (frame(HIGH, &html! {
                (path("score", drawn(&of).into_iter()))
                (path("since", drawn(&|point| point.onset_psi(feature)).into_iter()))
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_line_keeps_its_peaks_and_its_gaps() {
        let place = |n: u32| Some((f64::from(n), if n == 137 { 1.0 } else { 20.0 }));
        let mut places: Vec<Place> = (0..100).map(place).collect();
        places.push(None);
        places.extend((100..200).map(place));
        let thin = thinned(&places, 50);
        assert!(thin.len() <= 52, "{}", thin.len());
        assert!(thin.contains(&place(137)) && thin.iter().filter(|p| p.is_none()).count() == 1);
        assert_eq!(thinned(&places, 201), places);
        assert!(thinned(&[], 50).is_empty());
    }
}
