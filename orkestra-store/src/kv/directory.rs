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
    fs::create_dir_all(path).map_err(|error| refused(&format!("the directory {place} cannot be made"), error))
}

/// Makes the entries of `directory` durable: the names of new files are not part of the files.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    // Elsewhere directories cannot be opened as files, and there is no way to sync them.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Makes the name of `path` durable.
#[cfg(feature = "fjall")]
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync)
}

/// The same as [`sync`] for a directory and all directories in it.
#[cfg(feature = "fjall")]
pub(crate) fn sync_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync(directory)
}

/// The same as [`sync`] for a directory that may be new, and for all directories above it, which may be new as well.
///
/// It is not known which of them are new: the process that created them may have ended before it synced them.
pub(crate) fn sync_new(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    for ancestor in directory.ancestors().take_while(|ancestor| is_same_file_system(ancestor, &directory)) {
        match sync(ancestor) {
            // We could read it if we had created it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && ancestor != directory => break,
            done => done?,
        }
    }
    Ok(())
}

/// Whether `ancestor` may be new: a directory on another file system was there before.
#[cfg(unix)]
fn is_same_file_system(ancestor: &Path, directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    device(ancestor) == device(directory)
}

#[cfg(not(unix))]
fn is_same_file_system(_ancestor: &Path, _directory: &Path) -> bool {
    true
}
