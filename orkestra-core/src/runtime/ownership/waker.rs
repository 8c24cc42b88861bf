//! Finds runs that need a driver: at start those of the process before, later those whose time has come.
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

/// How often the store is asked although nothing is known to be due: another engine's runs may have become free.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// How often a store that other processes write to is asked for runs that they let go.
const SHARED_LOOK: Duration = Duration::from_millis(250);

/// How often such a store is asked for all runs when some were found that another engine let go: others may wait for slots that it
/// does not grant any more. All of them are read then, hence not each time.
const SHARED_LOOK_AT_ALL: Duration = Duration::from_secs(2);

/// When a store is asked again that did not say what is due.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How many runs of the process before are driven at once before the next ones are looked for: they are all read from
/// the store, and each costs memory.
const BREATH: Duration = Duration::from_millis(1);

/// Which of the runs that are due are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those that a process before left, before any slot is granted.
    First,
    /// All: those too that this process should know of, which owe work or wait for slots.
    All,
    /// Those that owe work or have letters.
    Owing,
    /// Those whose time has come.
    Timed,
}

/// How often the store is asked that did not say what a process before left.
const FIRST_AGAIN: Duration = Duration::from_millis(250);

/// Drives the runs that a process before left, all of them; answers how long nothing will be due.
///
/// IMPORTANT: slots are granted only when one whole look has gone well. A run that nobody has asked may hold some.
pub(in crate::runtime) async fn wake_first(shared: &Arc<Shared>) -> Duration {
    match panics::guard(look(shared, Which::First)).await {
        Ok(Ok(next)) => {
            shared.slots.open();
            return next;
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store does not say what was left: nothing is granted before it does");
        }
        Err(panic) => tracing::error!(panic, "the first look at the store panicked"),
    }
    FIRST_AGAIN
}

/// Drives the runs that are due now, as far as there is room; answers how long nothing will be.
async fn wake(shared: &Arc<Shared>, which: Which) -> Duration {
    match look(shared, which).await {
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(%error, "the store does not say which runs are due");
            LOOK_AGAIN.min(safety_net(shared))
        }
    }
}

/// The same; an error when the store did not tell all.
async fn look(shared: &Arc<Shared>, which: Which) -> Result<Duration, StoreError> {
    let safety_net = safety_net(shared);
    // Slots that are held by a run that nobody has asked would be granted again.
    let all_at_once = which == Which::First && !shared.slots.none();
    shared.blocked.remove_due();
    let mut after = if which == Which::Timed { Some(behind_the_queue()) } else { None };
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
                shared.capacity.some_wait();
                if which == Which::All {
                    shared.capacity.some_left();
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
                    shared.capacity.some_left();
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

/// The longest time without a look at everything.
fn safety_net(shared: &Shared) -> Duration {
    SAFETY_NET.min(shared.lease)
}

/// The place behind all runs that owe work or wait for slots.
fn behind_the_queue() -> DueCursor {
    let id = RunId::new("z".repeat(RUN_ID_BYTES_MAX)).expect("letters are a run id");
    DueCursor { wake_at: QUEUED_AT, id }
}

/// A half of `look` to all of it. Engines that looked in step would leave everything to the one that is always first.
fn uneven(look: Duration, now: Timestamp) -> Duration {
    // The golden ratio spreads what is close together: Knuth, The Art of Computer Programming 3, 6.4.
    let spread = now.as_millis().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    look / 2 + look / 2 * u32::try_from(spread).unwrap_or_default() / 64
}

/// Wakes runs until the engine shuts down.
pub(in crate::runtime) async fn watch(shared: Arc<Shared>, mut next: Duration) {
    let look = if shared.store.is_shared() { SHARED_LOOK.min(safety_net(&shared)) } else { safety_net(&shared) };
    let at_all = if shared.store.is_shared() { SHARED_LOOK_AT_ALL } else { Duration::ZERO };
    // By a clock that nobody sets: one that was ahead for a while would put this off.
    let mut looked = Instant::now();
    loop {
        let net = safety_net(&shared).saturating_sub(looked.elapsed()).max(Duration::from_millis(1));
        let noticed = tokio::select! {
            biased;
            () = shared.down() => return,
            () = shared.parked.notified() => true,
            () = tokio::time::sleep(next.min(uneven(look, shared.clock.now())).min(net)) => false,
        };
        if !shared.slots.is_open() {
            next = wake_first(&shared).await;
            continue;
        }
        let (since, has_capacity) = (looked.elapsed(), !shared.capacity.is_full(shared.busy()));
        if since >= safety_net(&shared) || has_capacity && since >= at_all && shared.capacity.take_left() {
            looked = Instant::now();
            next = wake(&shared, Which::All).await;
            continue;
        }
        // Without a notice the sleep has ended: on a store that others write to it is short for this.
        if has_capacity && (shared.capacity.take_waiting() || !noticed && shared.store.is_shared()) {
            wake(&shared, Which::Owing).await;
        }
        next = wake(&shared, Which::Timed).await;
    }
}
