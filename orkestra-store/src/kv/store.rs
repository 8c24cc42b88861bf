//! The public embedded store, generic over its backend. Each method hands its work to a thread of the store.

use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{
    Append, AppendError, Claimed, Due, DueQuery, Lease, LeaseState, Letter, LetterId, ListCursor, Listener, Page,
    Renewed, RunQuery, RunRecord, Snapshot, Store, StoreError, StoreErrorKind, Versioned,
};
use tokio::sync::oneshot;

use super::backend::EmbeddedBackend;
use super::check::{self, CheckReport};
use super::error::{BackendError, io_error, without_panic};
use super::map::{Persistence, View};
use super::options::EmbeddedOptions;
use super::report::OpenReport;
use super::shared::{Opened, Sending, Shared, Writing};
use super::threads::Threads;
use super::{inbox, keys, read, remove, small, snapshot, value};

/// A store in one directory, open in one process at a time. `B` is the backend: [`SledStore`](crate::SledStore) and
/// `FjallStore` are aliases of this type. Cheap to clone. Dropping the last clone closes the store.
#[derive(Clone)]
pub struct EmbeddedStore<B> {
    shared: Arc<Shared>,
    threads: Arc<WorkerThreads>,
    backend: PhantomData<fn() -> B>,
}

struct WorkerThreads {
    readers: Threads,
    writer: Threads,
}

/// Two, so that one long read does not block all others.
const READERS: usize = 2;

impl<B: EmbeddedBackend> EmbeddedStore<B> {
    /// Opens the store in the directory `path` with the default options.
    ///
    /// # Errors
    /// Those of [`EmbeddedOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        EmbeddedOptions::default().open(path)
    }

    /// Options for opening a store.
    #[must_use]
    pub fn options() -> EmbeddedOptions<B> {
        EmbeddedOptions::default()
    }

    /// What opening the store found and did.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.shared.report
    }

    /// Replays every journal and compares records and indexes with the result. On sled, this blocks writers.
    ///
    /// Returns the number of runs and commits read.
    ///
    /// # Errors
    /// `Damaged`, with the first inconsistency found.
    pub async fn check(&self) -> Result<CheckReport, StoreError> {
        self.reading(|_, view| check::check(view)).await
    }

    pub(crate) fn new(opened: Opened) -> Result<Self, StoreError> {
        let place = opened.health.place();
        let start = || -> io::Result<WorkerThreads> {
            Ok(WorkerThreads {
                readers: Threads::start("orkestra-read", READERS)?,
                writer: Threads::start("orkestra-write", 1)?,
            })
        };
        let threads =
            start().map_err(|error| io_error(&format!("cannot start the threads of the store in {place}"), error))?;
        Ok(Self { shared: Arc::new(Shared::new(opened)), threads: Arc::new(threads), backend: PhantomData })
    }

    // Work runs to completion on threads of the store whether or not the caller is polled, so a caller that stops
    // polling does not block others.

    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &dyn View) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.on_reader(move |shared| work(shared, &*shared.map.view())).await
    }

    /// Like [`reading`](Self::reading), for work that takes its own view.
    async fn on_reader<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let done = self.threads.readers.call(move || {
            shared.health.check()?;
            without_panic(|| work(&shared)).map_err(|error| shared.health.error(error))
        });
        done.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.on_writer(move |shared| work(&mut shared.writing()?)).await
    }

    /// Like [`writing`](Self::writing), for work that locks the writer itself.
    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let done = self.threads.writer.call(move || work(&shared));
        done.await.unwrap_or_else(|_| Err(panicked()))
    }
}

/// Expected panics are caught where they happen. After any other, it is unknown how far the call came.
fn panicked() -> StoreError {
    StoreError::new(StoreErrorKind::Io, "a thread of the store panicked; it is unknown whether the call had an effect")
}

