//! Waits for the earliest fire time of all schedules.
//!
//! It keeps the next fire times in memory, sleeps until the first of them, and reads the store anew when a schedule was
//! changed through this engine, and now and then because of the others'.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;

use crate::model::{Name, Timestamp};

use super::fire::advance;
use super::stored::{Stored, load, names};
use crate::runtime::error::Error;
use crate::runtime::shared::Shared;

/// How often the store is asked although nothing is known to be due: another engine may have changed a schedule.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// When a schedule is tried again whose run could not be started.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How many schedules are dealt with at once, when many fire at the same time.
const AT_ONCE: usize = 16;

/// What the rest of the engine can tell the ticker, and ask it.
#[derive(Debug, Default)]
pub(in super::super) struct Ticking {
    changed: Notify,
    known: Mutex<Known>,
}

/// What is known of the schedules without asking the store.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Known {
    /// The next fire times, those of paused schedules left out.
    next: BTreeMap<Name, Timestamp>,
    /// Why fire times wait that have passed.
    problems: BTreeMap<Name, Error>,
    /// By which time each next fire time was last found to be no later than its rule says, if it was since it was learnt.
    checked: BTreeMap<Name, Timestamp>,
}

impl Ticking {
    /// A schedule was changed.
    pub(in super::super) fn look(&self) {
        self.changed.notify_one();
    }

    pub(super) fn problem(&self, name: &Name) -> Option<Error> {
        self.known().problems.get(name).cloned()
    }

    /// How many schedules wait for a time, the next of all, and how many are held up.
    pub(in super::super) fn glance(&self) -> (usize, Option<Timestamp>, usize) {
        let known = self.known();
        (known.next.len(), known.next.values().min().copied(), known.problems.len())
    }

    /// When a schedule is to be dealt with next. To find its next fire time costs something, hence only for one that is new or
    /// when the clock was put back.
    fn next_of(&self, name: &Name, stored: Option<Stored>, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let Some(stored) = stored.filter(|stored| !stored.paused) else { return Ok(None) };
        if self.known().is_known(name, stored.next, now) {
            return Ok(stored.next);
        }
        let next = stored.next_at(&stored.schedule.times()?, now);
        // What a clock that was ahead wrote down is put right at once.
        Ok(if next == stored.next { next } else { Some(now) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of dealing with a schedule.
    fn note(&self, name: Name, result: Result<Option<Timestamp>, Error>, again: Timestamp) {
        let mut known = self.known();
        match result {
            // What it was found by may have been a clock that was ahead for that moment.
            Ok(next) => {
                known.problems.remove(&name);
                known.checked.remove(&name);
                known.learn(name, next);
            }
            Err(error) => {
                tracing::warn!(schedule = %name, %error, "the runs of a schedule wait");
                known.problems.insert(name.clone(), error);
                known.learn(name, Some(again));
            }
        }
    }
}

impl Known {
    /// Forgets all but these, which are in order.
    fn keep(&mut self, names: &[Name]) {
        self.next.retain(|name, _| names.binary_search(name).is_ok());
        self.problems.retain(|name, _| names.binary_search(name).is_ok());
        self.checked.retain(|name, _| names.binary_search(name).is_ok());
    }

    /// Whether this next fire time was checked before, and time has gone forward since: then it is not too far away.
    fn is_known(&self, name: &Name, next: Option<Timestamp>, now: Timestamp) -> bool {
        self.checked.get(name).is_some_and(|checked| *checked <= now) && self.next.get(name).copied() == next
    }

    /// Learns a next fire time that was checked by the time `now`.
    fn learn_checked(&mut self, name: Name, next: Option<Timestamp>, now: Timestamp) {
        self.checked.insert(name.clone(), now);
        self.learn(name, next);
    }

    fn learn(&mut self, name: Name, next: Option<Timestamp>) {
        match next {
            Some(next) => drop(self.next.insert(name, next)),
            None => {
                self.problems.remove(&name);
                self.next.remove(&name);
            }
        }
    }
}

/// Starts runs when their time has come, until the engine shuts down.
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
            () = shared.schedules.changed.notified() => None,
            () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => Some(looked_at),
        };
    }
}

/// Learns the next fire times of all schedules.
async fn read_all(shared: &Arc<Shared>) {
    let now = shared.clock.now();
    let all = match names(&*shared.store).await {
        Ok(all) => all,
        Err(error) => {
            tracing::warn!(%error, "the schedules cannot be read");
            return;
        }
    };
    shared.schedules.known().keep(&all);
    for name in all {
        match load(&*shared.store, &name).await {
            Ok((_, stored)) => match shared.schedules.next_of(&name, stored, now) {
                Ok(next) => shared.schedules.known().learn_checked(name, next, now),
                Err(error) => shared.schedules.note(name, Err(error), again(shared)),
            },
            Err(error) => shared.schedules.note(name, Err(error), again(shared)),
        }
    }
}

/// Deals with all that is due; answers how long nothing will be.
async fn fire_due(shared: &Arc<Shared>) -> Duration {
    let now = shared.clock.now();
    let next = shared.schedules.known().next.clone();
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
