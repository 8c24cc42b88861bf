//! Until when a run is ours, as its driver and its tasks see it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How often a task that has outlived the lease looks whether it was renewed after all.
const LOOK: Duration = Duration::from_millis(10);

/// The time that a driver has. Never longer than the lease in the store.
#[derive(Debug)]
pub(in crate::runtime) struct Ownership {
    /// When the lease runs out, by a clock that nobody sets; none when nobody else could take the run then.
    ends: Mutex<Option<Instant>>,
    may_end: bool,
    lost: Notify,
}

impl Ownership {
    pub(in crate::runtime) const fn new(may_end: bool) -> Self {
        Self { ends: Mutex::new(None), may_end, lost: Notify::const_new() }
    }

    pub(in crate::runtime) fn lasts_until(&self, ends: Instant) {
        if self.may_end {
            *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
        }
    }

    /// Tells the driver that its lease is lost.
    pub(in crate::runtime) fn end(&self) {
        self.lost.notify_one();
    }

    /// Returns when the lease is lost.
    pub(in crate::runtime) async fn ended(&self) {
        self.lost.notified().await;
    }

    /// Returns at once while the lease holds. A process that stood still, and wakes after it has run out, begins nothing: its
    /// tasks wait here until they are dropped, or the lease was renewed.
    pub(in crate::runtime) async fn held(&self) {
        while self.ends.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|ends| ends <= Instant::now()) {
            tokio::time::sleep(LOOK).await;
        }
    }
}
