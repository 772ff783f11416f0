//! The pictures of a replay: states over time, a score against its lines, reference against live.

use crate::compare::Statistic;
use crate::decide::DriftState;
use crate::decide::Level;
use crate::report::replay::Kind;
use crate::report::replay::Run;
use crate::report::replay::Worst;
use crate::report::replay::series::Line;
use crate::report::replay::series::Series;
use crate::report::svg::Anchor;
use crate::report::svg::Drawing;
use crate::report::svg::Scale;
use crate::report::svg::round_marks;
use crate::report::svg::time_marks;
use crate::report::words::short;

/// The drawings' own units: as many as the page has pixels for them, so that all text has one size.
const WHOLE: f64 = 1120.0;
const WIDTH: f64 = 720.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
/// Width of a column of records.
const COLUMN: f64 = 3.0;
const LABEL_MAX: usize = 14;

/// The time axis that all pictures of a run share, on a drawing of some width.
fn time_scale(run: &Run, width: f64) -> Scale {
    Scale { from: (start_ms(run) as f64, end_ms(run) as f64), to: (LEFT, width - RIGHT) }
}

fn end_ms(run: &Run) -> i64 {
    run.series.end_ms.last().copied().unwrap_or_default()
}

fn start_ms(run: &Run) -> i64 {
    let panes = i64::try_from(run.panes).unwrap_or(i64::MAX);
    end_ms(run).saturating_sub(panes.saturating_mul(run.settings.pane_ms))
}

/// Start and end of each point of the series.
fn spans(run: &Run) -> impl Iterator<Item = (i64, i64)> + '_ {
    let series = &run.series;
    let starts = std::iter::once(start_ms(run)).chain(series.end_ms.iter().copied());
    starts.zip(series.end_ms.iter().copied())
}

/// What the model's state was, as a strip; triggers above it, records below.
pub(super) fn timeline(run: &Run) -> String {
    const TOP: f64 = 16.0;
    const STRIP: f64 = 22.0;
    const BARS: f64 = 46.0;
    let mut drawing = Drawing::new(WHOLE, TOP + STRIP + 8.0 + BARS + 22.0);
    let time = time_scale(run, WHOLE);
    let x = |ms: i64| time.at(ms as f64);
    let mut from: Option<(i64, DriftState)> = None;
    let mut pieces: Vec<(i64, i64, DriftState)> = Vec::new();
    for ((start, end), &drift) in spans(run).zip(&run.series.drift) {
        match from {
            Some((_, state)) if state == drift => {}
            _ => {
                from = Some((start, drift));
                pieces.push((start, end, drift));
            }
        }
        if let Some(piece) = pieces.last_mut() {
            piece.1 = end;
        }
    }
    for (start, end, drift) in pieces {
        let width = (x(end) - x(start)).max(0.6);
        let class = format!("s-{}", drift.as_str());
        drawing.rect(&class, (x(start), TOP), (width, STRIP), drift.as_str());
    }
    drawing.text("tick", (LEFT - 6.0, TOP + 15.0), Anchor::End, "state");
    let base = TOP + STRIP + 8.0 + BARS;
    let columns = columns(run, &time);
    let highest = columns.iter().map(|column| column.1).fold(0.0, f64::max);
    let height = Scale { from: (0.0, highest), to: (0.0, BARS) };
    for (at, records) in columns {
        let h = height.at(records);
        let title = format!("{} records a pane", short(records));
        drawing.rect("records", (at, base - h), (COLUMN + 0.2, h), &title);
    }
    drawing.text("tick", (LEFT - 6.0, base - BARS / 2.0 + 4.0), Anchor::End, "records");
    drawing.line("axis", (LEFT, base), (WHOLE - RIGHT, base));
    time_axis(&mut drawing, &time, base);
    triggers(&mut drawing, run, &time, TOP);
    drawing.finish("The model's state and the number of records over time")
}

