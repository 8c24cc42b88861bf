//! Waiting for news of a run, whoever drives it.
//!
//! Our own driver tells when something is durable. What another engine writes is looked for, ever less often while there is
//! nothing new, and only on a store that other processes write to.

use std::time::Duration;

use crate::model::{RunId, Seq};

use super::error::Error;
use super::shared::Shared;
use super::watch;

/// The delay before the store is looked at for what another engine wrote; doubled each time.
const LOOK: Duration = Duration::from_millis(10);
/// The longest of them: so late may news of a run be that has been quiet.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// Waits for one run.
#[derive(Debug)]
pub(super) struct Follower {
    progress: watch::Receiver<Seq>,
    delay: Duration,
}

impl Follower {
    pub(super) fn new(shared: &Shared, run: &RunId) -> Self {
        Self { progress: shared.live.progress(run), delay: LOOK }
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
    pub(super) async fn news(&mut self, shared: &Shared, run: &RunId) -> Result<(), Error> {
        let looks = shared.store.is_shared() && !shared.live.is_driven(run);
        tokio::select! {
            biased;
            changed = self.progress.changed() => changed.map_err(|_| Error::shut_down()),
            () = shared.down() => Err(Error::shut_down()),
            () = tokio::time::sleep(self.delay), if looks => {
                self.delay = (self.delay * 2).min(LOOK_MAX);
                Ok(())
            }
        }
    }
}
