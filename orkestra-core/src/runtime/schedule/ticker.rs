//! The background task that waits for the earliest fire time of all schedules.
//!
//! It keeps the next fire times in memory and sleeps until the first of them. It reads the store again when a schedule
//! was changed through this engine, and periodically because other engines may have changed one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::model::{Name, Timestamp};

use super::fire::advance;
use super::stored::{Stored, load, names};
use crate::runtime::error::Error;
use crate::runtime::shared::Shared;
use crate::runtime::shared::ticking::Ticking;

/// How often the store is read although nothing is known to be due: another engine may have changed a schedule.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// The delay before retrying a schedule whose run could not be started.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How many schedules are handled concurrently when many fire at the same time.
const AT_ONCE: usize = 16;

/// When a schedule must be handled next. Computing a fire time is expensive, so it is done only for a new schedule or
/// when the clock went back.
fn next_of(ticking: &Ticking, name: &Name, stored: Option<Stored>, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let Some(stored) = stored.filter(|stored| !stored.paused) else { return Ok(None) };
    if ticking.known().is_known(name, stored.next, now) {
        return Ok(stored.next);
    }
    let next = stored.next_at(&stored.schedule.times()?, now);
    // A fire time stored by a clock that was ahead is corrected at once.
    Ok(if next == stored.next { next } else { Some(now) })
}

/// Starts runs at their fire times, until the engine shuts down.
pub(in super::super) async fn tick(shared: Arc<Shared>) {
    let mut looked = None;
    loop {
        let now = shared.clock.now();
        let looked_at = match looked.filter(|looked| now.since(*looked) < SAFETY_NET && *looked <= now) {
            Some(looked) => looked,
            None => {
                read_all(&shared).await;
                now
            }
        };
        let wait = fire_due(&shared).await;
        let wait = wait.min(SAFETY_NET.saturating_sub(shared.clock.now().since(looked_at)));
        looked = tokio::select! {
            biased;
            () = shared.down() => return,
            () = shared.schedules.changed() => None,
            () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => Some(looked_at),
        };
    }
}

/// Reads the next fire times of all schedules.
async fn read_all(shared: &Arc<Shared>) {
    let now = shared.clock.now();
    let all = match names(&*shared.store).await {
        Ok(all) => all,
        Err(error) => {
            tracing::warn!(%error, "cannot read the schedules; trying again");
            return;
        }
    };
    shared.schedules.known().keep(&all);
    for name in all {
        match load(&*shared.store, &name).await {
            Ok((_, stored)) => match next_of(&shared.schedules, &name, stored, now) {
                Ok(next) => shared.schedules.known().learn_checked(name, next, now),
                Err(error) => shared.schedules.note(name, Err(error), again(shared)),
            },
            Err(error) => shared.schedules.note(name, Err(error), again(shared)),
        }
    }
}

/// Handles every schedule that is due; returns how long until the next one is.
async fn fire_due(shared: &Arc<Shared>) -> Duration {
    let now = shared.clock.now();
    let next = shared.schedules.known().next();
    let due = next.into_iter().filter(|(_, at)| *at <= now).map(|(name, _)| name);
    let advance = |name: Name| async move { (advance(shared, &name).await, name) };
    let mut done = stream::iter(due).map(advance).buffer_unordered(AT_ONCE);
    while let Some((result, name)) = done.next().await {
        shared.schedules.note(name, result, again(shared));
    }
    let next = shared.schedules.glance().1;
    next.map_or(SAFETY_NET, |next| next.since(shared.clock.now()).clamp(Duration::from_millis(1), SAFETY_NET))
}

fn again(shared: &Shared) -> Timestamp {
    shared.clock.now().saturating_add(TRY_AGAIN)
}
