//! Leases, in memory: one process alone has the store open, so nobody else can hold one.
//!
//! An epoch is the number of times the store was opened and a counter, so that none ever comes back; claiming a lease
//! writes nothing.

use std::collections::{HashMap, HashSet};

use orkestra_core::model::{Epoch, RunId, Timestamp, WorkerId};
use orkestra_core::store::Lease;

use super::error::Trouble;
use super::lately::Lately;

/// Who drives what.
pub(crate) struct Leases {
    held: HashMap<RunId, Lease>,
    /// The epochs of the newest claims. They fence when the leases are long gone.
    newest: Lately<Epoch>,
    /// No claim with a higher epoch than this is missing from `newest`.
    forgotten: Epoch,
    /// Runs that are just written to, by commits that were not fenced when they were planned.
    writing: HashSet<RunId>,
    boot: u32,
    granted: u32,
}

impl Leases {
    /// None yet, since the store was opened for the `boot`-th time.
    pub(crate) fn new(boot: u32) -> Self {
        Self {
            held: HashMap::new(),
            newest: Lately::default(),
            forgotten: Epoch(0),
            writing: HashSet::new(),
            boot,
            granted: 0,
        }
    }

    pub(crate) fn claim(
        &mut self,
        run: &RunId,
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, Trouble> {
        if self.held.get(run).is_some_and(|lease| lease.worker != *worker && lease.holds_at(now)) {
            return Ok(None);
        }
        let exhausted = || Trouble::Invalid("four thousand million leases were claimed: open the store anew".into());
        self.granted = self.granted.checked_add(1).ok_or_else(exhausted)?;
        let epoch = Epoch(u64::from(self.boot) << 32 | u64::from(self.granted));
        let lease = Lease { run: run.clone(), worker: worker.clone(), epoch, until };
        self.held.insert(run.clone(), lease.clone());
        if let Some(forgotten) = self.newest.set(run, epoch) {
            self.forgotten = forgotten.fold(self.forgotten, Epoch::max);
        }
        Ok(Some(lease))
    }

    /// Whether `lease` was still there to be renewed.
    pub(crate) fn renew(&mut self, lease: &Lease, until: Timestamp) -> bool {
        let held = self.held.get_mut(&lease.run).filter(|held| held.epoch == lease.epoch);
        held.map(|held| held.until = until).is_some()
    }

    pub(crate) fn release_all(&mut self, worker: &WorkerId) {
        self.held.retain(|_, lease| lease.worker != *worker);
    }

    pub(crate) fn release(&mut self, lease: &Lease) {
        if self.held.get(&lease.run).is_some_and(|held| held.epoch == lease.epoch) {
            self.held.remove(&lease.run);
        }
    }

    /// Whether anyone drives `run`.
    pub(crate) fn holds(&self, run: &RunId, now: Timestamp) -> bool {
        self.of(run).is_some_and(|lease| lease.holds_at(now))
    }

    /// The lease of `run`, unless it was released. It may have run out.
    pub(crate) fn of(&self, run: &RunId) -> Option<&Lease> {
        self.held.get(run)
    }

    pub(crate) fn forget(&mut self, run: &RunId) {
        self.held.remove(run);
        self.newest.forget(run);
    }

    /// Says which runs are just written to: it is not known yet where their journals end.
    pub(crate) fn set_writing(&mut self, runs: impl Iterator<Item = RunId>) {
        self.writing.clear();
        self.writing.extend(runs);
    }

    /// Whether one of `runs` is just written to.
    pub(crate) fn are_written<'a>(&self, mut runs: impl Iterator<Item = &'a RunId>) -> bool {
        runs.any(|run| self.writing.contains(run))
    }

    /// The epoch that keeps `epoch` from writing to `run`.
    pub(crate) fn fence(&self, run: &RunId, epoch: Epoch) -> Option<Epoch> {
        let held = self.held.get(run).map(|lease| lease.epoch);
        match held.or_else(|| self.newest.get(run)) {
            Some(newest) => Some(newest).filter(|newest| *newest > epoch),
            // Who holds nothing and claimed so long ago has given it back, or lost it: it may have been claimed since.
            None => Some(self.forgotten).filter(|forgotten| epoch > Epoch(0) && *forgotten >= epoch),
        }
    }
}
