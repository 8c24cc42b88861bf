//! Who drives which run: claims, leases, the runs in memory, and what wakes the others.

pub(super) mod claims;
pub(super) mod damaged;
pub(super) mod leases;
pub(super) mod live;
pub(super) mod mail;
pub(super) mod neighbours;
pub(super) mod room;
pub(super) mod waker;
