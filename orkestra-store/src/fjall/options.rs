//! What can be chosen of fjall alone.

use std::path::Path;

use orkestra_core::store::StoreError;

use crate::kv::backend::{EmbeddedBackend, sealed};
use crate::kv::options::EmbeddedOptions;
use crate::kv::shared::Opened;
use crate::kv::store::EmbeddedStore;

use super::open;

/// Runs on disk, kept in fjall, in one directory.
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

/// How a [`FjallStore`] is opened.
pub type FjallOptions = EmbeddedOptions<Fjall>;

/// fjall, with the options that only it has.
#[derive(Clone, Debug)]
pub struct Fjall {
    pub(super) memtable_bytes: u64,
}

/// What is gathered in memory before it becomes a table, unless told otherwise: an eighth of fjall's own default. There are up
/// to five of them when the disk does not keep up.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// Less would only be many small tables.
const MEMTABLE_BYTES_MIN: u64 = 64 * 1024;
/// Its journal has 64 MiB: what does not fit there cannot be gathered.
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
    /// The same, gathering about `bytes` bytes in memory, 64 KiB to 64 MiB, before they become a table. The default is 8 MiB;
    /// when the disk does not keep up there are five times as many, and then writers wait. It counts when the store is made:
    /// an existing store keeps what it was made with.
    #[must_use]
    pub fn with_memtable_bytes(self, bytes: u64) -> Self {
        Self { backend: Fjall { memtable_bytes: bytes.clamp(MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX) }, ..self }
    }
}
