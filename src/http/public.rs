//! What anybody may read: metrics and probes.

use std::fmt::Write;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::clock::now_ms;
use crate::http::App;
use crate::metrics;

pub(super) async fn exposition(State(app): State<App>) -> Response {
    let shared = app.shared();
    let text = shared.metrics.render(&app.view(), &shared.exported, now_ms());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// Do our own loops turn? Never whether Kafka does: restarting us would not help it.
pub(super) async fn livez(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let loops = app.shared().health.loops(now_ms());
    let alive = loops.iter().all(|(_, _, stuck)| !stuck);
    let mut text = String::from(if alive { "ok\n" } else { "stuck\n" });
    for (name, age_ms, stuck) in loops {
        if stuck || is_verbose(query.as_deref()) {
            line(&mut text, !stuck, &format!("{name} loop turned {age_ms} ms ago"));
        }
    }
    probe(alive, text)
}

pub(super) async fn readyz(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let health = &app.shared().health;
    let ready = health.is_ready();
    let mut text = String::from(if ready { "ok\n" } else { "not ready\n" });
    for reason in health.reasons() {
        line(&mut text, false, &reason);
    }
    if is_verbose(query.as_deref()) {
        for model in &app.view().models {
            let (drift, quality) = (model.drift.as_str(), model.quality.as_str());
            let stands = match model.evaluated_by() {
                Some(by) => format!("evaluated by {by}"),
                None => format!("drift {drift}, quality {quality}"),
            };
            line(&mut text, true, &format!("model {}: {stands}", model.model));
        }
    }
    probe(ready, text)
}

/// One thing of a probe, marked as Kubernetes' own components mark theirs.
fn line(text: &mut String, good: bool, what: &str) {
    let mark = if good { '+' } else { '-' };
    writeln!(text, "[{mark}] {}", what.replace('\n', " "))
        .expect("writing to a string cannot fail");
}

fn is_verbose(query: Option<&str>) -> bool {
    query
        .is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")))
}

fn probe(good: bool, text: String) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
