//! The two listeners: metrics and probes for everybody, the API and commands for administrators.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::decide::view::View;
use crate::http::connection::{Limits, Served};
use crate::http::guard::Gate;
use crate::http::tls::Tls;
use crate::metrics;
use crate::metrics::Metrics;

mod admin;
mod answer;
mod command;
mod connection;
mod early;
mod external;
mod failures;
mod guard;
mod health;
mod page;
mod public;
mod routes;
mod tls;

pub use command::{Command, Refusal, Reply};
pub use external::{BadUrl, ExternalUrl};
pub use health::Health;
pub use routes::{Listener, Route, Who, routes};
pub use tls::{TlsConfig, TlsError};

/// Where the program is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Metrics and probes; read-only.
    pub public: SocketAddr,
    /// Those, the page, the API and commands.
    pub admin: SocketAddr,
    /// Where people reach the admin listener, such as `https://driftd.example`; every link begins
    /// with it.
    pub external_url: Option<ExternalUrl>,
    /// File with the bearer token (at least 32 bytes) that commands need, and reading from beyond
    /// loopback; read again at each use.
    pub token_file: Option<PathBuf>,
    /// TLS of the public listener; without it plain HTTP.
    pub public_tls: Option<TlsConfig>,
    /// TLS of the admin listener; without it plain HTTP.
    pub admin_tls: Option<TlsConfig>,
    /// Serve page and API of an `admin` beyond loopback to anyone who reaches it, without a token or
    /// a client certificate. Commands need the token nevertheless.
    pub insecure_anyone_may_read: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public: SocketAddr::from(([0, 0, 0, 0], 9464)),
            admin: SocketAddr::from(([127, 0, 0, 1], 9465)),
            external_url: None,
            token_file: None,
            public_tls: None,
            admin_tls: None,
            insecure_anyone_may_read: false,
        }
    }
}

impl Config {
    fn is_admin_exposed(&self) -> bool {
        !self.admin.ip().to_canonical().is_loopback()
    }

    /// Why nobody but this machine could use the admin listener, or anybody could.
    ///
    /// # Errors
    /// It is bound beyond loopback, and nothing says who may use it.
    pub fn check(&self) -> Result<(), Error> {
        let certificates = self.admin_tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        let guarded = self.token_file.is_some() || certificates || self.insecure_anyone_may_read;
        if self.is_admin_exposed() && !guarded {
            return Err(Error::Exposed { address: self.admin });
        }
        Ok(())
    }

    /// What only the files themselves can show.
    ///
    /// # Errors
    /// The first that cannot be read or holds nothing of use.
    pub fn check_files(&self) -> Result<(), Error> {
        if let Some(path) = &self.token_file {
            check_token(path, fs::read(path))?;
        }
        tls("http.public_tls", self.public_tls.as_ref())?;
        tls("http.admin_tls", self.admin_tls.as_ref())?;
        Ok(())
    }

    /// What is allowed and should be known.
    pub fn warning(&self) -> Option<&'static str> {
        if !self.is_admin_exposed() {
            return None;
        }
        if self.insecure_anyone_may_read {
            Some("anyone who reaches this address reads every model, baseline and incident")
        } else if self.admin_tls.is_none() {
            Some("the token goes over the network in the clear; set http.admin_tls")
        } else {
            None
        }
    }
}

#[derive(Debug, Error)]
pub enum Error {
    #[error(
        "http.{key}: cannot listen on {address}: {source}; is another driftd running, or the port taken?"
    )]
    Bind { key: &'static str, address: SocketAddr, source: io::Error },
    #[error(
        "http.admin: {address} can be reached from other machines, and nothing says who may read there: set \
         http.token_file or http.admin_tls.client_ca_file, bind it to 127.0.0.1, or set \
         http.insecure_anyone_may_read: true"
    )]
    Exposed { address: SocketAddr },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("http.token_file: cannot read {}: {source}", path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error(
        "http.token_file: {} holds {length} bytes, and a token needs at least {}; \
         `openssl rand -hex 32` makes one", path.display(), guard::TOKEN_MIN
    )]
    ShortToken { path: PathBuf, length: usize },
}

