//! Which runs need a driver, and how they are asked for page by page.

use crate::model::{RunId, Timestamp};

/// Which runs to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueQuery {
    /// What time it is: leases that have run out hold nothing.
    pub now: Timestamp,
    /// Only runs whose wake-up time is not after this one.
    pub until: Timestamp,
    /// Only runs after the last one of a page before.
    pub after: Option<DueCursor>,
    /// How many at most.
    pub limit: usize,
}

impl DueQuery {
    /// The first `limit` runs that are due at `now`.
    #[must_use]
    pub const fn at(now: Timestamp, limit: usize) -> Self {
        Self { now, until: now, after: None, limit }
    }
}

/// A run that needs a driver, which is also the place after it in the order of wake-up times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueCursor {
    /// When it needs one.
    pub wake_at: Timestamp,
    /// The run.
    pub id: RunId,
}

/// Runs that need a driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The runs, earliest first, those of the same time by id.
    pub runs: Vec<DueCursor>,
    /// The earliest wake-up time of the free runs that follow: after `until`, or over the limit.
    pub next: Option<Timestamp>,
}
