//! `aios cancel`: ends an unfinished run before it is done.

use super::{place_of, print};
use crate::args::CancelArguments;
use crate::exit::{Exit, Failure};
use crate::reader::Reader;

pub(super) async fn perform(arguments: &CancelArguments) -> Result<Exit, Failure> {
    let place = place_of(&arguments.run).await?;
    let reader = Reader::start(&place).await?;
    let run = reader.find(&arguments.run).await?;
    let before = run.status().await?.status;
    if before.is_final() {
        return Err(Failure::usage(format!("run {} has ended already: {}", run.id(), before.name())));
    }
    let cancelled = run.cancel(&arguments.reason).await;
    // Asked for twice is asked for: a process before may have died between the asking and the end.
    if let Err(error) = cancelled
        && error.kind() != orkestra_core::ErrorKind::Conflict
    {
        return Err(error.into());
    }
    reader.engine.shutdown().await;
    // NOTE: to an engine that takes a stopping run over, its attempts are lost and end at once. The one before would give
    // them their time of grace, and nobody is there to use it.
    let reader = Reader::start_with(&place, std::slice::from_ref(run.id())).await?;
    let run = reader.find(&arguments.run).await?;
    run.outcome().await?;
    let status = run.status().await?.status;
    reader.engine.shutdown().await;
    print(&format!("run {}: {}\n", run.id(), status.name()))
}
