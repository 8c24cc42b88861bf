//! Options of the fjall backend.

use std::path::Path;

use orkestra_core::store::StoreError;

use crate::kv::backend::{EmbeddedBackend, sealed};
use crate::kv::options::EmbeddedOptions;
use crate::kv::shared::Opened;
use crate::kv::store::EmbeddedStore;

use super::open;

/// A store in one directory, with fjall as its database.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// use orkestra_store::FjallStore;
///
/// let store = FjallStore::open(directory.path().join("data"))?;
/// assert!(store.report().created);
/// # Ok(()) }
/// ```
pub type FjallStore = EmbeddedStore<Fjall>;

/// How to open a [`FjallStore`].
pub type FjallOptions = EmbeddedOptions<Fjall>;

/// The fjall backend, with its own options.
#[derive(Clone, Debug)]
pub struct Fjall {
    pub(super) memtable_bytes: u64,
}

/// The default size of a memtable: an eighth of fjall's own default. There are up to five when flushes do not keep up.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// Smaller ones would only mean many small tables.
const MEMTABLE_BYTES_MIN: u64 = 64 * 1024;
/// The journal has 64 MiB, which bounds what can be kept unflushed.
const MEMTABLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Default for Fjall {
    fn default() -> Self {
        Self { memtable_bytes: MEMTABLE_BYTES }
    }
}

impl EmbeddedBackend for Fjall {
    const NAME: &'static str = "fjall";
}

impl sealed::Open for Fjall {
    fn open(options: &FjallOptions, path: &Path) -> Result<Opened, StoreError> {
        open::open(options, path)
    }
}

impl EmbeddedOptions<Fjall> {
    /// Sets the size of a memtable to about `bytes` bytes, clamped to 64 KiB to 64 MiB. The default is 8 MiB. When
    /// flushes do not keep up there are up to five memtables, then writers wait. This takes effect when a store is
    /// created: an existing store keeps its size.
    #[must_use]
    pub fn with_memtable_bytes(self, bytes: u64) -> Self {
        Self { backend: Fjall { memtable_bytes: bytes.clamp(MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX) }, ..self }
    }
}
