//! Runs whose journal cannot be read: how they are ended, and how runs that wait for them learn about it.
//!
//! ```text
//! terminate ──► no driver in this engine, and the lease ──► still unreadable ──► RunTerminated after the last position,
//!                                                                                with a record derived from the existing one
//! a driver gives up ──► the parent learns of the end, or that the run cannot be read
//! such a run has ended ──► its children are cancelled, as those of any run that was terminated
//! ```
//!
//! Existing commits are never rewritten, and nothing is written that the run's record does not show. A run that can be
//! read, by this engine or by its owner, must be ended by its driver.

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

/// The first delay before the parent is told again; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);

/// Whether the run can be read, for callers that wait for it and would not be notified otherwise.
///
/// # Errors
/// If the journal is damaged or missing. A store that does not answer is no reason to stop waiting.
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
    Error::damaged(format!("the journal of run `{run}` is missing"))
}

/// Ends a run that cannot be read. If another engine owns it, that engine is sent a letter to end it.
///
/// # Errors
/// If the run has ended or does not exist, or the store fails.
pub(in crate::runtime) async fn terminate(shared: &Arc<Shared>, run: &RunId, reason: &str) -> Result<(), Error> {
    // A run that does not exist must not be claimed either.
    if shared.store.record(run).await?.is_none() {
        return Err(Error::new(ErrorKind::NotFound, format!("run `{run}` not found")));
    }
    // If this is unknown, the children are searched for again.
    let has_none = children(shared, run).next().await.is_ok_and(|child| child.is_none());
    let ended = write_undriven(shared, run, |record| {
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
            shared.jobs.spawn(notify_family(Arc::clone(shared), run.clone(), lost(run)));
            Ok(())
        }
    }
}

/// The record of a terminated run. It is woken until it owes other runs nothing.
fn terminated(record: RunRecord, reason: &str, has_children: bool) -> RunRecord {
    let wake_at = (has_children || record.parent.is_some()).then_some(Timestamp::ZERO);
    let outcome = Some(Outcome::Terminated(reason.to_owned()));
    RunRecord { status: RunStatus::Terminated, outcome, wake_at, ..record }
}

/// A driver has given up the run because of this error: waiting runs are told, and a termination that was requested by
/// letter is carried out.
pub(in crate::runtime) async fn given_up(shared: Arc<Shared>, run: RunId, error: Error) {
    if let Some(reason) = termination_requested(&shared, &run).await {
        match terminate(&shared, &run, &reason).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%run, %error, "cannot terminate a run that cannot be read"),
        }
    }
    // A caller that met the damage may be terminating the run right now: then its outcome is that.
    tokio::select! {
        biased;
        () = shared.down() => return,
        () = tokio::time::sleep(AGAIN_AFTER) => {}
    }
    notify_family(shared, run, error).await;
}

async fn termination_requested(shared: &Shared, run: &RunId) -> Option<String> {
    let letters = shared.store.letters(run, LetterId::ZERO, LETTERS_MAX).await.ok()?;
    letters.iter().find_map(|letter| match decode_letter(&letter.body) {
        Ok(InputKind::Terminate { reason }) => Some(reason),
        _ => None,
    })
}

/// Tells the parent the outcome in this run's record, or else that it cannot be read; if this run has ended, also
/// cancels its children.
async fn notify_family(shared: Arc<Shared>, run: RunId, error: Error) {
    let mut delay = AGAIN_AFTER;
    while let Err(problem) = try_notify_family(&shared, &run, &error).await {
        if shared.shutdown.get() {
            return;
        }
        tracing::debug!(%run, error = %problem, "cannot notify the parent and children of a run that cannot be read; trying again");
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = tokio::time::sleep(delay) => delay = (delay * 2).min(AGAIN_AFTER_MAX),
        }
    }
}

/// The outcome reported for a child of this workflow whose outcome or output cannot be read.
pub(in crate::runtime) fn unreadable(workflow: &Name, error: &Error) -> Outcome {
    Outcome::Failed {
        node: workflow.clone(),
        failure: Failure::permanent(FailureKind::ChildDamaged, error.to_string()),
    }
}

async fn try_notify_family(shared: &Arc<Shared>, run: &RunId, error: &Error) -> Result<(), Error> {
    let Some(record) = shared.store.record(run).await? else { return Ok(()) };
    let over = record.status.is_final();
    if over {
        // An ended run is not blocked.
        shared.blocked.remove(run);
        if record.wake_at.is_none() {
            return Ok(());
        }
        cancel_children(shared, run).await?;
    }
    notify_parent(shared, &record, error).await?;
    if !over {
        return Ok(());
    }
    write_undriven(shared, run, |record| {
        if record.wake_at.is_none() {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the parent and children of the run have already been notified",
            ));
        }
        Ok((Event::ParentTold, RunRecord { wake_at: None, ..record }))
    })
    .await
    .or_else(|error| if error.kind() == ErrorKind::Conflict { Ok(()) } else { Err(error) })
}

