//! Wrappers: stores around other stores. A wrapper implements only what it changes; everything else goes to the inner
//! store.

mod forward;
mod method;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::journal::Written;
use crate::model::{RunId, Seq, Timestamp, WorkerId};

use super::{
    Append, AppendError, Claimed, Due, DueQuery, Lease, LeaseState, Letter, LetterId, Listener, Page, Renewed,
    RunQuery, RunRecord, Snapshot, Store, StoreError, Versioned,
};

pub use method::StoreMethod;

/// A store around another store, which changes some methods and forwards the others. Each wrapper is a [`Store`].
///
/// Only [`inner`](Self::inner) is required. Implement a method to change it, and call the same method of the inner
/// store from it if needed. Methods are plain `async fn`. To do the same for every call (count, time, log, or fail it),
/// implement only [`around`](Self::around).
///
/// ```
/// use orkestra_core::prelude::*;
/// use orkestra_core::store::{StoreError, StoreErrorKind, StoreWrapper};
///
/// /// Keeps no blob that is longer than a limit.
/// struct SmallBlobs<S> {
///     inner: S,
///     bytes_max: usize,
/// }
///
/// impl<S: Store> StoreWrapper for SmallBlobs<S> {
///     fn inner(&self) -> &dyn Store {
///         &self.inner
///     }
///
///     async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
///         if bytes.len() > self.bytes_max {
///             return Err(StoreError::new(StoreErrorKind::Invalid, format!("cannot keep `{key}`: it is too long")));
///         }
///         self.inner.put_blob(run, key, bytes).await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SmallBlobs { inner: MemoryStore::new(), bytes_max: 1024 };
/// let engine = Engine::builder().store(store).start().await?;
/// # engine.shutdown().await;
/// # Ok(()) }
/// ```
///
/// The wrapper replaces the inner store, so it must keep the promises of [`Store`] as well. It has the inner store's
/// [`identity`](Store::identity): engines on either of them work on the same runs. A wrapper costs one allocation per
/// call, like a hand-written [`Store`].
///
/// Both traits have methods of the same names. Where both are imported, call a wrapper through `&dyn Store`, or write
/// `Store::read(&wrapper, …)`.
pub trait StoreWrapper: Send + Sync + 'static {
    /// The store that all calls go to.
    fn inner(&self) -> &dyn Store;

    /// Called around each method that is forwarded to the inner store by default. Awaiting `call` makes the call; the
    /// returned value goes to the caller. A method that the wrapper implements itself does not pass through here unless
    /// it calls `around`.
    ///
    /// [`describe`](Self::describe), [`is_shared`](Self::is_shared), [`identity`](Self::identity) and
    /// [`listen`](Self::listen) cannot fail and do not pass through here either.
    ///
    /// An error for [`append`](Store::append) becomes the result of every commit of the batch: [`AppendError::Failed`]
    /// if `call` was never polled, [`AppendError::Unknown`] if it was, because the batch may have been written.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// use orkestra_core::store::{MemoryStore, Store, StoreError, StoreMethod, StoreWrapper};
    ///
    /// /// Counts the calls that fail.
    /// struct Counting {
    ///     inner: MemoryStore,
    ///     failed: AtomicU64,
    /// }
    ///
    /// impl StoreWrapper for Counting {
    ///     fn inner(&self) -> &dyn Store {
    ///         &self.inner
    ///     }
    ///
    ///     async fn around<T: Send>(
    ///         &self,
    ///         method: StoreMethod,
    ///         call: impl Future<Output = Result<T, StoreError>> + Send,
    ///     ) -> Result<T, StoreError> {
    ///         let answer = call.await;
    ///         if let Err(error) = &answer {
    ///             self.failed.fetch_add(1, Ordering::Relaxed);
    ///             eprintln!("{method} failed: {error}");
    ///         }
    ///         answer
    ///     }
    /// }
    /// ```
    fn around<T: Send>(
        &self,
        method: StoreMethod,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        // Unused by this default.
        let _ = method;
        call
    }

    /// [`Store::describe`] of the inner store.
    fn describe(&self) -> String {
        self.inner().describe()
    }

    /// [`Store::is_shared`] of the inner store.
    fn is_shared(&self) -> bool {
        self.inner().is_shared()
    }

    /// [`Store::identity`] of the inner store.
    fn identity(&self) -> usize {
        self.inner().identity()
    }

    /// [`Store::append`] of the inner store.
    fn append(&self, batch: Vec<Append>) -> impl Future<Output = Vec<Result<(), AppendError>>> + Send {
        async move {
            let (count, is_begun) = (batch.len(), AtomicBool::new(false));
            let call = async {
                is_begun.store(true, Ordering::Relaxed);
                Ok(self.inner().append(batch).await)
            };
            let refused: AppendError = match self.around(StoreMethod::Append, call).await {
                Ok(answers) => return answers,
                Err(error) if is_begun.load(Ordering::Relaxed) => AppendError::Unknown(error.to_string()),
                Err(error) => error.into(),
            };
            vec![Err(refused); count]
        }
    }

    /// [`Store::read`] of the inner store.
    fn read(
        &self,
        run: &RunId,
        from: Seq,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Written>, StoreError>> + Send {
        async move { self.around(StoreMethod::Read, self.inner().read(run, from, limit)).await }
    }

    /// [`Store::record`] of the inner store.
    fn record(&self, run: &RunId) -> impl Future<Output = Result<Option<RunRecord>, StoreError>> + Send {
        async move { self.around(StoreMethod::Record, self.inner().record(run)).await }
    }

    /// [`Store::list`] of the inner store.
    fn list(&self, query: &RunQuery) -> impl Future<Output = Result<Page<RunRecord>, StoreError>> + Send {
        async move { self.around(StoreMethod::List, self.inner().list(query)).await }
    }

    /// [`Store::due`] of the inner store.
    fn due(&self, query: &DueQuery) -> impl Future<Output = Result<Due, StoreError>> + Send {
        async move { self.around(StoreMethod::Due, self.inner().due(query)).await }
    }

    /// [`Store::claim`] of the inner store.
    fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Vec<Option<Claimed>>, StoreError>> + Send {
        async move { self.around(StoreMethod::Claim, self.inner().claim(runs, worker, now, until)).await }
    }

    /// [`Store::renew`] of the inner store.
    fn renew(
        &self,
        leases: &[Lease],
        now: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Vec<Renewed>, StoreError>> + Send {
        async move { self.around(StoreMethod::Renew, self.inner().renew(leases, now, until)).await }
    }

    /// [`Store::release`] of the inner store.
    fn release(&self, leases: &[Lease]) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.around(StoreMethod::Release, self.inner().release(leases)).await }
    }

    /// [`Store::release_all`] of the inner store.
    fn release_all(&self, worker: &WorkerId) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.around(StoreMethod::ReleaseAll, self.inner().release_all(worker)).await }
    }

    /// [`Store::lease`] of the inner store.
    fn lease(&self, run: &RunId, now: Timestamp) -> impl Future<Output = Result<LeaseState, StoreError>> + Send {
        async move { self.around(StoreMethod::Lease, self.inner().lease(run, now)).await }
    }

    /// [`Store::send`] of the inner store.
    fn send(&self, run: &RunId, body: &[u8]) -> impl Future<Output = Result<LetterId, StoreError>> + Send {
        async move { self.around(StoreMethod::Send, self.inner().send(run, body)).await }
    }

    /// [`Store::letters`] of the inner store.
    fn letters(
        &self,
        run: &RunId,
        after: LetterId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Letter>, StoreError>> + Send {
        async move { self.around(StoreMethod::Letters, self.inner().letters(run, after, limit)).await }
    }

    /// [`Store::discard`] of the inner store.
    fn discard(&self, run: &RunId, letters: &[LetterId]) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.around(StoreMethod::Discard, self.inner().discard(run, letters)).await }
    }

    /// [`Store::listen`] of the inner store.
    fn listen(&self) -> Box<dyn Listener> {
        self.inner().listen()
    }

    /// [`Store::put_snapshot`] of the inner store.
    fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.around(StoreMethod::PutSnapshot, self.inner().put_snapshot(run, snapshot)).await }
    }

    /// [`Store::snapshot`] of the inner store.
    fn snapshot(&self, run: &RunId) -> impl Future<Output = Result<Option<Snapshot>, StoreError>> + Send {
        async move { self.around(StoreMethod::Snapshot, self.inner().snapshot(run)).await }
    }

    /// [`Store::delete`] of the inner store.
    fn delete(&self, run: &RunId) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.around(StoreMethod::Delete, self.inner().delete(run)).await }
    }

    /// [`Store::put_blob`] of the inner store.
    fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.around(StoreMethod::PutBlob, self.inner().put_blob(run, key, bytes)).await }
    }

    /// [`Store::blob`] of the inner store.
    fn blob(&self, run: &RunId, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send {
        async move { self.around(StoreMethod::Blob, self.inner().blob(run, key)).await }
    }

    /// [`Store::blob_keys`] of the inner store.
    fn blob_keys(&self, run: &RunId) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        async move { self.around(StoreMethod::BlobKeys, self.inner().blob_keys(run)).await }
    }

    /// [`Store::get`] of the inner store.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Versioned>, StoreError>> + Send {
        async move { self.around(StoreMethod::Get, self.inner().get(key)).await }
    }

    /// [`Store::put`] of the inner store.
    fn put(
        &self,
        key: &str,
        expected: u64,
        bytes: &[u8],
    ) -> impl Future<Output = Result<Option<u64>, StoreError>> + Send {
        async move { self.around(StoreMethod::Put, self.inner().put(key, expected, bytes)).await }
    }

    /// [`Store::keys`] of the inner store.
    fn keys(&self, prefix: &str, limit: usize) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        async move { self.around(StoreMethod::Keys, self.inner().keys(prefix, limit)).await }
    }
}
