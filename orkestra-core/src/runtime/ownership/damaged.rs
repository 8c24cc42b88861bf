//! Runs whose journal cannot be read: how they are ended, and how those that wait for them hear of it.
//!
//! ```text
//! terminate ──► no driver of ours, and the lease ──► still unreadable ──► RunTerminated after the last position,
//!                                                                        with a record made from the one that is there
//! a driver gives up ──► the parent is told: of the end, or that nobody can read the run
//! such a run has ended ──► its children are cancelled, as those of any run that was terminated
//! ```
//!
//! What is there is never rewritten, and nothing is written that the run's record does not say. A run that can be read, by this
//! engine or by the one that has it, must go the ordinary way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::journal::{Commit, decode_letter, encode, encode_letter};
use crate::kernel::{Event, InputKind, Outcome, RunStatus};
use crate::model::limits::{LETTERS_MAX, READ_RECORDS_MAX};
use crate::model::{Failure, FailureKind, Name, RunId, Timestamp};
use crate::store::{Append, Claimed, LetterId, Pager, RunQuery, RunRecord};

use super::live::{Registration, give_back};
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::shared::Shared;
use crate::runtime::storage::blobs;
use crate::runtime::storage::load::load;
use crate::runtime::support::patience::guarded;

/// The delay before the parent is told again; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);