/// Records a pane, on average over each column, so that months of panes are not thousands of shapes.
fn columns(run: &Run, time: &Scale) -> Vec<(f64, f64)> {
    let mut columns: Vec<(f64, u64, u64)> = Vec::new();
    for ((start, end), &records) in spans(run).zip(&run.series.records) {
        let at = (time.at(start as f64) / COLUMN).floor() * COLUMN;
        let panes = (end - start).cast_unsigned() / run.settings.pane_ms.cast_unsigned().max(1);
        match columns.last_mut() {
            Some((last, sum, of)) if (*last - at).abs() < 0.1 => {
                *sum += records;
                *of += panes;
            }
            _ => columns.push((at, records, panes)),
        }
    }
    columns.into_iter().map(|(at, sum, of)| (at, sum as f64 / of.max(1) as f64)).collect()
}

fn time_axis(drawing: &mut Drawing, time: &Scale, base: f64) {
    let (left, right) = time.to;
    #[expect(clippy::cast_possible_truncation, reason = "both were whole numbers of ms")]
    let (from, to) = (time.from.0 as i64, time.from.1 as i64);
    for (ms, label) in time_marks(from, to, 8) {
        let x = time.at(ms as f64);
        drawing.line("axis", (x, base), (x, base + 4.0));
        // The outer labels stay inside of the picture.
        let anchor = match x {
            x if x < left + 30.0 => Anchor::Start,
            x if x > right - 30.0 => Anchor::End,
            _ => Anchor::Middle,
        };
        drawing.text("tick", (x, base + 16.0), anchor, &label);
    }
}

fn triggers(drawing: &mut Drawing, run: &Run, time: &Scale, y: f64) {
    for event in run.events.iter().filter(|event| event.kind == Kind::Trigger) {
        let x = time.at(event.at_ms as f64);
        drawing.marker("trigger", (x, y), &format!("{}: {}", event.time, event.explanation));
    }
}

/// Where an axis of roots may be marked.
const MARKS: [f64; 15] =
    [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

/// A feature's score over time, with its floor, its lines, and the triggers.
pub(super) fn scores(run: &Run, feature: &str, statistic: Statistic) -> String {
    const TOP: f64 = 16.0;
    const PLOT: f64 = 150.0;
    let Some(line) = run.series.line(feature, statistic) else { return String::new() };
    let mut drawing = Drawing::new(WIDTH, TOP + PLOT + 24.0);
    let time = time_scale(run, WIDTH);
    let lines = run.settings.thresholds.iter().filter(|of| of.statistic == statistic);
    let top_line = lines.clone().map(|of| of.threshold).fold(0.0, f64::max);
    let top_score = line.score.iter().copied().filter(|s| s.is_finite()).fold(0.0, f32::max);
    let highest = f64::from(top_score).max(top_line * 1.25).max(1e-9) * 1.05;
    let base = TOP + PLOT;
    let score = Roots(Scale { from: (0.0, highest.sqrt()), to: (base, TOP) });
    let mut last = f64::INFINITY;
    for mark in MARKS.into_iter().filter(|mark| *mark <= highest) {
        let y = score.at(mark);
        if last - y < 16.0 {
            continue;
        }
        last = y;
        drawing.line("grid", (LEFT, y), (WIDTH - RIGHT, y));
        drawing.text("tick", (LEFT - 6.0, y + 4.0), Anchor::End, &short(mark));
    }
    time_axis(&mut drawing, &time, base);
    for event in run.events.iter().filter(|event| event.kind == Kind::Trigger) {
        let x = time.at(event.at_ms as f64);
        drawing.line("trigger-line", (x, TOP), (x, base));
    }
    drawing.path("floor", sampled(&run.series, &line.noise_floor, &time, &score));
    for of in lines {
        let class = match of.level {
            Level::Retrain => "line-retrain",
            Level::Warning | Level::Notice => "line-warning",
        };
        let y = score.at(of.threshold);
        drawing.line(class, (LEFT, y), (WIDTH - RIGHT, y));
        let label = format!("{} {}", of.level.as_str(), of.threshold);
        // One above its line, the other below: they may be close.
        let shift = if of.level == Level::Retrain { -4.0 } else { 11.0 };
        drawing.text(class, (LEFT + 4.0, y + shift), Anchor::Start, &label);
    }
    drawing.path("score", sampled(&run.series, &line.score, &time, &score));
    triggers(&mut drawing, run, &time, TOP);
    drawing.finish(&label_of(line))
}

/// Scores by their square roots: the lines stay in sight under a score a hundred times as large.
#[derive(Clone, Copy, Debug)]
struct Roots(Scale);

impl Roots {
    fn at(&self, value: f64) -> f64 {
        self.0.at(value.max(0.0).sqrt())
    }
}

fn label_of(line: &Line) -> String {
    format!(
        "{} of {} over time, with its thresholds and its noise floor",
        line.statistic, line.feature
    )
}

/// The highest value of each unit of width; one pane's values stand at its end.
fn sampled<'a>(
    series: &'a Series,
    values: &'a [f32],
    time: &'a Scale,
    score: &'a Roots,
) -> impl Iterator<Item = Option<(f64, f64)>> + 'a {
    let mut points: Vec<Option<(f64, f64)>> = Vec::new();
    for (&end, &value) in series.end_ms.iter().zip(values) {
        let x = time.at(end as f64).round();
        let y = value.is_finite().then(|| score.at(f64::from(value)));
        match (points.last_mut(), y) {
            // Higher on the page is smaller.
            (Some(Some((last, best))), Some(y)) if (*last - x).abs() < 0.5 => *best = best.min(y),
            (_, Some(y)) => points.push(Some((x, y))),
            (Some(None), None) => {}
            (_, None) => points.push(None),
        }
    }
    points.into_iter()
}

