//! The same views as one file that fetches nothing: of a model that is watched, and of a comparison.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::decide::{Incident, ModelView, View};
use crate::report::page::axis::marks_of;
use crate::report::page::check::{checks, compared_checks};
use crate::report::page::feature::Shown;
use crate::report::page::incident::whole;
use crate::report::page::model::{Head, Listed, compared, features, incidents_of, policy};
use crate::report::page::timeline::timeline;
use crate::report::page::words::{minute, ranked};
use crate::report::page::{ICON, Links, STYLE, anchor};

/// Features with views of their own; more would make a file that no browser opens.
const PICTURED: usize = 100;

/// What is known of a model at `now_ms`.
pub fn report(view: &View, model: &ModelView, now_ms: i64) -> String {
    let incidents = incidents_of(view, model);
    let made = format!("driftd {}, {} UTC", env!("CARGO_PKG_VERSION"), minute(now_ms));
    let body = html! {
        (Head { model, links: Links::File }.whole())
        @if model.elsewhere.is_none() {
            div.card { h2.first { "Over time" } (timeline(&model.history, &marks_of(&model.history, &incidents))) }
            (features(model, Links::File, Listed::All))
            (checks(model))
        }
        @if !incidents.is_empty() {
            h2 { "Incidents" }
            @for incident in &incidents {
                details.card open[incident.closed.is_none()] {
                    summary { "Incident " (incident.ordinal) ", " (incident.opened) }
                    (whole(incident, Links::File))
                }
            }
        }
        (policy(model))
        (each(model, &incidents))
    };
    file(&format!("{} \u{b7} drift report", model.model), &made, &body)
}

/// Two files against each other; `model` holds both, and what came of it in a sentence.
pub fn comparison(model: &ModelView, now_ms: i64) -> String {
    let made = format!("driftd {}, {} UTC", env!("CARGO_PKG_VERSION"), minute(now_ms));
    let body = html! {
        h1 { "Comparison" }
        (compared(model))
        (compared_checks(model))
        (features(model, Links::File, Listed::All))
        (policy(model))
        (each(model, &[]))
    };
    file("Comparison \u{b7} drift report", &made, &body)
}

fn each(model: &ModelView, incidents: &[&Incident]) -> Markup {
    let ranked = ranked(&model.features);
    html! {
        @for verdict in ranked.iter().take(PICTURED) {
            @if let Some(shown) = Shown::of(model, &verdict.feature) {
                section.part id=(anchor(&verdict.feature)) {
                    div.head { h1 { (verdict.feature) } (shown.pills()) }
                    (shown.sentence())
                    (shown.views(incidents))
                }
            }
        }
        @if ranked.len() > PICTURED {
            p.quiet { "The views of the " (ranked.len() - PICTURED) " features that drift least are left out." }
        }
    }
}

fn file(title: &str, made: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                main #live { (body) }
                footer { "Made by " (made) "; all times are UTC." }
            }
        }
    };
    page.into_string()
}
