//! `aios store`: checks, exports and imports stores of any backend. It drives no run and calls no agent.

mod check;
mod export;
mod import;

use std::io;

use orkestra_store::transfer::{Counts, TransferError};
use serde_json::{Value, json};

use crate::args::StoreCommand;
use crate::exit::{Exit, Failure};
use crate::stores::refused;

pub(super) async fn perform(command: StoreCommand) -> Result<Exit, Failure> {
    match command {
        StoreCommand::Check(arguments) => check::perform(&arguments).await,
        StoreCommand::Export(arguments) => export::perform(&arguments).await,
        StoreCommand::Import(arguments) => import::perform(&arguments).await,
    }
}

fn in_words(counts: Counts) -> String {
    let Counts { runs, commits, letters, blobs, values, .. } = counts;
    format!("{runs} runs, {commits} commits, {letters} letters, {blobs} blobs, {values} small values")
}

fn as_json(counts: Counts) -> Value {
    let Counts { runs, commits, letters, blobs, values, skipped, .. } = counts;
    json!({
        "runs": runs, "commits": commits, "letters": letters, "blobs": blobs, "values": values, "skipped": skipped,
    })
}

/// Adds to an error what the user can do about it.
fn failed(error: &TransferError) -> Failure {
    let hint = match error {
        TransferError::Store(error) => return refused(error),
        TransferError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Failure::new(Exit::Interrupted, "the export was interrupted: its reader closed the pipe");
        }
        TransferError::Busy(_) => "; stop the engine, or skip these runs with --skip-busy",
        TransferError::Journal { .. } => "; export every run that can be read with `aios store check --save FILE`",
        TransferError::NotEmpty(_) => "; use --merge to add what is missing and leave existing runs as they are",
        TransferError::Differs(_) => "; import into another store",
        _ => "",
    };
    Failure::failed(format!("{error}{hint}"))
}