#[async_trait]
impl<B: EmbeddedBackend> Store for EmbeddedStore<B> {
    fn describe(&self) -> String {
        format!("{} at {}", B::NAME, self.shared.health.place())
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        let count = batch.len();
        let refused = match self.writing(move |writing| writing.append(&batch)).await {
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
        // One more than requested, to learn whether there is a next page.
        let wanted = query.limit.saturating_add(1);
        let mut items: Vec<RunRecord> = Vec::new();
        let mut cursor = query.cursor.clone();
        loop {
            let (query, place, limit) = (query.clone(), cursor.take(), wanted - items.len());
            let list = move |_: &Shared, view: &dyn View| read::list(view, &query, place.as_ref(), limit);
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
        let (runs, worker) = (runs.to_vec(), worker.clone());
        self.on_reader(move |shared| shared.claim(&runs, &worker, now, until)).await
    }

    async fn renew(&self, leases: &[Lease], _now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        self.shared.health.check()?;
        // Not on a reader thread: a lease must not expire because all readers are busy.
        let held: Vec<Option<RunId>> = {
            let mut held = self.shared.leases();
            leases.iter().map(|lease| held.renew(lease, until).then(|| lease.run.clone())).collect()
        };
        let renewed = |view: &dyn View, run: Option<RunId>| {
            let mail = run.as_ref().map_or(Ok(false), |run| inbox::has_letters(view, run))?;
            Ok(Renewed { held: run.is_some(), mail })
        };
        self.reading(move |_, view| held.into_iter().map(|run| renewed(view, run)).collect()).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let mut held = self.shared.leases();
        leases.iter().for_each(|lease| held.release(lease));
        Ok(())
    }

    async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.shared.leases().release_all(worker);
        Ok(())
    }

    async fn lease(&self, run: &RunId, now: Timestamp) -> Result<LeaseState, StoreError> {
        self.shared.health.check()?;
        Ok(LeaseState::at(self.shared.leases().of(run), now))
    }

    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.shared.post(Sending { run: run.clone(), body: body.to_vec(), answer });
        // The first sender to get the writer writes all letters queued by then.
        let write = |shared: &Shared| {
            shared.send_all();
            Ok(())
        };
        self.on_writer(write).await?;
        answered.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError> {
        let run = run.clone();
        self.reading(move |_, view| inbox::letters(view, &run, after, limit)).await
    }

    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
        let (run, letters) = (run.clone(), letters.to_vec());
        let discard = move |writing: &mut Writing<'_>| {
            let changes = writing.plan(|view, heads| inbox::discard(view, heads, &run, &letters))?;
            writing.write(changes, Persistence::AsOpened)
        };
        self.writing(discard).await
    }

    fn listen(&self) -> Box<dyn Listener> {
        self.shared.bell.listen()
    }

    async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        let (run, snapshot) = (run.clone(), snapshot.clone());
        let put = move |writing: &mut Writing<'_>| {
            if !writing.plan(|view, heads| heads.of(view, &run))?.has_journal() {
                // A later run with the same id would get the snapshot.
                return Ok(());
            }
            let changes = writing.plan(|view, _| snapshot::put(view, &run, &snapshot))?;
            writing.write(changes, Persistence::Cache)
        };
        self.writing(put).await
    }

    async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError> {
        let run = run.clone();
        self.reading(move |_, view| snapshot::get(view, &run)).await
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        let run = run.clone();
        let delete = move |writing: &mut Writing<'_>| {
            if let Some(changes) = writing.plan(|view, _| remove::run(view, &run))? {
                writing.write(changes, Persistence::AsOpened)?;
            }
            writing.forget(&run);
            Ok(())
        };
        self.writing(delete).await
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (run, key, bytes) = (run.clone(), key.to_owned(), bytes.to_vec());
        let put = move |writing: &mut Writing<'_>| {
            let changes = writing.plan(|view, _| small::put_blob(view, &run, &key, &bytes))?;
            writing.write(changes, Persistence::AsOpened)
        };
        self.writing(put).await
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = keys::blob(run, key);
        self.reading(move |_, view| Ok(value::get(view, &key)?.map(|(bytes, _)| bytes))).await
    }

    async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        let run = run.clone();
        self.reading(move |_, view| small::blob_keys(view, &run)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let key = key.to_owned();
        self.reading(move |_, view| small::get(view, &key)).await
    }

    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        let (key, bytes) = (key.to_owned(), bytes.to_vec());
        let put = move |writing: &mut Writing<'_>| {
            let Some((changes, version)) = writing.plan(|view, _| small::put(view, &key, expected, &bytes))? else {
                return Ok(None);
            };
            writing.write(changes, Persistence::AsOpened)?;
            Ok(Some(version))
        };
        self.writing(put).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let prefix = prefix.to_owned();
        self.reading(move |_, view| small::keys(view, &prefix, limit)).await
    }
}