async fn notify_parent(shared: &Arc<Shared>, record: &RunRecord, error: &Error) -> Result<(), Error> {
    let (run, Some(parent)) = (&record.id, &record.parent) else { return Ok(()) };
    let outcome = record.outcome.clone().unwrap_or_else(|| unreadable(&record.workflow, error));
    let outcome = match blobs::adopt_outcome(&*shared.store, (run, parent), outcome).await {
        // Its output is in a damaged journal, or lost.
        Err(error) if error.is_damaged() => unreadable(&record.workflow, &error),
        adopted => adopted?,
    };
    // Its spending is unknown: it is in the journal.
    let ended = InputKind::ChildEnded { child: run.clone(), outcome, spent: BTreeMap::new() };
    match shared.tell_checked(parent, ended).await {
        Err(error) if error.is_damaged() && is_over(shared, parent).await? => Ok(()),
        Err(error) if is_passing(&error) || error.is_not_drivable() => Err(error),
        Ok(false) => Err(still_in_inbox()),
        // A parent that does not exist, has ended, or waits for something else needs no report.
        _ => Ok(()),
    }
}

/// Whether a run that cannot be read has ended and so needs no report.
pub(in crate::runtime) async fn is_over(shared: &Shared, run: &RunId) -> Result<bool, Error> {
    Ok(shared.store.record(run).await?.is_none_or(|record| record.status.is_final()))
}

fn still_in_inbox() -> Error {
    Error::new(ErrorKind::Unknown, "the letter is still waiting in the run's inbox")
}

fn children(shared: &Shared, run: &RunId) -> Pager {
    let query = RunQuery { parent: Some(run.clone()), limit: READ_RECORDS_MAX, ..RunQuery::default() };
    Pager::new(Arc::clone(&shared.store), query)
}

/// Cancels the children of an ended run. The journal that names them cannot be read: they are found by their records.
async fn cancel_children(shared: &Arc<Shared>, run: &RunId) -> Result<(), Error> {
    let mut children = children(shared, run);
    loop {
        let child = match children.next().await.map_err(Error::from) {
            // Damaged records, of this run's children or others, are no reason to keep it.
            Err(error) if error.is_damaged() => {
                tracing::error!(%run, %error, "cannot cancel the children of a run that cannot be read");
                return Ok(());
            }
            child => child?,
        };
        let Some(child) = child else { return Ok(()) };
        if child.status.is_final() {
            continue;
        }
        let reason = format!("its parent run `{run}` no longer waits for it");
        match shared.tell_checked(&child.id, InputKind::Cancel { reason }).await {
            // It must be terminated by hand.
            Err(error) if error.is_damaged() => {
                tracing::warn!(child = %child.id, %error, "cannot cancel a damaged child; terminate it");
            }
            Err(error) if is_passing(&error) || error.is_not_drivable() => return Err(error),
            Ok(false) => return Err(still_in_inbox()),
            _ => {}
        }
    }
}

const fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Store | ErrorKind::ShutDown | ErrorKind::Internal)
}

/// Writes one event after the journal of a run that cannot be read and has no driver, and the record that `make`
/// derives from the existing one.
async fn write_undriven<M>(shared: &Arc<Shared>, run: &RunId, make: M) -> Result<(), Error>
where
    M: Fn(RunRecord) -> Result<(Event, RunRecord), Error>,
{
    loop {
        if shared.shutdown.get() {
            return Err(Error::shut_down());
        }
        match shared.live.driver(run) {
            // A driver that cannot read the run is about to leave; one that can handles its messages.
            Ok(driver) => tokio::select! {
                biased;
                () = driver.closed() => {}
                () = shared.down() => {}
                () = tokio::time::sleep(shared.lease) => {
                    return Err(Error::new(ErrorKind::Unknown, format!("cannot terminate run `{run}`: it is being driven; try again")));
                }
            },
            Err(channels) => {
                // The caller may stop waiting; the channels are given back all the same.
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
        tracing::warn!(%run, %error, "cannot release a lease; it will expire");
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
    // IMPORTANT: check under the lease. A run that can be read must be ended by its driver.
    match load(&*shared.store, run).await {
        Ok(Some(_)) => {
            let message = format!("run `{run}` can be read again; try again");
            return Err(Error::new(ErrorKind::Unknown, message));
        }
        Ok(None) => {}
        Err(error) if error.is_damaged() => {}
        Err(error) => return Err(error),
    }
    let record = shared.store.record(run).await?;
    let record = record.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("run `{run}` not found")))?;
    let at = shared.clock.now().max(record.updated_at);
    let (event, record) = make(record)?;
    let first = claimed.last.plus(1);
    let commit = Commit { run: run.clone(), first, epoch: claimed.lease.epoch, at, events: vec![event] };
    let commit = encode(&commit).map_err(|error| Error::from_cause(ErrorKind::Internal, error))?;
    let taken = shared.store.letters(run, LetterId::ZERO, LETTERS_MAX).await?.iter().map(|letter| letter.id).collect();
    let record = Some(RunRecord { updated_at: at, ..record });
    let ack = shared.committer.submit(Append { commit, record, taken }).await;
    let unknown = || Error::new(ErrorKind::Unknown, "the committer has ended");
    let answer = ack.await.map_err(|_| unknown())?;
    answer.map_err(|error| Error::from_cause(ErrorKind::Unknown, error))
}
