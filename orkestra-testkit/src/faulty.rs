//! A store wrapper that fails on purpose.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{Append, AppendError, Store, StoreError, StoreErrorKind, StoreMethod, StoreWrapper};

use crate::chance::Chance;

/// How a call of `append` fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The batch is written, and every commit is answered with [`AppendError::Unknown`].
    UnknownWritten,
    /// Nothing is written, and every commit is answered with [`AppendError::Unknown`].
    UnknownLost,
    /// Nothing is written, and every commit is answered with [`AppendError::Conflict`] and the true last position.
    Conflict,
    /// Nothing is written, and every commit is answered with [`AppendError::Failed`] of this kind.
    Failed(StoreErrorKind),
    /// The process dies before the batch is written: this call and all later calls of any method fail as
    /// [`StoreErrorKind::Poisoned`].
    CrashBefore,
    /// The process dies after the batch is written and before it is acknowledged: this call and all later ones fail as with
    /// `CrashBefore`.
    CrashAfter,
}

/// How a call of any other method fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mishap {
    /// The call does nothing and returns an error of this kind.
    Failed(StoreErrorKind),
    /// The call panics, as a bug in the store would.
    Panic,
}

/// A store wrapper that fails as requested. Clones share their faults and counters.
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
    /// By method: how many more calls fail, and how.
    calls: BTreeMap<&'static str, (u64, Mishap)>,
    /// Fails the next write of a commit that contains this text.
    body: Option<String>,
}

impl FaultyStore {
    /// Wraps `inner`, without faults.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// Adds a fault at the `nth` call of `append`, counted from 1.
    #[must_use]
    pub fn with_fault(self, nth: u64, fault: Fault) -> Self {
        self.lock().scripted.insert(nth, fault);
        self
    }

    /// Adds random faults: about once in `one_in` calls of `append`, one of `faults`, chosen by `seed`.
    #[must_use]
    pub fn with_random_faults(self, seed: u64, one_in: usize, faults: &[Fault]) -> Self {
        self.lock().random = Some((Chance::new(seed), one_in, faults.to_vec()));
        self
    }

    /// Fails the next call of `append`.
    pub fn fail_next(&self, fault: Fault) {
        let mut plan = self.lock();
        let next = plan.appends + 1;
        plan.scripted.insert(next, fault);
    }

    /// Fails the next `times` calls of `method`, such as `read`, `due` or `append`.
    pub fn fail_calls(&self, method: &'static str, times: u64, mishap: Mishap) {
        self.lock().calls.insert(method, (times, mishap));
    }

    /// Fails the next `append` of a commit that contains `text`, with [`StoreErrorKind::Io`].
    pub fn fail_body(&self, text: &str) {
        self.lock().body = Some(text.to_owned());
    }

    /// Whether the fault of [`fail_body`](Self::fail_body) is still pending.
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

    fn mishap(&self, method: StoreMethod) -> Option<Mishap> {
        let mut plan = self.lock();
        let (left, mishap) = plan.calls.get_mut(method.name())?;
        let mishap = *mishap;
        *left = left.checked_sub(1)?;
        Some(mishap)
    }

    /// Removes all pending faults. A store that has crashed stays crashed.
    pub fn heal(&self) {
        let mut plan = self.lock();
        plan.scripted.clear();
        plan.random = None;
        plan.calls.clear();
        plan.body = None;
    }

    /// How often `append` was called.
    #[must_use]
    pub fn appends(&self) -> u64 {
        self.lock().appends
    }

    /// Whether a crash has happened.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.lock().crashed
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        // No panic can happen in the middle of a change, so a poisoned lock is consistent.
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

    fn alive(&self, method: StoreMethod) -> Result<(), StoreError> {
        if self.crashed() {
            return Err(dead());
        }
        match self.mishap(method) {
            None => Ok(()),
            Some(Mishap::Failed(kind)) => Err(StoreError::new(kind, "injected by the faulty store")),
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
    StoreError::new(StoreErrorKind::Poisoned, "crash injected by the faulty store")
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

impl StoreWrapper for FaultyStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn around<T: Send>(
        &self,
        method: StoreMethod,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.alive(method)?;
        call.await
    }

    fn describe(&self) -> String {
        format!("faulty {}", self.inner.describe())
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        let count = batch.len();
        let all = |error: AppendError| vec![Err(error); count];
        let unknown = || all(AppendError::Unknown("injected by the faulty store".into()));
        if let Err(dead) = self.alive(StoreMethod::Append) {
            return all(dead.into());
        }
        if self.hits_body(&batch) {
            return all(StoreError::new(StoreErrorKind::Io, "injected by the faulty store").into());
        }
        match self.next_fault() {
            None => self.inner.append(batch).await,
            Some(Fault::UnknownLost) => unknown(),
            Some(Fault::UnknownWritten) => {
                self.inner.append(batch).await;
                unknown()
            }
            Some(Fault::Conflict) => self.conflicts(&batch).await,
            Some(Fault::Failed(kind)) => all(StoreError::new(kind, "injected by the faulty store").into()),
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
}
