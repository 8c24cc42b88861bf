//! Prepares the files of a store before sled opens them: removes leftovers, reports damage, undoes an interrupted
//! checkpoint.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use orkestra_core::store::{StoreError, StoreErrorKind};

use crate::kv::directory;
use crate::kv::error::refused;
use crate::kv::format::Found;

use super::fallback::{self, Fallback, State};
use super::open::FORMAT;
use super::repair::{self, Aside};
use super::sync::Syncer;
use super::wal;

/// What to do about a database that is not in the expected state.
pub(super) const ACCEPT: &str = "restore the directory from a backup, or remove the files `fallback` and `mark` to continue \
                                 with what a check finds intact";

/// What is known about the files before sled opens them.
#[derive(Default)]
pub(super) struct Standing {
    /// The expected state of sled; `None` when it is unknown.
    pub(super) state: Option<State>,
    /// The file that describes it.
    pub(super) fallback: Option<Fallback>,
    /// Whether later writes of sled were undone.
    pub(super) is_undone: bool,
    /// Damaged snapshots that were moved aside.
    pub(super) aside: Option<Aside>,
}

/// Prepares the files in the directory.
pub(super) fn prepare(path: &Path, found: Found) -> Result<Standing, StoreError> {
    let cannot = |error: io::Error| refused(&format!("cannot prepare the store in {}", path.display()), &error);
    match found {
        Found::Nothing => FORMAT.begin(path)?,
        Found::Unfinished => start_over(path).map_err(cannot)?,
        Found::Store(_) => {}
    }
    check_files(path, found)?;
    let mut standing = Standing::default();
    let has_fallback = fallback::is_there(path).map_err(cannot)?;
    match found {
        Found::Store(version) if version == FORMAT.version && has_fallback => {
            let read = fallback::read(path).map_err(cannot)?;
            let (state, turn) =
                read.ok_or_else(|| damaged(path, &format!("the file `fallback` is damaged; {ACCEPT}")))?;
            standing.is_undone = go_back(path, &state)?;
            standing.fallback = Some(Fallback::go_on(path, &state, turn).map_err(cannot)?);
            standing.state = Some(state);
        }
        // An older format, or no fallback: the whole store is checked.
        Found::Store(_) => Syncer::alone(path).and_then(|syncer| syncer.settle()).map_err(cannot)?,
        Found::Nothing | Found::Unfinished => {}
    }
    if found.is_store() && standing.state.is_none() && has_fallback {
        // Left by an interrupted upgrade.
        fallback::remove(path).map_err(cannot)?;
    }
    standing.aside = put_snapshots_right(path)?;
    Ok(standing)
}

/// Removes what an interrupted creation left. Nothing in it was acknowledged.
fn start_over(path: &Path) -> io::Result<()> {
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
fn go_back(path: &Path, state: &State) -> Result<bool, StoreError> {
    let cannot = |error: io::Error| {
        refused(&format!("cannot restore the store in {} to its last checkpoint", path.display()), &error)
    };
    let syncer = Syncer::alone(path).map_err(cannot)?;
    if !syncer.has(&state.tip).map_err(cannot)? {
        return Err(damaged(path, &format!("the files `db` and `fallback` do not belong together; {ACCEPT}")));
    }
    syncer.go_back(&state.tip).map_err(cannot)
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
    if has_write_ahead_files(found) && !wal::is_there(path) {
        return Err(damaged("a write-ahead file, `wal.0` or `wal.1`, is missing; restore the directory from a backup"));
    }
    match fs::read(path.join("conf")) {
        // sled rewrites a short one: it was torn when the store was created.
        Ok(bytes) if bytes.len() <= 8 || is_configuration(&bytes) => Ok(()),
        Ok(_) => Err(damaged("the file `conf` has a wrong checksum; remove it, opening the store writes a new one")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused(&format!("cannot read {}/conf", path.display()), &error)),
    }
}

/// Validates sled's configuration file: lines of text and their checksum. sled only logs a mismatch.
fn is_configuration(bytes: &[u8]) -> bool {
    let Some((text, checksum)) = bytes.split_last_chunk() else {
        return false;
    };
    crc32fast::hash(text) == u32::from_le_bytes(*checksum)
}

fn put_snapshots_right(path: &Path) -> Result<Option<Aside>, StoreError> {
    let put_right = || -> io::Result<Option<Aside>> {
        let snapshots = repair::snapshots(path)?;
        for unfinished in &snapshots.unfinished {
            tracing::info!(file = %unfinished.display(), "removed an unfinished snapshot left by a crash");
            fs::remove_file(unfinished)?;
        }
        if snapshots.torn.is_empty() { Ok(None) } else { repair::set_aside(path, &snapshots.torn).map(Some) }
    };
    put_right().map_err(|error| refused(&format!("cannot repair the snapshots in {}", path.display()), &error))
}

/// Makes the files of a new store durable, including their names.
pub(super) fn sync_new_files(path: &Path) -> io::Result<()> {
    File::open(path.join("conf"))?.sync_all()?;
    directory::sync_new(path)
}
