//! The page's routes: HTML of the view, with a policy that lets nothing be loaded but what stands in it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::clock::now_ms;
use crate::decide::view::{ModelView, View};
use crate::http::{App, admin, answer};
use crate::metrics;
use crate::report::page::{Facts, Listed, Loop, Sample};
use crate::report::{api, page};

const OPENAPI: &str = include_str!("../../docs/openapi.json");
/// Families that the page of health shows.
const SHOWN: [&str; 11] = [
    "driftd_config_last_reload_successful",
    "driftd_config_warnings",
    "driftd_consumer_lag_records",
    "driftd_event_watermark_timestamp_seconds",
    "driftd_records_consumed_total",
    "driftd_records_late_total",
    "driftd_records_rejected_total",
    "driftd_state_snapshot_age_seconds",
    "driftd_state_snapshot_failures_total",
    "driftd_webhook_deliveries_total",
    "driftd_webhook_queue_length",
];

/// Style and script by their hashes: nothing that slipped into a page could run.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(page::STYLE),
        hash(page::SCRIPT)
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

fn shown(status: StatusCode, html: String) -> Response {
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    // Names of models and features stay here.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// In place of what is at `path`, while the program is starting; the page looks again by itself.
pub(super) fn starting(path: &str, why: &str) -> Response {
    let up = path.matches('/').count().saturating_sub(1);
    let html = page::missing("Starting", &format!("{why}."), up);
    let mut response = shown(StatusCode::SERVICE_UNAVAILABLE, html);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The page, or that there is none of this name.
fn found(html: Option<String>, what: &str, name: &str, up: usize) -> Response {
    match html {
        Some(html) => shown(StatusCode::OK, html),
        None => {
            let why = format!("driftd knows no {what} of the name `{name}`.");
            shown(StatusCode::NOT_FOUND, page::missing(&format!("No such {what}"), &why, up))
        }
    }
}

pub(super) async fn overview(State(app): State<App>) -> Response {
    shown(StatusCode::OK, page::overview(&app.view()))
}

pub(super) async fn model(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    let name = path.map(|Path(name)| name).unwrap_or_default();
    let view = app.view();
    let listed = listed(&query.unwrap_or_default());
    let html = find(&view, &name).map(|model| page::model(&view, model, listed));
    found(html, "model", &name, 1)
}

/// `features=all`, or the rank of the first, as in `features=101`.
fn listed(query: &str) -> Listed {
    match query.split('&').find_map(|part| part.strip_prefix("features=")) {
        Some("all") => Listed::All,
        Some(rank) => Listed::From(rank.parse().unwrap_or(1)),
        None => Listed::From(1),
    }
}

pub(super) async fn report(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let name = path.map(|Path(name)| name).unwrap_or_default();
    let view = app.view();
    let html = find(&view, &name).map(|model| page::report(&view, model, now_ms()));
    found(html, "model", &name, 2)
}

/// JSON, unless HTML is asked for by name.
pub(super) async fn report_by_kind(
    State(app): State<App>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepted.is_some_and(|accept| accept.contains("text/html")) {
        return report(State(app), path).await;
    }
    let Ok(Path(name)) = path else { return admin::bad_path() };
    let view = app.view();
    match find(&view, &name) {
        Some(model) => Json(api::report(&view, model, now_ms())).into_response(),
        None => admin::unknown_model(&view, &name),
    }
}

pub(super) async fn history(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let Ok(Path(name)) = path else { return admin::bad_path() };
    let view = app.view();
    let Some(model) = find(&view, &name) else { return admin::unknown_model(&view, &name) };
    let mut wanted = Vec::new();
    match query {
        Err(rejection) => return answer::error(StatusCode::BAD_REQUEST, rejection.body_text()),
        Ok(Query(query)) => {
            for (key, feature) in query {
                if key != "feature" {
                    let why = format!("`{key}` is not known here; feature is");
                    return answer::error(StatusCode::BAD_REQUEST, why);
                }
                if model.history.feature(&feature).is_none() {
                    return admin::unknown_feature(model, &feature);
                }
                wanted.push(feature);
            }
        }
    }
    Json(api::history(model, &wanted)).into_response()
}

/// What the API is, for programs.
pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

pub(super) async fn feature(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let (name, feature) = path.map(|Path(names)| names).unwrap_or_default();
    let view = app.view();
    let Some(model) = find(&view, &name) else { return found(None, "model", &name, 3) };
    found(page::feature(&view, model, &feature), "feature", &feature, 3)
}

pub(super) async fn incidents(State(app): State<App>) -> Response {
    shown(StatusCode::OK, page::incidents(&app.view()))
}

pub(super) async fn incident(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let id = path.map(|Path(id)| id).unwrap_or_default();
    found(page::incident(&app.view(), &id), "incident", &id, 1)
}

pub(super) async fn health(State(app): State<App>) -> Response {
    let now_ms = now_ms();
    let shared = app.shared();
    let samples = shared.metrics.samples(now_ms);
    let family = |name: &'static str| {
        let samples = samples.of(name).iter();
        let sample = |s: &metrics::Sample| Sample { labels: s.labels.clone(), value: s.value };
        (name.to_owned(), samples.map(sample).collect::<Vec<_>>())
    };
    let facts = Facts {
        now_ms,
        waiting: shared.health.reasons(),
        loops: shared
            .health
            .loops(now_ms)
            .into_iter()
            .map(|(name, age_ms, stuck)| Loop { name, age_ms, stuck })
            .collect(),
        samples: SHOWN.into_iter().map(family).collect::<BTreeMap<_, _>>(),
    };
    shown(StatusCode::OK, page::health(&app.view(), &facts))
}

pub(super) async fn configuration(State(app): State<App>) -> Response {
    shown(StatusCode::OK, page::configuration(&app.shared().configuration))
}

fn find<'a>(view: &'a View, name: &str) -> Option<&'a Arc<ModelView>> {
    view.models.iter().find(|model| model.model == name)
}
