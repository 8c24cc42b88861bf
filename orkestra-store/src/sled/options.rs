//! Options of the sled backend.

use std::path::Path;

use orkestra_core::store::StoreError;

use crate::kv::backend::{EmbeddedBackend, sealed};
use crate::kv::options::EmbeddedOptions;
use crate::kv::shared::Opened;
use crate::kv::store::EmbeddedStore;

use super::open;

/// A store in one directory, with sled as its database.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// use orkestra_store::SledStore;
///
/// let store = SledStore::open(directory.path().join("data"))?;
/// assert!(store.report().created);
/// # Ok(()) }
/// ```
pub type SledStore = EmbeddedStore<Sled>;

/// How to open a [`SledStore`].
pub type SledOptions = EmbeddedOptions<Sled>;

/// The sled backend, with its own options.
#[derive(Clone, Debug)]
pub struct Sled {
    pub(super) write_ahead_bytes: u64,
}

/// The default size of a write-ahead file. A larger one means fewer writes to sled: values overwritten in the meantime
/// are written to sled only once.
const WRITE_AHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// Smaller files would only mean more checkpoints.
const WRITE_AHEAD_BYTES_MIN: u64 = 4 * 1024;

impl Default for Sled {
    fn default() -> Self {
        Self { write_ahead_bytes: WRITE_AHEAD_BYTES }
    }
}

impl EmbeddedBackend for Sled {
    const NAME: &'static str = "sled";
}

impl sealed::Open for Sled {
    fn open(options: &SledOptions, path: &Path) -> Result<Opened, StoreError> {
        open::open(options, path)
    }
}

impl EmbeddedOptions<Sled> {
    /// Sets how many bytes of commits, approximately, are collected in a write-ahead file and in memory before they are
    /// written into sled in the background. The default is 4 MiB, the minimum 4 KiB. There are two such files. When
    /// checkpoints do not keep up, a file grows to four times this size, then writers wait.
    #[must_use]
    pub fn with_write_ahead_bytes(self, bytes: u64) -> Self {
        Self { backend: Sled { write_ahead_bytes: bytes.max(WRITE_AHEAD_BYTES_MIN) }, ..self }
    }
}
