//! The end of an engine: the order in which its parts stop, and what is left to say to those who wait.
//!
//! ```text
//! told to shut down ──► drivers leave ──► tasks end ──► committer and claims end ──► the feed ends, neighbours look ──► closed
//! ```
//!
//! IMPORTANT: nothing of the engine holds the store any more when it is closed, but for its handles.

use std::sync::Arc;
use std::time::Duration;

use crate::runtime::shared::Shared;

/// How long the tasks of an engine may take to end: one that waits for a store that hangs, or blocks its thread, is left behind.
const END_WAIT: Duration = Duration::from_secs(5);

/// How long a driver waits for the store once the engine shuts down.
const STORE_WAIT: Duration = Duration::from_secs(5);
/// How long all drivers may take to leave: longer than each may wait for the store, and then for its tasks.
const LEAVE_WAIT: Duration = Duration::from_secs(20);

/// Ends whatever waits for the engine, however its runtime lets go of it.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.shutdown.send_replace(true);
        self.0.live.end_feed();
        self.0.neighbours.leave();
    }
}

/// Waits until the engine is to shut down, and closes it.
pub(super) async fn close(shared: Arc<Shared>) {
    let closed = Closed(shared.closed.clone());
    let ending = Ending(Arc::clone(&shared));
    shared.down().await;
    if tokio::time::timeout(LEAVE_WAIT, shared.live.idle()).await.is_err() {
        tracing::warn!("a run cannot be left, because the store does not answer, and was left behind");
    }
    let ended = async {
        shared.jobs.idle().await;
        shared.stopped.send_replace(true);
        shared.keepers.idle().await;
    };
    if tokio::time::timeout(END_WAIT, ended).await.is_err() {
        tracing::warn!("a task of the engine does not end and was left behind");
        shared.stopped.send_replace(true);
    }
    drop(ending);
    drop(shared);
    drop(closed);
}

impl Shared {
    /// Returns when the engine has been shutting down for longer than a store that answers needs.
    pub(in crate::runtime) async fn down_for_long(&self) {
        self.down().await;
        tokio::time::sleep(STORE_WAIT).await;
    }
}

/// Says so when nothing is left of the engine, or its runtime is gone.
struct Closed(crate::runtime::support::watch::Sender<bool>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}
