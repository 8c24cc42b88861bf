//! The commands, one file each.

mod cancel;
mod graph;
mod logs;
mod ls;
mod resume;
mod run;
mod session;
mod status;
mod store;
mod waits;

use std::io::{self, Write};

use crate::args::{Arguments, Command};
use crate::exit::{Exit, Failure};
use crate::place::Place;

/// Does what the command line says.
pub(crate) async fn perform(arguments: Arguments) -> Result<Exit, Failure> {
    crate::refuse_server()?;
    match arguments.command {
        Command::Run(arguments) => run::perform(arguments).await,
        Command::Resume(arguments) => resume::perform(arguments).await,
        Command::Logs(arguments) => logs::perform(arguments).await,
        Command::Ls(arguments) => ls::perform(&arguments).await,
        Command::Status(arguments) => status::perform(&arguments).await,
        Command::Graph(arguments) => graph::perform(&arguments).await,
        Command::Cancel(arguments) => cancel::perform(&arguments).await,
        Command::Store(command) => store::perform(command).await,
    }
}

/// The place of a run that a user named: without any store there is no such run.
async fn place_of(run: &str) -> Result<Place, Failure> {
    let none = || {
        Failure::usage(format!(
            "there is no run {run:?}: this directory has no .orkestra, no run was ever started here"
        ))
    };
    Place::open_existing().await?.ok_or_else(none)
}

/// Prints an answer. A reader that has gone has seen enough.
fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(Exit::Done),
    }
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::failed(format!("the output cannot be written: {error}. Runs are not harmed: `aios resume` goes on."))
}
