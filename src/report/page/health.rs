//! Whether the daemon itself is well: its loops, what came in, what is behind, what waits to be sent.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::decide::{ModelView, Quality, View};
use crate::report::page::elsewhere::evaluator;
use crate::report::page::words::{count, number, quality_pill, spaced, span, when};
use crate::report::page::{Links, Part, link, site};

/// What is known beside the view, as of now.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub now_ms: i64,
    /// What is still waited for; empty when ready.
    pub waiting: Vec<String>,
    pub loops: Vec<Loop>,
    /// What `/metrics` says, by family.
    pub samples: BTreeMap<String, Vec<Sample>>,
}

#[derive(Clone, Debug)]
pub struct Loop {
    pub name: &'static str,
    pub age_ms: i64,
    pub stuck: bool,
}

/// One value with its labels.
#[derive(Clone, Debug)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Facts {
    fn of(&self, family: &str) -> &[Sample] {
        self.samples.get(family).map_or(&[], Vec::as_slice)
    }

    /// The sum of a family over the samples whose label has this value.
    fn sum(&self, family: &str, label: &str, is: &str) -> f64 {
        self.of(family).iter().filter(|s| s.label(label) == is).map(|s| s.value).sum()
    }

    fn value(&self, family: &str) -> Option<f64> {
        self.of(family).first().map(|sample| sample.value)
    }
}

/// The page of the daemon's own health.
pub fn health(view: &View, facts: &Facts) -> String {
    let links = Links::Site { up: 0 };
    let stuck = facts.loops.iter().any(|of| of.stuck);
    let body = html! {
        div.head {
            h1 { "Health" }
            @if stuck { span.pill.bad { "stuck" } } @else { span.pill.good { "alive" } }
            @if facts.waiting.is_empty() { span.pill.good { "ready" } } @else { span.pill.warn { "not ready" } }
        }
        @for why in &facts.waiting { p { "Waiting: " (why) } }
        (tiles(facts))
        h2 { "Models" }
        (models(view, facts, links))
        h2 { "Partitions" }
        (partitions(facts))
        h2 { "Deliveries" }
        (deliveries(facts))
    };
    site("Health \u{b7} driftd", 0, Part::Health, &body)
}

fn tiles(facts: &Facts) -> Markup {
    let tile = |name: &str, value: String, more: String| {
        html! { div { dt { (name) } dd { (value) small { (more) } } } }
    };
    let total = |family: &str| facts.of(family).iter().map(|s| s.value).sum::<f64>();
    let age = facts.value("driftd_state_snapshot_age_seconds");
    let failures = facts.value("driftd_state_snapshot_failures_total").unwrap_or(0.0);
    html! {
        dl.tiles {
            @for of in &facts.loops {
                (tile(&format!("Loop: {}", of.name), if of.stuck { "stuck".to_owned() } else { "turning".to_owned() }, format!("last turned {} ago", span(of.age_ms))))
            }
            (tile("Records read", whole(total("driftd_records_consumed_total")), "since the start".to_owned()))
            (tile("Behind", whole(total("driftd_consumer_lag_records")), "records not read yet".to_owned()))
            (tile("Last snapshot", age.map_or_else(|| "none yet".to_owned(), |s| format!("{} ago", span(millis(s)))), format!("{} failed", whole(failures))))
            (tile("Configuration", if facts.value("driftd_config_last_reload_successful") == Some(0.0) { "refused".to_owned() } else { "in force".to_owned() }, format!("{} warnings", whole(facts.value("driftd_config_warnings").unwrap_or(0.0)))))
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an age in ms")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of records")]
fn whole(n: f64) -> String {
    if (0.0..9e15).contains(&n) { count(n as u64) } else { number(n) }
}

fn models(view: &View, facts: &Facts, links: Links) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Models" {
            table.sort.cards {
                thead { tr {
                    th scope="col" { "model" } th scope="col" { "feed" } th scope="col" { "watermark" } th.n scope="col" { "behind now" }
                    th.n scope="col" { "late" } th.n scope="col" { "rejected" } th scope="col" { "why" }
                } }
                tbody { @for model in &view.models { (model_row(model, facts, links)) } }
            }
        }
        p.quiet.small { "The watermark is the event time up to which records have come in every partition. Late records came after their pane had closed, and are not counted into it." }
    }
}

fn model_row(model: &ModelView, facts: &Facts, links: Links) -> Markup {
    let name = model.model.as_str();
    let watermark = facts.of("driftd_event_watermark_timestamp_seconds");
    let watermark = watermark.iter().find(|s| s.label("model") == name).map(|s| millis(s.value));
    let rejects = facts.of("driftd_records_rejected_total").iter();
    let why: Vec<String> = rejects
        .filter(|sample| sample.label("model") == name && sample.value > 0.0)
        .map(|sample| format!("{} {}", whole(sample.value), spaced(sample.label("reason"))))
        .collect();
    let late = facts.sum("driftd_records_late_total", "model", name);
    let rejected = facts.sum("driftd_records_rejected_total", "model", name);
    html! {
        tr {
            th scope="row" { (link(links.model(name), name)) }
            td {
                @match evaluator(model) {
                    Some(evaluator) => (evaluator),
                    None if model.quality == Quality::Ok => span.pill.good { "ok" },
                    None => (quality_pill(model.quality)),
                }
            }
            td data-v=[watermark] data-k="watermark" { @if let Some(ms) = watermark { (when(ms)) } @else { "\u{2013}" } }
            td.n data-v=[watermark.map(|ms| facts.now_ms - ms)] data-k="behind now" { @if let Some(ms) = watermark { (span(facts.now_ms - ms)) } @else { "\u{2013}" } }
            td.n data-v=(late) data-k="late" { (whole(late)) }
            td.n data-v=(rejected) data-k="rejected" { (whole(rejected)) }
            td.full { (why.join(", ")) }
        }
    }
}

fn partitions(facts: &Facts) -> Markup {
    let lag = facts.of("driftd_consumer_lag_records");
    html! {
        @if lag.is_empty() { p.quiet { "None is ours at present." } } @else {
            div.wide tabindex="0" role="region" aria-label="Partitions" {
                table.sort {
                    thead { tr { th scope="col" { "topic" } th.n scope="col" { "partition" } th.n scope="col" { "records not read yet" } } }
                    tbody {
                        @for sample in lag {
                            tr { th scope="row" { (sample.label("topic")) } td.n { (sample.label("partition")) } td.n data-v=(sample.value) { (whole(sample.value)) } }
                        }
                    }
                }
            }
        }
    }
}

fn deliveries(facts: &Facts) -> Markup {
    let queues = facts.of("driftd_webhook_queue_length");
    let outcomes = |target: &str| {
        let all = facts.of("driftd_webhook_deliveries_total").iter();
        let told = all
            .filter(|s| s.label("target") == target && s.value > 0.0)
            .map(|s| format!("{} {}", whole(s.value), spaced(s.label("outcome"))));
        told.collect::<Vec<_>>().join(", ")
    };
    html! {
        @if queues.is_empty() { p.quiet { "No target is configured." } } @else {
            div.wide tabindex="0" role="region" aria-label="Targets" {
                table.sort.cards {
                    thead { tr { th scope="col" { "target" } th.n scope="col" { "waiting" } th scope="col" { "attempts since the start" } } }
                    tbody {
                        @for sample in queues {
                            @let target = sample.label("target");
                            tr { th scope="row" { (target) } td.n data-v=(sample.value) data-k="waiting" { (whole(sample.value)) } td.full { (outcomes(target)) } }
                        }
                    }
                }
            }
        }
    }
}
