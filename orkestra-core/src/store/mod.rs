//! The contract of stores, which keep journals. Each sentence of it is a test of the suite in `orkestra-testkit`.
//!
//! Nothing here knows an async runtime; the in-memory store answers at once.

mod bell;
mod due;
mod error;
mod inbox;
mod lease;
mod memory;
mod pager;
mod record;
mod refusal;
mod snapshot;
mod wrapper;

use async_trait::async_trait;

use crate::model::{RunId, Seq, Timestamp, WorkerId};

pub use crate::journal::Written;
pub use bell::Bell;
pub use due::{Due, DueCursor, DueQuery};
pub use error::{AppendError, StoreError, StoreErrorKind};
pub use inbox::{Letter, LetterId, Listener};
pub use lease::{Claimed, Lease, LeaseState, Renewed};
pub use memory::MemoryStore;
pub use pager::Pager;
pub use record::{ListCursor, Page, RunQuery, RunRecord};
pub use refusal::Refusal;
pub use snapshot::Snapshot;
pub use wrapper::{StoreMethod, StoreWrapper};

/// A commit to append, with everything that must change together with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The commit.
    pub commit: Written,
    /// The run's new record; `None` leaves it unchanged. The first commit of a run must bring one.
    pub record: Option<RunRecord>,
    /// Letters of the run's inbox that this commit answers; they are removed with it. An id that does not exist is
    /// ignored.
    pub taken: Vec<LetterId>,
}

/// A small value with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The version, counted from 1 with each write.
    pub version: u64,
    /// The value.
    pub bytes: Vec<u8>,
}

/// Claims one run: [`Store::claim`] with that run alone.
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

