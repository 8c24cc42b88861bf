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
                run: &RunId,
                worker: &WorkerId,
                now: Timestamp,
                until: Timestamp,
            ) -> Result<Option<Lease>, StoreError> {
                self.0.claim(run, worker, now, until).await
            }

            async fn renew(&self, leases: &[Lease], now: Timestamp, until: Timestamp) -> Result<Vec<bool>, StoreError> {
                self.0.renew(leases, now, until).await
            }

            async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
                self.0.release(lease).await
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
        Append, AppendError, Due, DueQuery, Lease, Page, RunQuery, RunRecord, Store, StoreError, Versioned,
    };
}
