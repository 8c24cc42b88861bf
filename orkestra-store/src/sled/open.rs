//! Opening a store: lock the directory, recover its files, check them.
//!
//! ```text
//! directory -> lock -> FORMAT -> conf -> restore the fallback -> snapshots -> sled -> format inside sled
//!           -> write-ahead files -> mark -> census, if a checkpoint was undone; check, if repaired or upgraded
//!           -> fallback -> boot number
//! ```
//!
//! Nothing in the directory is changed before it is locked. No step panics, whatever the files contain.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use orkestra_core::store::StoreError;

use crate::kv::error::{BackendError, io_error, without_panic};
use crate::kv::format::{Format, Found};
use crate::kv::health::Health;
use crate::kv::keys::META_APPLIED;
use crate::kv::map::{Log as _, Map as _, Persistence};
use crate::kv::mark::{Mark, Marked};
use crate::kv::owner::{LOCK_PAUSE, LOCK_TRIES, Owner};
use crate::kv::report::OpenReport;
use crate::kv::shared::Opened;
use crate::kv::{boot, check, directory};

use super::census::Census;
use super::checkpoint::Checkpoints;
use super::core::Core;
use super::database::Database;
use super::fallback::{Fallback, State};
use super::first_mark;
use super::log::SledLog;
use super::options::SledOptions;
use super::prepare::{self, Prepared};
use super::recover::{Recovered, recover};
use super::repair;
use super::sync::Syncer;
use super::wal;

/// The key of the format version inside the database.
pub(super) const META_FORMAT: &[u8] = b"mformat";

/// The format of a directory. Format 1 had no write-ahead files. Format 2 had no letters: a version that does not know
/// them would leave those of a deleted run to a later run with the same id, and find runs at the wrong place in an
/// index. Format 3 had no fallback: a version that does not keep it up to date must not write to the store.
pub(super) const FORMAT: Format = Format { backend: "sled", version: 4, database: "db" };

pub(super) fn open(options: &SledOptions, path: &Path) -> Result<Opened, StoreError> {
    directory::create(path)?;
    let owner = Owner::take(path)?;
    let found = FORMAT.read(path)?;
    let mut prepared = prepare::prepare(path, found)?;
    let fallback = prepared.fallback.take().unwrap_or_else(|| Fallback::new(path));
    let existed = found.is_store();
    let place = path.display().to_string();
    let kept = |error| repair::with_copies(error, prepared.aside.as_ref());
    let database = open_database(path, options.cache_bytes).map_err(|error| kept(error.at(&place)))?;
    let report = OpenReport {
        created: !existed,
        after_crash: owner.after_crash && existed,
        checkpoint_undone: prepared.checkpoint_undone,
        ..OpenReport::default()
    };
    let opening = Opening { options, path, place, found, report, prepared: &prepared };
    let mut opened = opening.finish(database, owner, fallback).map_err(kept)?;
    if let Some(aside) = &prepared.aside {
        tracing::warn!(
            store = %path.display(), runs = opened.report.runs_checked, snapshots = ?aside.snapshots,
            "a crash left a damaged snapshot: it was moved aside, and the store was opened from its log and checked"
        );
        opened.report.set_aside.clone_from(&aside.snapshots);
        // The copy was needed only if opening failed.
        let _ = std::fs::remove_file(&aside.log);
    }
    Ok(opened)
}

/// A store being opened, once its database is open.
struct Opening<'a> {
    options: &'a SledOptions,
    path: &'a Path,
    place: String,
    found: Found,
    report: OpenReport,
    prepared: &'a Prepared,
}

