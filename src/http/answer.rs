//! Answers: JSON, errors as JSON, and the time and headers that every answer has.

use std::time::Duration;

use axum::Json;
use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// How long a request may take until its answer begins.
const IN_TIME: Duration = Duration::from_secs(10);

/// `{"error": why}`.
pub(super) fn error(status: StatusCode, why: impl Into<String>) -> Response {
    (status, Json(serde_json::json!({ "error": why.into() }))).into_response()
}

pub(super) async fn no_such_route(uri: Uri) -> Response {
    error(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let why = format!("{} does not take {method}", uri.path());
    error(StatusCode::METHOD_NOT_ALLOWED, why)
}

/// The next try will find room.
pub(super) fn busy(why: &str) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Too many bad tokens came from there.
pub(super) fn too_many(wait: Duration) -> Response {
    let mut response =
        error(StatusCode::TOO_MANY_REQUESTS, "too many bad tokens from this address");
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Bounds the time of a request, and marks every answer as not to be guessed at or kept.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    let has_body = !request.body().is_end_stream();
    let answer = tokio::time::timeout(IN_TIME, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| busy("the request took longer than 10 s"));
    let is_refused = !response.status().is_success();
    let headers = response.headers_mut();
    // What is refused may not have been read, and then the connection ends: who is told so asks on another.
    if has_body && is_refused {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A page has said already what it loads: nothing but what stands in it.
    let nothing = HeaderValue::from_static("default-src 'none'");
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(nothing);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