/// Whether the run can be read, for those who wait for it and whom nobody would tell.
///
/// # Errors
/// What is wrong with its journal. That the store does not answer is no reason to stop waiting.
pub(in crate::runtime) async fn check(shared: &Shared, run: &RunId) -> Result<(), Error> {
    match load(&*shared.store, run).await {
        Err(error) if error.is_damaged() => Err(error),
        Ok(None) => match shared.store.record(run).await {
            Ok(Some(record)) if !record.status.is_final() => Err(lost(run)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn lost(run: &RunId) -> Error {
    Error::damaged(format!("run `{run}`: nothing is left of its journal"))
}

/// Ends a run that cannot be read. An engine that has it, and can read it, is asked to end it.
///
/// # Errors
/// When it has ended or is not there, or the store fails.
pub(in crate::runtime) async fn terminate(shared: &Arc<Shared>, run: &RunId, reason: &str) -> Result<(), Error> {
    // A run that is not there is not claimed either.
    if shared.store.record(run).await?.is_none() {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no run `{run}`")));
    }
    // Where that cannot be told it is looked for again.
    let has_none = children(shared, run).next().await.is_ok_and(|child| child.is_none());
    let ended = alone(shared, run, |record| {
        if record.status.is_final() {
            shared.blocked.remove(run);
            return Err(Error::new(ErrorKind::Conflict, "the run has ended"));
        }
        Ok((Event::RunTerminated { reason: reason.to_owned() }, terminated(record, reason, !has_none)))
    });
    match ended.await {
        Err(error) if error.is_elsewhere() => {
            let letter = encode_letter(InputKind::Terminate { reason: reason.to_owned() });
            if let Ok(Some(letter)) = letter {
                shared.store.send(run, &letter).await?;
            }
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => {
            tracing::warn!(%run, reason, "a run that cannot be read was terminated");
            shared.jobs.spawn(tell_family(Arc::clone(shared), run.clone(), lost(run)));
            Ok(())
        }
    }
}

/// It is woken until it owes nobody anything any more.
fn terminated(record: RunRecord, reason: &str, has_children: bool) -> RunRecord {
    let wake_at = (has_children || record.parent.is_some()).then_some(Timestamp::ZERO);
    let outcome = Some(Outcome::Terminated(reason.to_owned()));
    RunRecord { status: RunStatus::Terminated, outcome, wake_at, ..record }
}

/// A driver has given the run up because of this error: whoever waits for it elsewhere hears of it, and who asked for its end by
/// letter gets it.
pub(in crate::runtime) async fn given_up(shared: Arc<Shared>, run: RunId, error: Error) {
    if let Some(reason) = asked_to_end(&shared, &run).await {
        match terminate(&shared, &run, &reason).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%run, %error, "a run that cannot be read was not terminated"),
        }
    }
    // Whoever met the damage may be ending the run just now: then that is the news.
    tokio::select! {
        biased;
        () = shared.down() => return,
        () = tokio::time::sleep(AGAIN_AFTER) => {}
    }
    tell_family(shared, run, error).await;
}

async fn asked_to_end(shared: &Shared, run: &RunId) -> Option<String> {
    let letters = shared.store.letters(run, LetterId::ZERO, LETTERS_MAX).await.ok()?;
    letters.iter().find_map(|letter| match decode_letter(&letter.body) {
        Ok(InputKind::Terminate { reason }) => Some(reason),
        _ => None,
    })
}

/// Tells the run that waits for this one how it ended, as its record says, or else that nobody can read it; and the runs that
/// this one waited for, when it has ended.
async fn tell_family(shared: Arc<Shared>, run: RunId, error: Error) {
    let mut delay = AGAIN_AFTER;
    while let Err(problem) = told(&shared, &run, &error).await {
        if shared.shutdown.get() {
            return;
        }
        tracing::debug!(%run, error = %problem, "the family of a run that cannot be read was not told, it will be tried again");
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = tokio::time::sleep(delay) => delay = (delay * 2).min(AGAIN_AFTER_MAX),
        }
    }
}

/// What is told of a child of this workflow whose end, or whose output, nobody can read.
pub(in crate::runtime) fn unreadable(workflow: &Name, error: &Error) -> Outcome {
    Outcome::Failed {
        node: workflow.clone(),
        failure: Failure::permanent(FailureKind::ChildDamaged, error.to_string()),
    }
}

async fn told(shared: &Arc<Shared>, run: &RunId, error: &Error) -> Result<(), Error> {
    let Some(record) = shared.store.record(run).await? else { return Ok(()) };
    let over = record.status.is_final();
    if over {
        // There is nothing that should go on.
        shared.blocked.remove(run);
        if record.wake_at.is_none() {
            return Ok(());
        }
        cancel_children(shared, run).await?;
    }
    tell_parent(shared, &record, error).await?;
    if !over {
        return Ok(());
    }
    alone(shared, run, |record| {
        if record.wake_at.is_none() {
            return Err(Error::new(ErrorKind::Conflict, "its family was told already"));
        }
        Ok((Event::ParentTold, RunRecord { wake_at: None, ..record }))
    })
    .await
    .or_else(|error| if error.kind() == ErrorKind::Conflict { Ok(()) } else { Err(error) })
}

async fn tell_parent(shared: &Arc<Shared>, record: &RunRecord, error: &Error) -> Result<(), Error> {
    let (run, Some(parent)) = (&record.id, &record.parent) else { return Ok(()) };
    let outcome = record.outcome.clone().unwrap_or_else(|| unreadable(&record.workflow, error));
    let outcome = match blobs::adopt_outcome(&*shared.store, (run, parent), outcome).await {
        // Its output stands in a journal that nobody can read, or is lost.
        Err(error) if error.is_damaged() => unreadable(&record.workflow, &error),
        adopted => adopted?,
    };
    // What it spent stands in its journal.
    let ended = InputKind::ChildEnded { child: run.clone(), outcome, spent: BTreeMap::new() };
    match shared.tell_surely(parent, ended).await {
        Err(error) if error.is_damaged() && is_over(shared, parent).await? => Ok(()),
        Err(error) if is_passing(&error) || error.is_not_drivable() => Err(error),
        Ok(false) => Err(nobody_took_it()),
        // A parent that is not there, has ended, or waits for something else has nothing to be told.
        _ => Ok(()),
    }
}

/// Whether the run has ended, for whoever has news for it and cannot tell it: its journal cannot be read.
pub(in crate::runtime) async fn is_over(shared: &Shared, run: &RunId) -> Result<bool, Error> {
    Ok(shared.store.record(run).await?.is_none_or(|record| record.status.is_final()))
}

fn nobody_took_it() -> Error {
    Error::new(ErrorKind::Unknown, "nobody has taken the news yet")
}

fn children(shared: &Shared, run: &RunId) -> Pager {
    let query = RunQuery { parent: Some(run.clone()), limit: READ_RECORDS_MAX, ..RunQuery::default() };
    Pager::new(Arc::clone(&shared.store), query)
}

/// Nobody waits any more for the children of a run that has ended. What stands in its journal of them nobody can read: they are
/// found by their records.
async fn cancel_children(shared: &Arc<Shared>, run: &RunId) -> Result<(), Error> {
    let mut children = children(shared, run);
    loop {
        let child = match children.next().await.map_err(Error::from) {
            // Records are damaged, of this run's children or others: they are no reason to keep it.
            Err(error) if error.is_damaged() => {
                tracing::error!(%run, %error, "the children of a run that cannot be read are not cancelled");
                return Ok(());
            }
            child => child?,
        };
        let Some(child) = child else { return Ok(()) };
        if child.status.is_final() {
            continue;
        }
        let reason = format!("run `{run}` does not wait for it any more");
        match shared.tell_surely(&child.id, InputKind::Cancel { reason }).await {
            // It needs somebody who terminates it.
            Err(error) if error.is_damaged() => tracing::warn!(child = %child.id, %error, "it is not cancelled"),
            Err(error) if is_passing(&error) || error.is_not_drivable() => return Err(error),
            Ok(false) => return Err(nobody_took_it()),
            _ => {}
        }
    }
}

const fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Store | ErrorKind::ShutDown | ErrorKind::Internal)
}

