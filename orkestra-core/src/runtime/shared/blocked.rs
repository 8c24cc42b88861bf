//! The runs that should go on and that this engine does not drive, each with the reason.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::model::RunId;

use crate::runtime::error::Error;

/// Why a run is not driven.
struct Blocked {
    error: Error,
    /// When it is tried again, by a clock that nobody sets; only when somebody sends it something if there is none.
    retry_at: Option<Instant>,
}

/// The list of blocked runs.
#[derive(Default)]
pub(in crate::runtime) struct BlockedRuns(Mutex<BTreeMap<RunId, Blocked>>);

impl BlockedRuns {
    /// The run is not driven any more; it is tried again at `retry_at`, or when somebody sends it something.
    pub(in crate::runtime) fn add(&self, run: &RunId, error: Error, retry_at: Option<Instant>) {
        self.lock().insert(run.clone(), Blocked { error, retry_at });
    }

    /// The run is tried again, has ended, or was deleted.
    pub(in crate::runtime) fn remove(&self, run: &RunId) {
        self.lock().remove(run);
    }

    /// Removes the runs that are to be tried again by now. Another engine may have gone on with them.
    pub(in crate::runtime) fn remove_due(&self) {
        let now = Instant::now();
        self.lock().retain(|_, blocked| blocked.retry_at.is_none_or(|at| at > now));
    }

    /// All of them, by id.
    pub(in crate::runtime) fn all(&self) -> Vec<(RunId, Error)> {
        self.lock().iter().map(|(run, blocked)| (run.clone(), blocked.error.clone())).collect()
    }

    /// Why the run is not driven.
    pub(in crate::runtime) fn reason(&self, run: &RunId) -> Option<Error> {
        self.lock().get(run).map(|blocked| blocked.error.clone())
    }

    /// Whether the run is blocked and not to be tried again yet.
    pub(in crate::runtime) fn is_blocked(&self, run: &RunId) -> bool {
        let now = Instant::now();
        self.lock().get(run).is_some_and(|blocked| blocked.retry_at.is_none_or(|at| at > now))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Blocked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
