//! Shared helpers of the runtime: background jobs, panics, time limits, retries.

pub(super) mod drain;
pub(super) mod jobs;
pub(super) mod ownership;
pub(super) mod panics;
pub(super) mod patience;
pub(super) mod timeout;
pub(super) mod watch;
