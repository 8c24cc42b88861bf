//! The router and the state that handlers share. The HTTP layer knows the library; the library knows nothing about HTTP.
//!
//! ```text
//! request -> limiter (register, login) | extract: key -> Organisation, path -> OwnedRun, body -> checked values
//!         -> accounts, runs, download, sse, websocket        the handlers
//!         -> Orkestra (create, view, workspace), Engine (list, cancel, events, feed), Store (accounts, keys)
//!         -> JSON, or error: {detail, code}
//! ```
//!
//! **Access control** is in two places only: [`extract`] for a single run, and the organisation's label for lists and for
//! [`watch`]. A handler never looks up a run by itself.

mod accounts;
mod archive;
mod auth;
mod download;
mod error;
mod extract;
mod limiter;
mod organisation;
mod owners;
mod project;
mod runs;
mod secret;
mod sse;
mod watch;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use orkestra_agents::Orkestra;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use accounts::Accounts;
use error::ApiError;
use limiter::Limiter;
use owners::Owners;

/// The largest request body: an objective of 32 KiB with each character escaped, and some reserve.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// How many downloads may run at a time: each occupies a thread for as long as its client reads.
const DOWNLOADS_MAX: usize = 32;

/// The state that handlers share.
pub(crate) struct App {
    orkestra: Orkestra,
    accounts: Accounts,
    owners: Owners,
    limiter: Limiter,
    downloads: Arc<Semaphore>,
    /// Ends endless streams when the server stops.
    stopping: CancellationToken,
}

impl App {
    /// The application on a started Orkestra. Accounts are kept in the same store as the runs.
    pub(crate) async fn new(orkestra: Orkestra) -> Result<Arc<Self>, ApiError> {
        Ok(Arc::new(Self {
            accounts: Accounts::new(orkestra.engine().store()).await?,
            owners: Owners::default(),
            limiter: Limiter::default(),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            stopping: CancellationToken::new(),
            orkestra,
        }))
    }

    /// Ends live streams and shuts the engine down. Runs continue when the next process starts.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.orkestra.shutdown().await;
    }
}

/// All routes. Must be served with `into_make_service_with_connect_info::<SocketAddr>()`, because the limiter counts by address.
pub(crate) fn router(app: Arc<App>) -> Router {
    let limited = middleware::from_fn_with_state(Arc::clone(&app), limit_by_address);
    let auth = Router::new()
        .route("/auth/register", post(auth::register))
        .route("/auth/login", post(auth::login))
        .route_layer(limited);
    let runs = Router::new()
        .route("/runs", post(runs::create).get(runs::list))
        .route("/runs/{run_id}", get(runs::show))
        .route("/runs/{run_id}/cancel", post(runs::cancel))
        .route("/runs/{run_id}/download", get(download::download))
        .route("/runs/{run_id}/events", get(sse::events));
    Router::new()
        .route("/health", get(health))
        .route("/ws/runs", get(websocket::connect))
        .nest("/api/v1", auth.merge(runs))
        .fallback(async || ApiError::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Slows down password guessing and mass registration from one address.
async fn limit_by_address(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let admitted = app.limiter.admit(address.ip(), Instant::now());
    admitted.map_err(|wait| ApiError::too_many("too many attempts from this address; try again later", wait))?;
    Ok(next.run(request).await)
}
