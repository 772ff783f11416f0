//! What is answered while the program is starting, which takes as long as its baselines do.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::http::{App, answer, page};

/// Routes that say as much before the start is over as afterwards.
const EARLY: [&str; 3] = ["/health", "/configuration", "/api/v1/openapi.json"];

/// Whether what is at `path` is there only when everything has been started: models and what is done to them.
pub(super) fn waits(path: &str) -> bool {
    !EARLY.contains(&path)
}

/// Lets a request through once the program has started; before, it would be told that there is no model.
pub(super) async fn started(State(app): State<App>, request: Request, next: Next) -> Response {
    let health = &app.shared().health;
    if health.is_ready() {
        return next.run(request).await;
    }
    let why = format!("driftd is starting: {}", health.reasons().join("; "));
    let path = request.uri().path();
    if path.starts_with("/api/") || path.starts_with("/-/") {
        answer::busy(&why)
    } else {
        page::starting(path, &why)
    }
}
