//! A store that fails on purpose, around any other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{
    Append, AppendError, Claimed, Due, DueQuery, Lease, Letter, LetterId, Listener, Page, Renewed, RunQuery, RunRecord,
    Snapshot, Store, StoreError, StoreErrorKind, Versioned,
};

use crate::chance::Chance;

/// How one call of `append` fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The batch is written, and every commit answered [`AppendError::Unknown`].
    UnknownWritten,
    /// Nothing is written, and every commit answered [`AppendError::Unknown`].
    UnknownLost,
    /// Nothing is written, and every commit answered [`AppendError::Conflict`] with the true last position.
    Conflict,
    /// Nothing is written, and every commit answered [`AppendError::Failed`] of this kind.
    Failed(StoreErrorKind),
    /// The process dies before the batch is written: this call and all later ones of any method are refused as poisoned.
    CrashBefore,
    /// The process dies after the batch is written and before anyone is told: later calls as with `CrashBefore`.
    CrashAfter,
}

/// How one call of any other method fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mishap {
    /// Nothing is done, and the error is of this kind.
    Failed(StoreErrorKind),
    /// The store panics: a bug of it.
    Panic,
}

/// A store that fails when it is told to. Clones fail together.
///
/// ```
/// use std::sync::Arc;
/// use orkestra_core::store::MemoryStore;
/// use orkestra_testkit::{Fault, FaultyStore};
///
/// let store = FaultyStore::new(Arc::new(MemoryStore::new())).with_fault(3, Fault::UnknownWritten);
/// assert_eq!(store.appends(), 0);
/// ```
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    appends: u64,
    scripted: BTreeMap<u64, Fault>,
    random: Option<(Chance, usize, Vec<Fault>)>,
    crashed: bool,
    /// By method: how many calls fail still, and how.
    calls: BTreeMap<&'static str, (u64, Mishap)>,
    /// A text in a commit that fails the next write that holds it.
    body: Option<String>,
}

impl FaultyStore {
    /// A store that does what `inner` does.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// The same, failing at the `nth` call of `append`, counted from 1.
    #[must_use]
    pub fn with_fault(self, nth: u64, fault: Fault) -> Self {
        self.lock().scripted.insert(nth, fault);
        self
    }

    /// The same, failing in one of `faults` about once in `one_in` calls of `append`, by chance made from `seed`.
    #[must_use]
    pub fn with_random_faults(self, seed: u64, one_in: usize, faults: &[Fault]) -> Self {
        self.lock().random = Some((Chance::new(seed), one_in, faults.to_vec()));
        self
    }

    /// Fails at the next call of `append`.
    pub fn fail_next(&self, fault: Fault) {
        let mut plan = self.lock();
        let next = plan.appends + 1;
        plan.scripted.insert(next, fault);
    }

    /// Fails the next `times` calls of `method`: `read`, `due`, `append` and so on.
    pub fn fail_calls(&self, method: &'static str, times: u64, mishap: Mishap) {
        self.lock().calls.insert(method, (times, mishap));
    }

    /// Fails the next write of a commit with `text` in it, of kind [`StoreErrorKind::Io`].
    pub fn fail_body(&self, text: &str) {
        self.lock().body = Some(text.to_owned());
    }

    /// Whether a write that [`fail_body`](Self::fail_body) waits for has not come yet.
    #[must_use]
    pub fn waits_for_body(&self) -> bool {
        self.lock().body.is_some()
    }

    fn hits_body(&self, batch: &[Append]) -> bool {
        let mut plan = self.lock();
        let Some(text) = &plan.body else { return false };
        let hit = batch.iter().any(|append| String::from_utf8_lossy(&append.commit.body).contains(text));
        if hit {
            plan.body = None;
        }
        hit
    }

    fn mishap(&self, method: &'static str) -> Option<Mishap> {
        let mut plan = self.lock();
        let (left, mishap) = plan.calls.get_mut(method)?;
        let mishap = *mishap;
        *left = left.checked_sub(1)?;
        Some(mishap)
    }

    /// Fails no more. A crash stays one.
    pub fn heal(&self) {
        let mut plan = self.lock();
        plan.scripted.clear();
        plan.random = None;
        plan.calls.clear();
        plan.body = None;
    }

    /// How many calls of `append` there were.
    #[must_use]
    pub fn appends(&self) -> u64 {
        self.lock().appends
    }

