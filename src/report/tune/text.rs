//! The findings of `driftd tune` for people at a terminal.

use crate::report::table::printable;
use crate::report::tune::EffectFrom;
use crate::report::tune::Seen;
use crate::report::tune::Tuned;
use crate::report::words::apart;
use crate::report::words::printable_text;

/// Features that the table of design effects names.
const SHOWN: usize = 12;

/// The whole of it; `yaml` is the proposal as it is pasted.
pub fn text(tuned: &Tuned, yaml: &str) -> String {
    let mut out = heading(tuned);
    out.push('\n');
    out.push_str(&effects(tuned));
    out.push('\n');
    out.push_str(&windows(tuned));
    out.push('\n');
    out.push_str(&proposal(tuned));
    out.push('\n');
    out.push_str(&power(tuned));
    for note in &tuned.notes {
        out.push_str(&format!("\nnote: {note}\n"));
    }
    out.push_str("\nFor the model's configuration; what is not named here stays as it is:\n\n");
    out.push_str(yaml);
    out
}

fn heading(tuned: &Tuned) -> String {
    let (input, baseline, rate) = (&tuned.input, &tuned.baseline, tuned.rate);
    format!(
        "{}: model {}\nrecords   {} from {} to {}, {} an hour (time: {}); {} rejected, {} late\n\
         baseline  {}: {} rows, {} of {} features watched\n",
        printable_text(&input.source),
        printable_text(&tuned.model),
        grouped(input.records as f64),
        input.start,
        input.end,
        number(rate.per_hour),
        printable_text(&input.time),
        grouped(input.rejected as f64),
        grouped(input.late as f64),
        printable_text(&baseline.source),
        grouped(baseline.rows as f64),
        baseline.watched,
        baseline.features
    )
}

fn effects(tuned: &Tuned) -> String {
    let mut all: Vec<_> = tuned.design_effects.iter().collect();
    all.sort_by(|a, b| b.body.total_cmp(&a.body).then_with(|| a.feature.cmp(&b.feature)));
    let mut out = "Design effect: so many records are worth one that is independent.\n".to_owned();
    let mut rows = vec![["feature", "body", "missing", "from"].map(str::to_owned)];
    for effect in all.iter().take(SHOWN) {
        rows.push([
            printable(&effect.feature),
            number(effect.body),
            number(effect.missing),
            match effect.from {
                EffectFrom::Configured => "the configuration",
                EffectFrom::Baseline => "the baseline's time column",
                EffectFrom::Records => "these records",
                EffectFrom::Assumed => "nothing: assumed",
            }
            .to_owned(),
        ]);
    }
    out.push_str(&columns(&rows));
    if all.len() > SHOWN {
        out.push_str(&format!("  and {} more features with less\n", all.len() - SHOWN));
    }
    out
}

fn windows(tuned: &Tuned) -> String {
    let mut out = "Windows: the PSI that noise alone exceeds once in a thousand looks".to_owned();
    if let Some(shuffled) = tuned.shuffled {
        out.push_str(&format!(
            ", and what the same {} days in another order ({} times) give without drift",
            shuffled.days, shuffled.shuffles
        ));
    }
    out.push_str(".\n");
    let names =
        ["window", "records", "median", "worst", "feature", "shuffled, 99 %", "PSI > 0.2 in 30 d"];
    let mut rows = vec![names.map(str::to_owned)];
    let optional = |value: Option<f64>, of: fn(f64) -> String| value.map_or("-".to_owned(), of);
    for window in &tuned.windows {
        rows.push([
            span(window.hours),
            grouped(window.records as f64),
            psi(window.median_floor),
            psi(window.worst_floor),
            printable(&window.worst_feature),
            optional(window.shuffled_psi, psi),
            optional(window.shuffled_above_0_2, number),
        ]);
    }
    out.push_str(&columns(&rows));
    out
}

fn proposal(tuned: &Tuned) -> String {
    let proposal = &tuned.proposal;
    let mut out = format!(
        "Proposal: pane {}, window {}, psi_alert {}, psi_retrain {}, false_retrains {}\n",
        proposal.pane,
        proposal.window,
        proposal.psi_alert,
        proposal.psi_retrain,
        proposal.false_retrains
    );
    for reason in &proposal.reasons {
        out.push_str(&format!("  - {}\n", printable_text(reason)));
    }
    out
}

/// For each change the feature in the middle, and the soonest and the latest beside it.
fn power(tuned: &Tuned) -> String {
    let mut out =
        "What it will see: records since the change (and how long they take), on average.\n"
            .to_owned();
    let names = ["change", "psi", "real", "soonest", "latest", "warns", "retrains"];
    let mut rows = vec![names.map(str::to_owned)];
    let per_hour = tuned.rate.per_hour;
    for row in &tuned.power {
        let Some(middle) = row.median() else { continue };
        let end = |seen: Option<&Seen>| match seen {
            Some(seen) if row.features.len() > 1 => seen.real.map_or("never".to_owned(), grouped),
            _ => "-".to_owned(),
        };
        rows.push([
            row.change.clone(),
            psi(middle.psi),
            taken(middle.real, per_hour),
            end(row.features.first()),
            end(row.features.last()),
            taken(middle.warning, per_hour),
            taken(middle.retrain, per_hour),
        ]);
    }
    out.push_str(&columns(&rows));
    out.push_str(
        "  psi, real, warns and retrains are those of the feature in the middle; never: it is within \
         what is\n  tolerated, or under the line. Numbers are moved by ranks, within the reference's range.\n",
    );
    out
}

fn taken(records: Option<f64>, per_hour: f64) -> String {
    records.map_or("never".to_owned(), |records| {
        format!("{} ({})", grouped(records), duration(records / per_hour))
    })
}

/// Columns two spaces apart, numbers or not, each as wide as it needs.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        out.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
    }
    out
}

fn span(hours: u64) -> String {
    if hours > 24 && hours.is_multiple_of(24) {
        format!("{}d", hours / 24)
    } else {
        format!("{hours}h")
    }
}

/// Hours as people say them.
fn duration(hours: f64) -> String {
    match hours {
        h if h < 1.0 => format!("{:.0} min", (60.0 * h).max(1.0)),
        h if h < 48.0 => format!("{h:.1} h"),
        h => format!("{:.1} d", h / 24.0),
    }
}

fn psi(value: f64) -> String {
    format!("{value:.3}")
}

fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { grouped(value) }
}

/// Rounded to a whole number, with its thousands apart.
fn grouped(value: f64) -> String {
    apart(&format!("{:.0}", value.max(0.0)), ',')
}
