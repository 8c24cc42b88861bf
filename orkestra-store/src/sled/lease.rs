//! Leases, in memory: one process alone has the store open, so nobody else can hold one.
//!
//! An epoch is the number of times the store was opened and a counter, so that none ever comes back; claiming a lease
//! writes nothing.

use std::collections::HashMap;

use orkestra_core::model::{Epoch, RunId, Timestamp, WorkerId};
use orkestra_core::store::Lease;

use super::error::Trouble;

/// Who drives what.
pub(super) struct Leases {
    held: HashMap<RunId, Lease>,
    boot: u32,
    granted: u32,
}

impl Leases {
    /// None yet, since the store was opened for the `boot`-th time.
    pub(super) fn new(boot: u32) -> Self {
        Self { held: HashMap::new(), boot, granted: 0 }
    }

    pub(super) fn claim(&mut self, run: &RunId, worker: &WorkerId, until: Timestamp) -> Result<Option<Lease>, Trouble> {
        if self.held.get(run).is_some_and(|lease| lease.worker != *worker) {
            return Ok(None);
        }
        let exhausted = || Trouble::Invalid("four thousand million leases were claimed: open the store anew".into());
        self.granted = self.granted.checked_add(1).ok_or_else(exhausted)?;
        let epoch = Epoch(u64::from(self.boot) << 32 | u64::from(self.granted));
        let lease = Lease { run: run.clone(), worker: worker.clone(), epoch, until };
        self.held.insert(run.clone(), lease.clone());
        Ok(Some(lease))
    }

    pub(super) fn release(&mut self, lease: &Lease) {
        if self.held.get(&lease.run).is_some_and(|held| held.epoch == lease.epoch) {
            self.held.remove(&lease.run);
        }
    }

    /// Whether anyone drives `run`.
    pub(super) fn holds(&self, run: &RunId) -> bool {
        self.held.contains_key(run)
    }

    pub(super) fn forget(&mut self, run: &RunId) {
        self.held.remove(run);
    }

    /// The epoch that keeps `epoch` from writing to `run`.
    pub(super) fn fence(&self, run: &RunId, epoch: Epoch) -> Option<Epoch> {
        self.held.get(run).map(|lease| lease.epoch).filter(|held| *held > epoch)
    }
}
