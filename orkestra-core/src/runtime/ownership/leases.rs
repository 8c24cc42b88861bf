//! The leases of this engine, renewed before they expire.
//!
//! If a lease is lost, or could not be renewed before it expired, its driver is ended: another engine may drive the run
//! now. If the driver writes before it notices, the store fences it.
//!
//! IMPORTANT: a driver is notified at once, whatever it waits for: not through its channel, which it may not read while
//! the store does not answer. Nothing here waits for a driver.

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
    /// When it expires, on the monotonic clock; `None` once its driver was notified that it is lost.
    ends: Option<Instant>,
    /// What the run's driver and tasks see of it.
    ownership: Arc<Ownership>,
}

#[derive(Debug, Default)]
pub(in crate::runtime) struct Leases(Mutex<HashMap<RunId, OwnedLease>>);

impl Leases {
    /// Keeps a lease that was just claimed. `ownership` is notified when it is lost.
    pub(in crate::runtime) fn add(&self, lease: Lease, now: Timestamp, ownership: Arc<Ownership>) {
        let ends = Instant::now() + lease.until.since(now);
        ownership.extend(ends);
        self.lock().insert(lease.run.clone(), OwnedLease { lease, ends: Some(ends), ownership });
    }

    pub(in crate::runtime) fn remove(&self, run: &RunId) {
        self.lock().remove(run);
    }

    /// The run's lease, if this engine owns the run.
    pub(in crate::runtime) fn of(&self, run: &RunId) -> Option<Lease> {
        self.lock().get(run).filter(|held| held.ends.is_some()).map(|held| held.lease.clone())
    }

    fn renewed(&self, lease: &Lease, until: Timestamp, ends: Instant) {
        if let Some(owned) = self.lock().get_mut(&lease.run).filter(|owned| owned.lease.epoch == lease.epoch) {
            owned.lease.until = until;
            if owned.ends.is_some() {
                owned.ends = Some(ends);
                owned.ownership.extend(ends);
            }
        }
    }

    fn lose(&self, lease: &Lease) {
        if let Some(owned) = self.lock().get_mut(&lease.run).filter(|owned| owned.lease.epoch == lease.epoch) {
            owned.lose();
        }
    }

    /// Loses the leases that have expired by `now`; returns when the next one expires.
    fn lose_expired(&self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for owned in self.lock().values_mut() {
            match owned.ends {
                Some(ends) if ends <= now => {
                    tracing::warn!(run = %owned.lease.run, "a lease expired; another engine may drive the run");
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
        self.ownership.lose();
    }
}

/// Renews leases until the engine shuts down, three times per lease duration; more often while it fails.
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

/// Renews some leases; returns whether the store answered.
async fn renew_some(shared: Arc<Shared>, leases: Vec<Lease>, patience: Duration) -> bool {
    let (now, began) = (shared.clock.now(), Instant::now());
    let until = shared.lease_until();
    let ends = began + until.since(now);
    // A store that is cut off may not answer at all.
    let renewed = tokio::time::timeout(patience, shared.store.renew(&leases, now, until)).await;
    let why = match renewed {
        Ok(Ok(renewed)) => {
            for (lease, renewed) in leases.iter().zip(renewed) {
                if !renewed.held {
                    tracing::warn!(run = %lease.run, "a lease was lost; another engine drives the run");
                    shared.leases.lose(lease);
                    continue;
                }
                shared.leases.renewed(lease, until, ends);
                if renewed.mail {
                    // The notification of the letter may have been missed.
                    shared.notify_inbox(&lease.run);
                }
            }
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => SILENT.to_owned(),
    };
    tracing::warn!(why, "cannot renew leases");
    // Other engines may drive these runs by now: whatever a task does here would be concurrent with them.
    let now = shared.clock.now();
    leases.iter().filter(|lease| !lease.holds_at(now)).for_each(|lease| shared.leases.lose(lease));
    false
}

/// Ends drivers at the moment their leases expire, whether the store has answered or not, until the engine shuts down.
/// For a shared store only: elsewhere no other engine can take a run.
pub(in crate::runtime) async fn end(shared: Arc<Shared>) {
    // A process that was suspended may still renew before another engine has noticed.
    let grace = (shared.lease / 24).max(Duration::from_millis(1));
    loop {
        let next = shared.leases.lose_expired(Instant::now());
        // A lease that is claimed in the meantime does not expire before this.
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
