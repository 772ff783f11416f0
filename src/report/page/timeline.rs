//! A model's states over time, with the records that came: large, and as a strip.

use maud::{Markup, html};

use crate::decide::DriftState;
use crate::decide::history::{History, Point};
use crate::report::page::axis::{Mark, Time, draw_marks, percent};
use crate::report::page::words::{count, minute, spaced};

const TOP: f64 = 14.0;
const STRIP: f64 = 18.0;
/// Between them, for what the highest column is.
const GAP: f64 = 22.0;
const BARS: f64 = 46.0;

/// Neighbouring points of one state.
struct Piece {
    start_ms: i64,
    end_ms: i64,
    drift: Option<DriftState>,
}

fn pieces(history: &History) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for point in history.points() {
        match out.last_mut() {
            Some(last) if last.drift == point.drift => last.end_ms = point.end_ms,
            _ => out.push(Piece {
                start_ms: point.start_ms,
                end_ms: point.end_ms,
                drift: point.drift,
            }),
        }
    }
    out
}

fn word(drift: Option<DriftState>) -> String {
    drift.map_or_else(|| "not known: before the last start".to_owned(), |d| spaced(d.as_str()))
}

fn draw(pieces: &[Piece], time: Time, y: f64, height: f64) -> Markup {
    html! {
        @for piece in pieces {
            @let (from, to) = (time.at(piece.start_ms), time.at(piece.end_ms));
            @let state = piece.drift.map_or("unknown", DriftState::as_str);
            rect class={ "tells s-" (state) } x=(percent(from)) width=(percent((to - from).max(0.15))) y=(y) height=(height) {
                title { (minute(piece.start_ms)) " to " (minute(piece.end_ms)) "\n" (word(piece.drift)) }
            }
        }
    }
}

/// States with triggers above and records below.
pub(super) fn timeline(history: &History, marks: &[Mark]) -> Markup {
    let Some(time) = Time::of(history) else {
        return html! { p.quiet { "No pane has closed yet." } };
    };
    let base = TOP + STRIP + GAP + BARS;
    let rate = |point: &Point| point.records as f64 / point.panes.max(1) as f64;
    let most = history.points().map(rate).fold(1.0, f64::max);
    let states = [
        DriftState::Settling,
        DriftState::Healthy,
        DriftState::Notice,
        DriftState::Warning,
        DriftState::Drifted,
    ];
    let pieces = pieces(history);
    let there = |state: &DriftState| pieces.iter().any(|piece| piece.drift == Some(*state));
    html! {
        figure {
            svg.chart width="100%" height=(base + 22.0) role="img" aria-label="The model's state and its records over time" {
                (draw(&pieces, time, TOP, STRIP))
                @for point in history.points() {
                    @let (from, to) = (time.at(point.start_ms), time.at(point.end_ms));
                    @let height = BARS * rate(point) / most;
                    rect.records x=(percent(from)) width=(percent((to - from) * 0.86)) y=(format!("{:.1}", base - height)) height=(format!("{height:.1}")) {}
                    rect.band x=(percent(from)) width=(percent(to - from)) y=(TOP + STRIP + 4.0) height=(GAP + BARS - 4.0) {
                        title { (told(point)) }
                    }
                }
                (time.marks(base))
                text x="0" y=(base - BARS - 6.0) { (count(rounded(most))) " records a pane at most" }
                (draw_marks(marks, time, TOP, base))
            }
            figcaption.legend {
                @for state in states.into_iter().filter(there) {
                    span { i class={ "k-" (state.as_str()) } {} (spaced(state.as_str())) }
                }
                @if marks.iter().any(Mark::is_trigger) { span { i.k-mark {} "trigger" } }
                @if marks.iter().any(|mark| !mark.is_trigger()) { span { i.k-renewed {} "new baseline" } }
                span { i.k-records {} "records" }
            }
        }
    }
}

fn told(point: &Point) -> String {
    let mut out = format!("{}\n{} records", minute(point.end_ms), count(point.records));
    if point.rejects > 0 {
        out += &format!(", {} rejected", count(point.rejects));
    }
    if point.panes > 1 {
        out += &format!(" in {} panes", point.panes);
    }
    if !point.complete {
        out += "\nnot complete";
    }
    out
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of records")]
fn rounded(records: f64) -> u64 {
    records.round() as u64
}

/// States alone, for a list of models.
pub(super) fn strip(history: &History) -> Markup {
    const HIGH: f64 = 10.0;
    let Some(time) = Time::of(history) else { return html! {} };
    html! {
        svg width="100%" height=(HIGH) role="img" aria-label=(format!("States from {} to {}", minute(time.from_ms), minute(time.to_ms))) {
            (draw(&pieces(history), time, 0.0, HIGH))
        }
    }
}
