//! The pane, the window and the lines that fit a stream, each with its reason.

use std::time::Duration;

use crate::baseline::Baseline;
use crate::compare;
use crate::config::Model;
use crate::pipeline::replay::survey::Survey;
use crate::pipeline::tune::windows::CUSTOMARY;
use crate::report::tune::{Effect, EffectFrom, Proposal, Window};
use crate::report::words::grouped;
use crate::setting::Span;
use crate::setting::season::Calendar;

const HOUR_MS: f64 = 3_600_000.0;
/// Panes that may be taken.
const PANES_MS: [u64; 7] = [60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000];
/// A pane should hold so many records, so that its own counts say something.
const A_PANE: f64 = 30.0;
/// Fewer panes than this are no window: rule `window` asks for 3 of 5.
const PANES_MIN: u64 = 12;
/// A line of PSI is put so much above noise.
const MARGIN: f64 = 1.1;
/// Records that a decision needs, where a window holds them.
const MIN_RECORDS: u64 = 200;
/// Lines above this see next to nothing.
const DULL: f64 = 0.5;
/// From here on records depend so much that a person should know.
const DEPENDS: f64 = 20.0;

/// The model with what is proposed for it, and why.
pub(super) fn proposal(model: &Model, windows: &[Window], per_hour: f64) -> (Model, Proposal) {
    let mut reasons = Vec::new();
    let pane_ms = pane(per_hour, &mut reasons);
    let chosen = window(windows, pane_ms, &mut reasons);
    let (alert, retrain) = lines(chosen, &mut reasons);
    let min_records = MIN_RECORDS.min((chosen.records / 2).max(1));
    if min_records < MIN_RECORDS {
        reasons.push(format!(
            "min_records {min_records}: half of what the window holds; 200 would never be there"
        ));
    }
    let hours = |hours: u64| Span(Duration::from_secs(hours * 3_600));
    let mut proposed = model.clone();
    proposed.pane = Span(Duration::from_millis(pane_ms));
    let drift = &mut proposed.drift_config;
    drift.window = Some(hours(chosen.hours));
    drift.monitoring_window_hours = None;
    drift.max_age = drift.max_age.max(hours(chosen.hours));
    drift.thresholds.psi_alert = alert;
    drift.thresholds.psi_retrain = retrain;
    drift.min_records = min_records;
    let proposal = Proposal {
        pane: proposed.pane.to_string(),
        window: hours(chosen.hours).to_string(),
        psi_alert: alert,
        psi_retrain: retrain,
        min_records,
        design_effect: None,
        false_retrains: proposed.drift_config.false_retrains.to_string(),
        panes_per_false_retrain: 0.0,
        evidence_needed: 0.0,
        reasons,
    };
    (proposed, proposal)
}

/// The shortest pane that holds some tens of records.
fn pane(per_hour: f64, reasons: &mut Vec<String>) -> u64 {
    let held = |pane_ms: u64| per_hour * pane_ms as f64 / HOUR_MS;
    let fits = PANES_MS.iter().copied().find(|&pane_ms| held(pane_ms) >= A_PANE);
    let pane_ms = fits.unwrap_or(PANES_MS[PANES_MS.len() - 1]);
    let records = held(pane_ms);
    let span = Span(Duration::from_millis(pane_ms));
    reasons.push(match fits {
        Some(_) => format!(
            "pane {span}: the shortest that holds {A_PANE} records, {records:.0} on average"
        ),
        None => {
            format!("pane {span}: the longest there is; it holds {records:.1} records on average")
        }
    });
    pane_ms
}

/// The shortest window above whose noise the customary lines lie; else the one of the least noise.
fn window<'a>(windows: &'a [Window], pane_ms: u64, reasons: &mut Vec<String>) -> &'a Window {
    let long = |window: &&Window| window.hours * 3_600_000 >= PANES_MIN * pane_ms;
    if let Some(fits) = windows.iter().filter(long).find(|window| window.fits) {
        reasons.push(format!(
            "window {}: the shortest of 1h, 6h, 24h and 7d whose noise leaves the customary lines of PSI \
             room: {}",
            Span(Duration::from_secs(fits.hours * 3_600)),
            noise(fits)
        ));
        return fits;
    }
    let least = windows.iter().filter(long).min_by(|a, b| level(a).total_cmp(&level(b)));
    let least = least.unwrap_or(&windows[windows.len() - 1]);
    reasons.push(format!(
        "window {}: none leaves the customary lines of PSI room; this one has the least noise: {}",
        Span(Duration::from_secs(least.hours * 3_600)),
        noise(least)
    ));
    least
}

