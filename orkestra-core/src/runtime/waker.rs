//! Finds runs that need a driver: at start those of the process before, later those whose time has come.
//!
//! It asks the store's index and sleeps until the earliest wake-up time. It never scans runs that are not due.

use std::sync::Arc;
use std::time::Duration;

use crate::kernel::QUEUED_AT;
use crate::model::RunId;
use crate::model::limits::{READ_COMMITS_MAX, RUN_ID_BYTES_MAX};
use crate::store::{Due, DueCursor, DueQuery, StoreError};

use super::engine::Shared;

/// How often the store is asked although nothing is known to be due: another engine's runs may have become free.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// How many runs of the process before are driven at once before the next ones are looked for: they are all read from
/// the store, and each costs memory.
const BREATH: Duration = Duration::from_millis(1);

/// Drives the runs that a process before left, all of them, before any slot is granted; answers how long nothing will be
/// due.
pub(super) async fn wake_first(shared: &Arc<Shared>) -> Duration {
    let next = wake(shared, true, true).await;
    shared.slots.open();
    next
}

/// Drives all runs that are due now; answers how long nothing will be. `all` looks at those too that this process should
/// know of: runs that owe work, and runs that wait for slots.
async fn wake(shared: &Arc<Shared>, all: bool, first: bool) -> Duration {
    let safety_net = SAFETY_NET.min(shared.lease);
    let mut after = if all { None } else { Some(behind_the_queue()) };
    loop {
        let now = shared.clock.now();
        let query = DueQuery { after, ..DueQuery::at(now, READ_COMMITS_MAX) };
        let Due { runs, next } = match shared.store.due(&query).await {
            Ok(due) => due,
            Err(error) => return not_told(&error, safety_net),
        };
        let full = runs.len() >= READ_COMMITS_MAX;
        for DueCursor { id, wake_at } in &runs {
            if first && *wake_at < QUEUED_AT {
                shared.slots.expect(id);
            }
            let queued = *wake_at == QUEUED_AT && shared.slots.has(id);
            if !queued && !shared.is_blocked_at(id, now) && !shared.live.is_driven(id) {
                Shared::ensure_driven(shared, id);
            }
        }
        if !full {
            let next = next.map_or(safety_net, |next| next.since(now));
            return next.clamp(Duration::from_millis(1), safety_net);
        }
        after = runs.into_iter().next_back();
        tokio::time::sleep(BREATH).await;
    }
}

fn not_told(error: &StoreError, safety_net: Duration) -> Duration {
    tracing::warn!(%error, "the store does not say which runs are due");
    safety_net
}

/// The place behind all runs that owe work or wait for slots.
fn behind_the_queue() -> DueCursor {
    let id = RunId::new("z".repeat(RUN_ID_BYTES_MAX)).expect("letters are a run id");
    DueCursor { wake_at: QUEUED_AT, id }
}

/// Wakes runs until the engine shuts down.
pub(super) async fn watch(shared: Arc<Shared>, mut next: Duration) {
    let safety_net = SAFETY_NET.min(shared.lease);
    let mut looked = shared.clock.now();
    loop {
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = shared.parked.notified() => {}
            () = tokio::time::sleep(next) => {}
        }
        let now = shared.clock.now();
        let all = now.since(looked) >= safety_net;
        if all {
            looked = now;
        }
        next = wake(&shared, all, false).await;
    }
}
