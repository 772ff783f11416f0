//! Commands: what may be asked of the running program, and the routes that ask it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::decide::incident::CloseReason;
use crate::http::connection::Peer;
use crate::http::{App, answer};

/// One sentence on what was done, or why it was not.
pub type Reply = oneshot::Sender<Result<String, Refusal>>;

/// What the pipeline's control does for the outside.
#[derive(Debug)]
pub enum Command {
    /// Take up a new baseline: from `uri`, or what the configured place holds now.
    ReplaceBaseline { model: String, uri: Option<String>, reply: Reply },
    /// `by` is who asked, for the audit trail.
    CloseIncident { id: String, as_: CloseReason, by: String, reply: Reply },
    /// A model's present faults are drift after all.
    AcceptFault { model: String, by: String, reply: Reply },
    /// Read the configuration again, all or nothing.
    Reload { reply: Reply },
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No such model or incident.
    #[error("{0}")]
    NotFound(String),
    /// Not in this state: closed already.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for cannot be used: a bad configuration or baseline.
    #[error("{0}")]
    Invalid(String),
    /// Ours: a store that cannot be written.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {
    #[serde(rename = "as")]
    as_: CloseReason,
    by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accept {
    by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replace {
    uri: Option<String>,
}

pub(super) async fn close(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(Path(id)) = path else { return bad_path() };
    let Close { as_, by } = match parse(body, r#"{"as":"dismissed"}"#) {
        Ok(close) => close,
        Err((status, why)) => return answer::error(status, why),
    };
    let by = by.unwrap_or_else(|| format!("api, from {}", peer.address.ip()));
    ask(&app, |reply| Command::CloseIncident { id, as_, by, reply }).await
}

pub(super) async fn accept(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(Path(model)) = path else { return bad_path() };
    let Accept { by } = match parse_or_default(body, r#"{"by":"a person"}"#) {
        Ok(accept) => accept,
        Err((status, why)) => return answer::error(status, why),
    };
    let by = by.unwrap_or_else(|| format!("api, from {}", peer.address.ip()));
    ask(&app, |reply| Command::AcceptFault { model, by, reply }).await
}

pub(super) async fn replace_baseline(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(Path(model)) = path else { return bad_path() };
    let example = r#"{"uri":"s3://bucket/reference.parquet"}"#;
    let Replace { uri } = match parse_or_default(body, example) {
        Ok(replace) => replace,
        Err((status, why)) => return answer::error(status, why),
    };
    ask(&app, |reply| Command::ReplaceBaseline { model, uri, reply }).await
}

pub(super) async fn reload(State(app): State<App>) -> Response {
    ask(&app, |reply| Command::Reload { reply }).await
}

/// Hands the command over and waits for what came of it.
async fn ask(app: &App, command: impl FnOnce(Reply) -> Command) -> Response {
    let (reply, answered) = oneshot::channel();
    match app.shared().commands.try_send(command(reply)) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return answer::busy("too many commands are waiting"),
        Err(TrySendError::Closed(_)) => return answer::busy("the program is shutting down"),
    }
    match answered.await {
        Ok(Ok(done)) => Json(serde_json::json!({ "message": done })).into_response(),
        Ok(Err(refusal)) => answer::error(refusal.status(), refusal.to_string()),
        Err(_) => answer::busy("the program shut down before it answered"),
    }
}

/// An empty body asks for nothing in particular.
fn parse_or_default<T: DeserializeOwned + Default>(
    body: Result<Bytes, BytesRejection>,
    example: &str,
) -> Result<T, (StatusCode, String)> {
    if body.as_ref().is_ok_and(|body| body.is_empty()) {
        return Ok(T::default());
    }
    parse(body, example)
}

fn parse<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
    example: &str,
) -> Result<T, (StatusCode, String)> {
    let body = body.map_err(|rejection| (rejection.status(), rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| {
        (StatusCode::BAD_REQUEST, format!("the body must be JSON such as {example}: {error}"))
    })
}

fn bad_path() -> Response {
    answer::error(StatusCode::BAD_REQUEST, "the path is not UTF-8 once percent-decoded")
}
