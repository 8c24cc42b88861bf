//! The store that users open, whatever its backend. Each method is a short way to a blocking thread and back.

use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{
    Append, AppendError, Claimed, Due, DueQuery, Lease, Letter, LetterId, ListCursor, Listener, Page, Renewed,
    RunQuery, RunRecord, Snapshot, Store, StoreError, StoreErrorKind, Versioned,
};
use tokio::sync::oneshot;

use super::backend::EmbeddedBackend;
use super::check::{self, CheckReport};
use super::error::{Trouble, refused, without_panic};
use super::map::{Lasting, View};
use super::options::EmbeddedOptions;
use super::report::OpenReport;
use super::shared::{Opened, Sending, Shared, Writing};
use super::threads::Threads;
use super::{inbox, keys, read, remove, small, snapshot, value};

/// Runs on disk, in one directory, open in one process at a time. `B` is the backend: [`SledStore`](crate::SledStore) and
/// `FjallStore` are stores of this type. Cheap to clone; dropping the last clone closes it.
#[derive(Clone)]
pub struct EmbeddedStore<B> {
    shared: Arc<Shared>,
    threads: Arc<Both>,
    backend: PhantomData<fn() -> B>,
}

/// Who reads and who writes.
struct Both {
    readers: Threads,
    writer: Threads,
}

/// Two: one that reads all there is must not hold up the others.
const READERS: usize = 2;

impl<B: EmbeddedBackend> EmbeddedStore<B> {
    /// Opens the store in the directory `path` with the default options.
    ///
    /// # Errors
    /// Those of [`EmbeddedOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        EmbeddedOptions::default().open(path)
    }

    /// The options to open a store with.
    #[must_use]
    pub fn options() -> EmbeddedOptions<B> {
        EmbeddedOptions::default()
    }

    /// What opening it found and did.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.shared.report
    }

    /// Reads and replays every journal, and compares the records and indexes with them. Writers to a store on sled wait meanwhile.
    ///
    /// # Errors
    /// `Damaged`, with the first thing that is not as it should be.
    pub async fn check(&self) -> Result<CheckReport, StoreError> {
        self.reading(|_, view| check::check(view)).await
    }

    pub(crate) fn new(opened: Opened) -> Result<Self, StoreError> {
        let place = opened.health.place();
        let start = || -> io::Result<Both> {
            Ok(Both {
                readers: Threads::start("orkestra-read", READERS)?,
                writer: Threads::start("orkestra-write", 1)?,
            })
        };
        let threads = start().map_err(|error| refused(&format!("{place} has no threads"), error))?;
        Ok(Self { shared: Arc::new(Shared::new(opened)), threads: Arc::new(threads), backend: PhantomData })
    }

    // What is asked for is done to its end on threads of the store, whether the caller is polled or not: nobody who stops
    // polling holds up the others.

    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &dyn View) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.looking(move |shared| work(shared, &*shared.map.view())).await
    }

    /// The same for what takes a view itself.
    async fn looking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let done = self.threads.readers.call(move || {
            shared.health.check()?;
            without_panic(|| work(&shared)).map_err(|trouble| shared.health.told(trouble))
        });
        done.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.by_writer(move |shared| work(&mut shared.writing()?)).await
    }

    /// The same for what takes the right to write itself.
    async fn by_writer<T: Send + 'static>(
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
        // One more than asked for tells whether there is a next page.
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
        self.looking(move |shared| shared.claim(&runs, &worker, now, until)).await
    }

    async fn renew(&self, leases: &[Lease], _now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        self.shared.health.check()?;
        // At once: a lease must not run out because all who read are busy.
        let held: Vec<Option<RunId>> = {
            let mut held = self.shared.leases();
            leases.iter().map(|lease| held.renew(lease, until).then(|| lease.run.clone())).collect()
        };
        let told = |view: &dyn View, run: Option<RunId>| {
            let mail = run.as_ref().map_or(Ok(false), |run| inbox::has_mail(view, run))?;
            Ok(Renewed { held: run.is_some(), mail })
        };
        self.reading(move |_, view| held.into_iter().map(|run| told(view, run)).collect()).await
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

    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.shared.post(Sending { run: run.clone(), body: body.to_vec(), answer });
        // Whichever of those who send comes first writes for all that wait by then.
        let write = |shared: &Shared| {
            shared.send_all();
            Ok(())
        };
        self.by_writer(write).await?;
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
            writing.write(changes, Lasting::AsOpened)
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
                // It would be that of another run of the same id one day.
                return Ok(());
            }
            let changes = writing.plan(|view, _| snapshot::put(view, &run, &snapshot))?;
            writing.write(changes, Lasting::Cache)
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
                writing.write(changes, Lasting::AsOpened)?;
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
            writing.write(changes, Lasting::AsOpened)
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
            writing.write(changes, Lasting::AsOpened)?;
            Ok(Some(version))
        };
        self.writing(put).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let prefix = prefix.to_owned();
        self.reading(move |_, view| small::keys(view, &prefix, limit)).await
    }
}
