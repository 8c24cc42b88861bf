//! Finds runs that need a driver: at start those of the process before, later those whose time has come.
//!
//! It asks the store's index and sleeps until the earliest wake-up time. It never scans runs that are not due.

use std::sync::Arc;
use std::time::Duration;

use crate::model::limits::READ_COMMITS_MAX;
use crate::store::{DueCursor, DueQuery};

use super::engine::Shared;

/// How often the store is asked although nothing is known to be due: another worker's runs may have become free.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// Drives all runs that are due now; answers how long nothing will be.
pub(super) async fn wake_due(shared: &Arc<Shared>) -> Duration {
    loop {
        let now = shared.clock.now();
        let due = match shared.store.due(&DueQuery::at(now, READ_COMMITS_MAX)).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the store does not say which runs are due");
                return SAFETY_NET;
            }
        };
        let found = due.runs.len();
        let mut woken = 0;
        for DueCursor { id: run, .. } in &due.runs {
            if shared.blocked_by(run).is_none() && !shared.live.is_driven(run) {
                Shared::ensure_driven(shared, run);
                woken += 1;
            }
        }
        if found < READ_COMMITS_MAX {
            let next = due.next.map_or(SAFETY_NET, |next| next.since(now));
            return next.clamp(Duration::from_millis(1), SAFETY_NET);
        }
        if woken == 0 {
            // A full page of runs that cannot be driven: those behind it must wait until one of them can.
            return SAFETY_NET;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Wakes runs until the engine shuts down.
pub(super) async fn watch(shared: Arc<Shared>, mut next: Duration) {
    loop {
        tokio::select! {
            () = shared.down() => return,
            () = shared.parked.notified() => {}
            () = tokio::time::sleep(next) => {}
        }
        next = wake_due(&shared).await;
    }
}
