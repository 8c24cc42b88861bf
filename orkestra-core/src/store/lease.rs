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

/// Whether somebody holds a run, as far as a store can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseState {
    /// The store cannot tell.
    Unknown,
    /// Nobody does.
    Free,
    /// Somebody does, by this lease.
    Held(Lease),
}

impl LeaseState {
    /// The state of `lease` at `now`, for stores that keep the lease of each run.
    #[must_use]
    pub fn at(lease: Option<&Lease>, now: Timestamp) -> Self {
        lease.filter(|lease| lease.holds_at(now)).map_or(Self::Free, |lease| Self::Held(lease.clone()))
    }

    /// The lease by which somebody holds the run.
    #[must_use]
    pub fn held(self) -> Option<Lease> {
        match self {
            Self::Held(lease) => Some(lease),
            Self::Unknown | Self::Free => None,
        }
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
