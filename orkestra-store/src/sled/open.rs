//! Opening a store: who owns the directory, what is in it, is it whole.
//!
//! ```text
//! directory -> owner's lock -> FORMAT -> conf -> back to the fallback -> snapshots -> sled -> format inside
//!           -> write-ahead files -> mark -> census, if something was undone; check, if repaired or taken over
//!           -> fallback -> number of the opening
//! ```
//!
//! Nothing in the directory is changed before its lock is held. No step panics, whatever the files hold.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use orkestra_core::store::StoreError;

use crate::kv::error::{Trouble, refused, without_panic};
use crate::kv::format::{Format, Found};
use crate::kv::health::Health;
use crate::kv::keys::META_APPLIED;
use crate::kv::map::{Lasting, Log as _, Map as _};
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
use super::prepare::{self, Standing};
use super::recover::{Recovered, recover};
use super::repair;
use super::sync::Syncer;
use super::wal;

/// The key of the version inside the database.
pub(super) const META_FORMAT: &[u8] = b"mformat";

/// What is in a directory. Format 1 had no write-ahead files. Before 3 there were no letters: who does not know them would
/// leave those of a deleted run to the next one of its name, and find runs at the wrong place in an index. Before 4 there was no
/// fallback: a version that does not keep it up to date must not write to the store.
pub(super) const FORMAT: Format = Format { backend: "sled", version: 4, database: "db" };

pub(super) fn open(options: &SledOptions, path: &Path) -> Result<Opened, StoreError> {
    directory::make(path)?;
    let owner = Owner::take(path)?;
    let found = FORMAT.read(path)?;
    let mut standing = prepare::prepare(path, found)?;
    let fallback = standing.fallback.take().unwrap_or_else(|| Fallback::new(path));
    let existed = found.is_store();
    let place = path.display().to_string();
    let kept = |error| repair::with_copy(error, standing.aside.as_ref());
    let database = open_database(path, options.cache_bytes).map_err(|trouble| kept(trouble.at(&place)))?;
    let report = OpenReport {
        created: !existed,
        after_crash: owner.after_crash && existed,
        checkpoint_undone: standing.is_undone,
        ..OpenReport::default()
    };
    let opening = Opening { options, path, place, found, report, standing: &standing };
    let mut opened = opening.go_on(database, owner, fallback).map_err(kept)?;
    if let Some(aside) = &standing.aside {
        tracing::warn!(
            store = %path.display(), runs = opened.report.runs_checked, snapshots = ?aside.snapshots,
            "an abrupt stop left a torn snapshot: it was put aside, the store was opened from its log and checked"
        );
        opened.report.set_aside.clone_from(&aside.snapshots);
        // The copy was for the case that this goes wrong.
        let _ = std::fs::remove_file(&aside.log);
    }
    Ok(opened)
}

/// A store whose database is open, on its way.
struct Opening<'a> {
    options: &'a SledOptions,
    path: &'a Path,
    place: String,
    found: Found,
    report: OpenReport,
    standing: &'a Standing,
}

