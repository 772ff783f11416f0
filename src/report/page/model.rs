//! One model: its verdict in a sentence, what happened over time, and its features with the worst first.

use maud::{Markup, html};

use crate::compare::Statistic;
use crate::decide::check::{CheckState, CheckView};
use crate::decide::ledger::Durations;
use crate::decide::{DriftState, FeatureVerdict, Incident, ModelView, Verdict, View};
use crate::feature::Role;
use crate::report::page::axis::marks_of;
use crate::report::page::axis::percent as width;
use crate::report::page::check::checks;
use crate::report::page::elsewhere::{banner, evaluator};
use crate::report::page::incident::incident_table;
use crate::report::page::scores::{Scored, What, spark};
use crate::report::page::timeline::timeline;
use crate::report::page::words::{
    count, drift_pill, evidence, held_back, incident_pill, minute, number, percent, plural,
    quality_pill, ranked, score, spaced, span, statistic_name, tone, verdict_pill, when, written,
};
use crate::report::page::{Links, Part, encode, link, site};

/// Features with a picture of their own.
const PICTURED: usize = 4;
/// Rows of the table of features, unless all are asked for; and those of all that have a picture.
const LISTED: usize = 100;

/// Which features the table has, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A hundred from this rank on, which counts from 1; the last ones if there are no more.
    From(usize),
    All,
}

/// The page of one model.
pub fn model(view: &View, model: &ModelView, listed: Listed) -> String {
    let links = Links::Site { up: 1 };
    let incidents = incidents_of(view, model);
    let body = html! {
        nav.crumbs aria-label="Where this is" { a href=[links.to("")] { "Models" } }
        (Head { model, links }.whole())
        @if model.elsewhere.is_none() {
            div.card { h2.first { "Over time" } (timeline(&model.history, &marks_of(&model.history, &incidents))) }
            (features(model, links, listed))
            (pictures(model, &incidents, links))
            (checks(model))
            (outputs(model))
        }
        @if !incidents.is_empty() {
            h2 { "Incidents" }
            (incident_table(&incidents, links, false))
        }
        (policy(model))
        p.quiet.small {
            "Of this model: "
            a href=[links.to(&format!("models/{}/report", encode(&model.model)))] { "report as one file" } " \u{b7} "
            a href=[links.to(&format!("api/v1/models/{}", encode(&model.model)))] { "JSON" }
        }
    };
    site(&format!("{} \u{b7} driftd", model.model), 1, Part::Models, &body)
}

pub(super) fn incidents_of<'a>(view: &'a View, model: &ModelView) -> Vec<&'a Incident> {
    view.incidents.iter().filter(|incident| incident.model == model.model).collect()
}

/// What is to be known first.
pub(super) struct Head<'a> {
    pub(super) model: &'a ModelView,
    pub(super) links: Links,
}

impl Head<'_> {
    pub(super) fn whole(&self) -> Markup {
        let model = self.model;
        let evaluator = evaluator(model);
        html! {
            div.head {
                h1 { (model.model) }
                @if evaluator.is_none() { (drift_pill(model.drift)) (quality_pill(model.quality)) }
                @if let (Some(state), Some(id)) = (model.incident, &model.incident_id) {
                    @match self.links.incident(id) {
                        Some(to) => a href=(to) { "incident " (incident_pill(state)) },
                        None => span { "incident " (incident_pill(state)) },
                    }
                }
            }
            @match evaluator {
                Some(evaluator) => (banner(&evaluator)),
                None => { (verdict(model)) (faults(model)) (tiles(model)) },
            }
        }
    }
}

fn faults(model: &ModelView) -> Markup {
    html! {
        @if !model.faults.is_empty() {
            div.card {
                h3 { "Wrong with the feed" }
                ul.plain {
                    @for fault in &model.faults {
                        li { b { (spaced(fault.kind.as_str())) } ": " (fault.sentence) @if fault.accepted { " (taken for drift)" } }
                    }
                }
            }
        }
    }
}

