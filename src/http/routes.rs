//! The one table of routes: what there is, on which listener, and who may call it.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::http::{App, admin, command, early, guard, page, public};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever gets a connection: a kubelet has neither a token nor a certificate.
    Anyone,
    /// Anyone; where the listener has a `client_ca_file`, who shows a certificate of it.
    Scraper,
    /// Over loopback without anything, from elsewhere with the token or a client certificate; where
    /// the listener has a `client_ca_file`, with a certificate in any case.
    Reader,
    /// With the token; where the listener has a `client_ca_file`, with a certificate as well.
    Commander,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    Public,
    Admin,
}

/// One row of the table. The admin listener has every route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub who: Who,
    /// Whether the public listener has it too.
    pub public: bool,
}

struct Row {
    route: Route,
    handler: MethodRouter<App>,
}

impl Row {
    fn new<H, T>(method: Method, path: &'static str, who: Who, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let public = matches!(who, Who::Anyone | Who::Scraper);
        Self { route: Route { method, path, who, public }, handler: on(filter, handler) }
    }

    /// The handler behind the guard that its row asks for: there is no way past it.
    fn guarded(self, app: &App) -> MethodRouter<App> {
        let early = |handler: MethodRouter<App>| {
            if early::waits(self.route.path) {
                handler.route_layer(from_fn_with_state(app.clone(), early::started))
            } else {
                handler
            }
        };
        match self.route.who {
            Who::Anyone => self.handler,
            Who::Scraper => self.handler.route_layer(from_fn(guard::scraping)),
            Who::Reader => {
                early(self.handler).route_layer(from_fn_with_state(app.clone(), guard::reading))
            }
            Who::Commander => {
                early(self.handler).route_layer(from_fn_with_state(app.clone(), guard::writing))
            }
        }
    }
}

fn table() -> Vec<Row> {
    use Who::{Anyone, Commander, Reader, Scraper};
    let get = Method::GET;
    vec![
        Row::new(get.clone(), "/livez", Anyone, public::livez),
        Row::new(get.clone(), "/readyz", Anyone, public::readyz),
        Row::new(get.clone(), "/metrics", Scraper, public::exposition),
        Row::new(get.clone(), "/", Reader, page::overview),
        Row::new(get.clone(), "/models/{model}", Reader, page::model),
        Row::new(get.clone(), "/models/{model}/report", Reader, page::report),
        Row::new(get.clone(), "/models/{model}/features/{feature}", Reader, page::feature),
        Row::new(get.clone(), "/incidents", Reader, page::incidents),
        Row::new(get.clone(), "/incidents/{id}", Reader, page::incident),
        Row::new(get.clone(), "/health", Reader, page::health),
        Row::new(get.clone(), "/configuration", Reader, page::configuration),
        Row::new(get.clone(), "/api/v1/models/{model}/report", Reader, page::report_by_kind),
        Row::new(get.clone(), "/api/v1/models/{model}/history", Reader, page::history),
        Row::new(get.clone(), "/api/v1/openapi.json", Reader, page::openapi),
        Row::new(get.clone(), "/api/v1/models", Reader, admin::models),
        Row::new(get.clone(), "/api/v1/models/{model}", Reader, admin::model),
        Row::new(get.clone(), "/api/v1/models/{model}/features/{feature}", Reader, admin::feature),
        Row::new(get.clone(), "/api/v1/models/{model}/panes", Reader, admin::panes),
        Row::new(get, "/api/v1/incidents", Reader, admin::incidents),
        Row::new(Method::POST, "/api/v1/incidents/{id}/close", Commander, command::close),
        Row::new(Method::POST, "/api/v1/models/{model}/accept", Commander, command::accept),
        Row::new(
            Method::PUT,
            "/api/v1/models/{model}/baseline",
            Commander,
            command::replace_baseline,
        ),
        Row::new(Method::POST, "/-/reload", Commander, command::reload),
    ]
}

/// Every route there is, as documentation and tests want to know them.
pub fn routes() -> Vec<Route> {
    table().into_iter().map(|row| row.route).collect()
}

/// What one listener serves.
pub(super) fn router(app: &App, listener: Listener) -> Router {
    let served = table().into_iter().filter(|row| row.route.public || listener == Listener::Admin);
    let routes =
        served.fold(Router::new(), |router, row| router.route(row.route.path, row.guarded(app)));
    routes.with_state(app.clone())
}
