//! The trait for a backend's own store, which is its [`Handle`](super::handle::Handle) in a type of its own: every method is
//! handed on. Nothing is ever done here.

/// `store!(SledStore, "sled")`: the trait for a store whose only field is its handle.
macro_rules! store {
    ($store:ty, $backend:literal) => {
        #[async_trait]
        impl Store for $store {
            fn describe(&self) -> String {
                self.0.describe($backend)
            }

            fn identity(&self) -> usize {
                self.0.identity()
            }

            async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
                self.0.append(batch).await
            }

            async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError> {
                self.0.read(run, from, limit).await
            }

            async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
                self.0.record(run).await
            }

            async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError> {
                self.0.list(query).await
            }

            async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
                self.0.due(query).await
            }

            async fn claim(
                &self,
                runs: &[RunId],
                worker: &WorkerId,
                now: Timestamp,
                until: Timestamp,
            ) -> Result<Vec<Option<Claimed>>, StoreError> {
                self.0.claim(runs, worker, now, until).await
            }

            async fn renew(
                &self,
                leases: &[Lease],
                _now: Timestamp,
                until: Timestamp,
            ) -> Result<Vec<Renewed>, StoreError> {
                self.0.renew(leases, until).await
            }

            async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
                self.0.release(leases).await
            }

            async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError> {
                self.0.release_all(worker).await
            }

            async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
                self.0.send(run, body).await
            }

            async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError> {
                self.0.letters(run, after, limit).await
            }

            async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
                self.0.discard(run, letters).await
            }

            fn listen(&self) -> Box<dyn Listener> {
                self.0.listen()
            }

            async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
                self.0.put_snapshot(run, snapshot).await
            }

            async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError> {
                self.0.snapshot(run).await
            }

            async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
                self.0.delete(run).await
            }

            async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
                self.0.put_blob(run, key, bytes).await
            }

            async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
                self.0.blob(run, key).await
            }

            async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
                self.0.blob_keys(run).await
            }

            async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
                self.0.get(key).await
            }

            async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
                self.0.put(key, expected, bytes).await
            }

            async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
                self.0.keys(prefix, limit).await
            }
        }
    };
}

pub(crate) use store;

/// What the macro names.
pub(crate) mod names {
    pub(crate) use async_trait::async_trait;

    pub(crate) use orkestra_core::journal::Written;
    pub(crate) use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
    pub(crate) use orkestra_core::store::{
        Append, AppendError, Claimed, Due, DueQuery, Lease, Letter, LetterId, Listener, Page, Renewed, RunQuery,
        RunRecord, Snapshot, Store, StoreError, Versioned,
    };
}
