//! Queries for the runs that need a driver, page by page.

use crate::model::{RunId, Timestamp};

/// Which runs to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueQuery {
    /// The current time: leases that have expired by then do not count.
    pub now: Timestamp,
    /// Only runs whose wake-up time is at or before this time.
    pub until: Timestamp,
    /// Only runs after this one: the last run of the previous page.
    pub after: Option<DueCursor>,
    /// The maximum number of runs.
    pub limit: usize,
}

impl DueQuery {
    /// The first `limit` runs that are due at `now`.
    #[must_use]
    pub const fn at(now: Timestamp, limit: usize) -> Self {
        Self { now, until: now, after: None, limit }
    }
}

/// A run that needs a driver. Also a position in the order of wake-up times, right after that run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueCursor {
    /// When it needs a driver.
    pub wake_at: Timestamp,
    /// The run.
    pub id: RunId,
}

/// Runs that need a driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The runs, by wake-up time and then by id.
    pub runs: Vec<DueCursor>,
    /// The earliest wake-up time of the runs without a lease that follow this page: after `until`, or over the limit.
    pub next: Option<Timestamp>,
}
