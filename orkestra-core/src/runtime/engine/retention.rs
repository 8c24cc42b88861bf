//! Deleting runs that have ended: one when somebody asks for it, and those that are old enough by themselves.
//!
//! It must never delete a run that is not over, nor one that still has to tell its parent how it ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;

use crate::kernel::RunStatus;
use crate::model::{RunId, Timestamp};
use crate::store::{ListCursor, RunQuery, RunRecord};

use super::handle::Engine;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::ownership::live::{Registration, give_back};
use crate::runtime::run::handle::Run;
use crate::runtime::shared::Shared;
use crate::runtime::support::patience::guarded;

/// Records that are read at once.
const PAGE_RECORDS: usize = 256;

/// Records that are read in one round at the most: a round ends, and the next one goes on where it stopped.
const ROUND_RECORDS_MAX: usize = 8 * PAGE_RECORDS;

/// The longest time between rounds. A shorter time to keep runs makes rounds more frequent.
const ROUND_EVERY_MAX: Duration = Duration::from_secs(600);

/// The shortest time between rounds, also between two when there is more to do than one round does.
const ROUND_EVERY_MIN: Duration = Duration::from_secs(1);

/// How long runs are kept after they have ended. By default for ever.
///
/// ```
/// use orkestra_core::prelude::*;
/// use orkestra_core::Retention;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keep = Retention { completed: Some(days(7)), failed: Some(days(90)), ..Retention::default() };
/// let engine = Engine::builder().retention(keep).start().await?;
/// # Ok(()) }
/// ```
///
/// What it costs: every ten minutes, or ten times in the shortest of the times, the records of all runs are read that
/// were created before the youngest that may be deleted, 256 at once and 2,048 in one round, a second apart; live runs
/// that are old, and ended ones that are kept for longer, are read each time anew. Of several engines on one store one
/// with a retention is enough; more of them do no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Runs that completed.
    pub completed: Option<Duration>,
    /// Runs that failed.
    pub failed: Option<Duration>,
    /// Runs that were cancelled or terminated, or timed out.
    pub others: Option<Duration>,
}

impl Retention {
    /// How long a run of this status is kept; for ever when there is no time, or when it is not over.
    fn keeps(&self, status: RunStatus) -> Option<Duration> {
        match status {
            RunStatus::Completed => self.completed,
            RunStatus::Failed => self.failed,
            status if status.is_final() => self.others,
            _ => None,
        }
    }

    fn shortest(&self) -> Option<Duration> {
        [self.completed, self.failed, self.others].into_iter().flatten().min()
    }

    fn is_over(&self, record: &RunRecord, now: Timestamp) -> bool {
        let over = self.keeps(record.status).is_some_and(|keep| record.updated_at.saturating_add(keep) <= now);
        over && refusal(record).is_none()
    }
}

impl Engine {
    /// Deletes a run that has ended: journal, record, payloads, steps. Its id is free again, and a fork that was made of
    /// it goes on. When this returns it is gone for good; after a crash it is there as a whole or gone as a whole:
    /// delete it again.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Conflict`] when the run has not ended (terminate it first), has not yet told the run that
    /// waits for it how it ended, or another engine has it; [`ErrorKind::NotFound`] when it is not there; else when the
    /// store fails.
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let workflow = Workflow::new("ask").gate::<bool>("approve").build()?;
    /// let engine = Engine::builder().workflow(workflow).start().await?;
    /// let run = engine.run("ask").id("monday").start().await?;
    /// assert_eq!(engine.delete(run.id()).await.unwrap_err().kind(), ErrorKind::Conflict);
    ///
    /// run.terminate("nobody wants to know any more").await?;
    /// engine.delete(run.id()).await?;
    /// assert!(engine.get(run.id()).await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn delete(&self, run: &RunId) -> Result<(), Error> {
        delete(self.shared(), run).await
    }
}

impl Run {
    /// Deletes the run, which must have ended. See [`Engine::delete`].
    ///
    /// # Errors
    /// As those of [`Engine::delete`].
    pub async fn delete(&self) -> Result<(), Error> {
        delete(self.shared(), self.id()).await
    }
}