/// Shares of the reference and of live in each bin, side by side.
pub(super) fn shares(worst: &Worst) -> String {
    const WIDE: f64 = 360.0;
    const TOP: f64 = 8.0;
    const PLOT: f64 = 120.0;
    const BOTTOM: f64 = 62.0;
    let mut drawing = Drawing::new(WIDE, TOP + PLOT + BOTTOM);
    let (left, right, base) = (38.0, WIDE - 4.0, TOP + PLOT);
    let highest = worst.bins.iter().map(|bin| bin.reference.max(bin.live)).fold(0.0, f64::max);
    let share = Scale { from: (0.0, highest.max(1e-9) * 1.05), to: (base, TOP) };
    for mark in round_marks(highest * 100.0, 3) {
        let y = share.at(mark / 100.0);
        drawing.line("grid", (left, y), (right, y));
        drawing.text("tick", (left - 5.0, y + 4.0), Anchor::End, &format!("{}%", short(mark)));
    }
    let slot = (right - left) / worst.bins.len().max(1) as f64;
    let bar = (slot * 0.42).min(26.0);
    // Labels at a slant need some room: of many bins not every one is named.
    let every = worst.bins.len().div_ceil(14).max(1);
    for (i, bin) in worst.bins.iter().enumerate() {
        let middle = left + slot * (i as f64 + 0.5);
        let title =
            |side: &str, value: f64| format!("{}: {side} {:.1} %", bin.label, 100.0 * value);
        let sides = [("reference", bin.reference, -bar), ("live", bin.live, 0.0)];
        for (side, value, shift) in sides {
            let y = share.at(value);
            let at = (middle + shift, y);
            drawing.rect(side, at, (bar - 0.5, base - y), &title(side, value));
        }
        if i % every == 0 {
            drawing.slanted("tick", (middle + 3.0, base + 10.0), &cut(&bin.label));
        }
    }
    drawing.line("axis", (left, base), (right, base));
    drawing.finish("Shares of the reference and of live records in each bin")
}

fn cut(label: &str) -> String {
    // Of a range its end: the last bin's end is the next one's beginning.
    let label =
        label.split_once(" – ").map_or_else(|| label.to_owned(), |(_, to)| format!("≤ {to}"));
    if label.chars().count() <= LABEL_MAX {
        return label.to_owned();
    }
    label.chars().take(LABEL_MAX - 1).chain(['…']).collect()
}
