//! Creating and syncing the directory of a store. Its contents are up to the backend.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::error::io_error;

/// Creates the directory `path` if it does not exist.
pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
    let place = path.display();
    if path.exists() && !path.is_dir() {
        return Err(StoreError::new(
            StoreErrorKind::Invalid,
            format!("cannot open a store in {place}: it is a file; use a directory"),
        ));
    }
    fs::create_dir_all(path).map_err(|error| io_error(&format!("cannot create the directory {place}"), error))
}

/// Makes the entries of `directory` durable: syncing a new file does not sync its name.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    // Other systems cannot open a directory as a file, and have no way to sync one.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Makes the name of `path` durable.
#[cfg(feature = "fjall")]
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync)
}

/// Like [`sync`], for a directory and all directories in it.
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

/// Like [`sync`], for a directory and all directories above it, any of which may be new.
///
/// Which ones are new is unknown: the process that created them may have ended before it synced them.
pub(crate) fn sync_new(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    for ancestor in directory.ancestors().take_while(|ancestor| is_same_file_system(ancestor, &directory)) {
        match sync(ancestor) {
            // A directory that this process created is readable.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && ancestor != directory => break,
            done => done?,
        }
    }
    Ok(())
}

/// Whether `ancestor` may be new. A directory on another file system existed before.
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