/// Keeps journals, run records, inboxes, blobs and small values.
///
/// Calls may come from many tasks at once. Dropping the last handle closes the store; acknowledged data stays.
///
/// To wrap another store, implement [`StoreWrapper`], which needs only the methods that change.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// A short description for messages: `sled at ./.orkestra`.
    fn describe(&self) -> String;

    /// Whether other processes may have the store open at the same time. An engine then checks from time to time for
    /// what they have written.
    fn is_shared(&self) -> bool {
        false
    }

    /// Identifies the store within the process: handles, clones and wrappers of one store return the same value.
    /// Engines of one process on one store notify each other.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>().addr()
    }

    /// Writes a batch of commits, of any runs, with one durable write. Returns the results in the order of the batch.
    ///
    /// 1. All events of a commit become durable, or none.
    /// 2. `Ok` MUST mean durable as the store's durability setting defines it, not merely buffered.
    /// 3. [`AppendError::Conflict`] unless the commit follows the last position of its run; earlier commits of the same
    ///    batch count. A run's first commit starts at 1.
    /// 4. [`AppendError::Fenced`] if the run was claimed with a newer epoch, whether that lease is owned, has expired
    ///    or was released: the epoch of the newest claim counts until the run is deleted. The epochs of commits do not
    ///    fence: a journal may come from another store.
    /// 5. A commit that already exists with the same body MUST be answered with `Ok` and not be written again.
    /// 6. [`AppendError::Unknown`] when the outcome is not known. The caller reads the journal again and never assumes
    ///    that the commit is absent.
    /// 7. After a failed sync the store MUST refuse writes until it is reopened.
    /// 8. The record, every index made from it, and the letters taken from the inbox change together with the commit,
    ///    or not at all.
    /// 9. A refused commit MUST NOT fail another run's commit in the same batch.
    /// 10. What [`Refusal::check_append`] refuses MUST be refused with that error.
    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>>;

    /// Reads up to `limit` commits of `run` in order, starting with the one that contains `from`. Empty when there are
    /// none. Only durable commits are returned.
    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError>;

    /// The record of `run`; `None` when there is no such run.
    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Run records, newest first, filtered and paged. A range of creation times is found by index: runs outside the
    /// range cost nothing.
    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError>;

    /// Runs that need a driver, earliest first: those whose wake-up time is at or before `query.until`, that come after
    /// the cursor, and that have no lease at `query.now`. Found by index: runs that are not due, and runs before the
    /// cursor, cost nothing. The wake-up time of a run is that of its record; while its inbox has letters, it is
    /// [`Timestamp::ZERO`].
    ///
    /// 1. A run without a lease, or whose lease has expired at `now`, MUST be included; a run with a valid lease MUST
    ///    NOT.
    /// 2. Consecutive pages MUST neither repeat nor skip a run that did not change.
    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError>;

    /// Claims the right to drive each of `runs` until `until`. Returns the answers in order, `None` where another
    /// worker owns the run. Works for runs that do not exist yet. No run may be named twice.
    ///
    /// 1. The epoch MUST be higher than that of every earlier claim of the run, also after the store was reopened.
    /// 2. While another worker's lease has not expired at `now`, the answer MUST be `None`. A lease has expired when
    ///    its `until` is not after `now`.
    /// 3. Any worker MAY claim a run whose lease has expired; from then on the old epoch is fenced.
    /// 4. Workers that claim the same runs at once MUST NOT wait for each other: the answer MAY be `None` for a run
    ///    that another worker is just claiming.
    ///
    /// The worker that owns a run may claim it again. A store with a clock of its own (a database) uses that clock
    /// instead of `now`, and `until - now` as the duration of the lease. A store that only one process can open MAY
    /// keep leases in memory.
    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError>;

    /// Extends leases until `until`. Returns the answers in order.
    ///
    /// 1. For a lease that was released, or whose run has since been claimed with a newer epoch, the answer MUST be
    ///    "not held", and nothing changes. A lease that has merely expired is renewed.
    /// 2. After the answer "held", the run is owned until `until`, as after a claim.
    async fn renew(&self, leases: &[Lease], now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError>;

    /// Releases leases. Releasing a lease that is no longer owned changes nothing.
    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError>;

    /// Releases all leases of `worker`: those that a process of the same name left when it died.
    async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// Returns the lease of `run` at `now`, for people and programs that look at the run. Never decide by it whether a run may
    /// be written to: only [`claim`](Self::claim) does.
    ///
    /// 1. While a worker owns the run, the answer MUST be its lease: worker, epoch, and the time of the last claim or renewal.
    /// 2. The answer MUST be [`LeaseState::Free`] when the lease was released or has expired at `now`, or the run was
    ///    deleted.
    ///
    /// A store with its own clock uses that instead of `now`, and `until - now` is how long the lease still lasts. The default
    /// answers [`LeaseState::Unknown`]: then only the engine that drives a run knows that it does.
    async fn lease(&self, run: &RunId, now: Timestamp) -> Result<LeaseState, StoreError> {
        // For stores that cannot tell.
        let _ = (run, now);
        Ok(LeaseState::Unknown)
    }

    /// Puts a letter into the inbox of `run`, for its current or next driver.
    ///
    /// 1. It MUST be durable when the call returns, and stay until a commit takes it, it is discarded, or the run is
    ///    deleted.
    /// 2. A run without a record MUST be refused with the error of [`Refusal::NoRun`], and so MUST a letter more than
    ///    [`LETTERS_MAX`](crate::model::limits::LETTERS_MAX) ([`Refusal::FullInbox`]) or longer than
    ///    [`LETTER_BYTES_MAX`](crate::model::limits::LETTER_BYTES_MAX) ([`Refusal::LongLetter`]).
    /// 3. While a run's inbox has letters, the run is due at [`Timestamp::ZERO`], whatever its record says. After the
    ///    last letter was taken, its record counts again.
    /// 4. Listeners in every process are notified eventually.
    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError>;

    /// Up to `limit` letters of `run` after `after`, in order of arrival.
    async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError>;

    /// Removes letters that have no effect. Durable when it returns.
    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError>;

    /// A listener for the runs that letters are sent to from now on.
    fn listen(&self) -> Box<dyn Listener>;

    /// Stores a snapshot of `run`, replacing the previous one. It is a cache: a crash MAY lose it, but a reader gets it
    /// whole or not at all. It MUST be gone when the run is deleted.
    async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError>;

    /// The latest snapshot, if there still is one.
    async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError>;

    /// Deletes a run with everything that belongs to it: journal, record, blobs, letters and snapshot. Durable when it
    /// returns.
    async fn delete(&self, run: &RunId) -> Result<(), StoreError>;

    /// Stores `bytes` for `run` under `key`, which must have 1 to
    /// [`BLOB_KEY_BYTES_MAX`](crate::model::limits::BLOB_KEY_BYTES_MAX) bytes; another key is refused with the error of
    /// [`Refusal::BlobKey`]. Works for runs that do not exist yet.
    ///
    /// 1. It MUST be durable when the call returns.
    /// 2. Writing the same key again MUST replace the old bytes atomically: a reader sees either the old or the new
    ///    bytes.
    /// 3. It stays until the run is deleted, and MUST be gone then.
    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// The blob of `run` under `key`, if there is one.
    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The keys of all blobs of `run`, in order.
    async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError>;

    /// Reads a small value. `None` when there is none under `key`.
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError>;

    /// Writes a small value if its version is still `expected` (0: it does not exist). Returns the new version, or
    /// `None` when another write came first. Durable when it returns.
    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError>;

    /// Up to `limit` keys of small values that begin with `prefix`, in order.
    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError>;
}
