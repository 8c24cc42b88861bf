//! An in-memory store whose reads and writes are slow or fail when a test says so.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{
    Append, AppendError, MemoryStore, RunRecord, Store, StoreError, StoreErrorKind, StoreWrapper, Versioned,
};

/// How it misbehaves.
#[derive(Clone, Default)]
pub(crate) struct Moods {
    /// How long it takes to read records of child runs. The answer is what was stored at first.
    pub(crate) record_takes: Duration,
    /// How long it takes to read any journal.
    pub(crate) read_takes: Duration,
    /// How many reads of the journals of child runs fail.
    pub(crate) failing_reads: u32,
    /// How long it takes to read and to write small values.
    pub(crate) values_take: (Duration, Duration),
    /// How long it takes to write commits.
    pub(crate) appends_take: Duration,
    /// The blobs of this run are lost.
    pub(crate) loses_blobs_of: Option<String>,
    /// The commit with this event of this run is unreadable.
    pub(crate) unreadable: Option<(String, Seq)>,
    /// The journal of this run can neither be read nor written.
    pub(crate) away: Option<String>,
    /// How long it takes until the write of a blob is acknowledged.
    pub(crate) blob_takes: Duration,
}

#[derive(Clone, Default)]
pub(crate) struct MoodyStore {
    pub(crate) inner: MemoryStore,
    moods: Arc<Mutex<Moods>>,
}

impl MoodyStore {
    pub(crate) fn is(&self, moods: Moods) {
        *self.moods.lock().expect("no test panics here") = moods;
    }

    fn is_away(&self, run: &RunId) -> Result<(), StoreError> {
        let away = self.moods.lock().expect("no test panics here").away.as_deref() == Some(run.as_str());
        if away { Err(StoreError::new(StoreErrorKind::Io, "the journal is away")) } else { Ok(()) }
    }

    fn values_take(&self) -> (Duration, Duration) {
        self.moods.lock().expect("no test panics here").values_take
    }

    fn fails(&self, run: &RunId) -> bool {
        let mut moods = self.moods.lock().expect("no test panics here");
        let fails = run.contains('/') && moods.failing_reads > 0;
        moods.failing_reads -= u32::from(fails);
        fails
    }
}

impl StoreWrapper for MoodyStore {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn identity(&self) -> usize {
        // Its own identity: engines on it are as separate as two processes.
        std::ptr::from_ref(self).addr()
    }

    fn describe(&self) -> String {
        "moody memory".into()
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        let takes = self.moods.lock().expect("no test panics here").appends_take;
        tokio::time::sleep(takes).await;
        let mut answers = Vec::new();
        for append in batch {
            let answer = match self.is_away(&append.commit.run) {
                Ok(()) => self.inner.append(vec![append]).await.remove(0),
                Err(error) => Err(AppendError::Failed(error)),
            };
            answers.push(answer);
        }
        answers
    }

    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError> {
        self.is_away(run)?;
        if self.fails(run) {
            return Err(StoreError::new(StoreErrorKind::Io, "it cannot be read for now"));
        }
        let takes = self.moods.lock().expect("no test panics here").read_takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let read = self.inner.read(run, from, limit).await?;
        let unreadable = self.moods.lock().expect("no test panics here").unreadable.clone();
        let bad =
            |(of, at): (String, Seq)| of == run.as_str() && read.iter().any(|one| one.first <= at && at <= one.last);
        if unreadable.is_some_and(bad) {
            return Err(StoreError::new(StoreErrorKind::Damaged, "a checksum is wrong"));
        }
        Ok(read)
    }

    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let record = self.inner.record(run).await;
        let takes = self.moods.lock().expect("no test panics here").record_takes;
        if run.contains('/') && !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        record
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.inner.put_blob(run, key, bytes).await;
        let takes = self.moods.lock().expect("no test panics here").blob_takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        written
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let lost = self.moods.lock().expect("no test panics here").loses_blobs_of.as_deref() == Some(run.as_str());
        if lost { Ok(None) } else { self.inner.blob(run, key).await }
    }

    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        tokio::time::sleep(self.values_take().0).await;
        self.inner.get(key).await
    }

    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        tokio::time::sleep(self.values_take().1).await;
        self.inner.put(key, expected, bytes).await
    }
}