/// What the listeners read and whom they tell.
#[derive(Clone, Debug)]
pub struct Shared {
    pub view: watch::Receiver<Arc<View>>,
    pub metrics: Metrics,
    pub health: Arc<Health>,
    pub commands: mpsc::Sender<Command>,
    pub exported: metrics::Config,
    /// The configuration in force as it may be shown: secrets are `***`.
    pub configuration: Arc<str>,
}

/// What every handler gets.
#[derive(Clone)]
struct App(Arc<Inner>);

struct Inner {
    shared: Shared,
    gate: Gate,
}

impl App {
    fn shared(&self) -> &Shared {
        &self.0.shared
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.0.shared.view.borrow())
    }
}

/// Both listeners, serving until `shutdown`.
#[derive(Debug)]
pub struct Servers {
    public: SocketAddr,
    admin: SocketAddr,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Servers {
    /// The address that was bound, with the port that port 0 became.
    pub fn public_addr(&self) -> SocketAddr {
        self.public
    }

    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Takes no new requests and waits for those in flight, at most for `deadline`.
    pub async fn shutdown(mut self, deadline: Duration) {
        self.stop.cancel();
        let tasks = std::mem::take(&mut self.tasks);
        let ends = tasks.iter().map(JoinHandle::abort_handle).collect::<Vec<_>>();
        let all = futures_util::future::join_all(tasks);
        if tokio::time::timeout(deadline, all).await.is_err() {
            tracing::warn!("http requests were cut off at the deadline of the shutdown");
            ends.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}

/// Dropped without `shutdown`, the listeners must not stay behind.
impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Binds both listeners and serves them in tasks of their own.
///
/// # Errors
/// An address that cannot be bound or needs a guard, and files that cannot be used.
pub async fn serve(config: &Config, shared: Shared) -> Result<Servers, Error> {
    config.check()?;
    if let Some(path) = &config.token_file {
        check_token(path, tokio::fs::read(path).await)?;
    }
    if let Some(warning) = config.warning() {
        tracing::warn!(address = %config.admin, "http.admin: {warning}");
    }
    let public_tls = tls("http.public_tls", config.public_tls.as_ref())?;
    let admin_tls = tls("http.admin_tls", config.admin_tls.as_ref())?;
    let public = bind("public", config.public).await?;
    let admin = bind("admin", config.admin).await?;
    let address = |listener: &TcpListener, configured| listener.local_addr().unwrap_or(configured);
    let (public_addr, admin_addr) =
        (address(&public, config.public), address(&admin, config.admin));
    let app = App(Arc::new(Inner { shared, gate: Gate::new(config) }));
    let stop = CancellationToken::new();
    let served = |listener, tls| Served {
        routes: finish(routes::router(&app, listener)),
        tls,
        limits: Limits::default(),
        stop: stop.clone(),
    };
    let public = connection::accept(public, served(Listener::Public, public_tls));
    let admin = connection::accept(admin, served(Listener::Admin, admin_tls));
    Ok(Servers {
        public: public_addr,
        admin: admin_addr,
        stop,
        tasks: vec![tokio::spawn(public), tokio::spawn(admin)],
    })
}

fn tls(key: &'static str, config: Option<&TlsConfig>) -> Result<Option<Arc<Tls>>, TlsError> {
    match config {
        Some(config) => Ok(Some(Arc::new(Tls::new(key, config)?))),
        None => Ok(None),
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind { key, address, source })
}

fn check_token(path: &Path, read: io::Result<Vec<u8>>) -> Result<(), Error> {
    let token = read.map_err(|source| Error::TokenFile { path: path.to_owned(), source })?;
    let length = token.trim_ascii().len();
    if length < guard::TOKEN_MIN {
        return Err(Error::ShortToken { path: path.to_owned(), length });
    }
    Ok(())
}

/// What both listeners have around their routes.
fn finish(routes: Router) -> Router {
    routes
        .fallback(answer::no_such_route)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(axum::extract::DefaultBodyLimit::max(connection::BODY_MAX))
        .layer(middleware::from_fn(answer::in_time))
}