impl Opening<'_> {
    fn error(&self, error: BackendError) -> StoreError {
        error.at(&self.place)
    }

    fn io_error(&self, error: io::Error) -> StoreError {
        io_error(&format!("cannot use the store in {}", self.place), error)
    }

    fn finish(mut self, database: Database, owner: Owner, fallback: Fallback) -> Result<Opened, StoreError> {
        let durability = self.options.durability;
        let syncer = Syncer::new(self.path).map_err(|error| self.io_error(error))?;
        self.check_format(&database)?;
        let applied = without_panic(|| applied(&database)).map_err(|error| self.error(error))?;
        let mut files = wal::open(self.path).map_err(|error| self.io_error(error))?;
        let mut recovered = recover(std::mem::take(&mut files.records), applied);
        let unfinished_checkpoint = recovered.unfinished_checkpoint();
        let (marked, mark) = Mark::open(self.path, durability).map_err(|error| self.io_error(error))?;
        let health = Arc::new(Health::new(self.path.to_path_buf()));
        let core = Arc::new(Core {
            database,
            overlay: RwLock::new(std::mem::take(&mut recovered.overlay)),
            syncer,
            fallback: Mutex::new(fallback),
            health: Arc::clone(&health),
        });
        let census = without_panic(|| self.census(&core, applied)).map_err(|error| self.error(error))?;
        self.check_mark(&core, marked, recovered.last)?;
        if self.needs_check() {
            let checked = without_panic(|| check::check(&*core.view())).map_err(|error| self.error(error))?;
            self.report.runs_checked = Some(checked.runs);
        }
        let boot = without_panic(|| boot::next(&*core.view())).map_err(|error| self.error(error))?;
        without_panic(|| self.write_fallback(&core, applied, census)).map_err(|error| self.error(error))?;
        let wal = self.start_wal(files, &recovered, boot)?;
        let checkpoints = Checkpoints::new().map_err(|error| self.io_error(error))?;
        let mut log = SledLog { wal, mark, checkpoints, core: Arc::clone(&core) };
        log.resume_checkpoint(unfinished_checkpoint);
        let write = || log.write(boot::changes(boot), Persistence::Synced);
        without_panic(write).map_err(|error| health.error(error))?;
        Ok(Opened { log: Box::new(log), map: core, health, boot, report: self.report, owner })
    }

    /// Checks the format version inside the database.
    fn check_format(&self, database: &Database) -> Result<(), StoreError> {
        let stored = without_panic(|| Ok(database.get(META_FORMAT)?)).map_err(|error| self.error(error))?;
        let damaged = |why: &str| Err(self.error(BackendError::Damaged(why.into())));
        match stored.as_deref().map(|bytes| bytes.try_into().map(u32::from_be_bytes)) {
            Some(Ok(newer)) if newer > FORMAT.version => Err(FORMAT.newer(self.path, newer)),
            Some(Ok(1..)) => Ok(()),
            Some(_) => damaged("the format version in its database is unreadable"),
            None if self.found.is_store() => {
                damaged("the beginning of its log is lost; restore the directory from a backup")
            }
            None => Ok(()),
        }
    }

    /// The census of sled. If sled was restored to its fallback, all of sled is read and compared.
    fn census(&self, core: &Core, applied: u64) -> Result<Census, BackendError> {
        let Some(state) = &self.prepared.state else {
            // There is nothing to compare with. The store is checked in another way, and has a fallback from now on.
            return stable_census(core);
        };
        if state.applied != applied {
            let State { applied: wanted, .. } = state;
            let why = format!("sled has group commits up to {applied}, the file `fallback` up to {wanted}");
            return Err(BackendError::Damaged(format!("{why}; {}", prepare::ACCEPT)));
        }
        if self.prepared.checkpoint_undone {
            let (found, wanted) = (Census::of(&core.database)?, state.census);
            if found != wanted {
                let (found, wanted) = (found.entries, wanted.entries);
                let why = format!("after a crash sled has other entries than before ({found}, expected {wanted})");
                return Err(BackendError::Damaged(format!("{why}; {}", prepare::ACCEPT)));
            }
            tracing::info!(store = %self.path.display(), entries = wanted.entries, "an interrupted checkpoint was undone and is repeated");
        }
        Ok(state.census)
    }

    /// Checks that acknowledged writes are there. Reports what is lost if the durability allows that.
    fn check_mark(&mut self, core: &Core, marked: Option<Marked>, last: u64) -> Result<(), StoreError> {
        if self.found == Found::Store(1)
            && let Some(missing) =
                without_panic(|| first_mark::missing(self.path, &*core.view())).map_err(|error| self.error(error))?
        {
            let why = format!("{missing} was acknowledged and is missing; remove the file `mark` to accept the loss");
            return Err(self.error(BackendError::Damaged(why)));
        }
        if let Some(marked) = marked.filter(|_| prepare::has_write_ahead_files(self.found)) {
            self.report.lost = marked.missing(last, &self.place).map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    /// Whether to check the whole store: on request, after a repair, or because its expected content is unknown.
    fn needs_check(&self) -> bool {
        let is_unknown = self.found.is_store() && self.prepared.state.is_none();
        self.options.check || self.prepared.aside.is_some() || is_unknown
    }

    /// Makes what sled wrote while opening durable, and writes the fallback.
    fn write_fallback(&self, core: &Core, applied: u64, census: Census) -> Result<(), BackendError> {
        if self.found != Found::Store(FORMAT.version) {
            core.database.insert(META_FORMAT, &FORMAT.version.to_be_bytes())?;
        }
        core.syncer.sync(&core.database)?;
        // The name of sled's new snapshot: without it the next opening takes longer.
        directory::sync(self.path)?;
        Ok(core.fallback().set(&State { applied, census, tip: core.syncer.tip()? })?)
    }

    /// The write-ahead files to continue with. After this, the store has the current format.
    fn start_wal(&self, files: wal::Found, recovered: &Recovered, boot: u32) -> Result<wal::Wal, StoreError> {
        let wal = files.into_wal(recovered, boot, self.options).map_err(|error| self.io_error(error))?;
        if self.found != Found::Store(FORMAT.version) {
            prepare::sync_new_files(self.path).map_err(|error| self.io_error(error))?;
            FORMAT.finish(self.path)?;
        }
        Ok(wal)
    }
}

/// Computes the census of sled, repeating until reading writes nothing.
fn stable_census(core: &Core) -> Result<Census, BackendError> {
    loop {
        core.database.flush()?;
        let census = Census::of(&core.database)?;
        if core.database.flush()? == 0 {
            return Ok(census);
        }
    }
}

/// The number of the last group commit in sled.
fn applied(database: &Database) -> Result<u64, BackendError> {
    let Some(bytes) = database.get(META_APPLIED)? else {
        return Ok(0);
    };
    bytes
        .as_ref()
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| BackendError::value(META_APPLIED, "it is not an 8-byte number"))
}

/// Opens sled. A store of this process that is being dropped may still hold its lock for a moment.
fn open_database(path: &Path, cache_bytes: u64) -> Result<Database, BackendError> {
    let locked = |error: &BackendError| {
        let BackendError::Io(error) = error else {
            return false;
        };
        error.to_string().contains("could not acquire lock")
    };
    for _ in 1..LOCK_TRIES {
        match Database::open(path, cache_bytes) {
            Err(error) if locked(&error) => std::thread::park_timeout(LOCK_PAUSE),
            done => return done,
        }
    }
    Database::open(path, cache_bytes)
}
