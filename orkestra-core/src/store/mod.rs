//! Where journals live. The contract is here, each sentence of it a test of the suite in `orkestra-testkit`.
//!
//! Nothing here knows of runtimes; the in-memory store answers at once.

mod error;
mod lease;
mod memory;
mod record;

use async_trait::async_trait;

use crate::journal::Written;
use crate::model::{RunId, Seq, Timestamp, WorkerId};

pub use error::{AppendError, StoreError, StoreErrorKind};
pub use lease::Lease;
pub use memory::MemoryStore;
pub use record::{ListCursor, Page, RunQuery, RunRecord};

/// One commit on its way into the store, with what must change together with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The commit.
    pub commit: Written,
    /// The run's record from now on; `None` leaves it as it is. The first commit of a run brings one.
    pub record: Option<RunRecord>,
}

/// A small value with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Counted from 1 with each write.
    pub version: u64,
    /// The value.
    pub bytes: Vec<u8>,
}

/// A place that keeps journals, run records and small values.
///
/// Calls may come from many tasks at once. Dropping the last handle closes the store; what was acknowledged stays.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What this store is, for messages: `sled at ./.orkestra`.
    fn describe(&self) -> String;

    /// Writes a batch of commits, of any runs, with one durable write. The answers are in the order of the batch.
    ///
    /// 1. All events of a commit become durable, or none.
    /// 2. `Ok` MUST mean durable in the store's durability, not buffered.
    /// 3. [`AppendError::Conflict`] unless the commit follows the last position of its run (commits before it in the
    ///    same batch count). A run's first commit begins at 1.
    /// 4. [`AppendError::Fenced`] if a newer epoch holds the run.
    /// 5. A commit that is there already, with the same body, MUST be answered `Ok` without being written again.
    /// 6. [`AppendError::Unknown`] when the outcome cannot be told. The caller re-reads and never assumes absence.
    /// 7. After a failed sync the store MUST refuse writes until it is opened anew.
    /// 8. The record changes together with its commit, or not at all; so does every index made from it.
    /// 9. A commit that is refused MUST NOT fail another run's commit in the same batch.
    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>>;

    /// Reads commits of `run` in order, from the one that holds `from`, at most `limit` of them. Empty when there are
    /// none. Only durable commits are ever read.
    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError>;

    /// The record of `run`.
    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Run records, newest first, filtered and paged.
    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError>;

    /// Runs whose wake-up time is at or before `until` and that no lease holds, earliest first, at most `limit`, and the
    /// earliest wake-up time after `until` or of those over the limit. Found by index: the cost does not grow with the
    /// runs that are not due.
    async fn due(&self, until: Timestamp, limit: usize) -> Result<Due, StoreError>;

    /// Takes the right to drive `run`, with a higher epoch than any before it. Answers `None` while another worker holds
    /// it. Works for runs that do not exist yet. A store that one process alone can open MAY keep leases in memory, but
    /// an epoch MUST never come back after the store was opened anew.
    async fn claim(&self, run: &RunId, worker: &WorkerId, until: Timestamp) -> Result<Option<Lease>, StoreError>;

    /// Gives the right back. Releasing a lease that is not held any more changes nothing.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Removes all that is known of a run. Durable when it returns.
    async fn delete(&self, run: &RunId) -> Result<(), StoreError>;

    /// Reads a small value.
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError>;

    /// Writes a small value if its version is still `expected` (0: there is none); answers the new version, or `None`
    /// when another write came first. Durable when it returns.
    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError>;

    /// The keys of small values that begin with `prefix`, in order, at most `limit`.
    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError>;
}

/// Runs that need a driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The runs, earliest first.
    pub runs: Vec<RunId>,
    /// The earliest wake-up time of those that follow.
    pub next: Option<Timestamp>,
}
