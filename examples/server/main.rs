//! An HTTP server on top of the library, with axum: accounts, runs, downloads and live events.
//!
//! `cargo run --example server`, then the Quick Start of the documentation against `http://127.0.0.1:8001`.
//!
//! ```text
//! main      environment -> store, Orkestra, App -> listen; on Ctrl-C or SIGTERM: stop accepting, shut the engine down, exit
//! app/      the router and its handlers; app/mod.rs gives an overview
//! ```
//!
//! The engine runs in this process: kill it at any time, start it again, and every run continues. Your own application would
//! depend on `orkestra` with the feature `agents`, where `orkestra_agents` is `orkestra::agents`.

mod app;
mod config;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use orkestra::prelude::*;
use orkestra_agents::Orkestra;
use orkestra_agents::model::{DEMO_BANNER, ModelChoice, ModelSource};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use app::App;
use config::Config;

/// How long requests may still take after the server was asked to stop; a download that is cut off can be requested again.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,genai=error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let config = Config::from_environment()?;
    // IMPORTANT: install the signal handlers first, so that a signal during the start is not lost.
    let stop = stop_signal()?;
    let address = SocketAddr::new(config.host, config.port);
    let listener = TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let store = Arc::new(SledStore::open(config.data.join("store"))?);
    let orkestra = Orkestra::builder(&config.data).sandbox(config.sandbox).start(store).await?;
    let app = App::new(orkestra).await?;

    if ModelSource::new(ModelChoice::automatic()).resolve(None).await.is_demo() {
        println!("{DEMO_BANNER}");
    }
    println!("listening on http://{}, data in {}", listener.local_addr()?, config.data.display());
    serve(listener, app, stop).await
}

/// Answers requests until `stop` completes, then shuts down gracefully.
async fn serve(listener: TcpListener, app: Arc<App>, stop: impl Future<Output = ()>) -> Result<(), Box<dyn Error>> {
    let accepting = CancellationToken::new();
    let service = app::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(accepting.clone().cancelled_owned());
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        ended = &mut server => return Ok(ended??),
        () = stop => {}
    }
    tracing::info!("stopping; live runs continue at the next start");
    accepting.cancel();
    app.stop().await;
    if tokio::time::timeout(LAST_REQUESTS, server).await.is_err() {
        tracing::warn!("requests that were still running were cut off");
    }
    Ok(())
}

/// Completes at the first Ctrl-C or SIGTERM.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
