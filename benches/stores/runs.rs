//! Commits of artificial runs, with one event each, as long as that of a small step. Stores do not look inside commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use orkestra::event::RunStatus;
use orkestra::model::{Epoch, Name, RunId, Seq, Timestamp};
use orkestra::store::{Append, RunRecord, Written};

use crate::{BenchResult, disk};

/// A run and its last position.
pub(crate) struct Run {
    record: RunRecord,
    last: Seq,
}

impl Run {
    /// A run that is not created yet.
    pub(crate) fn new(id: &str, created_at: u64) -> BenchResult<Self> {
        let created_at = Timestamp::from_millis(created_at);
        let record = RunRecord {
            id: RunId::new(id)?,
            workflow: Name::new("measured")?,
            status: RunStatus::Running,
            labels: BTreeMap::new(),
            plan: None,
            parent: None,
            created_at,
            updated_at: created_at,
            wake_at: None,
            outcome: None,
            undo: None,
        };
        Ok(Self { record, last: Seq::ZERO })
    }

    pub(crate) fn id(&self) -> &RunId {
        &self.record.id
    }

    /// Its next commit. The first one has a record.
    pub(crate) fn commit(&mut self) -> Append {
        let record = (self.last == Seq::ZERO).then(|| self.record.clone());
        self.commit_with(record)
    }

    /// Its last commit, which changes the record.
    pub(crate) fn complete(&mut self) -> Append {
        self.record.status = RunStatus::Completed;
        let record = Some(self.record.clone());
        self.commit_with(record)
    }

    fn commit_with(&mut self, record: Option<RunRecord>) -> Append {
        self.last = self.last.plus(1);
        let (run, first, last) = (self.record.id.clone(), self.last, self.last);
        let commit = Written { run, first, last, epoch: Epoch(0), body: Arc::from(disk::RECORD) };
        Append { commit, record, taken: Vec::new() }
    }
}
