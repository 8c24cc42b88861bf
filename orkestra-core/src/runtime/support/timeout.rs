//! How long an engine waits for a store on which other engines may take over its runs.
//!
//! A store that is cut off may not answer at all. A call that hangs delays everything behind it, so a call that is not
//! answered in time is given up and its outcome counts as unknown. An embedded store has no connection that can fail,
//! so it is waited for.

use std::time::Duration;

use crate::store::{Store, StoreError, StoreErrorKind};

/// How long calls of the store may take; `None` means without limit.
#[derive(Clone, Copy, Debug)]
pub(in crate::runtime) struct Timeout(Option<Duration>);

/// However short leases are, a store needs time to answer.
const SHORTEST: Duration = Duration::from_millis(250);

impl Timeout {
    /// For calls that leases depend on: three of them fit into the duration of a lease.
    pub(in crate::runtime) fn of_lease(store: &dyn Store, lease: Duration) -> Self {
        Self(store.is_shared().then(|| (lease / 3).max(SHORTEST)))
    }

    /// For a write of all runs: after the duration of a lease another engine may own any of them.
    pub(in crate::runtime) fn of_append(store: &dyn Store, lease: Duration) -> Self {
        Self(store.is_shared().then(|| lease.max(SHORTEST)))
    }

    /// The answer; `None` if it does not arrive in time.
    pub(in crate::runtime) async fn wait<T>(self, answer: impl Future<Output = T>) -> Option<T> {
        match self.0 {
            Some(most) => tokio::time::timeout(most, answer).await.ok(),
            None => Some(answer.await),
        }
    }

    /// Like [`wait`](Self::wait), with an error of the store if there is no answer.
    pub(in crate::runtime) async fn call<T>(
        self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let silent = || Err(StoreError::new(StoreErrorKind::Io, SILENT));
        self.wait(answer).await.unwrap_or_else(silent)
    }
}

/// The error text for a call that was given up.
pub(in crate::runtime) const SILENT: &str = "the store does not answer";
