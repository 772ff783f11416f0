//! Connections and their limits: how many, how long, how large; and who is at the other end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::tls::Tls;

/// Bytes of a request's body.
pub(super) const BODY_MAX: usize = 64 << 10;
/// Bytes of a request's line and headers.
const HEADERS_MAX: usize = 16 << 10;
/// What one listener grants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    connections: usize,
    /// Of those, for one address; its further ones are closed at once.
    per_address: usize,
    /// For the TLS handshake, for a request's headers to be complete, and for a kept connection to
    /// be used again.
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
            per_address: 32,
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
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) certificate: ClientCertificate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientCertificate {
    /// The listener asks for none.
    NotAsked,
    Missing,
    /// Of an authority that the listener trusts.
    Verified,
}

impl Peer {
    pub(super) fn is_loopback(self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}

/// How many connections each address has.
#[derive(Clone, Debug, Default)]
struct Seats(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection's place; free again when it is dropped.
struct Seat(Seats, IpAddr);

impl Seats {
    fn take(&self, ip: IpAddr, most: usize) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(ip).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat(self.clone(), ip))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = taken.get(&self.1).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            taken.remove(&self.1);
        } else {
            taken.insert(self.1, left);
        }
    }
}

/// What every connection of a listener is served with.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) routes: Router,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) limits: Limits,
    pub(super) stop: CancellationToken,
}

/// Serves until `stop`, then until the requests in flight are answered.
pub(super) async fn accept(listener: TcpListener, served: Served) {
    let mut connections = JoinSet::new();
    let seats = Seats::default();
    let limits = served.limits;
    loop {
        tokio::select! {
            () = served.stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, peer)) => {
                    let Some(seat) = seats.take(peer.ip().to_canonical(), limits.per_address) else {
                        continue;
                    };
                    let served = served.clone();
                    connections.spawn(async move {
                        let _seat = seat;
                        connect(stream, peer, served).await;
                    });
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

/// The handshake where there is one, then HTTP.
async fn connect(stream: TcpStream, address: SocketAddr, served: Served) {
    let Some(tls) = served.tls.clone() else {
        let peer = Peer { address, certificate: ClientCertificate::NotAsked };
        return serve(stream, peer, served).await;
    };
    let handshake = tokio::select! {
        () = served.stop.cancelled() => return,
        handshake = tokio::time::timeout(served.limits.headers_in, tls.accept(stream)) => handshake,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(peer = %address, %error, "no TLS");
            return;
        }
        Err(_) => return,
    };
    let certificate = match (tls.asks_clients(), stream.get_ref().1.peer_certificates()) {
        (false, _) => ClientCertificate::NotAsked,
        (true, Some([_, ..])) => ClientCertificate::Verified,
        (true, _) => ClientCertificate::Missing,
    };
    serve(stream, Peer { address, certificate }, served).await;
}

async fn serve<S>(stream: S, peer: Peer, served: Served)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Served { routes, limits, stop, .. } = served;
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
        tracing::debug!(peer = %peer.address, "connection was cut off at the end of its lifetime");
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
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, Served { routes, tls: None, limits, stop }));
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
        let limits = Limits {
            connections: 1,
            headers_in: FOREVER,
            lifetime: short,
            last_answer_in: short,
            ..Limits::default()
        };
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

    #[tokio::test]
    async fn one_address_cannot_take_every_place() {
        let limits = Limits { per_address: 2, headers_in: FOREVER, ..Limits::default() };
        let address = listen(limits).await;
        let held = [send(address, "GET / HT").await, send(address, "").await];
        // The kernel takes it, and it is closed without a word.
        assert_eq!(rest(send(address, "").await).await, "");
        drop(held);
        loop {
            let answer = rest(send(address, "GET / HTTP/1.0\r\n\r\n").await).await;
            if answer.ends_with("hello") {
                break;
            }
        }
    }

    #[test]
    fn a_seat_is_free_again() {
        let (seats, ip) = (Seats::default(), IpAddr::from([192, 0, 2, 1]));
        let first = seats.take(ip, 1);
        assert!(first.is_some() && seats.take(ip, 1).is_none());
        drop(first);
        assert!(seats.0.lock().unwrap().is_empty());
    }
}
