//! Reads of the store on behalf of the engine, with retries.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::kernel::InputKind;
use crate::model::RunId;
use crate::store::RunRecord;

use super::Shared;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::support::patience::{Patience, insist};

/// How long a read of the store may still take after the engine was shut down.
const LAST_TRY: Duration = Duration::from_millis(500);

impl Shared {
    /// Like `insist`, for callers that must not wait once the engine shuts down.
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
                // What can still be read is returned: a run that has ended reports its outcome, whether it is driven or
                // not.
                tokio::select! {
                    biased;
                    answer = &mut insisting => answer,
                    () = tokio::time::sleep(LAST_TRY) => Err(Error::shut_down()),
                }
            }
        }
    }

    /// The record of `run`; retries while the store fails temporarily.
    pub(in crate::runtime) async fn record_of(&self, run: &RunId) -> Result<Option<RunRecord>, Error> {
        self.patiently(|| self.store.record(run)).await
    }

    /// Begins the run unless it exists; otherwise returns its record. Another engine may be about to begin or delete
    /// it: whichever comes first, the run existed.
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
