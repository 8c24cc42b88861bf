//! How a store is opened, and what opening it did.

use std::path::{Path, PathBuf};

use orkestra_core::store::StoreError;

use super::open;
use super::store::SledStore;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process, of the system and of its power. One `fdatasync` per group commit. Lost: nothing that was
    /// acknowledged, as long as the disk keeps what it says it has written.
    #[default]
    Fsync,
    /// The end of the process, however sudden. What was acknowledged is with the operating system, nothing asks the disk
    /// to keep it. Lost when the system or its power fails: anything, the newest commits first; the store may then be
    /// damaged and say so. For work that can be done again.
    Process,
}

/// How a [`SledStore`] is opened.
///
/// ```no_run
/// use orkestra_store::{Durability, SledStore};
///
/// # fn main() -> Result<(), orkestra_core::store::StoreError> {
/// let store = SledStore::options().with_durability(Durability::Process).open("./data")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SledOptions {
    pub(crate) durability: Durability,
    pub(crate) cache_bytes: u64,
    pub(crate) write_ahead_bytes: u64,
    pub(crate) check: bool,
}

/// What sled may keep of its pages, unless told otherwise: it takes two to three times as much, for it counts the bytes of
/// a page as they are on disk. Its own default of 1 GiB is not for a library to take.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// What is gathered before it is brought into sled, unless told otherwise. The more there is, the less of it reaches sled
/// at all: what runs have overwritten by then is written there once.
const WRITE_AHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// Less would only be files.
const WRITE_AHEAD_BYTES_MIN: u64 = 4 * 1024;

impl Default for SledOptions {
    fn default() -> Self {
        let (cache_bytes, write_ahead_bytes) = (CACHE_BYTES, WRITE_AHEAD_BYTES);
        Self { durability: Durability::default(), cache_bytes, write_ahead_bytes, check: false }
    }
}

impl SledOptions {
    /// The same with another durability. The default is [`Durability::Fsync`].
    #[must_use]
    pub fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// The same with a cache of about `bytes` bytes. The default is 16 MiB. It bounds the pages that sled keeps, not the
    /// table of where they are: see `docs/store.md`.
    #[must_use]
    pub fn with_cache_bytes(self, bytes: u64) -> Self {
        Self { cache_bytes: bytes, ..self }
    }

    /// The same, gathering about `bytes` bytes of commits in a write-ahead file and in memory before they are brought into
    /// sled in the background. The default is 4 MiB. There are two such files; while the disk does not keep up they grow
    /// to four times as much, and then writers wait.
    #[must_use]
    pub fn with_write_ahead_bytes(self, bytes: u64) -> Self {
        Self { write_ahead_bytes: bytes.max(WRITE_AHEAD_BYTES_MIN), ..self }
    }

    /// The same, reading and replaying every journal on opening. Costs as much as the store is large; a store that had
    /// to be repaired is always checked.
    #[must_use]
    pub fn with_check(self, check: bool) -> Self {
        Self { check, ..self }
    }

    /// Opens the store in the directory `path`, which is created if it is not there.
    ///
    /// # Errors
    /// By kind: `Io` when the directory cannot be made or written, `Busy` when another process has it open, `Version`
    /// when a newer version of this library wrote it, `Invalid` when the directory holds something else, `Damaged` when
    /// it is damaged beyond what can be put right without loss; nothing is lost then, what was there stays there.
    pub fn open(self, path: impl AsRef<Path>) -> Result<SledStore, StoreError> {
        open::open(&self, path.as_ref())
    }
}

/// What opening a store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the store was made just now.
    pub created: bool,
    /// Whether whoever had it open before ended without closing it.
    pub after_crash: bool,
    /// Damaged snapshot files that were put aside, where they are now. A snapshot is a cache of sled's log: the store was
    /// opened from the log and checked.
    pub set_aside: Vec<PathBuf>,
    /// What was acknowledged under [`Durability::Process`] and is lost: the system has ended since.
    pub lost: Option<String>,
    /// How many runs were read and replayed to see that they are whole; `None` when there was no need to.
    pub runs_checked: Option<u64>,
}
