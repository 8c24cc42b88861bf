//! The right to drive a run.

use crate::model::{Epoch, RunId, Timestamp, WorkerId};

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
