//! How long an engine waits for a store that others may have taken its runs from meanwhile.
//!
//! A store that is cut off may not even say so. Whoever waits for it holds up everybody behind: what was not answered in time is
//! given up, and its outcome counts as unknown. An embedded store is not on the other end of any line, and is waited for.

use std::time::Duration;

use crate::store::{Store, StoreError, StoreErrorKind};

/// How long calls of the store may take; for ever when there is none.
#[derive(Clone, Copy, Debug)]
pub(in crate::runtime) struct Timeout(Option<Duration>);

/// However short leases are, a store needs time to answer.
const SHORTEST: Duration = Duration::from_millis(250);

impl Timeout {
    /// For calls without which leases are no use. Three of them find room in the life of a lease.
    pub(in crate::runtime) fn of_lease(store: &dyn Store, lease: Duration) -> Self {
        Self(store.is_shared().then(|| (lease / 3).max(SHORTEST)))
    }

    /// For a write of all runs: after the whole of a lease another engine may have any of them.
    pub(in crate::runtime) fn of_append(store: &dyn Store, lease: Duration) -> Self {
        Self(store.is_shared().then(|| lease.max(SHORTEST)))
    }

    /// The answer; `None` when it did not come in time.
    pub(in crate::runtime) async fn wait<T>(self, answer: impl Future<Output = T>) -> Option<T> {
        match self.0 {
            Some(most) => tokio::time::timeout(most, answer).await.ok(),
            None => Some(answer.await),
        }
    }

    /// The same as an error of the store.
    pub(in crate::runtime) async fn call<T>(
        self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let silent = || Err(StoreError::new(StoreErrorKind::Io, SILENT));
        self.wait(answer).await.unwrap_or_else(silent)
    }
}

/// What is said of a call that was given up.
pub(in crate::runtime) const SILENT: &str = "the store does not answer";
