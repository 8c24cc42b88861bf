//! Who drives which run: claims, leases, the runs in memory, and what wakes the others.

pub(super) mod capacity;
pub(super) mod claims;
pub(super) mod damaged;
pub(super) mod inbox;
pub(super) mod leases;
pub(super) mod live;
pub(super) mod neighbours;
pub(super) mod waker;