impl Opening<'_> {
    fn told(&self, trouble: Trouble) -> StoreError {
        trouble.at(&self.place)
    }

    fn refused(&self, error: io::Error) -> StoreError {
        refused(&format!("{} cannot be used", self.place), error)
    }

    fn go_on(mut self, database: Database, owner: Owner, fallback: Fallback) -> Result<Opened, StoreError> {
        let durability = self.options.durability;
        let syncer = Syncer::new(self.path).map_err(|error| self.refused(error))?;
        self.known_format(&database)?;
        let applied = without_panic(|| applied(&database)).map_err(|trouble| self.told(trouble))?;
        let mut files = wal::open(self.path).map_err(|error| self.refused(error))?;
        let mut recovered = recover(std::mem::take(&mut files.records), applied);
        let owed = recovered.owed();
        let (marked, mark) = Mark::open(self.path, durability).map_err(|error| self.refused(error))?;
        let health = Arc::new(Health::new(self.path.to_path_buf()));
        let core = Arc::new(Core {
            database,
            overlay: RwLock::new(std::mem::take(&mut recovered.overlay)),
            syncer,
            fallback: Mutex::new(fallback),
            health: Arc::clone(&health),
        });
        let census = without_panic(|| self.census(&core, applied)).map_err(|trouble| self.told(trouble))?;
        self.check_mark(&core, marked, recovered.last)?;
        if self.must_check() {
            let checked = without_panic(|| check::check(&*core.view())).map_err(|trouble| self.told(trouble))?;
            self.report.runs_checked = Some(checked.runs);
        }
        let boot = without_panic(|| boot::next(&*core.view())).map_err(|trouble| self.told(trouble))?;
        without_panic(|| self.stand_on(&core, applied, census)).map_err(|trouble| self.told(trouble))?;
        let wal = self.write_ahead(files, &recovered, boot)?;
        let checkpoints = Checkpoints::new().map_err(|error| self.refused(error))?;
        let mut log = SledLog { wal, mark, checkpoints, core: Arc::clone(&core) };
        log.go_on(owed);
        let write = || log.write(boot::changes(boot), Lasting::Always);
        without_panic(write).map_err(|trouble| health.told(trouble))?;
        Ok(Opened { log: Box::new(log), map: core, health, boot, report: self.report, owner })
    }

    /// Checks the version inside the database.
    fn known_format(&self, database: &Database) -> Result<(), StoreError> {
        let stored = without_panic(|| Ok(database.get(META_FORMAT)?)).map_err(|trouble| self.told(trouble))?;
        let damaged = |why: &str| Err(self.told(Trouble::Damaged(why.into())));
        match stored.as_deref().map(|bytes| bytes.try_into().map(u32::from_be_bytes)) {
            Some(Ok(newer)) if newer > FORMAT.version => Err(FORMAT.newer(self.path, newer)),
            Some(Ok(1..)) => Ok(()),
            Some(_) => damaged("its format is unreadable"),
            None if self.found.is_store() => damaged("the log has lost its beginning, and what was in it"),
            None => Ok(()),
        }
    }

    /// What sled holds. Where it was put back to its fallback, all of it is read and must be what that says.
    fn census(&self, core: &Core, applied: u64) -> Result<Census, Trouble> {
        let Some(state) = &self.standing.state else {
            // Nothing to compare it with: it is checked otherwise, and from now on there is.
            return settled_census(core);
        };
        if state.applied != applied {
            let State { applied: wanted, .. } = state;
            let why = format!("sled has group commits up to {applied}, the file `fallback` says up to {wanted}");
            return Err(Trouble::Damaged(format!("{why}; {}", prepare::ACCEPT)));
        }
        if self.standing.is_undone {
            let (found, wanted) = (Census::of(&core.database)?, state.census);
            if found != wanted {
                let (found, wanted) = (found.entries, wanted.entries);
                let why = format!("after an abrupt stop sled has {found} entries where {wanted} belong, or others");
                return Err(Trouble::Damaged(format!("{why}; {}", prepare::ACCEPT)));
            }
            tracing::info!(store = %self.path.display(), entries = wanted.entries, "a checkpoint was cut: it is done again");
        }
        Ok(state.census)
    }

    /// Checks that what was acknowledged last is there. Reports what is lost, where the durability allows for it.
    fn check_mark(&mut self, core: &Core, marked: Option<Marked>, last: u64) -> Result<(), StoreError> {
        if self.found == Found::Store(1)
            && let Some(missing) =
                without_panic(|| first_mark::missing(self.path, &*core.view())).map_err(|trouble| self.told(trouble))?
        {
            let why = format!(
                "{missing} was acknowledged and is missing; to go on with what is there, remove the file `mark`"
            );
            return Err(self.told(Trouble::Damaged(why)));
        }
        if let Some(marked) = marked.filter(|_| prepare::has_write_ahead_files(self.found)) {
            self.report.lost = marked.missing(last, &self.place).map_err(|trouble| self.told(trouble))?;
        }
        Ok(())
    }

    /// Whether all of the store is to be read: as asked for, or because nothing says what it must hold.
    fn must_check(&self) -> bool {
        let is_unknown = self.found.is_store() && self.standing.state.is_none();
        self.options.check || self.standing.aside.is_some() || is_unknown
    }

    /// Makes what sled has written as it was opened durable, and the fallback from now on.
    fn stand_on(&self, core: &Core, applied: u64, census: Census) -> Result<(), Trouble> {
        if self.found != Found::Store(FORMAT.version) {
            core.database.insert(META_FORMAT, &FORMAT.version.to_be_bytes())?;
        }
        core.syncer.sync(&core.database)?;
        // The name of sled's new snapshot: without it opening takes longer.
        directory::sync(self.path)?;
        Ok(core.fallback().set(&State { applied, census, tip: core.syncer.tip()? })?)
    }

    /// The write-ahead files to go on with. From here on the store is of this format.
    fn write_ahead(&self, files: wal::Found, recovered: &Recovered, boot: u32) -> Result<wal::Wal, StoreError> {
        let wal = files.go_on(recovered, boot, self.options).map_err(|error| self.refused(error))?;
        if self.found != Found::Store(FORMAT.version) {
            prepare::sync_new_files(self.path).map_err(|error| self.refused(error))?;
            FORMAT.finish(self.path)?;
        }
        Ok(wal)
    }
}

/// Counts what is in sled until reading it writes nothing any more.
fn settled_census(core: &Core) -> Result<Census, Trouble> {
    loop {
        core.database.flush()?;
        let census = Census::of(&core.database)?;
        if core.database.flush()? == 0 {
            return Ok(census);
        }
    }
}

/// The number of the last group commit that is in sled.
fn applied(database: &Database) -> Result<u64, Trouble> {
    let Some(bytes) = database.get(META_APPLIED)? else {
        return Ok(0);
    };
    bytes.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| Trouble::value(META_APPLIED, "it is no number"))
}

/// Opens sled. It may still be held for a moment by a store of this process that is just being dropped.
fn open_database(path: &Path, cache_bytes: u64) -> Result<Database, Trouble> {
    let locked = |trouble: &Trouble| {
        let Trouble::Io(error) = trouble else {
            return false;
        };
        error.to_string().contains("could not acquire lock")
    };
    for _ in 1..LOCK_TRIES {
        match Database::open(path, cache_bytes) {
            Err(trouble) if locked(&trouble) => std::thread::park_timeout(LOCK_PAUSE),
            done => return done,
        }
    }
    Database::open(path, cache_bytes)
}
