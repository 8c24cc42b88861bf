//! The leases that this engine holds, renewed before they run out.
//!
//! A lease that was lost ends its driver, and so does one that could not be renewed until it ran out: somebody else may
//! drive the run now. Should the driver write before it hears of that, the store fences it.
//!
//! IMPORTANT: a driver hears of it at once, whatever it waits for: not through its mailbox, which it may not come to read while the
//! store is silent. Nothing here waits for a driver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::model::limits::READ_COMMITS_MAX;
use crate::model::{RunId, Timestamp};
use crate::store::Lease;

use crate::runtime::shared::Shared;
use crate::runtime::support::ownership::Ownership;
use crate::runtime::support::timeout::SILENT;

#[derive(Debug)]
struct OwnedLease {
    lease: Lease,
    /// When it runs out, by a clock that nobody sets. None when its driver was told that it is lost.
    ends: Option<Instant>,
    /// What the run's driver and tasks know of it.
    ownership: Arc<Ownership>,
}

#[derive(Debug, Default)]
pub(in crate::runtime) struct Leases(Mutex<HashMap<RunId, OwnedLease>>);

impl Leases {
    /// Keeps what was just claimed. The ownership is told when it is lost.
    pub(in crate::runtime) fn add(&self, lease: Lease, now: Timestamp, ownership: Arc<Ownership>) {
        let ends = Instant::now() + lease.until.since(now);
        ownership.lasts_until(ends);
        self.lock().insert(lease.run.clone(), OwnedLease { lease, ends: Some(ends), ownership });
    }

    pub(in crate::runtime) fn remove(&self, run: &RunId) {
        self.lock().remove(run);
    }

    /// The lease of the run, while this engine holds it.
    pub(in crate::runtime) fn of(&self, run: &RunId) -> Option<Lease> {
        self.lock().get(run).filter(|held| held.ends.is_some()).map(|held| held.lease.clone())
    }

    fn renewed(&self, lease: &Lease, until: Timestamp, ends: Instant) {
        if let Some(owned) = self.lock().get_mut(&lease.run).filter(|owned| owned.lease.epoch == lease.epoch) {
            owned.lease.until = until;
            if owned.ends.is_some() {
                owned.ends = Some(ends);
                owned.ownership.lasts_until(ends);
            }
        }
    }

    fn lose(&self, lease: &Lease) {
        if let Some(owned) = self.lock().get_mut(&lease.run).filter(|owned| owned.lease.epoch == lease.epoch) {
            owned.lose();
        }
    }

    /// Loses those that have run out by `now`; answers when the next one will.
    fn lose_ended(&self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for owned in self.lock().values_mut() {
            match owned.ends {
                Some(ends) if ends <= now => {
                    tracing::warn!(run = %owned.lease.run, "a lease ran out, another engine may drive the run");
                    owned.lose();
                }
                Some(ends) => next = Some(next.map_or(ends, |next| next.min(ends))),
                None => {}
            }
        }
        next
    }

    fn all(&self) -> Vec<Lease> {
        let mut leases: Vec<_> = self.lock().values().map(|owned| owned.lease.clone()).collect();
        leases.sort_unstable_by(|one, other| one.run.cmp(&other.run));
        leases
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, OwnedLease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnedLease {
    fn lose(&mut self) {
        self.ends = None;
        self.ownership.end();
    }
}

/// Renews until the engine shuts down, three times in the life of a lease; more often while it does not go well.
pub(in crate::runtime) async fn renew(shared: Arc<Shared>) {
    let period = (shared.lease / 3).max(Duration::from_millis(1));
    let mut wait = period;
    loop {
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let mut calls = JoinSet::new();
        for leases in shared.leases.all().chunks(READ_COMMITS_MAX) {
            calls.spawn(renew_some(Arc::clone(&shared), leases.to_vec(), period));
        }
        let all_well = calls.join_all().await.into_iter().all(|well| well);
        wait = if all_well { period } else { (period / 8).max(Duration::from_millis(1)) };
    }
}

/// Whether the store answered.
async fn renew_some(shared: Arc<Shared>, leases: Vec<Lease>, patience: Duration) -> bool {
    let (now, began) = (shared.clock.now(), Instant::now());
    let until = shared.lease_until();
    let ends = began + until.since(now);
    // A store that is cut off may not even say so.
    let renewed = tokio::time::timeout(patience, shared.store.renew(&leases, now, until)).await;
    let why = match renewed {
        Ok(Ok(renewed)) => {
            for (lease, renewed) in leases.iter().zip(renewed) {
                if !renewed.held {
                    tracing::warn!(run = %lease.run, "the lease was lost, another engine drives the run");
                    shared.leases.lose(lease);
                    continue;
                }
                shared.leases.renewed(lease, until, ends);
                if renewed.mail {
                    // Whoever was to be told of it may not have heard.
                    shared.look_into_inbox(&lease.run);
                }
            }
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => SILENT.to_owned(),
    };
    tracing::warn!(why, "leases could not be renewed");
    // Others may drive these runs by now: whatever a task does here from now on is done beside them.
    let now = shared.clock.now();
    leases.iter().filter(|lease| !lease.holds_at(now)).for_each(|lease| shared.leases.lose(lease));
    false
}

/// Ends drivers at the moment that their leases run out, whether the store has answered or not, until the engine shuts
/// down. For a store that others write to: elsewhere nobody can take a run.
pub(in crate::runtime) async fn end(shared: Arc<Shared>) {
    // A process that did not run for a while may renew before anybody has noticed.
    let grace = (shared.lease / 24).max(Duration::from_millis(1));
    loop {
        let next = shared.leases.lose_ended(Instant::now());
        // What is claimed meanwhile does not run out before that.
        let next = next.unwrap_or_else(|| Instant::now() + shared.lease / 2);
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        if next.elapsed() > grace {
            tokio::time::sleep(grace).await;
        }
    }
}
