//! Opening a store: who owns the directory, what is in it, is it whole.
//!
//! ```text
//! directory -> owner's lock -> FORMAT -> conf -> snapshots -> sled -> format inside -> mark -> check, if repaired -> boot number
//! ```
//!
//! Nothing in the directory is changed before its lock is held. No step panics, whatever the files hold.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::append::Heads;
use super::check;
use super::database::Database;
use super::error::{Trouble, refused, without_panic};
use super::format::{self, Found};
use super::keys::{META_BOOT, META_FORMAT};
use super::lease::Leases;
use super::mark::{self, Expected, Mark};
use super::options::{Durability, OpenReport, SledOptions};
use super::owner::{LOCK_PAUSE, LOCK_TRIES, Owner};
use super::repair::{self, Aside};
use super::shared::Shared;
use super::store::SledStore;
use super::sync::{Syncer, sync_directory};

pub(super) fn open(options: &SledOptions, path: &Path) -> Result<SledStore, StoreError> {
    make_directory(path)?;
    let owner = Owner::take(path)?;
    let found = format::read(path)?;
    if found == Found::Nothing {
        format::write(path, Found::Unfinished)?;
    }
    check_files(path, found)?;
    let aside = put_snapshots_right(path)?;
    let place = path.display().to_string();
    let database = open_database(path, options.cache_bytes).map_err(|trouble| trouble.at(&place));
    let database = database.and_then(|database| known_format(path, &database, found).map(|()| database));
    let database = database.map_err(|error| with_copy(error, aside.as_ref()))?;

    let mut report = OpenReport {
        created: found != Found::Store,
        after_crash: owner.after_crash && found == Found::Store,
        ..OpenReport::default()
    };
    if options.check || aside.is_some() {
        let checked = without_panic(|| check::check(&database)).map_err(|trouble| trouble.at(&place));
        report.runs_checked = Some(checked.map_err(|error| with_copy(error, aside.as_ref()))?.runs);
    }
    let in_place = |error: io::Error| refused(&format!("{place} cannot be used"), &error);
    let (marked, mark) = Mark::open(path, options.durability).map_err(in_place)?;
    let marked = marked.filter(|_| found == Found::Store);
    report.lost = check_mark(&database, &place, marked).map_err(|error| with_copy(error, aside.as_ref()))?;
    if report.lost.is_some() || report.created {
        mark.set(&Expected::Nothing).map_err(in_place)?;
    }
    let syncer = Syncer::new(path, options.durability).map_err(in_place)?;
    let boot = without_panic(|| count_boot(&database, &syncer)).map_err(|trouble| trouble.at(&place))?;
    if found != Found::Store {
        sync_new_files(path).map_err(in_place)?;
        format::write(path, Found::Store)?;
    }
    if let Some(aside) = aside {
        tracing::warn!(
            store = %place, runs = report.runs_checked, snapshots = ?aside.snapshots,
            "an abrupt stop left a torn snapshot: it was put aside, the store was opened from its log and checked"
        );
        report.set_aside = aside.snapshots;
        // The copy was for the case that this goes wrong.
        let _ = fs::remove_file(&aside.log);
    }
    Ok(SledStore::new(Shared {
        database,
        syncer,
        mark,
        heads: Mutex::new(Heads::default()),
        leases: Mutex::new(Leases::new(boot)),
        poison: OnceLock::new(),
        path: path.to_path_buf(),
        report,
        _owner: owner,
    }))
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    let place = path.display();
    if path.exists() && !path.is_dir() {
        return Err(StoreError::new(StoreErrorKind::Invalid, format!("{place} is a file; a store needs a directory")));
    }
    fs::create_dir_all(path).map_err(|error| refused(&format!("the directory {place} cannot be made"), &error))
}

/// Files that sled would read without looking closely.
fn check_files(path: &Path, found: Found) -> Result<(), StoreError> {
    let damaged =
        |what: &str| StoreError::new(StoreErrorKind::Damaged, format!("{} is damaged: {what}", path.display()));
    if found == Found::Store && fs::metadata(path.join("db")).map_or(0, |file| file.len()) == 0 {
        return Err(damaged("the file `db` is missing or empty"));
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
        let Trouble::Sled(::sled::Error::Io(error)) = trouble else {
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

/// Checks the version inside the database, or writes it into a new one.
fn known_format(path: &Path, database: &Database, found: Found) -> Result<(), StoreError> {
    let place = path.display().to_string();
    let stored = without_panic(|| Ok(database.get(META_FORMAT)?)).map_err(|trouble| trouble.at(&place))?;
    let damaged = |why: &str| Err(Trouble::Damaged(why.into()).at(&place));
    match stored.as_deref() {
        Some(bytes) => match bytes.try_into().map(u32::from_be_bytes) {
            Ok(format::VERSION) => Ok(()),
            Ok(newer) if newer > format::VERSION => Err(format::newer_version(path, newer)),
            _ => damaged("its format is unreadable"),
        },
        None if found == Found::Store => damaged("the log has lost its beginning, and what was in it"),
        None => {
            let write =
                || database.insert(META_FORMAT, &format::VERSION.to_be_bytes()).map(drop).map_err(Trouble::from);
            without_panic(write).map_err(|trouble| trouble.at(&place))
        }
    }
}

/// Checks that what was acknowledged last is there. Gives what is lost, where the durability allows for it.
fn check_mark(
    database: &Database,
    place: &str,
    marked: Option<(Expected, Durability)>,
) -> Result<Option<String>, StoreError> {
    let Some((expected, durability)) = marked else {
        return Ok(None);
    };
    let missing = without_panic(|| mark::missing(database, &expected)).map_err(|trouble| trouble.at(place))?;
    let Some(missing) = missing else {
        return Ok(None);
    };
    if durability == Durability::Process {
        tracing::warn!(store = place, %missing, "the newest writes are lost: the system ended before they were on disk");
        return Ok(Some(missing));
    }
    let why = format!(
        "the end of the log is lost, {missing} was acknowledged and is missing; \
         to go on with what is there, remove the file `mark`"
    );
    Err(Trouble::Damaged(why).at(place))
}

/// Counts this opening, durably in every durability: epochs depend on it.
fn count_boot(database: &Database, syncer: &Syncer) -> Result<u32, Trouble> {
    let before = database.get(META_BOOT)?.map_or(Ok(0), |bytes| {
        bytes.as_ref().try_into().map(u32::from_be_bytes).map_err(|_| Trouble::value(META_BOOT, "it is no number"))
    })?;
    let boot = before.checked_add(1).ok_or_else(|| Trouble::Invalid("the store was opened too often".into()))?;
    database.insert(META_BOOT, &boot.to_be_bytes())?;
    syncer.sync_as(database, Durability::Fsync)?;
    Ok(boot)
}

/// Makes the files of a new store durable, their names included.
fn sync_new_files(path: &Path) -> io::Result<()> {
    fs::File::open(path.join("conf"))?.sync_all()?;
    sync_directory(path)?;
    // The directory itself may be new as well.
    path.canonicalize()?.parent().map_or(Ok(()), sync_directory)
}
