//! Leases: the right to drive a run.

use crate::model::{Epoch, RunId, Seq, Timestamp, WorkerId};

/// The right to drive a run, until it expires or is released. Its epoch fences all earlier owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// The worker that owns it.
    pub worker: WorkerId,
    /// The fencing number, higher than all earlier epochs of the run.
    pub epoch: Epoch,
    /// When it expires.
    pub until: Timestamp,
}

impl Lease {
    /// Whether it has not expired at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until > now
    }
}

/// Whether a worker owns a run, as far as the store can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseState {
    /// The store cannot tell.
    Unknown,
    /// No worker does.
    Free,
    /// A worker does, by this lease.
    Held(Lease),
}

impl LeaseState {
    /// The state of `lease` at `now`, for stores that keep the lease of each run.
    #[must_use]
    pub fn at(lease: Option<&Lease>, now: Timestamp) -> Self {
        lease.filter(|lease| lease.holds_at(now)).map_or(Self::Free, |lease| Self::Held(lease.clone()))
    }

    /// The lease, if a worker owns the run.
    #[must_use]
    pub fn held(self) -> Option<Lease> {
        match self {
            Self::Held(lease) => Some(lease),
            Self::Unknown | Self::Free => None,
        }
    }
}

/// The answer to a successful claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The lease.
    pub lease: Lease,
    /// The last position of the run's journal; [`Seq::ZERO`] when there is none.
    pub last: Seq,
    /// Whether the run's inbox has letters.
    pub mail: bool,
}

/// The answer to the renewal of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whether the lease is still owned.
    pub held: bool,
    /// Whether the run's inbox has letters; `false` when the lease is not owned.
    pub mail: bool,
}
