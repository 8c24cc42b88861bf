//! Opening a store: who owns the directory, what is in it, is it whole.
//!
//! ```text
//! directory -> owner's lock -> FORMAT -> conf -> snapshots -> sled -> format inside -> write-ahead files -> mark
//!           -> check, if repaired -> number of the opening
//! ```
//!
//! Nothing in the directory is changed before its lock is held. No step panics, whatever the files hold.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};

use orkestra_core::store::{StoreError, StoreErrorKind};

use crate::kv::error::{Trouble, refused, without_panic};
use crate::kv::format::{Format, Found};
use crate::kv::health::Health;
use crate::kv::keys::META_APPLIED;
use crate::kv::map::{Lasting, Log as _, Map as _};
use crate::kv::mark::{Mark, Marked};
use crate::kv::owner::{LOCK_PAUSE, LOCK_TRIES, Owner};
use crate::kv::report::{Durability, OpenReport};
use crate::kv::shared::Opened;
use crate::kv::{boot, check, directory};

use super::checkpoint::Checkpoints;
use super::core::Core;
use super::database::Database;
use super::log::SledLog;
use super::options::SledOptions;
use super::recover::recover;
use super::repair::{self, Aside};
use super::sync::Syncer;
use super::wal;

/// The key of the version inside the database.
const META_FORMAT: &[u8] = b"mformat";

/// What is in a directory. Format 1 had no write-ahead files. Before 3 there were no letters: who does not know them would
/// leave those of a deleted run to the next one of its name, and find runs at the wrong place in an index.
const FORMAT: Format = Format { backend: "sled", version: 3, database: "db" };

