//! The handle: the methods of the trait, each a short way to a blocking thread and back.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{
    Append, AppendError, Bell, Claimed, Due, DueQuery, Lease, Letter, LetterId, ListCursor, Listener, Page, Renewed,
    RunQuery, RunRecord, Snapshot, Store, StoreError, StoreErrorKind, Versioned,
};

use super::options::{OpenReport, SledOptions};
use super::shared::Shared;
use super::view::View;
use crate::kv::check::{self, CheckReport};
use crate::kv::error::{Trouble, without_panic};
use crate::kv::threads::Threads;
use crate::kv::{keys, read, small, value};

/// Runs on disk, in one directory, open in one process at a time. Cheap to clone; dropping the last clone closes it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// use orkestra_store::SledStore;
///
/// let store = SledStore::open(directory.path().join("data"))?;
/// assert!(store.report().created);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SledStore {
    shared: Arc<Shared>,
    threads: Arc<Both>,
}

/// Who reads and who writes.
struct Both {
    readers: Threads,
    writer: Threads,
}

/// Two: one that reads all there is must not hold up the others.
const READERS: usize = 2;

impl SledStore {
    /// Opens the store in the directory `path` with the default options.
    ///
    /// # Errors
    /// Those of [`SledOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        SledOptions::default().open(path)
    }

    /// The options to open a store with.
    #[must_use]
    pub fn options() -> SledOptions {
        SledOptions::default()
    }

    /// What opening it found and did.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.shared.report
    }

    /// Reads and replays every journal, and compares the records and indexes with them. Writers wait meanwhile.
    ///
    /// # Errors
    /// `Damaged`, with the first thing that is not as it should be.
    pub async fn check(&self) -> Result<CheckReport, StoreError> {
        self.reading(|_, view| check::check(view)).await
    }

    pub(super) fn new(shared: Shared) -> io::Result<Self> {
        let (readers, writer) = (Threads::start("orkestra-read", READERS)?, Threads::start("orkestra-write", 1)?);
        Ok(Self { shared: Arc::new(shared), threads: Arc::new(Both { readers, writer }) })
    }

    // What is asked for is done to its end on threads of the store, whether the caller is polled or not: nobody who stops
    // polling holds up the others.

    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &View<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let done = self.threads.readers.call(move || {
            let core = &shared.core;
            core.healthy()?;
            without_panic(|| work(&shared, &core.view())).map_err(|trouble| core.told(trouble))
        });
        done.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let done = self.threads.writer.call(move || work(&shared));
        done.await.unwrap_or_else(|_| Err(panicked()))
    }
}

/// What can panic is caught where it is called; if something else did, nobody knows how far it came.
fn panicked() -> StoreError {
    StoreError::new(StoreErrorKind::Io, "a thread of the store has panicked")
}

fn not_yet() -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, "this store cannot do that yet")
}