/// The sentence that decided, under a word for it.
fn verdict(model: &ModelView) -> Markup {
    let head = match model.drift {
        DriftState::NoBaseline => "There is no baseline yet.",
        DriftState::Settling => "The window is filling.",
        DriftState::Healthy => "Live data looks like training data.",
        DriftState::Notice => "Something has changed, by less than your lines.",
        DriftState::Warning => "It drifts.",
        DriftState::Drifted => "It has drifted far enough to retrain.",
    };
    html! {
        div class={ "banner " (tone(model.drift)) } {
            strong { (head) }
            p { (model.explanation) }
            @if !model.suppressed_by.is_empty() {
                p { b { "Held back: " }
                    @for (i, why) in model.suppressed_by.iter().enumerate() { @if i > 0 { "; " } (held_back(*why)) }
                    "."
                }
            }
        }
    }
}

/// The sentence and the sides of a comparison.
pub(super) fn compared(model: &ModelView) -> Markup {
    let fails = |check: &CheckView| check.state == CheckState::Violated && check.severity.is_told();
    let violated = model.checks.iter().any(fails);
    let head = match (model.drift == DriftState::Drifted, violated) {
        (true, false) => "They differ.",
        (true, true) => "They differ, and a check is violated.",
        (false, true) => "They do not differ by more than your lines, but a check is violated.",
        (false, false) => "They do not differ by more than your lines.",
    };
    html! {
        div class={ "banner " (if violated { "bad" } else { tone(model.drift) }) } {
            strong { (head) }
            p { (model.explanation) }
        }
    }
}

fn tiles(model: &ModelView) -> Markup {
    let watched = model.features.iter().filter(|f| f.verdict != Verdict::Unusable).count();
    let over = |f: &&FeatureVerdict| matches!(f.verdict, Verdict::Warning | Verdict::Drifted);
    let drifting = model.features.iter().filter(over).count();
    let window = model.window;
    let tile = |name: &str, value: String, more: Markup| {
        html! { div { dt { (name) } dd { (value) small { (more) } } } }
    };
    html! {
        dl.tiles {
            (tile("Records in the window", count(window.records), html! {
                @if window.end_ms > window.start_ms { (span(window.end_ms - window.start_ms)) " in panes of " (span(model.pane_ms)) @if !window.complete { ", not complete" } }
                @else { "no pane has closed" }
            }))
            (tile("Window ends", if window.end_ms > 0 { minute(window.end_ms) } else { "\u{2013}".to_owned() }, html! { "event time; topic " (model.topic) }))
            (tile("Features that drift", format!("{drifting} of {watched}"), html! { "at warning or above" }))
            (tile("Incidents opened", count(model.triggers), html! { "ever, those that were not sent included" }))
            @if let Some(baseline) = &model.baseline {
                (tile("Baseline", format!("{} rows", count(baseline.rows)), html! {
                    @if let Some(ms) = model.baseline_loaded_ms { "taken up " (when(ms)) }
                }))
                @if let Some(trained) = baseline.trained {
                    (tile("Trained", minute(trained.at_ms), html! { "by " (trained.by.describe()) }))
                }
            }
        }
        (operation(model))
    }
}

/// How long things have taken, once there is something to tell.
fn operation(model: &ModelView) -> Markup {
    let figures = &model.figures;
    let all: [(_, &Durations, _); 3] = [
        ("Last drift found after", &figures.detection, "from onset to incident, event time"),
        ("Last incident lasted", &figures.recovery, "from opened to closed"),
        ("Last retraining took", &figures.cycle, "from accepted trigger to new baseline"),
    ];
    let told = all.into_iter().filter_map(|(name, took, what)| {
        Some((name, took.last_ms()?, what, took.mean_ms()?, took.count()))
    });
    let told: Vec<_> = told.collect();
    html! {
        @if !told.is_empty() {
            dl.tiles {
                @for (name, last, what, mean, count) in told {
                    div { dt { (name) } dd { (span(last)) small { (what) @if count > 1 { "; " (span(mean)) " on average of " (count) } } } }
                }
            }
        }
    }
}

