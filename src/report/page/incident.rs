//! Incidents: all of them, and one with its timeline, its evidence and every attempt to deliver.

use maud::{Markup, html};

use crate::compare::Statistic;
use crate::decide::incident::Attempt;
use crate::decide::time::millis;
use crate::decide::view::Onset;
use crate::decide::{CloseReason, Incident, IncidentState, View};
use crate::report::page::model::name_and_time;
use crate::report::page::words::{
    count, ending_word, message_word, number, outcome_pill, percent, plural, span, statistic_name,
    verdict_pill, when, written,
};
use crate::report::page::{Links, Part, link, site};

/// The page of all incidents, newest first.
pub fn incidents(view: &View) -> String {
    let links = Links::Site { up: 0 };
    let all: Vec<&Incident> = view.incidents.iter().collect();
    let body = html! {
        h1 { "Incidents" }
        @if all.is_empty() { p.quiet { "None yet: nothing has drifted far enough to retrain." } }
        @else { p.quiet { "From the first trigger to the new baseline; newest first." } (incident_table(&all, links, true)) }
    };
    site("Incidents \u{b7} driftd", 0, Part::Incidents, &body)
}

/// Incidents as rows.
pub(super) fn incident_table(incidents: &[&Incident], links: Links, with_model: bool) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Incidents" {
            table.sort.cards {
                thead { tr {
                    th scope="col" { "opened" } @if with_model { th scope="col" { "model" } }
                    th scope="col" { "state" } th.n scope="col" { "took" } th scope="col" { "features" } th scope="col" { "id" }
                } }
                tbody {
                    @for incident in incidents {
                        @let took = took_ms(incident);
                        tr {
                            th scope="row" data-v=(incident.opened) {
                                @match links.incident(&incident.id) { Some(to) => a href=(to) { (written(&incident.opened)) }, None => (written(&incident.opened)) }
                            }
                            @if with_model { td { (link(links.model(&incident.model), &incident.model)) } }
                            td { (outcome_pill(incident)) }
                            td.n data-v=[took] data-k="took" { @if let Some(took) = took { (span(took)) } @else { "\u{2013}" } }
                            td.full { (names(incident)) }
                            td.mono.full { (incident.id.get(..8).unwrap_or(&incident.id)) }
                        }
                    }
                }
            }
        }
    }
}

/// From the first attempt to the end, both by the wall clock.
fn took_ms(incident: &Incident) -> Option<i64> {
    let from = incident.attempts.first().and_then(|attempt| millis(&attempt.at))?;
    incident.closed.as_deref().and_then(millis).map(|closed| (closed - from).max(0))
}

