//! What the parts of the shell have in common: background jobs, panics, time limits, patience with the store.

pub(super) mod drain;
pub(super) mod jobs;
pub(super) mod ownership;
pub(super) mod panics;
pub(super) mod patience;
pub(super) mod timeout;
pub(super) mod watch;
