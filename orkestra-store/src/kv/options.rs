//! How an embedded store is opened: what all backends have in common, and what only one of them has.

use std::path::Path;

use orkestra_core::store::StoreError;

use super::backend::EmbeddedBackend;
use super::report::Durability;
use super::store::EmbeddedStore;

/// How an [`EmbeddedStore`] is opened. [`SledOptions`](crate::SledOptions) and `FjallOptions` have an option more each.
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

/// What a backend may keep in memory of what is on disk, unless told otherwise. sled takes two to three times as much, for it counts
/// the bytes of a page as they are on disk. The backends' own defaults (sled: 1 GiB, fjall: 32 MiB) are not for a library to take.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

impl<B: Default> Default for EmbeddedOptions<B> {
    fn default() -> Self {
        Self { durability: Durability::default(), cache_bytes: CACHE_BYTES, check: false, backend: B::default() }
    }
}

impl<B: EmbeddedBackend> EmbeddedOptions<B> {
    /// The same with another durability. The default is [`Durability::Fsync`].
    #[must_use]
    pub fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// The same with a cache of about `bytes` bytes. The default is 16 MiB. Of sled it bounds the pages that are kept, not the
    /// table of where they are: see `docs/store.md`.
    #[must_use]
    pub fn with_cache_bytes(self, bytes: u64) -> Self {
        Self { cache_bytes: bytes, ..self }
    }

    /// The same, reading and replaying every journal on opening. Costs as much as the store is large; a store that had
    /// to be repaired is always checked.
    #[must_use]
    pub fn with_check(self, check: bool) -> Self {
        Self { check, ..self }
    }

    /// Opens the store in the directory `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// By kind: `Io` when the directory cannot be made or written, `Busy` when another process has it open, `Version`
    /// when a newer version of this library wrote it, `Invalid` when the directory holds something else, `Damaged` when
    /// it is damaged beyond what can be put right without loss; nothing is lost then, what was there stays there.
    pub fn open(self, path: impl AsRef<Path>) -> Result<EmbeddedStore<B>, StoreError> {
        EmbeddedStore::new(B::open(&self, path.as_ref())?)
    }
}
