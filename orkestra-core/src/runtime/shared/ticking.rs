//! What this engine knows about the schedules without reading the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::{Name, Timestamp};

use crate::runtime::error::Error;

/// The interface between the schedule ticker and the rest of the engine.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Ticking {
    changed: Notify,
    known: Mutex<Known>,
}

/// What is known of the schedules without asking the store.
#[derive(Clone, Debug, Default)]
pub(in crate::runtime) struct Known {
    /// The next fire times, except those of paused schedules.
    next: BTreeMap<Name, Timestamp>,
    /// Why fire times that have passed are not handled.
    problems: BTreeMap<Name, Error>,
    /// The time at which each next fire time was last checked against its rule, if it was checked since it was learnt.
    checked: BTreeMap<Name, Timestamp>,
}

impl Ticking {
    /// Returns when a schedule was changed.
    pub(in crate::runtime) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A schedule was changed.
    pub(in crate::runtime) fn look(&self) {
        self.changed.notify_one();
    }

    pub(in crate::runtime) fn problem(&self, name: &Name) -> Option<Error> {
        self.known().problems.get(name).cloned()
    }

    /// How many schedules wait for a time, the earliest time, and how many are held up.
    pub(in crate::runtime) fn glance(&self) -> (usize, Option<Timestamp>, usize) {
        let known = self.known();
        (known.next.len(), known.next.values().min().copied(), known.problems.len())
    }

    pub(in crate::runtime) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the result of handling a schedule.
    pub(in crate::runtime) fn note(&self, name: Name, result: Result<Option<Timestamp>, Error>, again: Timestamp) {
        let mut known = self.known();
        match result {
            // It may have been checked by a clock that was ahead at that moment.
            Ok(next) => {
                known.problems.remove(&name);
                known.checked.remove(&name);
                known.learn(name, next);
            }
            Err(error) => {
                tracing::warn!(schedule = %name, %error, "cannot handle a schedule; trying again");
                known.problems.insert(name.clone(), error);
                known.learn(name, Some(again));
            }
        }
    }
}

impl Known {
    /// A copy of the next fire times.
    pub(in crate::runtime) fn next(&self) -> BTreeMap<Name, Timestamp> {
        self.next.clone()
    }

    /// Forgets all schedules but `names`, which are sorted.
    pub(in crate::runtime) fn keep(&mut self, names: &[Name]) {
        self.next.retain(|name, _| names.binary_search(name).is_ok());
        self.problems.retain(|name, _| names.binary_search(name).is_ok());
        self.checked.retain(|name, _| names.binary_search(name).is_ok());
    }

    /// Whether this next fire time was checked before, and time has gone forward since: then it is not too late.
    pub(in crate::runtime) fn is_known(&self, name: &Name, next: Option<Timestamp>, now: Timestamp) -> bool {
        self.checked.get(name).is_some_and(|checked| *checked <= now) && self.next.get(name).copied() == next
    }

    /// Learns a next fire time that was checked at `now`.
    pub(in crate::runtime) fn learn_checked(&mut self, name: Name, next: Option<Timestamp>, now: Timestamp) {
        self.checked.insert(name.clone(), now);
        self.learn(name, next);
    }

    pub(in crate::runtime) fn learn(&mut self, name: Name, next: Option<Timestamp>) {
        match next {
            Some(next) => drop(self.next.insert(name, next)),
            None => {
                self.problems.remove(&name);
                self.next.remove(&name);
            }
        }
    }
}