/// Writes one event behind the journal of a run that nobody can read and nobody drives, and the record that `make` makes of the
/// one that is there.
async fn alone<M>(shared: &Arc<Shared>, run: &RunId, make: M) -> Result<(), Error>
where
    M: Fn(RunRecord) -> Result<(Event, RunRecord), Error>,
{
    loop {
        if shared.shutdown.get() {
            return Err(Error::shut_down());
        }
        match shared.live.driver(run) {
            // A driver that cannot read the run is about to leave; one that can reads what it is told.
            Ok(driver) => tokio::select! {
                biased;
                () = driver.closed() => {}
                () = shared.down() => {}
                () = tokio::time::sleep(shared.lease) => {
                    return Err(Error::new(ErrorKind::Unknown, format!("run `{run}` is being driven: try again")));
                }
            },
            Err(channels) => {
                // Whoever asked may stop waiting: the seat is given back all the same.
                let kept = Registration::new(shared, run, &channels);
                let written = registered(shared, run, &make).await;
                give_back(shared, run, channels, kept).await;
                return written;
            }
        }
    }
}

async fn registered<M>(shared: &Arc<Shared>, run: &RunId, make: &M) -> Result<(), Error>
where
    M: Fn(RunRecord) -> Result<(Event, RunRecord), Error>,
{
    let Some(claimed) = shared.claims.claim(run).await? else { return Err(Error::elsewhere()) };
    let written = guarded(write(shared, run, &claimed, make)).await;
    if let Err(error) = shared.claims.release(claimed.lease).await {
        tracing::warn!(%run, %error, "a lease was not released, it will run out");
    }
    if written.is_ok() {
        shared.blocked.remove(run);
    }
    written
}

async fn write<M>(shared: &Arc<Shared>, run: &RunId, claimed: &Claimed, make: &M) -> Result<(), Error>
where
    M: Fn(RunRecord) -> Result<(Event, RunRecord), Error>,
{
    // IMPORTANT: looked at under the lease. What can be read has a driver's rules to follow.
    match load(&*shared.store, run).await {
        Ok(Some(_)) => {
            let message = format!("run `{run}` can be read again: try again");
            return Err(Error::new(ErrorKind::Unknown, message));
        }
        Ok(None) => {}
        Err(error) if error.is_damaged() => {}
        Err(error) => return Err(error),
    }
    let record = shared.store.record(run).await?;
    let record = record.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no run `{run}`")))?;
    let at = shared.clock.now().max(record.updated_at);
    let (event, record) = make(record)?;
    let first = claimed.last.plus(1);
    let commit = Commit { run: run.clone(), first, epoch: claimed.lease.epoch, at, events: vec![event] };
    let commit = encode(&commit).map_err(|error| Error::from_cause(ErrorKind::Internal, error))?;
    let taken = shared.store.letters(run, LetterId::ZERO, LETTERS_MAX).await?.iter().map(|letter| letter.id).collect();
    let record = Some(RunRecord { updated_at: at, ..record });
    let ack = shared.committer.submit(Append { commit, record, taken }).await;
    let unknown = || Error::new(ErrorKind::Unknown, "the committer is gone");
    let answer = ack.await.map_err(|_| unknown())?;
    answer.map_err(|error| Error::from_cause(ErrorKind::Unknown, error))
}
