//! A replay as one self-contained page: no script, nothing that is fetched, light and dark.

use std::fmt::Write as _;

use crate::report::replay::Event;
use crate::report::replay::FeatureRun;
use crate::report::replay::Kind;
use crate::report::replay::Null;
use crate::report::replay::Replay;
use crate::report::replay::Run;
use crate::report::replay::pictures;
use crate::report::replay::text;
use crate::report::svg::escaped;
use crate::report::words::{count, short};

/// Features with pictures.
const PICTURED: usize = 6;
/// Features that the table lists.
const LISTED: usize = 40;
const EVENTS_MAX: usize = 200;
const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn page(replay: &Replay) -> String {
    let input = &replay.input;
    let source = escaped(&input.source);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Replay of {source}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<header><h1>Replay of {source}</h1>\n"
    );
    writeln!(out, "<p class=\"quiet\">{}</p></header>", input.describe()).ok();
    for run in &replay.runs {
        section(&mut out, run, replay.runs.len() > 1);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn section(out: &mut String, run: &Run, several: bool) {
    out.push_str("<section>\n");
    let name = escaped(&run.model);
    let policy = if several {
        format!(" <span class=\"quiet\">{}</span>", escaped(&run.policy))
    } else {
        String::new()
    };
    writeln!(out, "<h2>{name}{policy}</h2>").ok();
    banner(out, run);
    tiles(out, run);
    writeln!(out, "<figure class=\"card\">{}{}</figure>", pictures::timeline(run), legend()).ok();
    let worst: Vec<&FeatureRun> = run.features.iter().filter(|f| f.worst.is_some()).collect();
    if !worst.is_empty() {
        out.push_str(
            "<h3>Worst features</h3>\n<p class=\"quiet\">Scores on an axis of square roots; dashed: the lines, \
             dotted: what noise alone reaches. A triangle is a trigger.</p>\n",
        );
    }
    for feature in worst.iter().take(PICTURED) {
        card(out, run, feature);
    }
    events(out, &run.events);
    features(out, &worst);
    if let Some(null) = &run.null {
        shuffled(out, null);
    }
    writeln!(
        out,
        "<h3>What decided</h3>\n<p>{}</p>\n<p class=\"quiet\">baseline {}, {} rows, digest {}; time {}</p>",
        escaped(&text::policy(&run.settings)),
        escaped(&run.baseline.source),
        run.baseline.rows,
        escaped(run.baseline.digest.get(..16).unwrap_or(&run.baseline.digest)),
        escaped(&run.time)
    )
    .ok();
    out.push_str("</section>\n");
}

/// The answer, before anything else.
fn banner(out: &mut String, run: &Run) {
    let first = run.events.iter().find(|event| event.kind == Kind::Trigger);
    let (class, head, more) = match first {
        Some(event) => {
            let n = run.totals.triggers;
            let times = if n == 1 { "once".to_owned() } else { format!("{n} times") };
            (
                "bad",
                format!("It would have triggered a retraining {times}, first at {}.", event.time),
                event.explanation.clone(),
            )
        }
        None if run.totals.warnings > 0 => {
            let held =
                run.events.iter().rev().find(|e| matches!(e.kind, Kind::Warning | Kind::Drifted));
            (
                "warn",
                "It would have warned, and triggered no retraining.".to_owned(),
                held.map(|e| e.explanation.clone()).unwrap_or_default(),
            )
        }
        None if run.panes == 0 => (
            "warn",
            "No pane has closed: there are too few records to decide anything.".to_owned(),
            String::new(),
        ),
        None => (
            "good",
            "It would have triggered no retraining.".to_owned(),
            run.events.last().map(|e| e.explanation.clone()).unwrap_or_default(),
        ),
    };
    writeln!(
        out,
        "<div class=\"banner {class}\"><strong>{}</strong><br>{}</div>",
        escaped(&head),
        escaped(&more)
    )
    .ok();
}

fn tiles(out: &mut String, run: &Run) {
    let span = match (&run.start, &run.end) {
        (Some(start), Some(end)) => format!("{start} to {end}"),
        _ => "no pane has closed".to_owned(),
    };
    let tiles = [
        ("records", count(run.records)),
        ("rejected", count(run.rejected)),
        ("late", count(run.late)),
        ("panes", count(run.panes)),
        ("notices", count(run.totals.notices)),
        ("warnings", count(run.totals.warnings)),
        ("triggers", count(run.totals.triggers)),
    ];
    out.push_str("<div class=\"tiles\">");
    for (name, value) in tiles {
        write!(out, "<div><b>{value}</b><span>{name}</span></div>").ok();
    }
    writeln!(out, "</div>\n<p class=\"quiet\">{}</p>", escaped(&span)).ok();
}

fn legend() -> String {
    let states = ["settling", "healthy", "notice", "warning", "drifted"];
    let entry = |state: &str| format!("<span><i class=\"k-{state}\"></i>{state}</span>");
    let states: String = states.into_iter().map(entry).collect();
    format!(
        "<figcaption class=\"legend\">{states}<span><i class=\"k-trigger\"></i>trigger</span></figcaption>"
    )
}

fn card(out: &mut String, run: &Run, feature: &FeatureRun) {
    let Some(worst) = &feature.worst else { return };
    let (name, statistic) = (&feature.last.feature, worst.statistic);
    let floor = worst.noise_floor.map(|floor| format!(", noise floor {}", short(floor)));
    writeln!(
        out,
        "<article class=\"card pair\"><div><h4>{} <span class=\"quiet\">{statistic}</span></h4>{}</div>\n\
         <div><h4 class=\"quiet\">worst at {}: {} against {} {}{}</h4>{}\
         <p class=\"legend\"><span><i class=\"k-reference\"></i>reference</span><span><i class=\"k-live\"></i>live</span></p></div></article>",
        escaped(name),
        pictures::scores(run, name, statistic),
        escaped(&worst.time),
        short(worst.score),
        worst.level.as_str(),
        short(worst.threshold),
        floor.unwrap_or_default(),
        pictures::shares(worst),
    )
    .ok();
}

fn events(out: &mut String, events: &[Event]) {
    if events.is_empty() {
        return;
    }
    out.push_str("<h3>What happened</h3>\n<div class=\"wide\"><table><thead><tr><th>pane's end</th><th>what</th><th>why</th></tr></thead><tbody>\n");
    for event in events.iter().take(EVENTS_MAX) {
        let kind = event.kind.as_str();
        writeln!(
            out,
            "<tr><td class=\"time\">{}</td><td><span class=\"pill p-{kind}\">{kind}</span></td><td>{}</td></tr>",
            escaped(&event.time),
            escaped(&event.explanation)
        )
        .ok();
    }
    out.push_str("</tbody></table></div>\n");
    if let Some(more) = events.len().checked_sub(EVENTS_MAX).filter(|more| *more > 0) {
        writeln!(out, "<p class=\"quiet\">and {more} more; the JSON has them all</p>").ok();
    }
}

fn features(out: &mut String, worst: &[&FeatureRun]) {
    if worst.is_empty() {
        return;
    }
    out.push_str(
        "<h3>Features</h3>\n<div class=\"wide\"><table><thead><tr><th>feature</th><th>statistic</th>\
         <th class=\"n\">worst score</th><th class=\"n\">floor</th><th class=\"n\">threshold</th><th>level</th>\
         <th>when</th><th class=\"n\">panes over</th></tr></thead><tbody>\n",
    );
    for feature in worst.iter().take(LISTED) {
        let Some(worst) = &feature.worst else { continue };
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td>{}</td><td class=\"time\">{}</td><td class=\"n\">{}</td></tr>",
            escaped(&feature.last.feature),
            worst.statistic,
            short(worst.score),
            worst.noise_floor.map_or_else(|| "–".to_owned(), short),
            short(worst.threshold),
            worst.level.as_str(),
            escaped(&worst.time),
            worst.panes_over,
        )
        .ok();
    }
    out.push_str("</tbody></table></div>\n");
    if let Some(more) = worst.len().checked_sub(LISTED).filter(|more| *more > 0) {
        writeln!(out, "<p class=\"quiet\">and {more} more; the JSON has them all</p>").ok();
    }
}

fn shuffled(out: &mut String, null: &Null) {
    writeln!(
        out,
        "<h3>The same days in another order</h3>\n<p>{} shuffles of {} whole days, the first {} of each as the \
         reference: no drift is left, so every trigger is a false one. Over {} days this policy made \
         <b>{:.2}</b> false retrains per 30 days ({}), PSI above 0.2 alone <b>{:.2}</b> ({}).</p>",
        null.shuffles,
        null.days,
        null.reference_days,
        null.stream_days,
        null.policy.per_30_days,
        null.policy.count,
        null.psi_above_0_2.per_30_days,
        null.psi_above_0_2.count,
    )
    .ok();
}