/// The table of features, the worst first.
pub(super) fn features(model: &ModelView, links: Links, listed: Listed) -> Markup {
    let ranked = ranked(&model.features);
    if ranked.is_empty() {
        return html! { h2 { "Features" } p.quiet { "None has been judged yet." } };
    }
    let (first, most) = match listed {
        Listed::All => (0, ranked.len()),
        Listed::From(rank) => {
            let last = (ranked.len() - 1) / LISTED * LISTED;
            ((rank.max(1) - 1).min(last), LISTED)
        }
    };
    let rows = ranked.iter().enumerate().skip(first).take(most);
    html! {
        h2 { "Features" }
        div.wide tabindex="0" role="region" aria-label="Features" {
            table.sort.cards {
                thead { tr {
                    th scope="col" { "feature" }
                    th scope="col" data-down { "verdict" }
                    th.n scope="col" { "evidence" }
                    th.n scope="col" { "PSI" }
                    th.n scope="col" { "since the onset" }
                    th.n scope="col" { "missing" }
                    th.n scope="col" { "unknown" }
                    td { "PSI over time" }
                } }
                tbody {
                    @for (at, verdict) in rows { (row(model, links, verdict, (ranked.len() - at, at < first + LISTED))) }
                }
            }
        }
        @if ranked.len() > most || first > 0 { (others(first, ranked.len())) }
        @if most > LISTED { p.quiet { "Only the first " (LISTED) " have a picture here; every feature's own page has more." } }
        p.quiet.small { "Evidence is a share of what the budget of false retrainings asks: a change is real from 100 % on. Unknown is out of training's range, or an unseen category; like missing, as a share above what is expected." }
    }
}

/// Where the other features are, of a table that begins behind the `first` ones.
fn others(first: usize, all: usize) -> Markup {
    let to = |rank: usize, text: &str| {
        html! { " \u{b7} " a href=(format!("?features={rank}")) { (text) } }
    };
    html! {
        p.quiet {
            "Listed are " (count(first as u64 + 1)) " to " (count(all.min(first + LISTED) as u64)) " of " (count(all as u64)) ", the worst first"
            @if first > 0 { (to(1, "the first")) (to((first + 1).saturating_sub(LISTED).max(1), "worse")) }
            @if first + LISTED < all { (to(first + LISTED + 1, "more")) }
            " \u{b7} " a href="?features=all" { "all" }
        }
    }
}

fn row(
    model: &ModelView,
    links: Links,
    verdict: &FeatureVerdict,
    (gravity, has_picture): (usize, bool),
) -> Markup {
    let psi = verdict.scores.get(&Statistic::Psi).filter(|psi| psi.value.is_finite());
    let real = verdict.onset.as_ref().filter(|onset| onset.is_real());
    let since = real.and_then(|onset| onset.psi).map(|psi| psi.value);
    let unknown =
        score(verdict, Statistic::OutOfRange).or_else(|| score(verdict, Statistic::Unseen));
    let missing = score(verdict, Statistic::Missing);
    let rate =
        |share: Option<f64>| share.map_or_else(|| "\u{2013}".to_owned(), |s| percent(s.max(0.0)));
    html! {
        tr {
            th scope="row" data-v=(verdict.feature) { a href=(links.feature(&model.model, &verdict.feature)) { (verdict.feature) } }
            td data-v=(gravity) { (verdict_pill(verdict.verdict)) }
            td.n.meter.none[evidence(verdict).is_none()] data-v=[evidence(verdict)] data-k="evidence" { @if let Some(share) = evidence(verdict) { (meter(share)) } @else { "\u{2013}" } }
            td.n.none[psi.is_none()] data-v=[psi.map(|psi| psi.value)] data-k="PSI" title=[psi.and_then(|psi| psi.noise_floor).map(|floor| format!("noise floor {}", number(floor)))] {
                @if let Some(psi) = psi { (number(psi.value)) } @else { "\u{2013}" }
            }
            td.n.none[since.is_none()] data-v=[since] data-k="since the onset" title=[real.map(|onset| format!("since {}, {}", minute(onset.since_ms), plural(usize::try_from(onset.records).unwrap_or(usize::MAX), "record", "records")))] {
                @if let Some(since) = since { b { (number(since)) } } @else { "\u{2013}" }
            }
            td.n.none[missing.is_none()] data-v=[missing] data-k="missing" { (rate(missing)) }
            td.n.none[unknown.is_none()] data-v=[unknown] data-k="unknown" { (rate(unknown)) }
            td.spark.full { @if has_picture { (spark(&model.history, &verdict.feature, &model.thresholds)) } }
        }
    }
}

