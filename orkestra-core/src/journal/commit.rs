//! Commits: the events of one decision, which become durable together or not at all.

use std::sync::Arc;

use crate::kernel::Event;
use crate::model::{Epoch, RunId, Seq, Timestamp};

/// The events of one decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The run.
    pub run: RunId,
    /// The position of the first event.
    pub first: Seq,
    /// The epoch of the lease under which it was decided.
    pub epoch: Epoch,
    /// When it was decided.
    pub at: Timestamp,
    /// The events, at least one.
    pub events: Vec<Event>,
}

impl Commit {
    /// The position of the last event.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + self.events.len() as u64 - 1)
    }
}

/// A commit as stores keep it: its positions, its epoch for fencing, and its encoded body. Stores never look inside the
/// body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The run.
    pub run: RunId,
    /// The position of the first event.
    pub first: Seq,
    /// The position of the last event.
    pub last: Seq,
    /// The epoch of the lease under which it was decided.
    pub epoch: Epoch,
    /// The encoded commit.
    pub body: Arc<[u8]>,
}
