//! Waiting for a store that fails, and for another engine that is just about to do what was asked for.
//!
//! A caller sees a delay, not an error, unless it lasts for longer than [`STORE_PATIENCE`].

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::kernel::InputKind;
use crate::model::RunId;
use crate::model::limits::STORE_PATIENCE;
use crate::store::{RunRecord, StoreError, StoreErrorKind};

use super::panics;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::shared::Shared;

/// The delay before the next try; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// The longest of them.
const AGAIN_AFTER_MAX: Duration = Duration::from_millis(500);

/// How long a call that reads the store is waited for after the engine was shut down.
const LAST_TRY: Duration = Duration::from_millis(500);

/// Growing delays up to a limit.
struct Patience {
    delay: Duration,
    until: Instant,
}

impl Patience {
    fn new(most: Duration) -> Self {
        Self { delay: AGAIN_AFTER, until: Instant::now() + most }
    }

    /// Waits before the next try. Gives `error` back when there is to be none.
    async fn rest(&mut self, error: Error) -> Result<(), Error> {
        if Instant::now() >= self.until {
            return Err(error);
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(AGAIN_AFTER_MAX);
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// What the store answers. One that fails in passing is asked again for a while. For whoever is dropped when the engine shuts
/// down.
pub(in crate::runtime) async fn insist<T, E, F>(ask: impl Fn() -> F + Send) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>> + Send,
    E: Into<Error>,
{
    let mut patience = Patience::new(STORE_PATIENCE);
    loop {
        let error: Error = match panics::guard(ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.into(),
            Err(panic) => StoreError::new(StoreErrorKind::Io, format!("the store panicked: {panic}")).into(),
        };
        if !matches!(error.store_kind(), Some(StoreErrorKind::Io | StoreErrorKind::Busy)) {
            return Err(error);
        }
        patience.rest(error).await?;
    }
}

impl Shared {
    /// The same for everybody else.
    pub(in crate::runtime) async fn patiently<T, E, F>(&self, ask: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, E>> + Send,
        E: Into<Error> + Send,
    {
        let mut insisting = pin!(insist(ask));
        tokio::select! {
            biased;
            answer = &mut insisting => answer,
            () = self.down() => {
                // What can be read still is: a run that has ended tells how, whether it is driven or not.
                tokio::select! {
                    biased;
                    answer = &mut insisting => answer,
                    () = tokio::time::sleep(LAST_TRY) => Err(Error::shut_down()),
                }
            }
        }
    }

    /// The record of `run`, from a store that may fail in passing.
    pub(in crate::runtime) async fn record_of(&self, run: &RunId) -> Result<Option<RunRecord>, Error> {
        self.patiently(|| self.store.record(run)).await
    }

    /// Lets the run begin, unless it is there: then its record as it was found. Another engine may be just about to begin
    /// it, or to delete it: whichever is first, the run was there.
    pub(in crate::runtime) async fn begin(
        self: &Arc<Self>,
        run: &RunId,
        kind: InputKind,
    ) -> Result<Option<RunRecord>, Error> {
        // The other engine may have died with the right to begin it, which lasts as long as a lease.
        let mut patience = Patience::new(self.lease * 2);
        loop {
            let error = match self.tell(run, kind.clone()).await {
                Ok(()) => return Ok(None),
                Err(error) => error,
            };
            let there = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Unknown);
            if there && let Some(record) = self.record_of(run).await? {
                return Ok(Some(record));
            }
            let was_deleted = error.kind() == ErrorKind::Conflict && matches!(kind, InputKind::Create { .. });
            if error.kind() != ErrorKind::Unknown && !was_deleted {
                return Err(error);
            }
            tokio::select! {
                biased;
                () = self.down() => return Err(Error::shut_down()),
                rested = patience.rest(error) => rested?,
            }
        }
    }
}
