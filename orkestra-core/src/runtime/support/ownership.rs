//! The ownership of a run, as its driver and its tasks see it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How often a task that has outlived the lease checks whether it was renewed after all.
const LOOK: Duration = Duration::from_millis(10);

/// How long an engine owns a run. Never longer than the lease in the store.
#[derive(Debug)]
pub(in crate::runtime) struct Ownership {
    /// When the lease expires, on the monotonic clock; `None` if no other engine could take the run.
    ends: Mutex<Option<Instant>>,
    may_end: bool,
    lost: Notify,
}

impl Ownership {
    pub(in crate::runtime) const fn new(may_end: bool) -> Self {
        Self { ends: Mutex::new(None), may_end, lost: Notify::const_new() }
    }

    pub(in crate::runtime) fn extend(&self, ends: Instant) {
        if self.may_end {
            *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
        }
    }

    /// Notifies the driver that its lease is lost.
    pub(in crate::runtime) fn lose(&self) {
        self.lost.notify_one();
    }

    /// Returns when the lease is lost.
    pub(in crate::runtime) async fn until_lost(&self) {
        self.lost.notified().await;
    }

    /// Returns at once while the lease is valid. In a process that was suspended and resumes after the lease has
    /// expired, nothing starts: its tasks wait here until they are dropped, or until the lease was renewed.
    pub(in crate::runtime) async fn until_owned(&self) {
        while self.ends.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|ends| ends <= Instant::now()) {
            tokio::time::sleep(LOOK).await;
        }
    }
}
