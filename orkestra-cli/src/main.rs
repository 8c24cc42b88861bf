//! `aios`: runs the agent pipeline from a terminal, with the engine embedded and a store in `./.orkestra`.
//!
//! ```text
//! args ──► commands/ ──► place (store) ──► Orkestra (agents) or Reader (no agents, drives no runs)
//!                    \─► watch: events of runs ──► screen/: tree | lines | json      summary, exit
//!                        answers: what the user types ──► Run::answer
//!                    \─► stores (any store) ──► orkestra_store::transfer: check, export, import
//! ```
//! The events of a run go to stdout; banners, notices, errors and logs go to stderr.

mod answers;
mod args;
mod commands;
mod exit;
mod github;
mod host;
mod leaving;
mod mcp;
mod place;
mod reader;
mod screen;
mod signals;
mod stores;
mod summary;
mod watch;
mod web;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::Arguments;
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    // IMPORTANT: before any thread. Whatever this process writes may hold what agents were told: for this user alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let arguments = Arguments::parse();
    log_to_stderr(arguments.verbose);
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the runtime's threads: {error}")))
        .and_then(|runtime| runtime.block_on(commands::perform(arguments)));
    let exit = done.unwrap_or_else(|failure| {
        eprintln!("aios: {}", failure.message);
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// Logs only when asked to: by `RUST_LOG`, or by `-v` for info and `-vv` for debug.
fn log_to_stderr(verbose: u8) {
    let asked = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = match (asked, verbose) {
        (Some(filter), 0) => filter,
        (None, 0) => return,
        (_, 1) => {
            "warn,genai=error,aios=info,orkestra_core=info,orkestra_store=info,orkestra_tools=info,orkestra_agents=info".into()
        }
        (_, _) => {
            "info,genai=error,aios=debug,orkestra_core=debug,orkestra_store=debug,orkestra_tools=debug,orkestra_agents=debug".into()
        }
    };
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        eprintln!("aios: cannot parse RUST_LOG={filter:?}: {error}; only warnings are logged");
        EnvFilter::new("warn")
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Whether an environment variable is set and not empty.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The documented server mode does not exist yet. Failing is better than running somewhere else than asked.
fn refuse_server() -> Result<(), Failure> {
    if is_set("AIOS_API_URL") {
        return Err(Failure::new(
            Exit::Usage,
            "AIOS_API_URL is set, but this version cannot talk to a server yet; unset it to run here, in ./.orkestra",
        ));
    }
    Ok(())
}
