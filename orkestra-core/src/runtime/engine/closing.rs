//! How an engine closes: the order in which its parts stop, and what waiting callers are told.
//!
//! ```text
//! shutdown requested ──► drivers leave ──► tasks end ──► committer and claims end ──► feed ends, neighbours take over ──► closed
//! ```
//!
//! IMPORTANT: once the engine is closed, only its handles still hold the store.

use std::sync::Arc;
use std::time::Duration;

use crate::runtime::shared::Shared;

/// How long the engine's tasks may take to end. One that waits for a store that hangs, or that blocks its thread, is
/// left behind.
const END_WAIT: Duration = Duration::from_secs(5);

/// How long a driver waits for the store once the engine shuts down.
const STORE_WAIT: Duration = Duration::from_secs(5);
/// How long all drivers may take to leave: longer than each may wait for the store and then for its tasks.
const LEAVE_WAIT: Duration = Duration::from_secs(20);

/// Ends whatever waits for the engine, also when the tokio runtime drops it.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.shutdown.send_replace(true);
        self.0.live.end_feed();
        self.0.neighbours.leave();
    }
}

/// Waits until shutdown is requested, then closes the engine.
pub(super) async fn close(shared: Arc<Shared>) {
    let closed = Closed(shared.closed.clone());
    let ending = Ending(Arc::clone(&shared));
    shared.down().await;
    if tokio::time::timeout(LEAVE_WAIT, shared.live.idle()).await.is_err() {
        tracing::warn!("a driver did not end because the store does not answer; it was left behind");
    }
    let ended = async {
        shared.jobs.idle().await;
        shared.stopped.send_replace(true);
        shared.keepers.idle().await;
    };
    if tokio::time::timeout(END_WAIT, ended).await.is_err() {
        tracing::warn!("a background task of the engine did not end; it was left behind");
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

/// Reports the engine as closed when nothing of it is left, or when its tokio runtime is gone.
struct Closed(crate::runtime::support::watch::Sender<bool>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}