    /// Whether a crash has come.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.lock().crashed
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        // Nothing that holds it can panic half-way through a change.
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut plan = self.lock();
        plan.appends += 1;
        let nth = plan.appends;
        if let Some(fault) = plan.scripted.remove(&nth) {
            return Some(fault);
        }
        let (chance, one_in, faults) = plan.random.as_mut()?;
        chance.one_in(*one_in).then(|| *chance.pick(faults))
    }

    fn alive(&self, method: &'static str) -> Result<&dyn Store, StoreError> {
        if self.crashed() {
            return Err(dead());
        }
        match self.mishap(method) {
            None => Ok(&*self.inner),
            Some(Mishap::Failed(kind)) => Err(StoreError::new(kind, "says the faulty store")),
            Some(Mishap::Panic) => panic!("the faulty store panics"),
        }
    }

    async fn conflicts(&self, batch: &[Append]) -> Vec<Result<(), AppendError>> {
        let mut answers = Vec::with_capacity(batch.len());
        for append in batch {
            let last = last(&*self.inner, &append.commit.run).await;
            answers.push(Err(last.map_or_else(Into::into, |last| AppendError::Conflict { last })));
        }
        answers
    }
}

fn dead() -> StoreError {
    StoreError::new(StoreErrorKind::Poisoned, "the process has crashed, says the faulty store")
}

async fn last(store: &dyn Store, run: &RunId) -> Result<Seq, StoreError> {
    let mut last = Seq::ZERO;
    loop {
        let commits = store.read(run, last.plus(1), 512).await?;
        match commits.last() {
            Some(commit) => last = commit.last,
            None => return Ok(last),
        }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn describe(&self) -> String {
        format!("faulty {}", self.inner.describe())
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn identity(&self) -> usize {
        self.inner.identity()
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        let count = batch.len();
        let all = |error: AppendError| vec![Err(error); count];
        let unknown = || all(AppendError::Unknown("says the faulty store".into()));
        if let Err(dead) = self.alive("append") {
            return all(dead.into());
        }
        if self.hits_body(&batch) {
            return all(StoreError::new(StoreErrorKind::Io, "says the faulty store").into());
        }
        match self.next_fault() {
            None => self.inner.append(batch).await,
            Some(Fault::UnknownLost) => unknown(),
            Some(Fault::UnknownWritten) => {
                self.inner.append(batch).await;
                unknown()
            }
            Some(Fault::Conflict) => self.conflicts(&batch).await,
            Some(Fault::Failed(kind)) => all(StoreError::new(kind, "says the faulty store").into()),
            Some(Fault::CrashBefore) => {
                self.lock().crashed = true;
                all(dead().into())
            }
            Some(Fault::CrashAfter) => {
                self.inner.append(batch).await;
                self.lock().crashed = true;
                all(dead().into())
            }
        }
    }

    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError> {
        self.alive("read")?.read(run, from, limit).await
    }

    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.alive("record")?.record(run).await
    }

    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError> {
        self.alive("list")?.list(query).await
    }

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        self.alive("due")?.due(query).await
    }

    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError> {
        self.alive("claim")?.claim(runs, worker, now, until).await
    }

    async fn renew(&self, leases: &[Lease], now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        self.alive("renew")?.renew(leases, now, until).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.alive("release")?.release(leases).await
    }

    async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.alive("release_all")?.release_all(worker).await
    }

    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        self.alive("send")?.send(run, body).await
    }

    async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError> {
        self.alive("letters")?.letters(run, after, limit).await
    }

    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
        self.alive("discard")?.discard(run, letters).await
    }

    fn listen(&self) -> Box<dyn Listener> {
        self.inner.listen()
    }

    async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.alive("put_snapshot")?.put_snapshot(run, snapshot).await
    }

    async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError> {
        self.alive("snapshot")?.snapshot(run).await
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        self.alive("delete")?.delete(run).await
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.alive("put_blob")?.put_blob(run, key, bytes).await
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.alive("blob")?.blob(run, key).await
    }

    async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        self.alive("blob_keys")?.blob_keys(run).await
    }

    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.alive("get")?.get(key).await
    }

    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        self.alive("put")?.put(key, expected, bytes).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.alive("keys")?.keys(prefix, limit).await
    }
}