#[async_trait]
impl Store for SledStore {
    fn describe(&self) -> String {
        format!("sled at {}", self.shared.core.path.display())
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        let count = batch.len();
        let refused = match self.writing(move |shared| shared.append(&batch)).await {
            Ok(answers) => return answers,
            Err(error) if error.kind() == StoreErrorKind::Poisoned => AppendError::Failed(error),
            Err(error) => AppendError::Unknown(error.to_string()),
        };
        vec![Err(refused); count]
    }

    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError> {
        let run = run.clone();
        self.reading(move |_, view| read::commits(view, &run, from, limit)).await
    }

    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let run = run.clone();
        self.reading(move |_, view| read::record(view, &run)).await
    }

    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError> {
        // One more than asked for tells whether there is a next page.
        let wanted = query.limit.saturating_add(1);
        let mut items: Vec<RunRecord> = Vec::new();
        let mut cursor = query.cursor.clone();
        loop {
            let (query, place, limit) = (query.clone(), cursor.take(), wanted - items.len());
            let list = move |_: &Shared, view: &View<'_>| read::list(view, &query, place.as_ref(), limit);
            let slice = self.reading(list).await?;
            items.extend(slice.records);
            cursor = slice.next;
            if cursor.is_none() || items.len() >= wanted {
                break;
            }
        }
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next =
            items.last().filter(|_| more).map(|last| ListCursor { created_at: last.created_at, id: last.id.clone() });
        Ok(Page { items, next })
    }

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        let query = query.clone();
        self.reading(move |shared, view| read::due(view, &query, |run| shared.leases().holds(run, query.now))).await
    }

    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError> {
        let mut claimed = Vec::with_capacity(runs.len());
        for run in runs {
            self.shared.core.healthy()?;
            let lease = self.shared.leases().claim(run, worker, now, until);
            let lease = lease.map_err(|trouble| self.shared.core.told(trouble))?;
            let owned = run.clone();
            let last = self.reading(move |_, view| read::last(view, &owned)).await?;
            claimed.push(lease.map(|lease| Claimed { lease, last, mail: false }));
        }
        Ok(claimed)
    }

    async fn renew(&self, leases: &[Lease], _now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        self.shared.core.healthy()?;
        let mut held = self.shared.leases();
        Ok(leases.iter().map(|lease| Renewed { held: held.renew(lease, until), mail: false }).collect())
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let mut held = self.shared.leases();
        leases.iter().for_each(|lease| held.release(lease));
        Ok(())
    }

    async fn release_all(&self, _worker: &WorkerId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn send(&self, _run: &RunId, _body: &[u8]) -> Result<LetterId, StoreError> {
        Err(not_yet())
    }

    async fn letters(&self, _run: &RunId, _after: LetterId, _limit: usize) -> Result<Vec<Letter>, StoreError> {
        Ok(Vec::new())
    }

    async fn discard(&self, _run: &RunId, _letters: &[LetterId]) -> Result<(), StoreError> {
        Err(not_yet())
    }

    fn listen(&self) -> Box<dyn Listener> {
        Bell::default().listen()
    }

    async fn put_snapshot(&self, _run: &RunId, _snapshot: &Snapshot) -> Result<(), StoreError> {
        Ok(())
    }

    async fn snapshot(&self, _run: &RunId) -> Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        let run = run.clone();
        self.writing(move |shared| shared.delete(&run)).await
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (run, key, bytes) = (run.clone(), key.to_owned(), bytes.to_vec());
        self.writing(move |shared| shared.put_blob(&run, &key, &bytes)).await
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = keys::blob(run, key);
        self.reading(move |_, view| Ok(value::get(view, &key)?.map(|(bytes, _)| bytes))).await
    }

    async fn blob_keys(&self, _run: &RunId) -> Result<Vec<String>, StoreError> {
        Err(not_yet())
    }

    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let key = key.to_owned();
        self.reading(move |_, view| small::get(view, &key)).await
    }

    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        let (key, bytes) = (key.to_owned(), bytes.to_vec());
        self.writing(move |shared| shared.put(&key, expected, &bytes)).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let prefix = prefix.to_owned();
        self.reading(move |_, view| small::keys(view, &prefix, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use orkestra_testkit::sample::SampleRun;

    use super::*;

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_told_until_it_is_opened_anew() {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let mut store = SledStore::open(directory.path()).expect("the store opens");
        let mut run = SampleRun::new("r");
        let created = run.create();
        assert_eq!(store.append(vec![created.clone()]).await, [Ok(())]);

        let shared = Arc::get_mut(&mut store.shared).expect("nobody else has it");
        let writer = shared.writer.get_mut().expect("nobody has panicked");
        writer.wal.break_syncs().expect("the device is there");
        let answers = store.append(vec![run.report(1), created.clone(), run.complete()]).await;
        assert!(
            matches!(answers[..], [Err(AppendError::Unknown(_)), Ok(()), Err(AppendError::Unknown(_))]),
            "what was durable before is, the rest cannot be told: {answers:?}"
        );

        let poisoned = |error: StoreError| assert_eq!(error.kind(), StoreErrorKind::Poisoned, "{error}");
        let answers = store.append(vec![created]).await;
        assert!(matches!(&answers[..], [Err(AppendError::Failed(error))] if error.kind() == StoreErrorKind::Poisoned));
        poisoned(store.put("k", 0, b"x").await.expect_err("it writes nothing any more"));
        poisoned(store.delete(run.id()).await.expect_err("it deletes nothing any more"));
        poisoned(store.read(run.id(), Seq(1), 9).await.expect_err("what it would read may not be durable"));

        drop(store);
        let store = SledStore::open(directory.path()).expect("the store opens anew");
        let journal = store.read(run.id(), Seq(1), 9).await.expect("it reads");
        assert!(!journal.is_empty());
        assert_eq!(store.append(vec![SampleRun::new("other").create()]).await, [Ok(())]);
    }
}
