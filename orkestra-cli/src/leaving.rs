//! A store that keeps quiet about some runs, so that an engine on it leaves them alone.
//!
//! An engine goes on with every unfinished run that its store calls due. A terminal's user asked for one of them: going
//! on with the others would spend money and change files behind their back. All else passes through.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{
    Append, AppendError, Claimed, Due, DueQuery, Lease, Letter, LetterId, Listener, Page, Renewed, RunQuery, RunRecord,
    Snapshot, Store, StoreError, Versioned,
};

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

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn identity(&self) -> usize {
        self.store.identity()
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

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        // NOTE: so many more, or a page full of runs that are left alone would hide those behind it.
        let limit = query.limit.saturating_add(self.left.len());
        let mut due = self.store.due(&DueQuery { limit, ..query.clone() }).await?;
        due.runs.retain(|run| !self.left.contains(&run.id));
        if let Some(first) = due.runs.get(query.limit) {
            due.next = Some(first.wake_at);
            due.runs.truncate(query.limit);
        }
        Ok(due)
    }

    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError> {
        self.store.claim(runs, worker, now, until).await
    }

    async fn renew(&self, leases: &[Lease], now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        self.store.renew(leases, now, until).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.store.release(leases).await
    }

    async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.store.release_all(worker).await
    }

    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        self.store.send(run, body).await
    }

    async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError> {
        self.store.letters(run, after, limit).await
    }

    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
        self.store.discard(run, letters).await
    }

    fn listen(&self) -> Box<dyn Listener> {
        self.store.listen()
    }

    async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.store.put_snapshot(run, snapshot).await
    }

    async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError> {
        self.store.snapshot(run).await
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        self.store.delete(run).await
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.put_blob(run, key, bytes).await
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.blob(run, key).await
    }

    async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        self.store.blob_keys(run).await
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
