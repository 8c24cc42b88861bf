//! Opening a store: lock the directory, mend its journals, check it.
//!
//! ```text
//! directory -> lock -> FORMAT -> mark -> journals -> fjall -> check, if requested -> boot number
//! ```
//!
//! Nothing in the directory is changed before it is locked. No step panics, whatever the files contain.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use orkestra_core::store::StoreError;

use crate::kv::error::{BackendError, io_error, without_panic};
use crate::kv::format::{Format, Found};
use crate::kv::health::Health;
use crate::kv::keys::{META_APPLIED, META_BOOT};
use crate::kv::map::{Log as _, Map as _, Persistence, View};
use crate::kv::mark::Mark;
use crate::kv::owner::Owner;
use crate::kv::report::OpenReport;
use crate::kv::shared::Opened;
use crate::kv::{boot, check, directory};

use super::background::Background;
use super::database::Database;
use super::journal::{self, Expected, MendedJournals};
use super::log::FjallLog;
use super::options::FjallOptions;
use super::promised::Promises;

/// The directory of fjall's own files.
const DATABASE: &str = "data";

/// The format of a directory.
const FORMAT: Format = Format { backend: "fjall", version: 1, database: DATABASE };

pub(super) fn open(options: &FjallOptions, path: &Path) -> Result<Opened, StoreError> {
    directory::create(path)?;
    let owner = Owner::take(path)?;
    let found = FORMAT.read(path)?;
    if found == Found::Nothing {
        FORMAT.begin(path)?;
    }
    let health = Arc::new(Health::new(path.to_path_buf()));
    let store_error = |error| health.error(error);
    let existed = found.is_store();
    let directory = path.join(DATABASE);
    check_files(&directory, existed).map_err(store_error)?;
    let no_mark = |error| io_error(&format!("cannot use the store in {}", path.display()), error);
    let is_loss_accepted = Mark::is_missing(path);
    let (marked, mark) = Mark::open(path, options.durability).map_err(no_mark)?;
    let mut mended = if existed {
        journal::mend(&directory, Expected { marked, is_loss_accepted }).map_err(store_error)?
    } else {
        MendedJournals::default()
    };
    let database = Database::open(&directory, options, existed).map_err(store_error)?;
    let (last, boot) = without_panic(|| numbers(&*database.view(), existed)).map_err(store_error)?;
    let mut report =
        OpenReport { created: !existed, after_crash: owner.after_crash && existed, ..OpenReport::default() };
    report.lost = mended.settle(last, &health.place()).map_err(store_error)?;
    report.cut = mended.cut();
    if options.check {
        let checked = without_panic(|| check::check(&*database.view())).map_err(store_error)?;
        report.runs_checked = Some(checked.runs);
    }
    let (map, durability) = (Arc::new(database.clone()), options.durability);
    let background = Background::new(path.to_path_buf(), options.backend.memtable_bytes);
    // fjall syncs its newest journal before reading it.
    let previous = mended.previous(last);
    let promised = Promises { synced: previous, acknowledged: last, previous };
    let mut log = FjallLog { database, mark, durability, last, promised, health: Arc::clone(&health), background };
    let write = || log.write(boot::changes(boot), Persistence::Synced);
    without_panic(write).map_err(|error| health.error(error))?;
    if !existed {
        // fjall does not sync the names of all directories that it creates.
        directory::sync_tree(&path.join(DATABASE)).and_then(|()| directory::sync_new(path)).map_err(no_mark)?;
        FORMAT.finish(path)?;
    }
    Ok(Opened { log: Box::new(log), map, health, boot, report, owner })
}

/// Checks what fjall does not: without the file `version` it creates a new database over an existing one, and it cannot
/// open one whose creation was interrupted.
fn check_files(directory: &Path, existed: bool) -> Result<(), BackendError> {
    let is_there = directory.join("version").exists();
    if existed && !is_there {
        return Err(BackendError::Damaged(format!(
            "the file `{DATABASE}/version` is missing; restore the directory from a backup"
        )));
    }
    if !existed {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The number of the last group commit, and the boot number of this opening.
fn numbers(view: &dyn View, existed: bool) -> Result<(u64, u32), BackendError> {
    if existed && !view.contains_key(META_BOOT)? {
        return Err(BackendError::Damaged(
            "the beginning of its log is lost; restore the directory from a backup".into(),
        ));
    }
    let last = view.get(META_APPLIED)?.map_or(Ok(0), |bytes| {
        bytes
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| BackendError::value(META_APPLIED, "it is not an 8-byte number"))
    })?;
    Ok((last, boot::next(view)?))
}
