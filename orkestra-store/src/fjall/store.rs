//! The store a user opens. All it does is done by its handle, over fjall.

use std::path::Path;

use crate::kv::check::CheckReport;
use crate::kv::handle::Handle;
use crate::kv::report::OpenReport;
use crate::kv::store::{names::*, store};

use super::options::FjallOptions;

/// Runs on disk, in one directory, open in one process at a time. Cheap to clone; dropping the last clone closes it.
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
#[derive(Clone)]
pub struct FjallStore(pub(super) Handle);

impl FjallStore {
    /// Opens the store in the directory `path` with the default options.
    ///
    /// # Errors
    /// Those of [`FjallOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        FjallOptions::default().open(path)
    }

    /// The options to open a store with.
    #[must_use]
    pub fn options() -> FjallOptions {
        FjallOptions::default()
    }

    /// What opening it found and did.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        self.0.report()
    }

    /// Reads and replays every journal, and compares the records and indexes with them..
    ///
    /// # Errors
    /// `Damaged`, with the first thing that is not as it should be.
    pub async fn check(&self) -> Result<CheckReport, StoreError> {
        self.0.check().await
    }
}

store!(FjallStore, "fjall");
