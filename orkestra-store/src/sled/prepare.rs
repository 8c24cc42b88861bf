//! What is done to the files of a store before sled opens them: left-overs removed, damage named, an interrupted checkpoint undone.

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

/// How somebody goes on with a database that is not what it must be.
pub(super) const ACCEPT: &str = "restore the directory from a copy, or remove the files `fallback` and `mark` to go on with \
                                 what a check finds to be whole";

/// What is known of the files as sled opens them.
#[derive(Default)]
pub(super) struct Standing {
    /// What sled must hold; `None` when nothing says it.
    pub(super) state: Option<State>,
    /// The file that says so.
    pub(super) fallback: Option<Fallback>,
    /// Whether sled had written anything since, which was undone.
    pub(super) is_undone: bool,
    /// Torn snapshots that were put aside.
    pub(super) aside: Option<Aside>,
}

/// Makes the files of the directory ready for sled.
pub(super) fn prepare(path: &Path, found: Found) -> Result<Standing, StoreError> {
    let cannot = |error: io::Error| refused(&format!("{} cannot be made ready", path.display()), error);
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
            let (state, turn) = read.ok_or_else(|| damaged(path, &format!("the file `fallback` is torn; {ACCEPT}")))?;
            standing.is_undone = go_back(path, &state)?;
            standing.fallback = Some(Fallback::go_on(path, &state, turn).map_err(cannot)?);
            standing.state = Some(state);
        }
        // Of an older format, or without its fallback: all of it is checked.
        Found::Store(_) => Syncer::alone(path).and_then(|syncer| syncer.settle()).map_err(cannot)?,
        Found::Nothing | Found::Unfinished => {}
    }
    if found.is_store() && standing.state.is_none() && has_fallback {
        // Of a take-over that was cut.
        fallback::remove(path).map_err(cannot)?;
    }
    standing.aside = put_snapshots_right(path)?;
    Ok(standing)
}

/// Removes what an interrupted creation left: nothing was acknowledged yet.
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

/// Puts sled's files back to `state`, durably. Answers whether anything had to be undone.
fn go_back(path: &Path, state: &State) -> Result<bool, StoreError> {
    let cannot = |error: io::Error| refused(&format!("{} cannot be put back", path.display()), error);
    let syncer = Syncer::alone(path).map_err(cannot)?;
    if !syncer.has(&state.tip).map_err(cannot)? {
        return Err(damaged(path, &format!("the files `db` and `fallback` do not belong together; {ACCEPT}")));
    }
    syncer.go_back(&state.tip).map_err(cannot)
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, format!("{} is damaged: {what}", path.display()))
}

/// Whether a store that was found has them: format 1 had not.
pub(super) fn has_write_ahead_files(found: Found) -> bool {
    matches!(found, Found::Store(2..))
}

/// Files that sled would read without looking closely.
fn check_files(path: &Path, found: Found) -> Result<(), StoreError> {
    let damaged = |what: &str| damaged(path, what);
    let existed = found.is_store();
    if existed && fs::metadata(path.join("db")).map_or(0, |file| file.len()) == 0 {
        return Err(damaged("the file `db` is missing or empty"));
    }
    if has_write_ahead_files(found) && !wal::is_there(path) {
        return Err(damaged("a write-ahead file, `wal.0` or `wal.1`, is missing"));
    }
    match fs::read(path.join("conf")) {
        // sled writes a short one anew: it was torn as the store was made.
        Ok(bytes) if bytes.len() <= 8 || is_configuration(&bytes) => Ok(()),
        Ok(_) => Err(damaged("the file `conf` is not as sled writes it; removed, it is written anew on opening")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused(&format!("{}/conf cannot be read", path.display()), error)),
    }
}

/// sled's configuration file: lines of text and their checksum. sled merely logs when that is wrong.
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
            tracing::info!(file = %unfinished.display(), "an abrupt stop left an unfinished snapshot: removed");
            fs::remove_file(unfinished)?;
        }
        if snapshots.torn.is_empty() { Ok(None) } else { repair::set_aside(path, &snapshots.torn).map(Some) }
    };
    put_right().map_err(|error| refused(&format!("the snapshots in {} cannot be put right", path.display()), error))
}

/// Makes the files of a new store durable, their names included.
pub(super) fn sync_new_files(path: &Path) -> io::Result<()> {
    File::open(path.join("conf"))?.sync_all()?;
    directory::sync_new(path)
}
