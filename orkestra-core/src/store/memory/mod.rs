//! An in-memory store, for tests and for runs that need not outlive their process. Nothing is written to disk.

mod inbox;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::journal::Written;
use crate::model::{Epoch, RunId, Seq, Timestamp, WorkerId};

use self::inbox::Inbox;
use super::{
    Append, AppendError, Bell, Claimed, Due, DueCursor, DueQuery, Lease, LeaseState, Letter, LetterId, ListCursor,
    Listener, Page, Refusal, Renewed, RunQuery, RunRecord, Snapshot, Store, StoreError, Versioned,
};

/// Keeps everything in memory. Clones share the data, so that a test can "restart" an engine on the data of the
/// previous one.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    bell: Bell,
    shared: bool,
}

#[derive(Debug, Default)]
struct Inner {
    journals: HashMap<RunId, BTreeMap<Seq, Written>>,
    records: HashMap<RunId, RunRecord>,
    by_age: BTreeSet<ListCursor>,
    wake_ups: BTreeSet<DueCursor>,
    leases: HashMap<RunId, Lease>,
    /// The epochs of the newest claims. They fence even after the leases are gone.
    fences: HashMap<RunId, Epoch>,
    epochs: u64,
    inboxes: HashMap<RunId, Inbox>,
    snapshots: HashMap<RunId, Snapshot>,
    blobs: HashMap<RunId, BTreeMap<String, Vec<u8>>>,
    values: BTreeMap<String, Versioned>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes engines treat the store as shared, like a database: each engine looks for what others write.
    #[must_use]
    pub fn between_engines(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Drops all leases, as if every worker had crashed.
    pub fn drop_leases(&self) {
        self.lock().leases.clear();
    }

    /// Drops the commits of a run from `from` on, like a disk that acknowledged writes too early. `record` describes
    /// what is left.
    pub fn cut(&self, run: &RunId, from: Seq, record: Option<RunRecord>) {
        let mut inner = self.lock();
        if let Some(journal) = inner.journals.get_mut(run) {
            journal.retain(|first, _| *first < from);
        }
        match record {
            Some(record) => inner.set_record(record),
            None => inner.forget_record(run),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Changes under this lock cannot panic half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, append: Append) -> Result<(), AppendError> {
        let commit = &append.commit;
        let last = self.last(&commit.run);
        if commit.first != last.plus(1) {
            let there = self.journals.get(&commit.run).and_then(|journal| journal.get(&commit.first));
            let same = there.is_some_and(|there| there.body == commit.body);
            return if same { Ok(()) } else { Err(AppendError::Conflict { last }) };
        }
        if let Some(held) = self.fences.get(&commit.run).filter(|newest| **newest > commit.epoch) {
            return Err(AppendError::Fenced { held: *held });
        }
        Refusal::check_append(&append, last == Seq::ZERO)?;
        let Append { commit, record, taken } = append;
        let run = commit.run.clone();
        self.journals.entry(run.clone()).or_default().insert(commit.first, commit);
        if let Some(record) = record {
            self.set_record(record);
        }
        self.take_letters(&run, &taken);
        Ok(())
    }

    fn last(&self, run: &RunId) -> Seq {
        let newest = self.journals.get(run).and_then(BTreeMap::last_key_value);
        newest.map_or(Seq::ZERO, |(_, written)| written.last)
    }

    fn set_record(&mut self, record: RunRecord) {
        self.forget_record(&record.id.clone());
        self.by_age.insert(ListCursor { created_at: record.created_at, id: record.id.clone() });
        let id = record.id.clone();
        self.records.insert(id.clone(), record);
        self.wake_ups.extend(self.wake_up(&id));
    }

    fn forget_record(&mut self, run: &RunId) {
        if let Some(place) = self.wake_up(run) {
            self.wake_ups.remove(&place);
        }
        if let Some(old) = self.records.remove(run) {
            self.by_age.remove(&ListCursor { created_at: old.created_at, id: old.id });
        }
    }

    /// The run's position in the order of wake-up times.
    fn wake_up(&self, run: &RunId) -> Option<DueCursor> {
        let record = self.records.get(run)?;
        let wake_at = if self.has_letters(run) { Some(Timestamp::ZERO) } else { record.wake_at };
        wake_at.map(|wake_at| DueCursor { wake_at, id: run.clone() })
    }

    fn claim(&mut self, run: &RunId, worker: &WorkerId, now: Timestamp, until: Timestamp) -> Option<Claimed> {
        if self.leases.get(run).is_some_and(|held| held.worker != *worker && held.holds_at(now)) {
            return None;
        }
        self.epochs += 1;
        let lease = Lease { run: run.clone(), worker: worker.clone(), epoch: Epoch(self.epochs), until };
        self.fences.insert(run.clone(), lease.epoch);
        self.leases.insert(run.clone(), lease.clone());
        Some(Claimed { lease, last: self.last(run), mail: self.has_letters(run) })
    }

    fn renew(&mut self, lease: &Lease, until: Timestamp) -> Renewed {
        let found = self.leases.get_mut(&lease.run).filter(|held| held.epoch == lease.epoch);
        let held = found.map(|held| held.until = until).is_some();
        Renewed { held, mail: held && self.has_letters(&lease.run) }
    }

    fn release(&mut self, lease: &Lease) {
        if self.leases.get(&lease.run).is_some_and(|held| held.epoch == lease.epoch) {
            self.leases.remove(&lease.run);
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn describe(&self) -> String {
        "memory".into()
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        let mut inner = self.lock();
        batch.into_iter().map(|append| inner.append(append)).collect()
    }

    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError> {
        let inner = self.lock();
        let Some(journal) = inner.journals.get(run) else {
            return Ok(Vec::new());
        };
        let first = journal.range(..=from).next_back().filter(|(_, written)| written.last >= from);
        let start = first.map_or(from, |(first, _)| *first);
        Ok(journal.range(start..).take(limit).map(|(_, written)| written.clone()).collect())
    }

    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.lock().records.get(run).cloned())
    }

    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError> {
        let inner = self.lock();
        let older =
            inner.by_age.iter().rev().filter(|place| query.cursor.as_ref().is_none_or(|cursor| *place < cursor));
        let matching = older.filter_map(|place| inner.records.get(&place.id)).filter(|record| query.matches(record));
        let mut items: Vec<_> = matching.take(query.limit.saturating_add(1)).cloned().collect();
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next =
            items.last().filter(|_| more).map(|last| ListCursor { created_at: last.created_at, id: last.id.clone() });
        Ok(Page { items, next })
    }

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        let inner = self.lock();
        let free = |place: &&DueCursor| inner.leases.get(&place.id).is_none_or(|lease| !lease.holds_at(query.now));
        let start = query.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut wake_ups = inner.wake_ups.range((start, Bound::Unbounded)).filter(free).peekable();
        let mut runs = Vec::new();
        while let Some(place) = wake_ups.next_if(|place| place.wake_at <= query.until && runs.len() < query.limit) {
            runs.push(place.clone());
        }
        Ok(Due { runs, next: wake_ups.next().map(|place| place.wake_at) })
    }

    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError> {
        let mut inner = self.lock();
        Ok(runs.iter().map(|run| inner.claim(run, worker, now, until)).collect())
    }

    async fn renew(&self, leases: &[Lease], _now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        let mut inner = self.lock();
        Ok(leases.iter().map(|lease| inner.renew(lease, until)).collect())
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        leases.iter().for_each(|lease| inner.release(lease));
        Ok(())
    }

    async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.lock().leases.retain(|_, lease| lease.worker != *worker);
        Ok(())
    }

