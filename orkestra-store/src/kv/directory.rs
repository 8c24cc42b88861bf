//! The directory of a store: made, and its entries made durable. What is in it is the backend's business.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::error::refused;

/// Makes the directory `path` if it is not there.
pub(crate) fn make(path: &Path) -> Result<(), StoreError> {
    let place = path.display();
    if path.exists() && !path.is_dir() {
        return Err(StoreError::new(StoreErrorKind::Invalid, format!("{place} is a file; a store needs a directory")));
    }
    fs::create_dir_all(path).map_err(|error| refused(&format!("the directory {place} cannot be made"), &error))
}

/// Makes the entries of `directory` durable: the names of new files are not part of the files.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    // Elsewhere directories cannot be opened as files, and there is no way to sync them.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The same for a directory that may be new itself.
pub(crate) fn sync_new(directory: &Path) -> io::Result<()> {
    sync(directory)?;
    directory.canonicalize()?.parent().map_or(Ok(()), sync)
}