/// What PSI does in that window without drift.
fn level(window: &Window) -> f64 {
    window.worst_floor.max(window.shuffled_psi.unwrap_or(0.0))
}

fn noise(window: &Window) -> String {
    let floor = match window.worst_floor {
        floor if floor.is_finite() => {
            format!("the floor of {} is {floor:.3}", window.worst_feature)
        }
        _ => "the baseline is too small for any".to_owned(),
    };
    match window.shuffled_psi {
        Some(psi) => {
            format!("{floor}, and of windows of shuffled days one in a hundred is above {psi:.3}")
        }
        None => floor,
    }
}

/// The customary lines, or twice as far apart as noise in that window asks.
fn lines(window: &Window, reasons: &mut Vec<String>) -> (f64, f64) {
    let (alert, retrain) = CUSTOMARY;
    let needed = level(window) * MARGIN;
    if window.fits || !needed.is_finite() || needed <= alert {
        reasons.push(format!("psi_alert {alert}, psi_retrain {retrain}: the field's custom"));
        return CUSTOMARY;
    }
    let raised = (needed * 100.0).ceil() / 100.0;
    let twice = (raised * 200.0).round() / 100.0;
    reasons.push(format!(
        "psi_alert {raised}, psi_retrain {twice}: the field's custom ({alert} and {retrain}) lies within \
         the noise of this window"
    ));
    (raised, twice)
}

/// Lines that hardly any change reaches are said to be so.
pub(super) fn dull(proposal: &Proposal) -> Option<String> {
    (proposal.psi_alert > DULL).then(|| {
        format!(
            "psi_alert {} is of little use: a shift of a bell-shaped feature by a whole standard deviation \
             has a PSI of 0.93. This stream is too thin, or its records depend on each other too much, for \
             lines of PSI; changes that are real still come as notices. More records an hour, a longer \
             baseline or fewer, steadier features would do",
            proposal.psi_alert
        )
    })
}

/// What is left out where the daemon will compare features within their season.
pub(super) fn seasonal(baseline: &Baseline) -> Option<String> {
    let features = baseline.features.iter();
    let found: Vec<(&str, Calendar)> = features
        .filter_map(|feature| Some((feature.name.as_str(), baseline.calendar(feature)?)))
        .collect();
    let (name, calendar) = found.first()?;
    let others = match found.len() - 1 {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    Some(format!(
        "{name}{others} will be compared within their season ({calendar}), which the noise of the windows here \
         does not know: short windows look noisier than they will be, and the proposal is duller than it \
         must be; the power table has the season's design effect, and `driftd replay --shuffle-days` tries \
         the whole policy"
    ))
}

/// What a person should know of the data.
pub(super) fn notes(survey: &Survey, effects: &[Effect], hours: f64) -> Vec<String> {
    let mut notes = Vec::new();
    if hours < 5.0 * 24.0 {
        notes.push(format!(
            "{hours:.0} h of records: a rate and its noise are known after five whole days, when the \
             days can be shuffled, too"
        ));
    }
    if survey.late * 20 > survey.records + survey.late {
        notes.push(format!(
            "{} records came later than their pane waits and were not counted; --sort puts them in order",
            grouped(survey.late)
        ));
    }
    if survey.rejected * 20 > survey.records + survey.rejected {
        notes.push(format!(
            "{} records could not be used, over the 5 % at which nothing triggers; `driftd replay` says why",
            grouped(survey.rejected)
        ));
    }
    let worst = effects.iter().max_by(|a, b| a.body.total_cmp(&b.body));
    if let Some(worst) = worst.filter(|worst| worst.body > DEPENDS) {
        notes.push(format!(
            "a record of {} is worth a {}th of an independent one: it changes by the hour or the day, or \
             by user; a season, if there is one, is part of that",
            worst.feature,
            compare::whole(worst.body)
        ));
    }
    if effects.iter().any(|effect| effect.from == EffectFrom::Assumed) {
        notes.push(
            "nothing shows how much these records depend on each other: 4 is assumed until three live \
             days show it, and rule `window` decides until then"
                .to_owned(),
        );
    } else if effects.iter().any(|effect| effect.from == EffectFrom::Records) {
        notes.push(
            "the baseline has no time column, so its design effect was measured on these records, and the \
             largest is proposed for all features; a drift within them would make it too large"
                .to_owned(),
        );
    }
    notes
}
