//! `aios cancel`: cancels an unfinished run.

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
        return Err(Failure::usage(format!(
            "cannot cancel run {}: it has already ended ({})",
            run.id(),
            before.name()
        )));
    }
    let cancelled = run.cancel(&arguments.reason).await;
    // A conflict is fine: an earlier `aios cancel` may have died between the request and the end of the run.
    if let Err(error) = cancelled
        && error.kind() != orkestra_core::ErrorKind::Conflict
    {
        return Err(error.into());
    }
    reader.engine.shutdown().await;
    // NOTE: for an engine that takes over a stopping run, the attempts are lost and end at once. The engine above would wait
    // for the grace period of attempts that nothing is working on.
    let reader = Reader::start_with(&place, std::slice::from_ref(run.id())).await?;
    let run = reader.find(&arguments.run).await?;
    run.outcome().await?;
    let status = run.status().await?.status;
    reader.engine.shutdown().await;
    print(&format!("run {}: {}\n", run.id(), status.name()))
}
