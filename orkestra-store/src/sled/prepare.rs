//! Prepares the files of a store before sled opens them: removes leftovers, reports damage, undoes an interrupted
//! checkpoint.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use orkestra_core::store::{StoreError, StoreErrorKind};

use crate::kv::directory;
use crate::kv::error::io_error;
use crate::kv::format::Found;

use super::fallback::{self, Fallback, State};
use super::open::FORMAT;
use super::repair::{self, MovedAside};
use super::sync::Syncer;
use super::wal;

/// What to do about a database that is not in the expected state.
pub(super) const ACCEPT: &str = "restore the directory from a backup, or remove the files `fallback` and `mark` to continue \
                                 with what a check finds intact";

/// What is known about the files before sled opens them.
#[derive(Default)]
pub(super) struct Prepared {
    /// The expected state of sled; `None` when it is unknown.
    pub(super) state: Option<State>,
    /// The file that describes it.
    pub(super) fallback: Option<Fallback>,
    /// Whether later writes of sled were undone.
    pub(super) checkpoint_undone: bool,
    /// Damaged snapshots that were moved aside.
    pub(super) aside: Option<MovedAside>,
}

/// Prepares the files in the directory.
pub(super) fn prepare(path: &Path, found: Found) -> Result<Prepared, StoreError> {
    let cannot = |error: io::Error| io_error(&format!("cannot prepare the store in {}", path.display()), error);
    match found {
        Found::Nothing => FORMAT.begin(path)?,
        Found::Unfinished => remove_unfinished(path).map_err(cannot)?,
        Found::Store(_) => {}
    }
    check_files(path, found)?;
    let mut prepared = Prepared::default();
    let has_fallback = fallback::exists(path).map_err(cannot)?;
    match found {
        Found::Store(version) if version == FORMAT.version && has_fallback => {
            let read = fallback::read(path).map_err(cannot)?;
            let (state, turn) =
                read.ok_or_else(|| damaged(path, &format!("the file `fallback` is damaged; {ACCEPT}")))?;
            prepared.checkpoint_undone = restore(path, &state)?;
            prepared.fallback = Some(Fallback::resume(path, &state, turn).map_err(cannot)?);
            prepared.state = Some(state);
        }
        // An older format, or no fallback: the whole store is checked.
        Found::Store(_) => Syncer::locked(path).and_then(|syncer| syncer.sync_file()).map_err(cannot)?,
        Found::Nothing | Found::Unfinished => {}
    }
    if found.is_store() && prepared.state.is_none() && has_fallback {
        // Left by an interrupted upgrade.
        fallback::remove(path).map_err(cannot)?;
    }
    prepared.aside = repair_snapshots(path)?;
    Ok(prepared)
}

/// Removes what an interrupted creation left. Nothing in it was acknowledged.
fn remove_unfinished(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["db", "conf", "wal.0", "wal.1", "mark", "fallback"].contains(&&*name) || name.starts_with("snap.") {
            fs::remove_file(entry.path())?;
        }
    }
    directory::sync(path)
}

/// Durably restores sled's files to `state`. Returns whether anything was undone.
fn restore(path: &Path, state: &State) -> Result<bool, StoreError> {
    let cannot = |error: io::Error| {
        io_error(&format!("cannot restore the store in {} to its last checkpoint", path.display()), error)
    };
    let syncer = Syncer::locked(path).map_err(cannot)?;
    if !syncer.has(&state.tip).map_err(cannot)? {
        return Err(damaged(path, &format!("the files `db` and `fallback` do not belong together; {ACCEPT}")));
    }
    syncer.restore(&state.tip).map_err(cannot)
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, format!("the store in {} is damaged: {what}", path.display()))
}

/// Whether a store of this format has write-ahead files. Format 1 had none.
pub(super) fn has_write_ahead_files(found: Found) -> bool {
    matches!(found, Found::Store(2..))
}

/// Checks files that sled reads without proper validation.
fn check_files(path: &Path, found: Found) -> Result<(), StoreError> {
    let damaged = |what: &str| damaged(path, what);
    let existed = found.is_store();
    if existed && fs::metadata(path.join("db")).map_or(0, |file| file.len()) == 0 {
        return Err(damaged("the file `db` is missing or empty; restore the directory from a backup"));
    }
    if has_write_ahead_files(found) && !wal::exist(path) {
        return Err(damaged("a write-ahead file, `wal.0` or `wal.1`, is missing; restore the directory from a backup"));
    }
    match fs::read(path.join("conf")) {
        // sled rewrites a short one: it was torn when the store was created.
        Ok(bytes) if bytes.len() <= 8 || is_configuration(&bytes) => Ok(()),
        Ok(_) => Err(damaged("the file `conf` has a wrong checksum; remove it, opening the store writes a new one")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(&format!("cannot read {}/conf", path.display()), error)),
    }
}

/// Validates sled's configuration file: lines of text and their checksum. sled only logs a mismatch.
fn is_configuration(bytes: &[u8]) -> bool {
    let Some((text, checksum)) = bytes.split_last_chunk() else {
        return false;
    };
    crc32fast::hash(text) == u32::from_le_bytes(*checksum)
}

fn repair_snapshots(path: &Path) -> Result<Option<MovedAside>, StoreError> {
    let repair = || -> io::Result<Option<MovedAside>> {
        let snapshots = repair::snapshots(path)?;
        for unfinished in &snapshots.unfinished {
            tracing::info!(file = %unfinished.display(), "removed an unfinished snapshot left by a crash");
            fs::remove_file(unfinished)?;
        }
        if snapshots.torn.is_empty() { Ok(None) } else { repair::move_aside(path, &snapshots.torn).map(Some) }
    };
    repair().map_err(|error| io_error(&format!("cannot repair the snapshots in {}", path.display()), error))
}

/// Makes the files of a new store durable, including their names.
pub(super) fn sync_new_files(path: &Path) -> io::Result<()> {
    File::open(path.join("conf"))?.sync_all()?;
    directory::sync_new(path)
}
