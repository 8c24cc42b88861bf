//! Opening a store: who owns the directory, what is in it, is it whole.
//!
//! ```text
//! directory -> owner's lock -> FORMAT -> mark -> journals -> fjall -> check, if asked for -> number of the opening
//! ```
//!
//! Nothing in the directory is changed before its lock is held. No step panics, whatever the files hold.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use orkestra_core::store::StoreError;

use crate::kv::error::{Trouble, refused, without_panic};
use crate::kv::format::{Format, Found};
use crate::kv::health::Health;
use crate::kv::keys::{META_APPLIED, META_BOOT};
use crate::kv::map::{Lasting, Log as _, Map as _, View};
use crate::kv::mark::Mark;
use crate::kv::owner::Owner;
use crate::kv::report::OpenReport;
use crate::kv::shared::Opened;
use crate::kv::{boot, check, directory};

use super::background::Background;
use super::database::Database;
use super::journal::{self, Expected, Mended};
use super::log::FjallLog;
use super::options::FjallOptions;
use super::promised::Promised;

/// Where fjall's own files are.
const DATABASE: &str = "data";

/// What is in a directory.
const FORMAT: Format = Format { backend: "fjall", version: 1, database: DATABASE };

pub(super) fn open(options: &FjallOptions, path: &Path) -> Result<Opened, StoreError> {
    directory::make(path)?;
    let owner = Owner::take(path)?;
    let found = FORMAT.read(path)?;
    if found == Found::Nothing {
        FORMAT.begin(path)?;
    }
    let health = Arc::new(Health::new(path.to_path_buf()));
    let told = |trouble| health.told(trouble);
    let existed = found.is_store();
    let directory = path.join(DATABASE);
    check_files(&directory, existed).map_err(told)?;
    let no_mark = |error| refused(&format!("{} cannot be used", path.display()), error);
    let is_loss_accepted = Mark::is_missing(path);
    let (marked, mark) = Mark::open(path, options.durability).map_err(no_mark)?;
    let mut mended = if existed {
        journal::mend(&directory, Expected { marked, is_loss_accepted }).map_err(told)?
    } else {
        Mended::default()
    };
    let database = Database::open(&directory, options, existed).map_err(told)?;
    let (last, boot) = without_panic(|| numbers(&*database.view(), existed)).map_err(told)?;
    let mut report =
        OpenReport { created: !existed, after_crash: owner.after_crash && existed, ..OpenReport::default() };
    report.lost = mended.settle(last, &health.place()).map_err(told)?;
    report.cut = mended.cut();
    if options.check {
        let checked = without_panic(|| check::check(&*database.view())).map_err(told)?;
        report.runs_checked = Some(checked.runs);
    }
    let (map, durability) = (Arc::new(database.clone()), options.durability);
    let background = Background::new(path.to_path_buf(), options.backend.memtable_bytes);
    // fjall syncs its newest journal before it reads it.
    let previous = mended.previous(last);
    let promised = Promised { synced: previous, acknowledged: last, previous };
    let mut log = FjallLog { database, mark, durability, last, promised, health: Arc::clone(&health), background };
    let write = || log.write(boot::changes(boot), Lasting::Always);
    without_panic(write).map_err(|trouble| health.told(trouble))?;
    if !existed {
        // fjall does not sync the names of all directories that it creates.
        directory::sync_tree(&path.join(DATABASE)).and_then(|()| directory::sync_new(path)).map_err(no_mark)?;
        FORMAT.finish(path)?;
    }
    Ok(Opened { log: Box::new(log), map, health, boot, report, owner })
}

/// What fjall would not look at closely: without its version it makes a new database where one was, and it does not go on
/// with one whose making was interrupted.
fn check_files(directory: &Path, existed: bool) -> Result<(), Trouble> {
    let is_there = directory.join("version").exists();
    if existed && !is_there {
        return Err(Trouble::Damaged(format!("the file `{DATABASE}/version` is missing")));
    }
    if !existed {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The number of the last group commit, and that of this opening.
fn numbers(view: &dyn View, existed: bool) -> Result<(u64, u32), Trouble> {
    if existed && !view.contains_key(META_BOOT)? {
        return Err(Trouble::Damaged("the log has lost its beginning, and what was in it".into()));
    }
    let last = view.get(META_APPLIED)?.map_or(Ok(0), |bytes| {
        bytes.try_into().map(u64::from_be_bytes).map_err(|_| Trouble::value(META_APPLIED, "it is no number"))
    })?;
    Ok((last, boot::next(view)?))
}