/// Why this run is not deleted.
fn refusal(record: &RunRecord) -> Option<Error> {
    let (id, status) = (&record.id, record.status);
    let why = if !status.is_final() {
        format!("run `{id}` has not ended, it is {status:?}: terminate it first")
    } else if record.wake_at.is_some() {
        format!("run `{id}` has ended and still has to say so to another run")
    } else {
        return None;
    };
    Some(Error::new(ErrorKind::Conflict, why))
}

async fn delete(shared: &Arc<Shared>, run: &RunId) -> Result<(), Error> {
    loop {
        if shared.shutdown.get() {
            return Err(Error::shut_down());
        }
        may_go(shared, run).await?;
        match shared.live.driver(run) {
            // A driver whose run has ended is about to leave.
            Ok(driver) => tokio::select! {
                () = driver.closed() => {}
                () = shared.down() => {}
            },
            // Nobody drives it from here on until the seat is given back.
            Err(channels) => {
                // Whoever asked may stop waiting: the seat is given back all the same.
                let registration = Registration::new(shared, run, &channels);
                let (own, id) = (Arc::clone(shared), run.clone());
                let deleting = shared.jobs.spawn(async move {
                    let deleted = delete_registered(&own, &id).await;
                    give_back(&own, &id, channels, registration).await;
                    deleted
                });
                let panicked = || Error::new(ErrorKind::Internal, format!("deleting run `{run}` panicked"));
                let lost = |lost: JoinError| Err(if lost.is_panic() { panicked() } else { Error::shut_down() });
                return deleting.await.unwrap_or_else(lost);
            }
        }
    }
}

async fn may_go(shared: &Arc<Shared>, run: &RunId) -> Result<(), Error> {
    let record = guarded(shared.store.record(run)).await?;
    let record = record.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no run `{run}`")))?;
    refusal(&record).map_or(Ok(()), Err)
}

/// Deletes a run that no driver of this engine has, if no other engine has it either.
async fn delete_registered(shared: &Arc<Shared>, run: &RunId) -> Result<(), Error> {
    let lease = shared.claims.claim(run).await?;
    let held = || Error::new(ErrorKind::Conflict, format!("another engine has run `{run}`: try again"));
    let lease = lease.ok_or_else(held)?.lease;
    // IMPORTANT: looked at again under the lease. A failed node of it may have been retried in between.
    let deleted = match may_go(shared, run).await {
        Ok(()) => guarded(shared.store.delete(run)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = shared.claims.release(lease).await {
        tracing::warn!(%run, %error, "a lease was not released, it will run out");
    }
    if deleted.is_ok() {
        shared.blocked.remove(run);
    }
    deleted
}

/// Deletes what is old enough, until the engine shuts down.
pub(super) async fn sweep(shared: Arc<Shared>, retention: Retention) {
    let Some(shortest) = retention.shortest() else { return };
    let pause = (shortest / 10).clamp(ROUND_EVERY_MIN, ROUND_EVERY_MAX);
    let mut place = None;
    loop {
        place = match round(&shared, &retention, shortest, place).await {
            Ok(place) => place,
            Err(error) => {
                tracing::warn!(%error, "old runs are not deleted for now");
                None
            }
        };
        let wait = if place.is_some() { ROUND_EVERY_MIN } else { pause };
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Looks at some records, from `place` on; answers where the next round goes on.
async fn round(
    shared: &Arc<Shared>,
    retention: &Retention,
    shortest: Duration,
    place: Option<ListCursor>,
) -> Result<Option<ListCursor>, Error> {
    let now = shared.clock.now();
    let keep = u64::try_from(shortest.as_millis()).unwrap_or(u64::MAX);
    // A run that ended so long ago began before that.
    let until = now.as_millis().saturating_sub(keep).saturating_add(1);
    let mut query =
        RunQuery { created_until: Some(Timestamp::from_millis(until)), limit: PAGE_RECORDS, ..RunQuery::default() };
    query.cursor = place;
    for _ in 0..ROUND_RECORDS_MAX / PAGE_RECORDS {
        let page = shared.store.list(&query).await?;
        for record in page.items.iter().filter(|record| retention.is_over(record, now)) {
            match delete(shared, &record.id).await {
                Ok(()) => tracing::debug!(run = %record.id, "an old run was deleted"),
                // Somebody retried it, deleted it, or has it: the next round looks again.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        if page.next.is_none() {
            return Ok(None);
        }
        query.cursor = page.next;
    }
    Ok(query.cursor)
}
