//! What stands in for a retraining pipeline's front door: a small receiver of webhooks.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A webhook as it arrived.
pub(super) struct Webhook {
    pub(super) id: String,
    pub(super) signature: String,
    pub(super) body: String,
}

/// Listens on a free port of the loopback; every webhook is answered with 202 and passed on.
pub(super) async fn listen() -> anyhow::Result<(SocketAddr, mpsc::Receiver<Webhook>)> {
    let (arrived, webhooks) = mpsc::channel(16);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let routes = Router::new().route("/retrain", post(take)).with_state(arrived);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok((address, webhooks))
}

async fn take(
    State(arrived): State<mpsc::Sender<Webhook>>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let text = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let webhook = Webhook { id: text("webhook-id"), signature: text("webhook-signature"), body };
    match arrived.try_send(webhook) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
