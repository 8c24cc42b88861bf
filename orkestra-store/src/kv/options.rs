//! Options of an embedded store: those common to all backends, and those of one backend.

use std::path::Path;

use orkestra_core::store::StoreError;

use super::backend::EmbeddedBackend;
use super::report::Durability;
use super::store::EmbeddedStore;

/// How to open an [`EmbeddedStore`]. [`SledOptions`](crate::SledOptions) and `FjallOptions` each have one more option.
///
/// ```no_run
/// # #[cfg(feature = "sled")] {
/// use orkestra_store::{Durability, SledStore};
///
/// # fn main() -> Result<(), orkestra_core::store::StoreError> {
/// let store = SledStore::options().with_durability(Durability::Process).open("./data")?;
/// # Ok(()) }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct EmbeddedOptions<B> {
    pub(crate) durability: Durability,
    pub(crate) cache_bytes: u64,
    pub(crate) check: bool,
    pub(crate) backend: B,
}

/// The default cache size. sled uses two to three times as much memory, because it counts a page by its size on disk.
/// The backends' own defaults (sled: 1 GiB, fjall: 32 MiB) are unsuitable for a library.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

impl<B: Default> Default for EmbeddedOptions<B> {
    fn default() -> Self {
        Self { durability: Durability::default(), cache_bytes: CACHE_BYTES, check: false, backend: B::default() }
    }
}

impl<B: EmbeddedBackend> EmbeddedOptions<B> {
    /// Sets the durability. The default is [`Durability::Fsync`].
    #[must_use]
    pub fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Sets the size of the backend's cache, about `bytes` bytes. The default is 16 MiB. For sled this bounds the
    /// cached pages, not the page table: see `docs/store.md`.
    #[must_use]
    pub fn with_cache_bytes(self, bytes: u64) -> Self {
        Self { cache_bytes: bytes, ..self }
    }

    /// Sets whether opening reads and replays every journal. The default is `false`. The cost grows with the size of
    /// the store. A repaired store is always checked.
    #[must_use]
    pub fn with_check(self, check: bool) -> Self {
        Self { check, ..self }
    }

    /// Opens the store in the directory `path`, creating it if it does not exist.
    ///
    /// # Errors
    /// By kind:
    ///
    /// - `Io`: the directory cannot be created or written to.
    /// - `Busy`: the store is open in another process.
    /// - `Version`: a newer version of this library wrote the store.
    /// - `Invalid`: the directory holds something else.
    /// - `Damaged`: the store cannot be repaired without losing data. The files are left in place.
    pub fn open(self, path: impl AsRef<Path>) -> Result<EmbeddedStore<B>, StoreError> {
        EmbeddedStore::new(B::open(&self, path.as_ref())?)
    }
}
