//! The API that reads: models, features, panes, incidents.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;

use crate::decide::view::{ModelView, View};
use crate::http::{App, answer};
use crate::report::api;
use crate::report::api::PaneFilter;

/// Names in an error; a longer list helps nobody.
const NAMES_MAX: usize = 20;

pub(super) async fn models(State(app): State<App>) -> Response {
    Json(api::models(&app.view())).into_response()
}

pub(super) async fn model(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let Ok(Path(name)) = path else { return bad_path() };
    let view = app.view();
    match find(&view, &name) {
        Some(model) => Json(api::model(model)).into_response(),
        None => unknown_model(&view, &name),
    }
}

pub(super) async fn feature(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let Ok(Path((name, feature))) = path else { return bad_path() };
    let view = app.view();
    let Some(model) = find(&view, &name) else { return unknown_model(&view, &name) };
    match api::feature(model, &feature) {
        Some(feature) => Json(feature).into_response(),
        None => unknown_feature(model, &feature),
    }
}

pub(super) async fn panes(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let Ok(Path(name)) = path else { return bad_path() };
    let view = app.view();
    let Some(model) = find(&view, &name) else { return unknown_model(&view, &name) };
    let query = query.map_err(|rejection| rejection.body_text());
    let filter = match query.and_then(|Query(query)| filter(query)) {
        Ok(filter) => filter,
        Err(why) => return answer::error(StatusCode::BAD_REQUEST, why),
    };
    if let Some(feature) = &filter.feature
        && api::feature(model, feature).is_none()
    {
        return unknown_feature(model, feature);
    }
    let pieces = api::panes(model, &filter).inspect(move |piece| {
        if let Err(error) = piece {
            // The answer has begun: breaking it off is what is left to say so.
            tracing::error!(model = name, %error, "a closed pane in memory cannot be read");
        }
    });
    ([(CONTENT_TYPE, "application/json")], Body::from_stream(stream::iter(pieces))).into_response()
}

pub(super) async fn incidents(State(app): State<App>) -> Response {
    Json(api::incidents(&app.view())).into_response()
}

fn filter(query: Vec<(String, String)>) -> Result<PaneFilter, String> {
    let mut filter = PaneFilter::default();
    for (key, value) in query {
        match key.as_str() {
            "from" => filter.from_ms = Some(instant(&key, &value)?),
            "to" => filter.to_ms = Some(instant(&key, &value)?),
            "feature" => filter.feature = Some(value),
            _ => return Err(format!("`{key}` is not known here; from, to and feature are")),
        }
    }
    Ok(filter)
}

fn instant(key: &str, value: &str) -> Result<i64, String> {
    let ms = value.parse().ok();
    let written = || value.parse::<Timestamp>().ok().map(|time| time.as_millisecond());
    ms.or_else(written).ok_or_else(|| {
        format!("`{key}` must be ms since the epoch or RFC 3339, such as 2026-01-31T12:00:00Z")
    })
}

fn find<'a>(view: &'a View, name: &str) -> Option<&'a Arc<ModelView>> {
    view.models.iter().find(|model| model.model == name)
}

pub(super) fn unknown_model(view: &View, name: &str) -> Response {
    let known = list(view.models.iter().map(|model| model.model.as_str()));
    let why = format!("model `{name}` is not configured; known: {known}");
    answer::error(StatusCode::NOT_FOUND, why)
}

pub(super) fn unknown_feature(model: &ModelView, feature: &str) -> Response {
    let why = match &model.baseline {
        Some(baseline) => {
            let known = list(baseline.features.iter().map(|feature| feature.name.as_str()));
            format!("the baseline of `{}` has no column `{feature}`; known: {known}", model.model)
        }
        None => format!("model `{}` has no baseline yet", model.model),
    };
    answer::error(StatusCode::NOT_FOUND, why)
}

fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    let mut out = names.take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    if more > 0 {
        out.push_str(&format!(" and {more} more"));
    }
    if out.is_empty() { "none".to_owned() } else { out }
}

pub(super) fn bad_path() -> Response {
    answer::error(StatusCode::BAD_REQUEST, "the path is not UTF-8 once percent-decoded")
}
