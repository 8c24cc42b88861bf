//! The background task that finds runs that need a driver: at start those of the previous process, later those that are
//! due.
//!
//! It asks the store's index and sleeps until the earliest wake-up time. It never scans runs that are not due.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::kernel::QUEUED_AT;
use crate::model::limits::{READ_COMMITS_MAX, RUN_ID_BYTES_MAX};
use crate::model::{RunId, Timestamp};
use crate::store::{Due, DueCursor, DueQuery, StoreError};

use crate::runtime::shared::Shared;
use crate::runtime::support::panics;

/// How often the store is asked although nothing is known to be due: another engine's runs may have become available.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// How often a shared store is asked for runs that other engines have left.
const SHARED_SEARCH: Duration = Duration::from_millis(250);

/// How often a shared store is asked for all runs after some were found that another engine had left: others may wait
/// for slots that it no longer grants. All of them are read then, so not every time.
const SHARED_SEARCH_ALL: Duration = Duration::from_secs(2);

/// The delay before asking a store again that failed to answer.
const SEARCH_AGAIN: Duration = Duration::from_secs(1);

/// The pause between batches of runs of the previous process: all of them are read from the store, and each uses
/// memory.
const BREATH: Duration = Duration::from_millis(1);

/// Which of the due runs to search for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those of the previous process, before any slot is granted.
    First,
    /// All, including those that owe work or wait for slots and that this process should already know.
    All,
    /// Those that owe work or have letters.
    Owing,
    /// Those whose wake-up time has come.
    Timed,
}

/// The delay before asking again a store that failed to list the runs of the previous process.
const FIRST_AGAIN: Duration = Duration::from_millis(250);

/// Drives all runs of the previous process; returns how long nothing will be due.
///
/// IMPORTANT: slots are granted only after one complete search. A run that was not found may hold some.
pub(in crate::runtime) async fn wake_first(shared: &Arc<Shared>) -> Duration {
    match panics::guard(search(shared, Which::First)).await {
        Ok(Ok(next)) => {
            shared.slots.open();
            return next;
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot list the runs of the previous process; no slots are granted until that works; trying again");
        }
        Err(panic) => tracing::error!(panic, "listing the runs of the previous process panicked; trying again"),
    }
    FIRST_AGAIN
}

/// Drives the runs that are due now, as far as there is capacity; returns how long nothing will be due.
async fn wake(shared: &Arc<Shared>, which: Which) -> Duration {
    match search(shared, which).await {
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(%error, "cannot list the runs that are due; trying again");
            SEARCH_AGAIN.min(safety_net(shared))
        }
    }
}

/// Like [`wake`], but returns an error if the store did not list everything.
async fn search(shared: &Arc<Shared>, which: Which) -> Result<Duration, StoreError> {
    let safety_net = safety_net(shared);
    // Slots of a run that was not loaded would be granted twice.
    let all_at_once = which == Which::First && !shared.slots.none();
    shared.blocked.remove_due();
    let mut after = if which == Which::Timed { Some(after_the_queue()) } else { None };
    if shared.drain.is_draining() {
        return Ok(safety_net);
    }
    loop {
        let now = shared.clock.now();
        let until = if which == Which::Owing { Timestamp::ZERO } else { now };
        let left = if all_at_once { READ_COMMITS_MAX } else { shared.capacity.left(shared.busy()) };
        let limit = READ_COMMITS_MAX.min(left.max(1));
        let query = DueQuery { after, until, ..DueQuery::at(now, limit) };
        let Due { runs, next } = shared.timeout.call(shared.store.due(&query)).await?;
        let full = runs.len() >= limit;
        for DueCursor { id, wake_at } in &runs {
            if !all_at_once && shared.capacity.is_full(shared.busy()) {
                shared.capacity.note_waiting();
                if which == Which::All {
                    shared.capacity.note_left_behind();
                }
                return Ok(safety_net);
            }
            if which == Which::First && *wake_at < QUEUED_AT {
                shared.slots.expect(id);
            }
            let queued = *wake_at == QUEUED_AT && shared.slots.has(id);
            if !queued && !shared.blocked.is_blocked(id) && !shared.live.is_driven(id) {
                Shared::ensure_driven(shared, id);
                if which == Which::Owing && !shared.slots.none() {
                    shared.capacity.note_left_behind();
                }
            }
        }
        if !full {
            let next = next.map_or(safety_net, |next| next.since(now));
            return Ok(next.clamp(Duration::from_millis(1), safety_net));
        }
        after = runs.into_iter().next_back();
        tokio::time::sleep(BREATH).await;
    }
}

/// The longest time between complete searches.
fn safety_net(shared: &Shared) -> Duration {
    SAFETY_NET.min(shared.lease)
}

/// The position after all runs that owe work or wait for slots.
fn after_the_queue() -> DueCursor {
    let id = RunId::new("z".repeat(RUN_ID_BYTES_MAX)).expect("a run id of letters is valid");
    DueCursor { wake_at: QUEUED_AT, id }
}

/// Between half of `look` and all of it. If engines searched in step, the first one would always take everything.
fn jittered(look: Duration, now: Timestamp) -> Duration {
    // The golden ratio spreads close values: Knuth, The Art of Computer Programming 3, 6.4.
    let spread = now.as_millis().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    look / 2 + look / 2 * u32::try_from(spread).unwrap_or_default() / 64
}

/// Wakes runs until the engine shuts down.
pub(in crate::runtime) async fn watch(shared: Arc<Shared>, mut next: Duration) {
    let look = if shared.store.is_shared() { SHARED_SEARCH.min(safety_net(&shared)) } else { safety_net(&shared) };
    let at_all = if shared.store.is_shared() { SHARED_SEARCH_ALL } else { Duration::ZERO };
    // Monotonic: a wall clock that was ahead for a while would delay this.
    let mut looked = Instant::now();
    loop {
        let net = safety_net(&shared).saturating_sub(looked.elapsed()).max(Duration::from_millis(1));
        let noticed = tokio::select! {
            biased;
            () = shared.down() => return,
            () = shared.parked.notified() => true,
            () = tokio::time::sleep(next.min(jittered(look, shared.clock.now())).min(net)) => false,
        };
        if !shared.slots.is_open() {
            next = wake_first(&shared).await;
            continue;
        }
        let (since, has_capacity) = (looked.elapsed(), !shared.capacity.is_full(shared.busy()));
        if since >= safety_net(&shared) || has_capacity && since >= at_all && shared.capacity.take_left_behind() {
            looked = Instant::now();
            next = wake(&shared, Which::All).await;
            continue;
        }
        // Without a notification the sleep has ended; on a shared store it is short for this purpose.
        if has_capacity && (shared.capacity.take_waiting() || !noticed && shared.store.is_shared()) {
            wake(&shared, Which::Owing).await;
        }
        next = wake(&shared, Which::Timed).await;
    }
}
