//! The right to drive a run.

use crate::model::{Epoch, RunId, Seq, Timestamp, WorkerId};

/// The right to drive a run, until it runs out or is released. Its epoch fences whoever held it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Who holds it.
    pub worker: WorkerId,
    /// Higher than every epoch before it.
    pub epoch: Epoch,
    /// When it runs out.
    pub until: Timestamp,
}

impl Lease {
    /// Whether it has not run out at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until > now
    }
}

/// What whoever claimed a run is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The right to drive it.
    pub lease: Lease,
    /// Where its journal ends; [`Seq::ZERO`] when there is none.
    pub last: Seq,
    /// Whether letters wait for it.
    pub mail: bool,
}

/// What whoever renewed a lease is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whether it is held still.
    pub held: bool,
    /// Whether letters wait for the run; `false` when it is not held.
    pub mail: bool,
}
