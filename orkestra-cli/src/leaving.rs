//! A store that keeps quiet about some runs, so that an engine on it leaves them alone.
//!
//! An engine goes on with every unfinished run that its store calls due. A terminal's user asked for one of them: going
//! on with the others would spend money and change files behind their back. All else passes through.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{Append, AppendError, Due, Lease, Page, RunQuery, RunRecord, Store, StoreError, Versioned};

/// A store that never calls the runs in `left` due.
pub(crate) struct Leaving {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) left: BTreeSet<RunId>,
}

#[async_trait]
impl Store for Leaving {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        self.store.append(batch).await
    }

    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError> {
        self.store.read(run, from, limit).await
    }

    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.store.record(run).await
    }

    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError> {
        self.store.list(query).await
    }

    async fn due(&self, until: Timestamp, limit: usize) -> Result<Due, StoreError> {
        // NOTE: so many more, or a page full of runs that are left alone would hide those behind it.
        let mut due = self.store.due(until, limit.saturating_add(self.left.len())).await?;
        due.runs.retain(|run| !self.left.contains(run));
        if due.runs.len() > limit {
            due.runs.truncate(limit);
            due.next = Some(until);
        }
        Ok(due)
    }

    async fn claim(&self, run: &RunId, worker: &WorkerId, until: Timestamp) -> Result<Option<Lease>, StoreError> {
        self.store.claim(run, worker, until).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.store.release(lease).await
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        self.store.delete(run).await
    }

    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.store.get(key).await
    }

    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        self.store.put(key, expected, bytes).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.store.keys(prefix, limit).await
    }
}
