//! Where journals live. The contract is here, each sentence of it a test of the suite in `orkestra-testkit`.
//!
//! Nothing here knows of runtimes; the in-memory store answers at once.

mod bell;
mod due;
mod error;
mod inbox;
mod lease;
mod memory;
mod pager;
mod record;
mod snapshot;
mod wrapper;

use async_trait::async_trait;

use crate::model::{RunId, Seq, Timestamp, WorkerId};

pub use crate::journal::Written;
pub use bell::Bell;
pub use due::{Due, DueCursor, DueQuery};
pub use error::{AppendError, StoreError, StoreErrorKind};
pub use inbox::{Letter, LetterId, Listener};
pub use lease::{Claimed, Lease, Renewed};
pub use memory::MemoryStore;
pub use pager::Pager;
pub use record::{ListCursor, Page, RunQuery, RunRecord};
pub use snapshot::Snapshot;
pub use wrapper::{StoreMethod, StoreWrapper};

/// One commit on its way into the store, with what must change together with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The commit.
    pub commit: Written,
    /// The run's record from now on; `None` leaves it as it is. The first commit of a run brings one.
    pub record: Option<RunRecord>,
    /// Letters of the run's inbox that this commit answers: they are gone with it. One that is not there is no matter.
    pub taken: Vec<LetterId>,
}

/// A small value with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Counted from 1 with each write.
    pub version: u64,
    /// The value.
    pub bytes: Vec<u8>,
}

