//! Waits for news of a run, whichever engine drives it.
//!
//! This engine's driver reports when something is durable. For what another engine writes, the store is polled, less
//! and less often while nothing is new, and only if other processes write to the store.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{RunId, Seq};

use crate::runtime::error::Error;
use crate::runtime::ownership::damaged;
use crate::runtime::shared::Shared;
use crate::runtime::support::panics;
use crate::runtime::support::watch;

/// The first delay between two polls for what another engine wrote; doubled each time.
const LOOK: Duration = Duration::from_millis(10);
/// The longest such delay: how late news of a quiet run may be.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// The first delay before checking that a run which this engine does not drive can be read at all; doubled each time.
/// The engine that drives it, or should, cannot report that to this one.
const CHECK: Duration = Duration::from_secs(1);
/// The longest such delay: a check reads the run's journal.
const CHECK_MAX: Duration = Duration::from_secs(600);

/// Waits for one run.
#[derive(Debug)]
pub(super) struct Follower {
    progress: watch::Receiver<Seq>,
    delay: Duration,
    check_at: Instant,
    check_delay: Duration,
}

impl Follower {
    pub(super) fn new(shared: &Shared, run: &RunId) -> Self {
        let progress = shared.live.progress(run);
        Self { progress, delay: LOOK, check_at: Instant::now() + CHECK, check_delay: CHECK }
    }

    /// Whatever comes from now on is news.
    pub(super) fn mark(&mut self) {
        self.progress.mark_unchanged();
    }

    /// Something new was found: poll quickly again.
    pub(super) const fn found(&mut self) {
        self.delay = LOOK;
    }

    /// Returns when there may be news since the last mark.
    ///
    /// # Errors
    /// If the engine shuts down, or no engine can read the run.
    pub(super) async fn news(&mut self, shared: &Shared, run: &RunId) -> Result<(), Error> {
        let looks = shared.store.is_shared() && !shared.live.is_driven(run);
        let checks = !shared.live.is_under_way(run);
        tokio::select! {
            biased;
            changed = self.progress.changed() => changed.map_err(|_| Error::shut_down()),
            () = shared.down() => Err(Error::shut_down()),
            () = tokio::time::sleep(self.delay), if looks => {
                self.delay = (self.delay * 2).min(LOOK_MAX);
                Ok(())
            }
            () = tokio::time::sleep_until(self.check_at), if checks => {
                self.check_delay = (self.check_delay * 2).min(CHECK_MAX);
                self.check_at = Instant::now() + self.check_delay;
                // A panic in the store counts as a failed check, which is no reason to stop waiting.
                panics::guard(damaged::check(shared, run)).await.unwrap_or(Ok(()))
            }
        }
    }
}
