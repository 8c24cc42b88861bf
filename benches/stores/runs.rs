//! Commits of runs that nobody drives: of one event each, as long as a small step's. No store looks inside of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use orkestra::event::RunStatus;
use orkestra::model::{Epoch, Name, RunId, Seq, Timestamp};
use orkestra::store::{Append, RunRecord, Written};

use crate::{Anything, disk};

/// A run, and how far it has come.
pub(crate) struct Run {
    record: RunRecord,
    last: Seq,
}

impl Run {
    /// A run that is not there yet.
    pub(crate) fn new(id: &str, created_at: u64) -> Anything<Self> {
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

    /// Its next commit. The first brings a record.
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
