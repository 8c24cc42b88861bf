//! The leases that this engine holds, renewed before they run out.
//!
//! A lease that was lost ends its driver, and so does one that could not be renewed until it ran out: somebody else may
//! drive the run now. Should the driver write before it hears of that, the store fences it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::limits::READ_COMMITS_MAX;
use crate::model::{RunId, Timestamp};
use crate::store::Lease;

use super::message::Message;
use super::shared::Shared;

#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<RunId, Lease>>);

impl Leases {
    pub(super) fn add(&self, lease: Lease) {
        self.lock().insert(lease.run.clone(), lease);
    }

    pub(super) fn remove(&self, run: &RunId) {
        self.lock().remove(run);
    }

    fn renewed(&self, lease: &Lease, until: Timestamp) {
        if let Some(held) = self.lock().get_mut(&lease.run).filter(|held| held.epoch == lease.epoch) {
            held.until = until;
        }
    }

    fn all(&self) -> Vec<Lease> {
        let mut leases: Vec<_> = self.lock().values().cloned().collect();
        leases.sort_unstable_by(|one, other| one.run.cmp(&other.run));
        leases
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews until the engine shuts down, three times in the life of a lease; more often while it does not go well.
pub(super) async fn renew(shared: Arc<Shared>) {
    let period = (shared.lease / 3).max(Duration::from_millis(1));
    let mut wait = period;
    loop {
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = period;
        for leases in shared.leases.all().chunks(READ_COMMITS_MAX) {
            if !renew_some(&shared, leases, period).await {
                wait = (period / 8).max(Duration::from_millis(1));
            }
        }
    }
}

/// Whether the store answered.
async fn renew_some(shared: &Arc<Shared>, leases: &[Lease], patience: Duration) -> bool {
    let now = shared.clock.now();
    let until = shared.lease_until();
    // A store that is cut off may not even say so.
    let renewed = tokio::time::timeout(patience, shared.store.renew(leases, now, until)).await;
    let why = match renewed {
        Ok(Ok(renewed)) => {
            for (lease, renewed) in leases.iter().zip(renewed) {
                if !renewed.held {
                    tracing::warn!(run = %lease.run, "the lease was lost, another engine drives the run");
                    lose(shared, lease).await;
                    continue;
                }
                shared.leases.renewed(lease, until);
                if renewed.mail {
                    // Whoever was to be told of it may not have heard.
                    shared.mail_for(&lease.run);
                }
            }
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the store does not answer".to_owned(),
    };
    tracing::warn!(why, "leases could not be renewed");
    // Others may drive these runs by now: whatever a task does here from now on is done beside them.
    let now = shared.clock.now();
    for lease in leases.iter().filter(|lease| !lease.holds_at(now)) {
        lose(shared, lease).await;
    }
    false
}

async fn lose(shared: &Arc<Shared>, lease: &Lease) {
    let current = shared.leases.lock().get(&lease.run).is_some_and(|held| held.epoch == lease.epoch);
    if current && let Some(driver) = shared.live.sender(&lease.run) {
        // A driver that is gone needs not to be told.
        drop(driver.send(Message::LeaseLost).await);
    }
}
