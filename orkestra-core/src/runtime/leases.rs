//! The leases that this engine holds, renewed before they run out.
//!
//! A lease that could not be renewed ends its driver: somebody else may drive the run now. Should the driver write
//! before it hears of that, the store fences it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::RunId;
use crate::model::limits::READ_COMMITS_MAX;
use crate::store::Lease;

use super::engine::Shared;
use super::message::Message;

#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<RunId, Lease>>);

impl Leases {
    pub(super) fn add(&self, lease: Lease) {
        self.lock().insert(lease.run.clone(), lease);
    }

    pub(super) fn remove(&self, run: &RunId) {
        self.lock().remove(run);
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

/// Renews until the engine shuts down, three times in the life of a lease.
pub(super) async fn renew(shared: Arc<Shared>) {
    let period = (shared.lease / 3).max(Duration::from_millis(1));
    loop {
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = tokio::time::sleep(period) => {}
        }
        for leases in shared.leases.all().chunks(READ_COMMITS_MAX) {
            renew_some(&shared, leases).await;
        }
    }
}

async fn renew_some(shared: &Arc<Shared>, leases: &[Lease]) {
    let now = shared.clock.now();
    let until = shared.lease_until();
    match shared.store.renew(leases, now, until).await {
        Ok(held) => {
            for (lease, renewed) in leases.iter().zip(held) {
                if !renewed.held {
                    tracing::warn!(run = %lease.run, "the lease was lost, another engine drives the run");
                    lose(shared, lease).await;
                } else if renewed.mail {
                    // Whoever was to be told of it may not have heard.
                    shared.mail_for(&lease.run);
                }
            }
        }
        // It is tried again; a lease that runs out meanwhile is fenced by whoever takes it.
        Err(error) => tracing::warn!(%error, "leases could not be renewed"),
    }
}

async fn lose(shared: &Arc<Shared>, lease: &Lease) {
    let current = shared.leases.lock().get(&lease.run).is_some_and(|held| held.epoch == lease.epoch);
    if current && let Some(driver) = shared.live.sender(&lease.run) {
        // A driver that is gone needs not to be told.
        drop(driver.send(Message::LeaseLost).await);
    }
}