    async fn lease(&self, run: &RunId, now: Timestamp) -> Result<LeaseState, StoreError> {
        Ok(LeaseState::at(self.lock().leases.get(run), now))
    }

    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        let id = self.lock().send(run, body)?;
        self.bell.ring(run);
        Ok(id)
    }

    async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError> {
        Ok(self.lock().letters(run, after, limit))
    }

    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
        self.lock().take_letters(run, letters);
        Ok(())
    }

    fn listen(&self) -> Box<dyn Listener> {
        self.bell.listen()
    }

    async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.lock().snapshots.insert(run.clone(), snapshot.clone());
        Ok(())
    }

    async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.lock().snapshots.get(run).cloned())
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.forget_record(run);
        inner.journals.remove(run);
        inner.leases.remove(run);
        inner.fences.remove(run);
        inner.inboxes.remove(run);
        inner.snapshots.remove(run);
        inner.blobs.remove(run);
        Ok(())
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        Refusal::check_blob_key(run, key)?;
        self.lock().blobs.entry(run.clone()).or_default().insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().blobs.get(run).and_then(|blobs| blobs.get(key)).cloned())
    }

    async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        Ok(self.lock().blobs.get(run).map(|blobs| blobs.keys().cloned().collect()).unwrap_or_default())
    }

    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        Ok(self.lock().values.get(key).cloned())
    }

    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        let mut inner = self.lock();
        let current = inner.values.get(key).map_or(0, |value| value.version);
        if current != expected {
            return Ok(None);
        }
        let version = expected + 1;
        inner.values.insert(key.to_owned(), Versioned { version, bytes: bytes.to_vec() });
        Ok(Some(version))
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let inner = self.lock();
        let from = inner.values.range(prefix.to_owned()..);
        Ok(from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).take(limit).cloned().collect())
    }
}
