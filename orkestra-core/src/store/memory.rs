//! A store for tests and for runs that need not outlive their process: nothing is written anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::journal::Written;
use crate::model::limits::BLOB_KEY_BYTES_MAX;
use crate::model::{Epoch, RunId, Seq, Timestamp, WorkerId};

use super::{
    Append, AppendError, Due, DueCursor, DueQuery, Lease, ListCursor, Page, RunQuery, RunRecord, Store, StoreError,
    StoreErrorKind, Versioned,
};

/// Keeps everything in memory. Clones share it, so that a test can "restart" an engine on what the last one left.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    journals: HashMap<RunId, BTreeMap<Seq, Written>>,
    records: HashMap<RunId, RunRecord>,
    by_age: BTreeSet<ListCursor>,
    wake_ups: BTreeSet<DueCursor>,
    leases: HashMap<RunId, Lease>,
    /// The epochs of the newest claims. They fence when the leases are long gone.
    fences: HashMap<RunId, Epoch>,
    epochs: u64,
    blobs: HashMap<RunId, HashMap<String, Vec<u8>>>,
    values: BTreeMap<String, Versioned>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets who drives what, as a crash of every worker would.
    pub fn drop_leases(&self) {
        self.lock().leases.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, append: Append) -> Result<(), AppendError> {
        let Append { commit, record } = append;
        let journal = self.journals.entry(commit.run.clone()).or_default();
        let last = journal.last_key_value().map_or(Seq::ZERO, |(_, written)| written.last);
        if commit.first != last.plus(1) {
            let same = journal.get(&commit.first).is_some_and(|there| there.body == commit.body);
            return if same { Ok(()) } else { Err(AppendError::Conflict { last }) };
        }
        if let Some(held) = self.fences.get(&commit.run).filter(|newest| **newest > commit.epoch) {
            return Err(AppendError::Fenced { held: *held });
        }
        if last == Seq::ZERO && record.is_none() {
            let message = "the first commit of a run must bring its record";
            return Err(StoreError::new(StoreErrorKind::Invalid, message).into());
        }
        if record.as_ref().is_some_and(|record| record.id != commit.run) {
            let message = "a commit must bring the record of its own run";
            return Err(StoreError::new(StoreErrorKind::Invalid, message).into());
        }
        journal.insert(commit.first, commit);
        if let Some(record) = record {
            self.set_record(record);
        }
        Ok(())
    }

    fn set_record(&mut self, record: RunRecord) {
        self.forget_record(&record.id.clone());
        if let Some(at) = record.wake_at {
            self.wake_ups.insert(DueCursor { wake_at: at, id: record.id.clone() });
        }
        self.by_age.insert(ListCursor { created_at: record.created_at, id: record.id.clone() });
        self.records.insert(record.id.clone(), record);
    }

    fn forget_record(&mut self, run: &RunId) {
        let Some(old) = self.records.remove(run) else {
            return;
        };
        if let Some(at) = old.wake_at {
            self.wake_ups.remove(&DueCursor { wake_at: at, id: old.id.clone() });
        }
        self.by_age.remove(&ListCursor { created_at: old.created_at, id: old.id });
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn describe(&self) -> String {
        "memory".into()
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
        run: &RunId,
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let mut inner = self.lock();
        if inner.leases.get(run).is_some_and(|held| held.worker != *worker && held.holds_at(now)) {
            return Ok(None);
        }
        inner.epochs += 1;
        let lease = Lease { run: run.clone(), worker: worker.clone(), epoch: Epoch(inner.epochs), until };
        inner.fences.insert(run.clone(), lease.epoch);
        inner.leases.insert(run.clone(), lease.clone());
        Ok(Some(lease))
    }

    async fn renew(&self, leases: &[Lease], _now: Timestamp, until: Timestamp) -> Result<Vec<bool>, StoreError> {
        let mut inner = self.lock();
        let mut renew = |lease: &Lease| {
            let held = inner.leases.get_mut(&lease.run).filter(|held| held.epoch == lease.epoch);
            held.map(|held| held.until = until).is_some()
        };
        Ok(leases.iter().map(&mut renew).collect())
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.leases.get(&lease.run).is_some_and(|held| held.epoch == lease.epoch) {
            inner.leases.remove(&lease.run);
        }
        Ok(())
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.forget_record(run);
        inner.journals.remove(run);
        inner.leases.remove(run);
        inner.fences.remove(run);
        inner.blobs.remove(run);
        Ok(())
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if key.is_empty() || key.len() > BLOB_KEY_BYTES_MAX {
            let message = format!("a blob's key has 1 to {BLOB_KEY_BYTES_MAX} bytes, this one has {}", key.len());
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
        self.lock().blobs.entry(run.clone()).or_default().insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().blobs.get(run).and_then(|blobs| blobs.get(key)).cloned())
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
