//! How a store is opened.

use std::path::Path;

use orkestra_core::store::StoreError;

use crate::kv::handle::Handle;
use crate::kv::report::Durability;
use crate::kv::shared::Opened;

use super::open;
use super::store::SledStore;

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
    pub(super) durability: Durability,
    pub(super) cache_bytes: u64,
    pub(super) write_ahead_bytes: u64,
    pub(super) check: bool,
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
        Ok(SledStore(Handle::new(self.opened(path.as_ref())?)?))
    }

    pub(crate) fn opened(&self, path: &Path) -> Result<Opened, StoreError> {
        open::open(self, path)
    }
}
