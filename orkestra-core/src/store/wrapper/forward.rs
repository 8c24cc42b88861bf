//! Makes every wrapper a store: each method of [`Store`] calls the wrapper's method of the same name.

use async_trait::async_trait;

use crate::journal::Written;
use crate::model::{RunId, Seq, Timestamp, WorkerId};
use crate::store::{
    Append, AppendError, Claimed, Due, DueQuery, Lease, LeaseState, Letter, LetterId, Listener, Page, Renewed,
    RunQuery, RunRecord, Snapshot, Store, StoreError, Versioned,
};

use super::StoreWrapper;

// IMPORTANT: every method is forwarded, also those with a default body, which a wrapper must not answer itself. Clippy
// finds a missing one.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<W: StoreWrapper> Store for W {
    fn describe(&self) -> String {
        StoreWrapper::describe(self)
    }

    fn is_shared(&self) -> bool {
        StoreWrapper::is_shared(self)
    }

    fn identity(&self) -> usize {
        StoreWrapper::identity(self)
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        StoreWrapper::append(self, batch).await
    }

    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError> {
        StoreWrapper::read(self, run, from, limit).await
    }

    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        StoreWrapper::record(self, run).await
    }

    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError> {
        StoreWrapper::list(self, query).await
    }

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        StoreWrapper::due(self, query).await
    }

    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError> {
        StoreWrapper::claim(self, runs, worker, now, until).await
    }

    async fn renew(&self, leases: &[Lease], now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        StoreWrapper::renew(self, leases, now, until).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        StoreWrapper::release(self, leases).await
    }

    async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError> {
        StoreWrapper::release_all(self, worker).await
    }

    async fn lease(&self, run: &RunId, now: Timestamp) -> Result<LeaseState, StoreError> {
        StoreWrapper::lease(self, run, now).await
    }

    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        StoreWrapper::send(self, run, body).await
    }

    async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError> {
        StoreWrapper::letters(self, run, after, limit).await
    }

    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
        StoreWrapper::discard(self, run, letters).await
    }

    fn listen(&self) -> Box<dyn Listener> {
        StoreWrapper::listen(self)
    }

    async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        StoreWrapper::put_snapshot(self, run, snapshot).await
    }

    async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError> {
        StoreWrapper::snapshot(self, run).await
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        StoreWrapper::delete(self, run).await
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        StoreWrapper::put_blob(self, run, key, bytes).await
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        StoreWrapper::blob(self, run, key).await
    }

    async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        StoreWrapper::blob_keys(self, run).await
    }

    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        StoreWrapper::get(self, key).await
    }

    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        StoreWrapper::put(self, key, expected, bytes).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        StoreWrapper::keys(self, prefix, limit).await
    }
}
