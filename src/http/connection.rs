//! Connections and their limits: how many, how long, how large; and who is at the other end.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Bytes of a request's body.
pub(super) const BODY_MAX: usize = 64 << 10;
/// Bytes of a request's line and headers.
const HEADERS_MAX: usize = 16 << 10;
/// What one listener grants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    connections: usize,
    /// For a request's headers to be complete, and for a kept connection to be used again.
    headers_in: Duration,
    /// A connection ends after so long, whatever it does: a reader that takes a byte a minute must
    /// not hold a place for ever.
    lifetime: Duration,
    /// For the request in flight when the lifetime is over.
    last_answer_in: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            headers_in: Duration::from_secs(10),
            lifetime: Duration::from_secs(300),
            last_answer_in: Duration::from_secs(15),
        }
    }
}

/// Out of file descriptors, accepting fails at once: no spinning.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Peer {
    pub(super) fn is_loopback(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

/// Serves until `stop`, then until the requests in flight are answered.
pub(super) async fn accept(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve(stream, Peer(peer), routes.clone(), limits, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    stream: TcpStream,
    peer: Peer,
    routes: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_in)
        .max_buf_size(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // Its errors are the other end's: cut off, too slow, no HTTP.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = tokio::time::sleep(limits.lifetime) => {}
    }
    connection.as_mut().graceful_shutdown();
    if tokio::time::timeout(limits.last_answer_in, connection).await.is_err() {
        tracing::debug!(peer = %peer.0, "connection was cut off at the end of its lifetime");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const FOREVER: Duration = Duration::from_secs(3600);

    async fn listen(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let forever = axum::body::Body::from_stream(futures_util::stream::repeat_with(|| {
            Ok::<_, std::convert::Infallible>(vec![b'x'; 1 << 20])
        }));
        let forever = std::sync::Arc::new(std::sync::Mutex::new(Some(forever)));
        let routes = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/endless", get(move || async move { forever.lock().unwrap().take().unwrap() }));
        tokio::spawn(accept(listener, routes, limits, CancellationToken::new()));
        address
    }

    async fn send(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        // A reset is an end, too.
        stream.read_to_end(&mut bytes).await.ok();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn slow_headers_cannot_keep_others_out() {
        let headers_in = Duration::from_millis(100);
        let limits = Limits { connections: 2, headers_in, ..Limits::default() };
        let address = listen(limits).await;
        let slow = [send(address, "GET / HT").await, send(address, "").await];
        let answer = rest(send(address, "GET / HTTP/1.1\r\nhost: h\r\n\r\n").await).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
        for stream in slow {
            assert!(!rest(stream).await.contains("200 OK"));
        }
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_cut_off() {
        let short = Duration::from_millis(100);
        let limits =
            Limits { connections: 1, headers_in: FOREVER, lifetime: short, last_answer_in: short };
        let address = listen(limits).await;
        let deaf = send(address, "GET /endless HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let answer = rest(send(address, "GET / HTTP/1.1\r\nhost: h\r\n\r\n").await).await;
        assert!(answer.ends_with("hello"), "{answer}");
        drop(deaf);
    }

    #[tokio::test]
    async fn headers_over_sixteen_kilobytes_are_refused() {
        let address = listen(Limits::default()).await;
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "y".repeat(20 << 10));
        let answer = rest(send(address, &request).await).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}
