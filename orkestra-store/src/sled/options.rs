//! What can be chosen of sled alone.

use std::path::Path;

use orkestra_core::store::StoreError;

use crate::kv::backend::{EmbeddedBackend, sealed};
use crate::kv::options::EmbeddedOptions;
use crate::kv::shared::Opened;
use crate::kv::store::EmbeddedStore;

use super::open;

/// Runs on disk, kept in sled, in one directory.
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

/// How a [`SledStore`] is opened.
pub type SledOptions = EmbeddedOptions<Sled>;

/// sled, with the options that only it has.
#[derive(Clone, Debug)]
pub struct Sled {
    pub(super) write_ahead_bytes: u64,
}

/// What is gathered before it is brought into sled, unless told otherwise. The more there is, the less of it reaches sled
/// at all: what runs have overwritten by then is written there once.
const WRITE_AHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// Less would only be files.
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
    /// The same, gathering about `bytes` bytes of commits in a write-ahead file and in memory before they are brought into
    /// sled in the background. The default is 4 MiB. There are two such files; while the disk does not keep up they grow
    /// to four times as much, and then writers wait.
    #[must_use]
    pub fn with_write_ahead_bytes(self, bytes: u64) -> Self {
        Self { backend: Sled { write_ahead_bytes: bytes.max(WRITE_AHEAD_BYTES_MIN) }, ..self }
    }
}
