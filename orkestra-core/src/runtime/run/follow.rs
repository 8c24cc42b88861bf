//! Waiting for news of a run, whoever drives it.
//!
//! Our own driver tells when something is durable. What another engine writes is looked for, ever less often while there is
//! nothing new, and only on a store that other processes write to.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{RunId, Seq};

use crate::runtime::error::Error;
use crate::runtime::ownership::damaged;
use crate::runtime::shared::Shared;
use crate::runtime::support::panics;
use crate::runtime::support::watch;

/// The delay before the store is looked at for what another engine wrote; doubled each time.
const LOOK: Duration = Duration::from_millis(10);
/// The longest of them: so late may news of a run be that has been quiet.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// The delay before it is looked at whether a run that we do not drive can be read at all; doubled each time. Whoever drives it,
/// or would, cannot tell us.
const CHECK: Duration = Duration::from_secs(1);
/// The longest of them: a check reads the run's journal.
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

    /// What comes from now on is news.
    pub(super) fn mark(&mut self) {
        self.progress.mark_unchanged();
    }

    /// There was something new.
    pub(super) const fn found(&mut self) {
        self.delay = LOOK;
    }

    /// Returns when there may be something new since the last mark.
    ///
    /// # Errors
    /// When the engine shuts down, or nobody can read the run.
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
                // A store that panics has failed, which is no reason to stop waiting.
                panics::guard(damaged::check(shared, run)).await.unwrap_or(Ok(()))
            }
        }
    }
}
