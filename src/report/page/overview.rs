//! The first page: every model at a glance.

use maud::{Markup, html};

use crate::compare::Statistic;
use crate::decide::{DriftState, ModelView, Quality, Verdict, View};
use crate::report::page::elsewhere::evaluator;
use crate::report::page::scores::spark;
use crate::report::page::timeline::strip;
use crate::report::page::words::{
    count, drift_pill, evidence, incident_pill, number, percent, quality_pill, ranked, score, tone,
    when,
};
use crate::report::page::{Links, Part, link, site};

/// Features with a picture each.
const SHOWN: usize = 4;

/// The page of all models, in the order of the configuration.
pub fn overview(view: &View) -> String {
    let links = Links::Site { up: 0 };
    // Of what other replicas evaluate nothing is known here.
    let here: Vec<&ModelView> =
        view.models.iter().map(AsRef::as_ref).filter(|model| model.elsewhere.is_none()).collect();
    let in_state = |state: DriftState| here.iter().filter(|model| model.drift == state).count();
    let states = DriftState::ALL.into_iter().rev().map(|state| (state, in_state(state)));
    let bad_feeds = here.iter().filter(|model| model.quality != Quality::Ok).count();
    let elsewhere = view.models.len() - here.len();
    let open = view.models.iter().filter(|model| model.incident.is_some()).count();
    let body = html! {
        div.head {
            h1 { "Models" }
            @for (state, n) in states.filter(|(_, n)| *n > 0) { span { (n) " " (drift_pill(state)) } }
            @if open > 0 { span { (open) " with an open " a href=[links.to("incidents")] { "incident" } } }
            @if bad_feeds > 0 { span { (bad_feeds) " with a bad feed" } }
            @if elsewhere > 0 { span { (elsewhere) " evaluated by other replicas" } }
        }
        @if view.models.is_empty() { p { "No model is configured." } }
        div.list { @for model in &view.models { (item(model, links)) } }
    };
    site("driftd", 0, Part::Models, &body)
}

fn item(model: &ModelView, links: Links) -> Markup {
    let incident = html! {
        @if let (Some(state), Some(id)) = (model.incident, &model.incident_id) {
            a href=[links.incident(id)] { "incident " (incident_pill(state)) }
        }
    };
    if let Some(evaluator) = evaluator(model) {
        return html! {
            article.item {
                div.head { h2 { (link(links.model(&model.model), &model.model)) } (incident) }
                p { (evaluator) }
                p.meta { span { "topic " (model.topic) } }
            }
        };
    }
    let tone = if model.quality == Quality::Ok {
        tone(model.drift)
    } else {
        tone(model.drift.max(DriftState::Warning))
    };
    let worst = ranked(&model.features).into_iter().find(|v| v.verdict != Verdict::Unusable);
    html! {
        article class={ "item " (tone) } {
            div.head {
                h2 { (link(links.model(&model.model), &model.model)) }
                (drift_pill(model.drift)) (quality_pill(model.quality)) (incident)
            }
            p { (model.explanation) }
            (strip(&model.history))
            (minis(model, links))
            p.meta {
                span { (count(model.window.records)) " records in the window" }
                @if let Some(ms) = model.evaluated_ms { span { "evaluated up to " (when(ms)) } }
                @if let Some(worst) = worst {
                    span {
                        "first feature: " a href=(links.feature(&model.model, &worst.feature)) { (worst.feature) }
                        @if let Some(share) = evidence(worst) { ", evidence " (percent(share.max(0.0))) }
                    }
                }
                span { "topic " (model.topic) }
            }
        }
    }
}

/// The features that come first, as small as they can be read.
fn minis(model: &ModelView, links: Links) -> Markup {
    let ranked = ranked(&model.features);
    let shown =
        ranked.iter().filter(|verdict| score(verdict, Statistic::Psi).is_some()).take(SHOWN);
    html! {
        div.minis {
            @for verdict in shown {
                div {
                    a href=(links.feature(&model.model, &verdict.feature)) {
                        span { (verdict.feature) }
                        @if let Some(psi) = score(verdict, Statistic::Psi) { span { "PSI " (number(psi)) } }
                    }
                    (spark(&model.history, &verdict.feature, &model.thresholds))
                }
            }
        }
    }
}
