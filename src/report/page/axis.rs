//! What pictures share: places along time and along a score, and the marks of both.
//!
//! Pictures are as wide as the page lets them be: places along x are percent, so that texts keep their
//! size, and lines are in a frame of their own that is stretched.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::decide::Incident;
use crate::decide::history::{History, Point};
use crate::decide::time::millis;
use crate::report::page::words::{ending_word, minute};
use crate::report::svg::time_marks;

/// Units across the stretched frame of lines.
const ACROSS: f64 = 1000.0;
/// Where an axis of roots may be marked.
const MARKS: [f64; 15] =
    [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

/// Event time along x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Time {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

impl Time {
    /// All that the history tells of; `None` before the first pane.
    pub(super) fn of(history: &History) -> Option<Self> {
        let from_ms = history.points().next()?.start_ms;
        let to_ms = history.points().last()?.end_ms;
        (to_ms > from_ms).then_some(Self { from_ms, to_ms })
    }

    /// Percent of the width.
    pub(super) fn at(self, ms: i64) -> f64 {
        let share = (ms - self.from_ms) as f64 / (self.to_ms - self.from_ms).max(1) as f64;
        (100.0 * share).clamp(0.0, 100.0)
    }

    pub(super) fn holds(self, ms: i64) -> bool {
        (self.from_ms..=self.to_ms).contains(&ms)
    }

    /// Marks with their times below `y`.
    pub(super) fn marks(self, y: f64) -> Markup {
        html! {
            line.axis x1="0" x2="100%" y1=(y) y2=(y) {}
            @for (ms, label) in time_marks(self.from_ms, self.to_ms, 6) {
                @let x = self.at(ms);
                line.axis x1=(percent(x)) x2=(percent(x)) y1=(y) y2=(y + 4.0) {}
                text x=(percent(x)) y=(y + 16.0) text-anchor=(anchor(x)) { (label) }
            }
        }
    }
}

/// Labels at the ends stay inside of the picture.
pub(super) fn anchor(percent: f64) -> &'static str {
    match percent {
        x if x < 9.0 => "start",
        x if x > 91.0 => "end",
        _ => "middle",
    }
}

/// `12.34%`, as attributes take it.
pub(super) fn percent(x: f64) -> String {
    format!("{x:.2}%")
}

/// A score along y: its square root, so that lines stay in sight under one a hundred times as large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Roots {
    highest: f64,
    top: f64,
    base: f64,
}

impl Roots {
    pub(super) fn new(highest: f64, top: f64, base: f64) -> Self {
        Self { highest: highest.max(1e-9), top, base }
    }

    pub(super) fn at(self, value: f64) -> f64 {
        let share = (value.max(0.0) / self.highest).sqrt().min(1.0);
        self.base - share * (self.base - self.top)
    }

    /// Lines across, with their values above them at the left.
    pub(super) fn marks(self, shown: impl Fn(f64) -> String) -> Markup {
        let mut last = f64::INFINITY;
        let far = |mark: &f64| {
            let y = self.at(*mark);
            let far = *mark <= self.highest && last - y >= 24.0;
            if far {
                last = y;
            }
            far
        };
        let marks: Vec<f64> = MARKS.into_iter().filter(far).collect();
        html! {
            @for mark in marks {
                @let y = format!("{:.1}", self.at(mark));
                line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                @if mark > 0.0 { text x="0" y=(format!("{:.1}", self.at(mark) - 3.0)) { (shown(mark)) } }
            }
        }
    }
}

/// The frame that lines stand in: 1000 units across, whatever its width.
pub(super) fn frame(height: f64, lines: &Markup) -> Markup {
    html! {
        svg.plot width="100%" height=(height) viewBox=(format!("0 0 {ACROSS} {height}")) preserveAspectRatio="none" {
            (lines)
        }
    }
}

/// A line through points (percent, y); `None` interrupts it, and a lone point is a short dash.
pub(super) fn path(class: &str, points: impl Iterator<Item = Option<(f64, f64)>>) -> Markup {
    let (mut d, mut pen_down) = (String::new(), false);
    for point in points {
        if let Some((x, y)) = point {
            let x = x * ACROSS / 100.0;
            // A String takes every write.
            if pen_down {
                write!(d, "L{x:.1} {y:.1}").ok();
            } else {
                write!(d, "M{x:.1} {y:.1}h0.1").ok();
            }
        }
        pen_down = point.is_some();
    }
    html! { @if !d.is_empty() { path class=(class) d=(d) {} } }
}

/// The area between a line and `base`; no part of it where a point lacks.
pub(super) fn area(class: &str, points: &[Option<(f64, f64)>], base: f64) -> Markup {
    let mut d = String::new();
    for run in points.split(Option::is_none) {
        let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        write!(d, "M{:.1} {base:.1}", first.0 * ACROSS / 100.0).ok();
        for (x, y) in &run {
            write!(d, "L{:.1} {y:.1}", x * ACROSS / 100.0).ok();
        }
        write!(d, "L{:.1} {base:.1}Z", last.0 * ACROSS / 100.0).ok();
    }
    html! { @if !d.is_empty() { path class=(class) d=(d) {} } }
}

/// Something that happened, on a time axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    at_ms: i64,
    /// `mark` is a trigger, `renewed` a new baseline.
    class: &'static str,
    title: String,
}

impl Mark {
    pub(super) fn is_trigger(&self) -> bool {
        self.class == "mark"
    }
}

/// The triggers of a model, and its new baselines.
pub(super) fn marks_of(history: &History, incidents: &[&Incident]) -> Vec<Mark> {
    let trigger = |incident: &&Incident| {
        let at_ms = millis(&incident.opened)?;
        let ending = incident.closed_as.map_or("open", ending_word);
        let title =
            format!("{}\ntriggered ({ending})\n{}", minute(at_ms), incident.evidence.explanation);
        Some(Mark { at_ms, class: "mark", title })
    };
    let renewed = |point: &Point| {
        let title = format!("{}\nnew baseline", minute(point.start_ms));
        point.new_baseline.then_some(Mark { at_ms: point.start_ms, class: "renewed", title })
    };
    incidents.iter().filter_map(trigger).chain(history.points().filter_map(renewed)).collect()
}

/// The marks from `top` to `base`: a triangle and a line each.
pub(super) fn draw_marks(marks: &[Mark], time: Time, top: f64, base: f64) -> Markup {
    html! {
        @for mark in marks.iter().filter(|mark| time.holds(mark.at_ms)) {
            @let x = percent(time.at(mark.at_ms));
            line class=(mark.class) x1=(x) x2=(x) y1=(top) y2=(base) {}
            svg.band x=(x) y=(top) overflow="visible" {
                title { (mark.title) }
                @if mark.class == "renewed" {
                    path class=(mark.class) d="M0 -8L5 0L-5 0Z" {}
                } @else {
                    path class=(mark.class) d="M0 0L5 -8L-5 -8Z" {}
                }
            }
        }
    }
}
