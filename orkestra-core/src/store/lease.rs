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
