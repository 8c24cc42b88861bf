//! How a store is opened.

use std::path::Path;

use orkestra_core::store::StoreError;

use crate::kv::handle::Handle;
use crate::kv::report::Durability;
use crate::kv::shared::Opened;

use super::open;
use super::store::FjallStore;

/// How a [`FjallStore`] is opened.
///
/// ```no_run
/// use orkestra_store::{Durability, FjallStore};
///
/// # fn main() -> Result<(), orkestra_core::store::StoreError> {
/// let store = FjallStore::options().with_durability(Durability::Process).open("./data")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FjallOptions {
    pub(super) durability: Durability,
    pub(super) cache_bytes: u64,
    pub(super) memtable_bytes: u64,
    pub(super) check: bool,
}

/// What fjall may keep of its tables, unless told otherwise. Half of its own default.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// What is gathered in memory before it becomes a table, unless told otherwise: an eighth of fjall's own default. There are up
/// to five of them when the disk does not keep up.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// Less would only be many small tables.
const MEMTABLE_BYTES_MIN: u64 = 64 * 1024;
/// Its journal has 64 MiB: what does not fit there cannot be gathered.
const MEMTABLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Default for FjallOptions {
    fn default() -> Self {
        let (cache_bytes, memtable_bytes) = (CACHE_BYTES, MEMTABLE_BYTES);
        Self { durability: Durability::default(), cache_bytes, memtable_bytes, check: false }
    }
}

impl FjallOptions {
    /// The same with another durability. The default is [`Durability::Fsync`].
    #[must_use]
    pub fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// The same with a cache of about `bytes` bytes. The default is 16 MiB.
    #[must_use]
    pub fn with_cache_bytes(self, bytes: u64) -> Self {
        Self { cache_bytes: bytes, ..self }
    }

    /// The same, gathering about `bytes` bytes in memory, 64 KiB to 64 MiB, before they become a table. The default is 8 MiB;
    /// when the disk does not keep up there are five times as many, and then writers wait. It counts when the store is made:
    /// one that is there keeps what it was made with.
    #[must_use]
    pub fn with_memtable_bytes(self, bytes: u64) -> Self {
        Self { memtable_bytes: bytes.clamp(MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX), ..self }
    }

    /// The same, reading and replaying every journal on opening. Costs as much as the store is large.
    #[must_use]
    pub fn with_check(self, check: bool) -> Self {
        Self { check, ..self }
    }

    /// Opens the store in the directory `path`, which is created if it is not there.
    ///
    /// # Errors
    /// By kind: `Io` when the directory cannot be made or written, `Busy` when another process has it open, `Version`
    /// when a newer version of this library wrote it, `Invalid` when the directory holds something else, `Damaged` when
    /// it is damaged.
    pub fn open(self, path: impl AsRef<Path>) -> Result<FjallStore, StoreError> {
        Ok(FjallStore(Handle::new(self.opened(path.as_ref())?)?))
    }

    pub(crate) fn opened(&self, path: &Path) -> Result<Opened, StoreError> {
        open::open(self, path)
    }
}
