//! Leases, kept in memory: only one process has the store open, so no other process can hold one.
//!
//! An epoch is the boot number and a counter, so that epochs are never reused. Claiming a lease writes nothing.

use std::collections::{HashMap, HashSet};

use orkestra_core::model::{Epoch, RunId, Timestamp, WorkerId};
use orkestra_core::store::Lease;

use super::error::BackendError;
use super::recent::RecentRuns;

/// The leases of all runs.
pub(crate) struct Leases {
    held: HashMap<RunId, Lease>,
    /// Epochs of the newest claims. They fence old owners after the leases have ended.
    newest: RecentRuns<Epoch>,
    /// An upper bound of the epochs evicted from `newest`.
    forgotten: Epoch,
    /// Runs being written to, by commits that were not fenced when they were planned.
    writing: HashSet<RunId>,
    boot: u32,
    granted: u32,
}

impl Leases {
    /// Creates an empty table for the boot number `boot`.
    pub(crate) fn new(boot: u32) -> Self {
        Self {
            held: HashMap::new(),
            newest: RecentRuns::default(),
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
    ) -> Result<Option<Lease>, BackendError> {
        if self.held.get(run).is_some_and(|lease| lease.worker != *worker && lease.holds_at(now)) {
            return Ok(None);
        }
        let exhausted = || {
            let epochs = u32::MAX;
            BackendError::Invalid(format!(
                "cannot claim run `{run}`: all {epochs} epochs of this opening are used; reopen the store"
            ))
        };
        self.granted = self.granted.checked_add(1).ok_or_else(exhausted)?;
        let epoch = Epoch(u64::from(self.boot) << 32 | u64::from(self.granted));
        let lease = Lease { run: run.clone(), worker: worker.clone(), epoch, until };
        self.held.insert(run.clone(), lease.clone());
        if let Some(forgotten) = self.newest.set(run, epoch) {
            self.forgotten = forgotten.fold(self.forgotten, Epoch::max);
        }
        Ok(Some(lease))
    }

    /// Extends `lease`. Returns whether it was still held.
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

    /// Whether a worker holds a lease on `run` at `now`.
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

    /// Sets the runs being written to: the ends of their journals are not known yet.
    pub(crate) fn set_writing(&mut self, runs: impl Iterator<Item = RunId>) {
        self.writing.clear();
        self.writing.extend(runs);
    }

    /// Whether any of `runs` is being written to.
    pub(crate) fn are_written<'a>(&self, mut runs: impl Iterator<Item = &'a RunId>) -> bool {
        runs.any(|run| self.writing.contains(run))
    }

    /// The epoch that fences `epoch` from writing to `run`, if there is one.
    pub(crate) fn fence(&self, run: &RunId, epoch: Epoch) -> Option<Epoch> {
        let held = self.held.get(run).map(|lease| lease.epoch);
        match held.or_else(|| self.newest.get(run)) {
            Some(newest) => Some(newest).filter(|newest| *newest > epoch),
            // The claim of `epoch` was evicted, and the lease has ended: another worker may have claimed the run since.
            None => Some(self.forgotten).filter(|forgotten| epoch > Epoch(0) && *forgotten >= epoch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_after_the_last_epoch_of_an_opening_is_refused() {
        let mut leases = Leases { granted: u32::MAX - 1, ..Leases::new(7) };
        let (run, worker) = (RunId::new("r").expect("an id"), WorkerId::new("w").expect("a name"));
        let mut claim = || leases.claim(&run, &worker, Timestamp::ZERO, Timestamp::from_millis(9));
        let last = claim().expect("one is left").expect("the run is free");
        assert_eq!(last.epoch, Epoch((7 << 32) + u64::from(u32::MAX)));
        for _ in 0..2 {
            assert_eq!(
                claim().expect_err("none is left").at("./data").to_string(),
                "cannot claim run `r`: all 4294967295 epochs of this opening are used; reopen the store"
            );
        }
    }
}
