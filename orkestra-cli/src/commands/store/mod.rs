//! `aios store`: looking after stores, whatever keeps them. No agent works here, and no run goes on.

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

/// What went wrong, and what its user can do.
fn failed(error: &TransferError) -> Failure {
    let hint = match error {
        TransferError::Store(error) => return refused(error),
        TransferError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Failure::new(Exit::Interrupted, "nobody reads the export any more");
        }
        TransferError::Busy(_) => ". Stop it, or leave these runs out with --skip-busy.",
        TransferError::Journal { .. } => ". `aios store check --save FILE` exports every run that can be read.",
        TransferError::NotEmpty(_) => ". --merge adds what is not there yet, and changes nothing that is.",
        TransferError::Differs(_) => ". Import into another store.",
        _ => "",
    };
    Failure::failed(format!("{error}{hint}"))
}