fn names(incident: &Incident) -> String {
    let features = &incident.evidence.features;
    let names: Vec<&str> = features.iter().take(3).map(|f| f.feature.as_str()).collect();
    match features.len().saturating_sub(3) + incident.evidence.more_features {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// The page of one incident; `None` when it is not known.
pub fn incident(view: &View, id: &str) -> Option<String> {
    let incident = view.incidents.iter().find(|incident| incident.id == id)?;
    let links = Links::Site { up: 1 };
    let has_model = view.models.iter().any(|model| model.model == incident.model);
    let body = html! {
        nav.crumbs aria-label="Where this is" { a href=[links.to("incidents")] { "Incidents" } " / " (name_and_time(links, incident)) }
        div.head { h1 { "Incident " (incident.ordinal) " of " (incident.model) } (outcome_pill(incident)) }
        p.mono.quiet { (incident.id) }
        (whole(incident, if has_model { links } else { Links::File }))
    };
    let title = format!("Incident of {} \u{b7} driftd", incident.model);
    Some(site(&title, 1, Part::Incidents, &body))
}

/// Timeline, evidence and attempts.
pub(super) fn whole(incident: &Incident, links: Links) -> Markup {
    html! {
        div.card { (steps(incident)) }
        div.banner.bad {
            strong { "Why it was opened" }
            p { (incident.evidence.explanation) }
            p.quiet {
                "Over " (count(incident.evidence.records)) " records from " (written(&incident.evidence.window_start)) " to " (written(&incident.evidence.window_end))
                ", against baseline " span.mono { (incident.evidence.baseline_digest.get(..12).unwrap_or(&incident.evidence.baseline_digest)) } "."
            }
        }
        @if !incident.evidence.features.is_empty() { h2 { "Features over their line" } (evidence(incident, links)) }
        @if !incident.attempts.is_empty() { h2 { "Attempts to deliver" } (attempts(incident)) }
    }
}

/// One step of the way from drift to a new baseline.
struct Step {
    class: &'static str,
    name: &'static str,
    at: Option<String>,
    more: Option<String>,
}

fn steps_of(incident: &Incident) -> Vec<Step> {
    let trigger = |a: &&Attempt| a.target.starts_with("retraining_trigger");
    let accepted = incident.attempts.iter().filter(trigger).find(|a| a.ok == Some(true));
    let tries = incident.attempts.iter().filter(trigger).count();
    let tried = (tries > 0).then(|| plural(tries, "attempt", "attempts"));
    let decided = Some("end of the pane that decided".to_owned());
    vec![
        Step::new(true, "Drifted", incident.onset.clone(), None),
        Step::new(true, "Triggered", Some(incident.opened.clone()), decided),
        Step::new(accepted.is_some(), "Accepted", accepted.map(|a| a.at.clone()), tried),
        retraining(incident, accepted.is_some()),
        ending(incident),
    ]
}

impl Step {
    fn new(done: bool, name: &'static str, at: Option<String>, more: Option<String>) -> Self {
        Self { class: if done { "done" } else { "" }, name, at, more }
    }
}

fn retraining(incident: &Incident, accepted: bool) -> Step {
    let step =
        |class, name, more: &str| Step { class, name, at: None, more: Some(more.to_owned()) };
    let replaced = incident.closed_as == Some(CloseReason::Replaced);
    match incident.state {
        IncidentState::DeliveryFailed => {
            step("bad", "Not delivered", "people were told; nothing is sent again")
        }
        IncidentState::Stuck | IncidentState::Unconfirmed => {
            step("bad", "Retraining", "no sign of a new baseline")
        }
        IncidentState::Accepted => step("now", "Retraining", "waiting for a new baseline"),
        IncidentState::Retraining => {
            let run = incident.run.as_ref();
            let said = run.map_or("running".to_owned(), |run| format!("the run: {}", run.word));
            step("now", "Retraining", &said)
        }
        IncidentState::Triggered | IncidentState::Closed => {
            let took = took_ms(incident).filter(|_| replaced);
            let took = took.map(|ms| format!("took {}", span(ms)));
            Step::new(replaced && accepted, "Retraining", None, took)
        }
    }
}

fn ending(incident: &Incident) -> Step {
    let at = incident.closed.clone();
    match incident.closed_as {
        Some(CloseReason::Replaced) => {
            Step::new(true, "Replaced", at, Some("a new baseline is in force".to_owned()))
        }
        Some(ending) => {
            Step { class: "bad", name: "Closed", at, more: Some(ending_word(ending).to_owned()) }
        }
        None => Step::new(false, "Replaced", None, None),
    }
}

fn steps(incident: &Incident) -> Markup {
    html! {
        ol.steps {
            @for step in steps_of(incident) {
                li class=(step.class) {
                    b { (step.name) }
                    @if let Some(at) = &step.at { (written(at)) }
                    @if let Some(more) = &step.more { div.small { (more) } }
                }
            }
        }
    }
}

fn evidence(incident: &Incident, links: Links) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label={ "Features of incident " (incident.ordinal) } {
            table.cards {
                thead { tr { th scope="col" { "feature" } th scope="col" { "verdict" } th scope="col" { "since" } th scope="col" { "scores over a line" } } }
                tbody {
                    @for verdict in &incident.evidence.features {
                        tr {
                            th scope="row" {
                                @match links { Links::Site { .. } => a href=(links.feature(&incident.model, &verdict.feature)) { (verdict.feature) }, Links::File => (verdict.feature) }
                            }
                            td { (verdict_pill(verdict.verdict)) }
                            td.full {
                                @if let Some(onset) = verdict.onset.as_ref().filter(|onset| onset.is_real()) {
                                    (when(onset.since_ms)) (since_onset(onset))
                                }
                            }
                            td.full {
                                @for (statistic, score) in verdict.scores.iter().filter(|(_, s)| s.threshold.is_some_and(|line| s.value > line)) {
                                    span.nowrap { (statistic_name(*statistic)) " " b { @if statistic.is_rate() { (percent(score.value)) } @else { (number(score.value)) } } " " }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if incident.evidence.more_features > 0 {
            p.quiet { "And " (plural(incident.evidence.more_features, "feature", "features")) " more; these are the worst." }
        }
    }
}

/// `: PSI 0.31, out of range 6.00 % over 500 records`: what is kept since onset, shares where there is one.
fn since_onset(onset: &Onset) -> Markup {
    let psi = onset.psi.map(|psi| ("PSI".to_owned(), number(psi.value)));
    let rates = onset.outside.into_iter().chain(onset.missing.map(|m| (Statistic::Missing, m)));
    let rates = rates.filter(|(_, share)| *share > 0.0);
    let rates = rates.map(|(statistic, share)| (statistic_name(statistic), percent(share)));
    let scores: Vec<(String, String)> = psi.into_iter().chain(rates).collect();
    html! {
        @for (i, (name, value)) in scores.iter().enumerate() {
            @if i == 0 { ": " } @else { ", " }
            (name) " " b { (value) }
        }
        " over " (count(onset.records)) " records"
    }
}

/// What the answer said beyond its status.
fn detail(attempt: &Attempt) -> &str {
    let status = attempt.status.map(|status| status.to_string());
    attempt
        .detail
        .as_deref()
        .filter(|detail| status.as_deref() != Some(*detail))
        .unwrap_or_default()
}

fn attempts(incident: &Incident) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label={ "Attempts of incident " (incident.ordinal) } {
            table.cards {
                thead { tr { th scope="col" { "target" } th scope="col" { "message" } th scope="col" { "at" } th.n scope="col" { "attempt" } th scope="col" { "answer" } th scope="col" { "what it said" } } }
                tbody {
                    @for attempt in &incident.attempts {
                        tr {
                            th scope="row" { (attempt.target) }
                            td data-k="message" { (attempt.message.map_or("\u{2013}", message_word)) }
                            td { (written(&attempt.at)) }
                            td.n data-k="attempt" { (attempt.n) }
                            td {
                                @match attempt.ok {
                                    Some(true) => span.pill.good { "accepted" },
                                    Some(false) => span.pill.bad { "refused" },
                                    None => span.pill { "no answer yet" },
                                }
                                @if let Some(status) = attempt.status { " " (status) }
                            }
                            td.full { (detail(attempt)) }
                        }
                    }
                }
            }
        }
    }
}