pub(super) fn open(options: &SledOptions, path: &Path) -> Result<Opened, StoreError> {
    directory::make(path)?;
    let owner = Owner::take(path)?;
    let found = FORMAT.read(path)?;
    if found == Found::Nothing {
        FORMAT.begin(path)?;
    }
    let existed = found.is_store();
    check_files(path, found)?;
    let aside = put_snapshots_right(path)?;
    let place = path.display().to_string();
    let database = open_database(path, options.cache_bytes).map_err(|trouble| trouble.at(&place));
    let database = database.map_err(|error| with_copy(error, aside.as_ref()))?;
    let report = OpenReport { created: !existed, after_crash: owner.after_crash && existed, ..OpenReport::default() };
    let opening = Opening { options, path, place, found, report };
    let opened = opening.go_on(database, owner, aside.is_some());
    let mut opened = opened.map_err(|error| with_copy(error, aside.as_ref()))?;
    if let Some(aside) = aside {
        tracing::warn!(
            store = %path.display(), runs = opened.report.runs_checked, snapshots = ?aside.snapshots,
            "an abrupt stop left a torn snapshot: it was put aside, the store was opened from its log and checked"
        );
        opened.report.set_aside = aside.snapshots;
        // The copy was for the case that this goes wrong.
        let _ = fs::remove_file(&aside.log);
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
}

impl Opening<'_> {
    fn told(&self, trouble: Trouble) -> StoreError {
        trouble.at(&self.place)
    }

    fn refused(&self, error: &io::Error) -> StoreError {
        refused(&format!("{} cannot be used", self.place), error)
    }

    fn go_on(mut self, database: Database, owner: Owner, check: bool) -> Result<Opened, StoreError> {
        let durability = self.options.durability;
        let syncer = Syncer::new(self.path, durability).map_err(|error| self.refused(&error))?;
        self.known_format(&database, &syncer)?;
        let applied = without_panic(|| applied(&database)).map_err(|trouble| self.told(trouble))?;
        let mut files = wal::open(self.path).map_err(|error| self.refused(&error))?;
        let mut recovered = recover(std::mem::take(&mut files.records), applied);
        let owed = recovered.owed();
        let (marked, mark) = Mark::open(self.path, durability).map_err(|error| self.refused(&error))?;
        self.check_mark(marked, recovered.last)?;
        let health = Arc::new(Health::new(self.path.to_path_buf()));
        let core = Arc::new(Core {
            database,
            overlay: RwLock::new(std::mem::take(&mut recovered.overlay)),
            syncer,
            health: Arc::clone(&health),
        });
        if self.options.check || check {
            let checked = without_panic(|| check::check(&*core.view())).map_err(|trouble| self.told(trouble))?;
            self.report.runs_checked = Some(checked.runs);
        }
        let boot = without_panic(|| boot::next(&*core.view())).map_err(|trouble| self.told(trouble))?;
        let wal = files.go_on(&recovered, boot, self.options).map_err(|error| self.refused(&error))?;
        if self.found != Found::Store(FORMAT.version) {
            sync_new_files(self.path).map_err(|error| self.refused(&error))?;
            FORMAT.finish(self.path)?;
        }
        let checkpoints = Checkpoints::new().map_err(|error| self.refused(&error))?;
        let mut log = SledLog { wal, mark, checkpoints, core: Arc::clone(&core) };
        log.go_on(owed);
        let write = || log.write(boot::changes(boot), Lasting::Always);
        without_panic(write).map_err(|trouble| health.told(trouble))?;
        Ok(Opened { log: Box::new(log), map: core, health, boot, report: self.report, owner })
    }

    /// Checks the version inside the database, or writes it into a new one.
    fn known_format(&self, database: &Database, syncer: &Syncer) -> Result<(), StoreError> {
        let stored = without_panic(|| Ok(database.get(META_FORMAT)?)).map_err(|trouble| self.told(trouble))?;
        let damaged = |why: &str| Err(self.told(Trouble::Damaged(why.into())));
        match stored.as_deref().map(|bytes| bytes.try_into().map(u32::from_be_bytes)) {
            Some(Ok(version)) if version == FORMAT.version => return Ok(()),
            Some(Ok(newer)) if newer > FORMAT.version => return Err(FORMAT.newer(self.path, newer)),
            Some(Ok(1..)) => {}
            Some(_) => return damaged("its format is unreadable"),
            None if self.found.is_store() => {
                return damaged("the log has lost its beginning, and what was in it");
            }
            None => {}
        }
        let write = || {
            database.insert(META_FORMAT, &FORMAT.version.to_be_bytes())?;
            syncer.sync_as(database, Durability::Fsync)
        };
        without_panic(write).map_err(|trouble| self.told(trouble))
    }

    /// Checks that what was acknowledged last is there. Reports what is lost, where the durability allows for it.
    fn check_mark(&mut self, marked: Option<Marked>, last: u64) -> Result<(), StoreError> {
        if let Some(marked) = marked.filter(|_| has_write_ahead_files(self.found)) {
            self.report.lost = marked.missing(last, &self.place).map_err(|trouble| self.told(trouble))?;
        }
        Ok(())
    }
}

/// Whether a store that was found has them: format 1 had not.
fn has_write_ahead_files(found: Found) -> bool {
    matches!(found, Found::Store(2..))
}

/// The number of the last group commit that is in sled.
fn applied(database: &Database) -> Result<u64, Trouble> {
    let Some(bytes) = database.get(META_APPLIED)? else {
        return Ok(0);
    };
    bytes.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| Trouble::value(META_APPLIED, "it is no number"))
}

/// Files that sled would read without looking closely.
fn check_files(path: &Path, found: Found) -> Result<(), StoreError> {
    let damaged =
        |what: &str| StoreError::new(StoreErrorKind::Damaged, format!("{} is damaged: {what}", path.display()));
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
        Err(error) => Err(refused(&format!("{}/conf cannot be read", path.display()), &error)),
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
    put_right().map_err(|error| refused(&format!("the snapshots in {} cannot be put right", path.display()), &error))
}

fn with_copy(error: StoreError, aside: Option<&Aside>) -> StoreError {
    let Some(aside) = aside else {
        return error;
    };
    let message = format!(
        "{error}. Its snapshot was torn and put aside as {:?}; the log as it was before is kept as {}",
        aside.snapshots,
        aside.log.display()
    );
    StoreError::new(error.kind(), message)
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

/// Makes the files of a new store durable, their names included.
fn sync_new_files(path: &Path) -> io::Result<()> {
    fs::File::open(path.join("conf"))?.sync_all()?;
    directory::sync_new(path)
}
