//! Who has the directory open: a locked file with the process in it, so that the next one can be told.
//!
//! sled locks its own file too. This one is taken before anything in the directory is looked at or put right.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::error::refused;

const FILE: &str = "owner";

/// How often and how long to wait for a lock that is about to be given up: by a store that is just being dropped, or by
/// a child process between its fork and its exec.
pub(crate) const LOCK_TRIES: u32 = 20;
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The right to use a directory, given up on dropping.
pub(crate) struct Owner {
    file: File,
    /// Whether the owner before did not give it up itself.
    pub(crate) after_crash: bool,
}

impl Owner {
    /// Takes the directory.
    pub(crate) fn take(directory: &Path) -> Result<Self, StoreError> {
        let place = directory.display();
        let no_file = |error| refused(&format!("no lock can be taken in {place}"), error);
        let mut options = File::options();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(directory.join(FILE)).map_err(no_file)?;
        lock(&file).map_err(|error| match error {
            TryLockError::WouldBlock => {
                let message = format!("{place} is open in {}; one process at a time can use it", name(&mut file));
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
        // An empty file says that the store was closed; if it cannot be emptied, the next report is merely too careful.
        let _ = self.file.set_len(0);
    }
}

/// Locks `file`, which may still be locked for a moment.
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
    // The program alone: its arguments may hold secrets.
    let program = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("process {} (`{program}`)", std::process::id());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(name.as_bytes())?;
    // IMPORTANT: not before: on a full disk the place of the name before it is all that there is.
    file.set_len(name.len() as u64)
}

fn name(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(256).read_to_string(&mut text);
    if read.is_ok() && !text.is_empty() { text } else { "another process".into() }
}
