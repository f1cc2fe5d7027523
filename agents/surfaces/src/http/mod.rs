//! The HTTP interface.
//!
//! [`table`] maps routes to operations, [`schema`] says what they take and give,
//! [`document`] turns both into OpenAPI. [`guard`] decides who may ask, [`call`]
//! carries a request to an operation and back, [`submit`] gives missions their
//! folders and takes them once, [`stream`] sends events, [`listen`] holds the
//! connections. Whatever goes wrong is a [`problem`].

#![allow(clippy::result_large_err, reason = "a problem is made once, where a request ends")]

mod call;
mod document;
mod guard;
mod listen;
mod live;
mod metrics;
mod problem;
mod report;
mod schema;
mod stream;
mod submit;
mod table;
mod talk;

pub use guard::KeyError;
pub use report::{Dependency, Gauge, State};
pub use table::{UNREACHED, reached};

use alma::Alma;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::Response;
use axum::middleware::{Next, from_fn};
use axum::routing::{MethodFilter, on};
use charter::ids::Principal;
use futures::FutureExt;
use guard::Guard;
use listen::Bounds;
use problem::Problem;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{Method, ROUTES, Route};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Name of the key's file in the data folder.
const KEY_FILE: &str = "api.key";
/// The page that shows the OpenAPI document; it needs nothing from elsewhere.
const PAGE: &str = include_str!("docs.html");
/// Stands in the page where the document goes.
const PAGE_SLOT: &str = "\"THE DOCUMENT\"";

/// What only the wiring knows: whether the queue, the sandbox and the workers are
/// there, and how busy they are.
pub type Probe = Arc<dyn Fn() -> State + Send + Sync>;

/// The server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The key cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Somebody else has the port.
    #[error("the port {port} of {address} is in use: stop who has it, or name another with --port")]
    Taken {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The OpenAPI document cannot be written.
    #[error("could not write the OpenAPI document")]
    Document(#[source] serde_json::Error),
}

/// What every request may use.
struct App {
    alma: Alma,
    principal: Principal,
    guard: Guard,
    hub: Arc<stream::Hub>,
    metrics: metrics::Metrics,
    counts: tokio::sync::Mutex<Option<(Instant, String)>>,
    probe: Probe,
    document: Bytes,
    page: Bytes,
}

/// A server that has its port.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    key_file: PathBuf,
    router: Router,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
}

impl Server {
    /// Takes the port and makes the key, if there is none.
    pub async fn open(
        alma: &Alma,
        principal: &Principal,
        probe: Probe,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, ServeError> {
        let settings = &alma.config.http;
        let key_file = alma.home.join(KEY_FILE);
        let key = guard::key(&key_file, alma.ports.entropy.as_ref())?;
        let address = SocketAddr::new(settings.bind, settings.port);
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                ServeError::Taken { address: settings.bind, port: settings.port }
            }
            _ => ServeError::Listen { address, source },
        })?;
        let address =
            listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        let document = document::document().to_json().map_err(ServeError::Document)?;
        // No text of the document can end the script that it stands in.
        let page = PAGE.replacen(PAGE_SLOT, &document.replace('<', "\\u003c"), 1);
        let app = Arc::new(App {
            alma: alma.clone(),
            principal: principal.clone(),
            guard: Guard::new(key, settings.bind, &settings.hosts),
            hub: stream::Hub::start(alma, principal, settings.streams, stop.clone()),
            metrics: metrics::Metrics::default(),
            counts: tokio::sync::Mutex::default(),
            probe,
            document: document.into(),
            page: page.into(),
        });
        let bounds = Bounds {
            connections: settings.connections as usize,
            head: Duration::from_secs(settings.request_seconds.into()),
            drain: Duration::from_secs(alma.config.worker.drain_seconds.into()),
        };
        Ok(Self { listener, address, key_file, router: router(&app), bounds, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file that holds the key.
    pub fn key_file(&self) -> &std::path::Path {
        &self.key_file
    }

    /// Answers until told to stop, then lets running requests end.
    pub async fn run(self) {
        listen::serve(self.listener, self.router, self.bounds, self.stop).await;
    }
}

fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = match route.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Delete => MethodFilter::DELETE,
        };
        let app = Arc::clone(app);
        let handler = move |params: Result<RawPathParams, _>, request: Request| async move {
            let params: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection> =
                params;
            let place = request.uri().path().to_owned();
            let answer = match params {
                Ok(params) => call::answer(&app, route, Some(params), request).await,
                Err(_) => Err(Problem::malformed("the path is no UTF-8 text")),
            };
            let mut response = answer.unwrap_or_else(|problem| problem.response(&place));
            response.extensions_mut().insert(Answered(route));
            response
        };
        router = router.route(route.path, on(filter, handler));
    }
    let guarding = Arc::clone(app);
    router
        .fallback(|request: Request| async move {
            Problem::not_found("there is nothing at this address; /docs lists what there is")
                .response(request.uri().path())
        })
        .method_not_allowed_fallback(|request: Request| async move {
            Problem::method("the address is there, but not for this method")
                .response(request.uri().path())
        })
        .layer(from_fn(move |request: Request, next: Next| {
            guarded(Arc::clone(&guarding), request, next)
        }))
}

/// Waits until the process is to end.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Nobody can tell any more: that is the end too.
    let _gone = stop.wait_for(|stop| *stop).await.is_err();
}

/// The route that answered, for the figures.
#[derive(Clone, Copy)]
struct Answered(&'static Route);

/// Everything that holds for all requests: who may ask, what a panic becomes,
/// what is counted.
async fn guarded(app: Arc<App>, request: Request, next: Next) -> Response<Body> {
    let began = Instant::now();
    let place = request.uri().path().to_owned();
    let open = ROUTES.iter().any(|route| !route.guarded() && route.path == place);
    let allowed = app
        .guard
        .place(request.headers())
        .and_then(|()| if open { Ok(()) } else { app.guard.known(request.headers()) });
    let response = match allowed {
        Err(problem) => problem.response(&place),
        Ok(()) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => Problem::internal("this is a defect; the log of the server has more")
                .response(&place),
        },
    };
    let (method, route) = match response.extensions().get::<Answered>() {
        Some(Answered(route)) => (route.method.as_str(), route.path),
        None => ("other", "none"),
    };
    app.metrics.answered(method, route, response.status().as_u16(), began.elapsed());
    response
}
