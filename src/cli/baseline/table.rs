//! A baseline as text for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::baseline::{Baseline, FeatureBaseline};
use crate::decide::time::rfc3339;
use crate::feature::Kind;
use crate::histogram::{Cells, NumericCells, Storage};
use crate::report::words::printable_text;

const HEADINGS: [&str; 13] = [
    "feature", "role", "kind", "type", "values", "missing", "distinct", "cells", "bins", "effect",
    "season", "range", "usable",
];

/// Every feature in one line, below what the whole is.
pub(super) fn table(baseline: &Baseline) -> String {
    let mut out = format!(
        "source   {}\ndigest   {}\nrows     {}\ntime     {}\n",
        baseline.source,
        baseline.digest,
        baseline.rows,
        baseline.time_column.as_deref().unwrap_or("no time column found"),
    );
    if let Some(trained) = baseline.trained {
        line(
            &mut out,
            &format!("trained  {}, by {}", rfc3339(trained.at_ms), trained.by.describe()),
        );
    }
    if let Some(rule) = &baseline.season {
        line(&mut out, &format!("seasons  {rule}"));
    }
    if let Some(least) = baseline.features.iter().filter_map(|feature| feature.sample).min() {
        let line = "edges come from a sample of the values, counts from all of them";
        out.push_str(&format!("sampled  {line}; {least} in a column, or more\n"));
    }
    let mut ignored: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for column in &baseline.ignored {
        ignored.entry(&column.reason).or_default().push(&column.column);
    }
    for (reason, columns) in ignored {
        line(&mut out, &format!("ignored  {} ({reason})", columns.join(", ")));
    }
    out.push('\n');
    let headings = HEADINGS.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(headings).chain(baseline.features.iter().map(row)).collect();
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(width);
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(i, (cell, width))| {
                if (4..10).contains(&i) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        line(&mut out, cells.join("  ").trim_end());
    }
    out
}

fn row(feature: &FeatureBaseline) -> [String; HEADINGS.len()] {
    let name = shown(&feature.name);
    let head = [
        name,
        feature.role.as_str().to_owned(),
        kind(feature).to_owned(),
        feature.column_type.clone(),
    ];
    let tail = match feature.unusable {
        Some(why) => {
            let dash = || "-".to_owned();
            [
                dash(),
                dash(),
                dash(),
                dash(),
                dash(),
                dash(),
                dash(),
                dash(),
                format!("no: {}", why.reason()),
            ]
        }
        None => {
            let range = match &feature.cells {
                Cells::Numeric(cells) => {
                    format!(
                        "{} .. {}",
                        as_stored(cells, cells.lowest),
                        as_stored(cells, cells.highest)
                    )
                }
                Cells::Categorical(cells) => cells
                    .categories
                    .first()
                    .map(|c| format!("top: {}", shown(c)))
                    .unwrap_or_default(),
            };
            [
                feature.reference.in_cells().to_string(),
                feature.reference.absent().to_string(),
                feature.distinct.to_string(),
                feature.cells.len().to_string(),
                feature.bins.len().to_string(),
                effect(feature),
                season(feature),
                range,
                "yes".to_owned(),
            ]
        }
    };
    let mut cells = head.into_iter().chain(tail);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

/// The design effect of the body.
fn effect(feature: &FeatureBaseline) -> String {
    let measured = feature.design_effect.as_ref();
    measured.map_or("?".to_owned(), |measured| format!("{:.1}", measured.effects.body))
}

/// The season that is used, and what the design effect would be otherwise.
fn season(feature: &FeatureBaseline) -> String {
    let Some(season) = &feature.season else { return "-".to_owned() };
    let cycle = season.cycle.as_str();
    match (season.is_used(), feature.season_effects()) {
        (true, Some((without, _))) => format!("{cycle} ({without:.1} without)"),
        (true, None) => cycle.to_owned(),
        (false, Some((_, with))) => format!("none ({with:.1} with {cycle})"),
        (false, None) => "none".to_owned(),
    }
}

fn kind(feature: &FeatureBaseline) -> &'static str {
    match feature.kind {
        Kind::Numeric => "numeric",
        Kind::Categorical => "categorical",
    }
}

/// The shortest text that means the same in the column's own type: 9.6, not 9.600000381469727.
#[expect(clippy::cast_possible_truncation, reason = "the value came from an f32")]
fn as_stored(cells: &NumericCells, value: f64) -> String {
    match cells.storage {
        Storage::F32 => (value as f32).to_string(),
        Storage::F16 => half::f16::from_f64(value).to_string(),
        Storage::F64 | Storage::Decimal { .. } => value.to_string(),
    }
}

/// Names and categories come from a file: no control characters, no endless lines on a terminal.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => printable_text(&text[..end]) + "…",
        None => printable_text(text),
    }
}

/// What the bins of one feature hold.
pub(super) fn one_feature(feature: &FeatureBaseline) -> String {
    let mut out = String::new();
    line(
        &mut out,
        &format!("{}  {}  {}", shown(&feature.name), kind(feature), feature.column_type),
    );
    if let Some(why) = feature.unusable {
        line(&mut out, &format!("not usable: {}", why.reason()));
        return out;
    }
    let bins = feature.bins.sum(&feature.reference.cells);
    let total = feature.reference.in_cells();
    let mut ends = feature.bins.starts.iter().skip(1).map(|&start| start as usize);
    let mut start = 0;
    line(&mut out, &format!("{:>12}  {:>7}  bin", "values", "share"));
    for count in bins {
        let end = ends.next().unwrap_or(feature.cells.len());
        #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
        let share = 100.0 * count as f64 / total as f64;
        line(
            &mut out,
            &format!("{count:>12}  {share:>6.2}%  {}", limits(&feature.cells, start, end)),
        );
        start = end;
    }
    out
}

/// What a bin of the cells from `start` to `end` holds.
fn limits(cells: &Cells, start: usize, end: usize) -> String {
    match cells {
        Cells::Numeric(cells) => {
            let low = start.checked_sub(1).and_then(|i| cells.edges.get(i));
            let high = cells.edges.get(end - 1);
            let low = low.map_or("(-inf".to_owned(), |low| format!("({low}"));
            let high = high.map_or("inf)".to_owned(), |high| format!("{high}]"));
            format!("{low}, {high}")
        }
        Cells::Categorical(cells) => match cells.categories.get(start) {
            Some(name)
                if end == start + 1
                    || (start + 1 == cells.categories.len() && cells.rest.is_empty()) =>
            {
                shown(name)
            }
            Some(name) => format!("{} and all rarer ones", shown(name)),
            None => "all rarer ones".to_owned(),
        },
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a String takes every write");
}
