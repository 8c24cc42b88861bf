//! Making what sled was given durable, which is done in the background.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::database::Database;
use super::segments::{self, Tip};
use crate::kv::directory;
use crate::kv::error::Trouble;
use crate::kv::owner;

/// Makes a database durable.
pub(super) struct Syncer {
    /// The file that sled writes to, opened a second time: it keeps its own handle to itself. Open for as long as the
    /// store is, so that no failed write-back goes unreported.
    file: File,
    blobs: PathBuf,
}

impl Syncer {
    /// For the database in `directory`, which is there.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(directory.join("db"))?;
        Ok(Self { file, blobs: directory.join("blobs") })
    }

    /// The same for one that is not open: sled's own lock is held for as long as this is. A store of this process that has just been
    /// dropped, after a write that failed, may have threads of sled that still write to the file.
    pub(super) fn alone(directory: &Path) -> io::Result<Self> {
        let syncer = Self::new(directory)?;
        owner::lock(&syncer.file).map_err(|error| io::Error::other(format!("`db` is open elsewhere: {error}")))?;
        Ok(syncer)
    }

    /// Returns when all that was applied is durable.
    pub(super) fn sync(&self, database: &Database) -> Result<(), Trouble> {
        // IMPORTANT: `flush` alone is not durable. On Linux it ends in `sync_file_range`, which leaves the file's size
        // and the disk's own cache as they are (sled 0.34.7, src/pagecache/iobuf.rs).
        database.flush()?;
        self.sync_blobs()?;
        Ok(self.file.sync_data()?)
    }

    /// Pages of more than 128 KiB are in files of their own, which sled never syncs: pages of an index whose keys are long. Almost
    /// always there are none.
    fn sync_blobs(&self) -> io::Result<()> {
        let mut is_any = false;
        for entry in fs::read_dir(&self.blobs)? {
            File::open(entry?.path())?.sync_all()?;
            is_any = true;
        }
        if is_any { directory::sync(&self.blobs) } else { Ok(()) }
    }

    /// The tip of sled's log, which nobody is writing to.
    pub(super) fn tip(&self) -> Result<Tip, Trouble> {
        segments::tip(&self.file)?.ok_or_else(|| Trouble::Damaged("the file `db` has no segment of sled's log".into()))
    }

    /// Whether the file has the tip's segment where it must be.
    pub(super) fn has(&self, tip: &Tip) -> io::Result<bool> {
        segments::has(&self.file, tip)
    }

    /// Puts the file back to when its tip was `tip`, durably. Answers whether there was anything to undo. For a database that is
    /// not open.
    pub(super) fn go_back(&self, tip: &Tip) -> io::Result<bool> {
        let is_changed = segments::go_back(&self.file, tip)?;
        // Also when nothing had to be undone: a process that was killed may have left the file in the system's cache.
        self.file.sync_all()?;
        Ok(is_changed)
    }

    /// Makes durable what a process that was killed has left in the system's cache. For a database that is not open.
    pub(super) fn settle(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