/// Evidence as a bar that is full where it is enough.
fn meter(share: f64) -> Markup {
    let full = share >= 1.0;
    // Far over is as good as any.
    let shown = if share > 9.99 { "> 999 %".to_owned() } else { percent(share.max(0.0)) };
    html! {
        (shown)
        svg width="100%" height="5" aria-hidden="true" {
            rect.track width="100%" height="4" rx="2" {}
            rect class=(if full { "evidence over" } else { "evidence" }) height="4" rx="2" width=(width(100.0 * share.clamp(0.0, 1.0))) {}
        }
    }
}

/// The worst features' scores over time.
fn pictures(model: &ModelView, incidents: &[&Incident], links: Links) -> Markup {
    let marks = marks_of(&model.history, incidents);
    let scored = ranked(&model.features).into_iter().map(|verdict| Scored {
        history: &model.history,
        name: &verdict.feature,
        what: What::Score(Statistic::Psi),
        lines: &model.thresholds,
        marks: &marks,
    });
    let scored: Vec<Scored<'_>> = scored.filter(Scored::tells).take(PICTURED).collect();
    html! {
        @if !scored.is_empty() {
            h2 { "The worst of them over time" }
            div.grid2 {
                @for scored in scored {
                    div.card {
                        h3 { a href=(links.feature(&model.model, scored.name)) { (scored.name) } " " span.quiet { (scored.what.name()) } }
                        (scored.picture())
                    }
                }
            }
        }
    }
}

fn outputs(model: &ModelView) -> Markup {
    html! {
        @for test in &model.outputs {
            h2 { @if test.role == Role::Confidence { "How sure the model is" } @else { "What the model answers" } }
            div class=(if test.drifted { "banner warn" } else { "banner good" }) {
                strong { @if test.drifted { (test.feature) " has drifted." } @else { (test.feature) " is as it was." } }
                p {
                    (statistic_name(test.statistic)) " " (number(test.score)) ", p " (number(test.p_value)) " against " (number(test.threshold))
                    ", over " (count(test.records)) " records of the window that ended " (when(test.end_ms)) "."
                }
            }
        }
    }
}

/// Lines and baseline.
pub(super) fn policy(model: &ModelView) -> Markup {
    html! {
        div.grid2 {
            section {
                h2 { "Lines" }
                div.wide { table {
                    thead { tr { th scope="col" { "statistic" } th scope="col" { "level" } th.n scope="col" { "line" } } }
                    tbody {
                        @for (statistic, level, line) in &model.thresholds {
                            tr { th scope="row" { (statistic_name(*statistic)) } td { (level.as_str()) } td.n { @if statistic.is_rate() { (percent(*line)) } @else { (number(*line)) } } }
                        }
                    }
                } }
            }
            @if let Some(baseline) = &model.baseline {
                section {
                    h2 { "Baseline" }
                    div.wide { table.keys { tbody {
                        tr { th scope="row" { "source" } td.mono { (baseline.source) } }
                        tr { th scope="row" { "digest" } td.mono { (baseline.digest) } }
                        tr { th scope="row" { "rows" } td { (count(baseline.rows)) } }
                        @if let Some(column) = &baseline.time_column { tr { th scope="row" { "time column" } td { (column) } } }
                        @for ignored in &baseline.ignored { tr { th scope="row" { "ignored" } td { (ignored.column) ": " (ignored.reason) } } }
                    } } }
                }
            }
        }
    }
}

/// A model's name with its incident's time, for lists.
pub(super) fn name_and_time(links: Links, incident: &Incident) -> Markup {
    html! { (link(links.model(&incident.model), &incident.model)) ", " (written(&incident.opened)) }
}