/// Takes the right to drive one run: [`Store::claim`] of that run alone.
///
/// # Errors
/// When the store fails.
pub async fn claim_one(
    store: &dyn Store,
    run: &RunId,
    worker: &WorkerId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Claimed>, StoreError> {
    Ok(store.claim(std::slice::from_ref(run), worker, now, until).await?.pop().flatten())
}

/// A place that keeps journals, run records, blobs and small values.
///
/// Calls may come from many tasks at once. Dropping the last handle closes the store; what was acknowledged stays.
///
/// A store around another one is a [`StoreWrapper`], which writes only what it changes.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What this store is, for messages: `sled at ./.orkestra`.
    fn describe(&self) -> String;

    /// Whether other processes may have it open at the same time: an engine then looks now and then for what they leave and
    /// write.
    fn is_shared(&self) -> bool {
        false
    }

    /// What tells this store from all others of the process: handles of one store, clones of it and stores around it, have the
    /// same. Engines of one process on one store tell each other what they do.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>().addr()
    }

    /// Writes a batch of commits, of any runs, with one durable write. The answers are in the order of the batch.
    ///
    /// 1. All events of a commit become durable, or none.
    /// 2. `Ok` MUST mean durable in the store's durability, not buffered.
    /// 3. [`AppendError::Conflict`] unless the commit follows the last position of its run (commits before it in the
    ///    same batch count). A run's first commit begins at 1.
    /// 4. [`AppendError::Fenced`] if the run was claimed with a newer epoch, whether that lease is held, has run out or was
    ///    given back: the epoch of the newest claim is what counts, for as long as the run is not deleted. The epochs of
    ///    commits fence nobody: a journal may come from another store.
    /// 5. A commit that is there already, with the same body, MUST be answered `Ok` without being written again.
    /// 6. [`AppendError::Unknown`] when the outcome cannot be told. The caller re-reads and never assumes absence.
    /// 7. After a failed sync the store MUST refuse writes until it is opened anew.
    /// 8. The record changes together with its commit, or not at all; so does every index made from it, and so do the letters
    ///    that it has taken from the inbox.
    /// 9. A commit that is refused MUST NOT fail another run's commit in the same batch.
    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>>;

    /// Reads commits of `run` in order, from the one that holds `from`, at most `limit` of them. Empty when there are
    /// none. Only durable commits are ever read.
    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError>;

    /// The record of `run`.
    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Run records, newest first, filtered and paged. A range of creation times is found by index: the cost does not grow
    /// with the runs outside of it.
    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError>;

    /// Runs that need a driver, earliest first: those whose wake-up time is at or before `query.until`, after the cursor,
    /// that no lease holds at `query.now`. Found by index: the cost does not grow with the runs that are not due, nor
    /// with those before the cursor. The wake-up time of a run is its record's; while letters wait for it, it is
    /// [`Timestamp::ZERO`].
    ///
    /// 1. A run whose lease is not held, or has run out at `now`, MUST be there; one whose lease is held MUST NOT.
    /// 2. Pages that follow each other's last run MUST neither repeat nor leave out a run that stayed as it was.
    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError>;

    /// Takes the right to drive each of `runs` until `until`; the answers are in their order, `None` where another worker
    /// has it. Works for runs that do not exist yet. No run is named twice.
    ///
    /// 1. The epoch MUST be higher than any that the run was claimed with before, also after the store was opened anew.
    /// 2. While the lease of another worker has not run out at `now`, the answer MUST be `None`. A lease has run out when
    ///    its `until` is not after `now`.
    /// 3. A lease that has run out MAY be claimed by anybody; from then on the old epoch is fenced.
    /// 4. Workers that claim the same runs at once MUST NOT wait for each other: a run that another one is just claiming
    ///    MAY be answered `None`.
    ///
    /// The worker that holds the run may claim it again. A store with a clock of its own (a database) uses that instead
    /// of `now`, and `until - now` is how long the lease lasts. A store that one process alone can open MAY keep leases in
    /// memory.
    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError>;

    /// Makes leases last until `until`; the answers are in their order.
    ///
    /// 1. The answer MUST be that it is not held, and nothing changes, for a lease that was given back or whose run was
    ///    claimed with a newer epoch since. One that has merely run out is renewed.
    /// 2. After the answer that it is held the run is held until `until`, as if it had been claimed so.
    async fn renew(&self, leases: &[Lease], now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError>;

    /// Gives rights back. Releasing a lease that is not held any more changes nothing.
    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError>;

    /// Gives back all that `worker` holds: what a process of the same name left when it died.
    async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// Puts a letter into the inbox of `run`, for whoever drives it or will.
    ///
    /// 1. It MUST be durable when it returns, and stay until a commit takes it, it is discarded, or the run is deleted.
    /// 2. A run without a record MUST be refused as [`StoreErrorKind::Invalid`], and so MUST a letter more than
    ///    [`LETTERS_MAX`](crate::model::limits::LETTERS_MAX) or longer than
    ///    [`LETTER_BYTES_MAX`](crate::model::limits::LETTER_BYTES_MAX).
    /// 3. While letters wait for a run it is due at [`Timestamp::ZERO`], whatever its record says. When the last one was
    ///    taken, its record counts again.
    /// 4. Whoever listens, in any process, is told, sooner or later.
    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError>;

    /// The letters of `run` after `after`, in the order in which they came, at most `limit`.
    async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError>;

    /// Removes letters that nothing follows from. Durable when it returns.
    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError>;

    /// Hears of the runs that letters are sent to from now on.
    fn listen(&self) -> Box<dyn Listener>;

    /// Keeps a state of `run`, in the place of the one before. It is a cache: a crash MAY lose it, and whoever reads it finds
    /// it as a whole or not at all. It MUST be gone when the run is deleted.
    async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError>;

    /// The state that was kept last, if there is one still.
    async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError>;

    /// Removes all that is known of a run: its blobs, letters and snapshot included. Durable when it returns.
    async fn delete(&self, run: &RunId) -> Result<(), StoreError>;

    /// Keeps `bytes` for `run` under `key`, which has 1 to [`BLOB_KEY_BYTES_MAX`](crate::model::limits::BLOB_KEY_BYTES_MAX)
    /// bytes. Works for runs that do not exist yet.
    ///
    /// 1. It MUST be durable when it returns.
    /// 2. Writing the same key again MUST replace what was there, as a whole: a reader sees the old or the new bytes.
    /// 3. It stays until the run is deleted, and MUST be gone then.
    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// What was kept for `run` under `key`.
    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The keys of all that was kept for `run`, in order.
    async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError>;

    /// Reads a small value.
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError>;

    /// Writes a small value if its version is still `expected` (0: there is none); answers the new version, or `None`
    /// when another write came first. Durable when it returns.
    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError>;

    /// The keys of small values that begin with `prefix`, in order, at most `limit`.
    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError>;
}
