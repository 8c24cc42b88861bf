//! The lock file of a directory. It names the process that has the store open, for the error of the next one.
//!
//! sled locks a file of its own. This lock is taken before anything in the directory is read or repaired.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::error::io_error;

const FILE: &str = "owner";

/// How often and how long to wait for a lock that is about to be released: by a store being dropped, or by a child
/// process between fork and exec.
pub(crate) const LOCK_TRIES: u32 = 20;
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Exclusive use of a directory, released on drop.
pub(crate) struct Owner {
    file: File,
    /// Whether the previous owner ended without releasing it.
    pub(crate) after_crash: bool,
}

impl Owner {
    /// Locks the directory.
    pub(crate) fn take(directory: &Path) -> Result<Self, StoreError> {
        let place = directory.display();
        let no_file = |error| io_error(&format!("cannot lock {place}"), error);
        let mut options = File::options();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(directory.join(FILE)).map_err(no_file)?;
        lock(&file).map_err(|error| match error {
            TryLockError::WouldBlock => {
                let message = format!(
                    "cannot open the store in {place}: it is open in {}; stop it or use another directory",
                    name(&mut file)
                );
                StoreError::new(StoreErrorKind::Busy, message)
            }
            TryLockError::Error(error) => no_file(error),
        })?;
        let after_crash = file.metadata().map_err(no_file)?.len() > 0;
        sign(&mut file).map_err(no_file)?;
        Ok(Self { file, after_crash })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // An empty file means that the store was closed. If truncating fails, the next opening is merely too careful.
        let _ = self.file.set_len(0);
    }
}

/// Locks `file`, waiting a moment if it is still locked.
pub(crate) fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
            done => return done,
        }
    }
    file.try_lock()
}

fn sign(file: &mut File) -> std::io::Result<()> {
    // Only the program name: arguments may contain secrets.
    let program = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("process {} (`{program}`)", std::process::id());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(name.as_bytes())?;
    // IMPORTANT: truncate last: on a full disk, the blocks of the previous name are the only space there is.
    file.set_len(name.len() as u64)
}

fn name(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(256).read_to_string(&mut text);
    if read.is_ok() && !text.is_empty() { text } else { "another process".into() }
}
