//! Run records: a summary of each run without its journal, and the queries over them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::kernel::{Outcome, RunState, RunStatus, Undo, wake_at};
use crate::model::{Name, RunId, Timestamp};

/// The summary of a run. Written together with the commit that changes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's id.
    pub id: RunId,
    /// The run's workflow.
    pub workflow: Name,
    /// The run's status.
    pub status: RunStatus,
    /// Labels to find the run by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The short fingerprint of the plan it started with; `None` once the plan has grown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The run that waits for it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
    /// When it needs a driver: [`Timestamp::ZERO`] for now, `None` when it waits only for an outside action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Which nodes were compensated and which were not, for a run that ended without completing and had nodes to
    /// compensate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
}

impl RunRecord {
    /// The record of a state.
    #[must_use]
    pub fn of(state: &RunState) -> Self {
        Self {
            id: state.id().clone(),
            workflow: state.plan().workflow().clone(),
            status: state.status(),
            labels: state.labels().clone(),
            plan: (!state.plan().has_grown()).then(|| state.plan().fingerprint().short()),
            parent: state.options().parent.as_ref().map(|parent| parent.run.clone()),
            created_at: state.created_at(),
            updated_at: state.updated_at(),
            wake_at: wake_at(state),
            outcome: state.outcome().cloned(),
            undo: state.undo().filter(|_| state.status().is_final()),
        }
    }

    /// Whether this record is still up to date for `state`.
    #[must_use]
    pub fn tells(&self, state: &RunState) -> bool {
        self.status == state.status() && self.wake_at == wake_at(state)
    }
}

/// Which runs to list. By default the newest hundred of all runs.
///
/// ```
/// use orkestra_core::prelude::*;
///
/// let live = RunQuery { statuses: RunStatus::LIVE.into(), ..RunQuery::default() };
/// assert!(live.asks_for(RunStatus::Paused) && !live.asks_for(RunStatus::Completed));
/// ```
#[derive(Clone, Debug)]
pub struct RunQuery {
    /// Only runs of one of these statuses; an empty set means any status.
    pub statuses: BTreeSet<RunStatus>,
    /// Only runs of this status, or of one of `statuses`.
    #[deprecated(note = "use `statuses`, which takes several")]
    pub status: Option<RunStatus>,
    /// Only runs of this workflow.
    pub workflow: Option<Name>,
    /// Only runs with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Only runs that this run started and waits for.
    pub parent: Option<RunId>,
    /// Only runs created at this time or later.
    pub created_from: Option<Timestamp>,
    /// Only runs created before this time.
    pub created_until: Option<Timestamp>,
    /// Only runs after this one: the last run of the previous page.
    pub cursor: Option<ListCursor>,
    /// The maximum number of runs.
    pub limit: usize,
}

impl Default for RunQuery {
    #[expect(deprecated, reason = "the old field is read for one release more")]
    fn default() -> Self {
        Self {
            statuses: BTreeSet::new(),
            status: None,
            workflow: None,
            labels: BTreeMap::new(),
            parent: None,
            created_from: None,
            created_until: None,
            cursor: None,
            limit: 100,
        }
    }
}

impl RunQuery {
    /// All requested statuses; an empty set means any status. Stores use this rather than the fields.
    #[must_use]
    #[expect(deprecated, reason = "the old field is read for one release more")]
    pub fn wanted_statuses(&self) -> BTreeSet<RunStatus> {
        self.statuses.iter().copied().chain(self.status).collect()
    }

    /// Whether the query includes runs of this status.
    #[must_use]
    #[expect(deprecated, reason = "the old field is read for one release more")]
    pub fn asks_for(&self, status: RunStatus) -> bool {
        let is_any = self.statuses.is_empty() && self.status.is_none();
        is_any || self.statuses.contains(&status) || self.status == Some(status)
    }

    /// Whether `record` matches the query, apart from cursor and limit.
    #[must_use]
    pub fn matches(&self, record: &RunRecord) -> bool {
        let labelled = self.labels.iter().all(|(key, value)| record.labels.get(key) == Some(value));
        labelled
            && self.asks_for(record.status)
            && self.workflow.as_ref().is_none_or(|workflow| record.workflow == *workflow)
            && self.parent.as_ref().is_none_or(|parent| record.parent.as_ref() == Some(parent))
            && self.created_from.is_none_or(|from| record.created_at >= from)
            && self.created_until.is_none_or(|until| record.created_at < until)
    }
}

/// A position in a list of runs, newest first: right after a run. Stays valid when runs are added or deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListCursor {
    /// When the run was created.
    pub created_at: Timestamp,
    /// The run.
    pub id: RunId,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` after the last page.
    pub next: Option<ListCursor>,
}
