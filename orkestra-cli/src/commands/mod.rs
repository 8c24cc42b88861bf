//! The commands of `aios`, one file each.

mod benchmark;
mod cancel;
mod graph;
mod logs;
mod ls;
mod resume;
mod run;
mod session;
mod status;
mod store;
mod tools;
mod waits;

use std::io::{self, Write};

use crate::args::{Arguments, Command};
use crate::exit::{Exit, Failure};
use crate::place::Place;

/// Performs a command.
pub(crate) async fn perform(arguments: Arguments) -> Result<Exit, Failure> {
    // The list of tools is the same everywhere.
    if !matches!(arguments.command, Command::Tools(_)) {
        crate::refuse_server()?;
    }
    match arguments.command {
        Command::Run(arguments) => run::perform(arguments).await,
        Command::Resume(arguments) => resume::perform(arguments).await,
        Command::Logs(arguments) => logs::perform(arguments).await,
        Command::Ls(arguments) => ls::perform(&arguments).await,
        Command::Status(arguments) => status::perform(&arguments).await,
        Command::Graph(arguments) => graph::perform(&arguments).await,
        Command::Cancel(arguments) => cancel::perform(&arguments).await,
        Command::Benchmark(arguments) => benchmark::perform(arguments).await,
        Command::Store(command) => store::perform(command).await,
        Command::Tools(arguments) => tools::perform(&arguments).await,
    }
}

/// Opens the store for a run that the user named. Fails when there is no store, as then there is no such run.
async fn place_of(run: &str) -> Result<Place, Failure> {
    let none = || {
        Failure::usage(format!(
            "there is no run {run:?}: this directory has no .orkestra; change to the directory where the run was started"
        ))
    };
    Place::open_existing().await?.ok_or_else(none)
}

/// Prints `text` on stdout. A closed pipe is not an error.
fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(Exit::Done),
    }
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::failed(format!(
        "cannot write the output: {error}; no run is damaged, resume unfinished ones with `aios resume`"
    ))
}
