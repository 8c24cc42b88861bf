//! Deletes runs that have ended: on request, and by age.
//!
//! It must never delete a run that has not ended, nor one whose outcome has not yet been delivered to its parent.

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

/// How many records one read returns.
const PAGE_RECORDS: usize = 256;

/// How many records one round reads at most. The next round continues where it stopped.
const ROUND_RECORDS_MAX: usize = 8 * PAGE_RECORDS;

/// The longest time between rounds. A shorter retention time makes rounds more frequent.
const ROUND_EVERY_MAX: Duration = Duration::from_secs(600);

/// The shortest time between rounds, also when there is more to do than one round does.
const ROUND_EVERY_MIN: Duration = Duration::from_secs(1);

/// How long runs are kept after they have ended. Default: forever.
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
/// Its cost: every ten minutes, or every tenth of the shortest retention time if that is less, the records of all runs
/// are read that were created before the youngest run that may be deleted: 256 per read, 2,048 per round, rounds a
/// second apart. Old live runs, and ended runs that are kept for longer, are read again each time. If several engines
/// share a store, one with a retention is enough; more do no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// For runs that completed.
    pub completed: Option<Duration>,
    /// For runs that failed.
    pub failed: Option<Duration>,
    /// For runs that were cancelled or terminated, or timed out.
    pub others: Option<Duration>,
}

impl Retention {
    /// How long a run of this status is kept; `None` means forever, or that the run has not ended.
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
    /// Deletes a run that has ended: journal, record, payloads, steps. Its id can be used again; forks of it are not
    /// affected. When this returns, the run is gone for good. After a crash it is either complete or gone: delete it
    /// again.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the run has not ended (terminate it first), its outcome has not been delivered to its
    /// parent run yet, or another engine owns it. [`ErrorKind::NotFound`] if the run does not exist. Also if the store
    /// fails.
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
    /// run.terminate("it is no longer needed").await?;
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
    /// See [`Engine::delete`].
    pub async fn delete(&self) -> Result<(), Error> {
        delete(self.shared(), self.id()).await
    }
}

/// Why this run must not be deleted, if so.
fn refusal(record: &RunRecord) -> Option<Error> {
    let (id, status) = (&record.id, record.status);
    let why = if !status.is_final() {
        format!("cannot delete run `{id}`: it is {status}; terminate it first")
    } else if record.wake_at.is_some() {
        format!("cannot delete run `{id}`: its outcome has not been delivered to its parent run yet; try again")
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
            // The driver of an ended run is about to leave.
            Ok(driver) => tokio::select! {
                () = driver.closed() => {}
                () = shared.down() => {}
            },
            // From here on until the channels are given back no driver can start.
            Err(channels) => {
                // The caller may stop waiting; the channels are given back all the same.
                let registration = Registration::new(shared, run, &channels);
                let (own, id) = (Arc::clone(shared), run.clone());
                let deleting = shared.jobs.spawn(async move {
                    let deleted = delete_registered(&own, &id).await;
                    give_back(&own, &id, channels, registration).await;
                    deleted
                });
                let panicked =
                    || Error::new(ErrorKind::Internal, format!("cannot delete run `{run}`: the store panicked"));
                let lost = |lost: JoinError| Err(if lost.is_panic() { panicked() } else { Error::shut_down() });
                return deleting.await.unwrap_or_else(lost);
            }
        }
    }
}

async fn may_go(shared: &Arc<Shared>, run: &RunId) -> Result<(), Error> {
    let record = guarded(shared.store.record(run)).await?;
    let record = record.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("run `{run}` not found")))?;
    refusal(&record).map_or(Ok(()), Err)
}

/// Deletes a run that no driver of this engine has, unless another engine owns it.
async fn delete_registered(shared: &Arc<Shared>, run: &RunId) -> Result<(), Error> {
    let lease = shared.claims.claim(run).await?;
    let held =
        || Error::new(ErrorKind::Conflict, format!("cannot delete run `{run}`: another engine owns it; try again"));
    let lease = lease.ok_or_else(held)?.lease;
    // IMPORTANT: check again under the lease. A failed node may have been retried in between.
    let deleted = match may_go(shared, run).await {
        Ok(()) => guarded(shared.store.delete(run)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = shared.claims.release(lease).await {
        tracing::warn!(%run, %error, "cannot release a lease; it will expire");
    }
    if deleted.is_ok() {
        shared.blocked.remove(run);
    }
    deleted
}

/// Deletes runs that are old enough, until the engine shuts down.
pub(super) async fn sweep(shared: Arc<Shared>, retention: Retention) {
    let Some(shortest) = retention.shortest() else { return };
    let pause = (shortest / 10).clamp(ROUND_EVERY_MIN, ROUND_EVERY_MAX);
    let mut place = None;
    loop {
        place = match round(&shared, &retention, shortest, place).await {
            Ok(place) => place,
            Err(error) => {
                tracing::warn!(%error, "cannot delete old runs; the next round tries again");
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

/// Checks the records of one round, starting at `place`; returns where the next round continues.
async fn round(
    shared: &Arc<Shared>,
    retention: &Retention,
    shortest: Duration,
    place: Option<ListCursor>,
) -> Result<Option<ListCursor>, Error> {
    let now = shared.clock.now();
    let keep = u64::try_from(shortest.as_millis()).unwrap_or(u64::MAX);
    // A run that ended before this time was created before it.
    let until = now.as_millis().saturating_sub(keep).saturating_add(1);
    let mut query =
        RunQuery { created_until: Some(Timestamp::from_millis(until)), limit: PAGE_RECORDS, ..RunQuery::default() };
    query.cursor = place;
    for _ in 0..ROUND_RECORDS_MAX / PAGE_RECORDS {
        let page = shared.store.list(&query).await?;
        for record in page.items.iter().filter(|record| retention.is_over(record, now)) {
            match delete(shared, &record.id).await {
                Ok(()) => tracing::debug!(run = %record.id, "an old run was deleted"),
                // The run was retried, deleted or claimed in the meantime: the next round checks again.
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
