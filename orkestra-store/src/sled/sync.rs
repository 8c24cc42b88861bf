//! Makes sled's files durable. Runs in the background.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::database::Database;
use super::segments::{self, Tip};
use crate::kv::directory;
use crate::kv::error::BackendError;
use crate::kv::owner;

pub(super) struct Syncer {
    /// sled's file, opened a second time because sled does not share its handle. Kept open as long as the store, so
    /// that no failed write-back goes unreported.
    file: File,
    blobs: PathBuf,
}

impl Syncer {
    /// For the existing database in `directory`.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(directory.join("db"))?;
        Ok(Self { file, blobs: directory.join("blobs") })
    }

    /// The same for a database that is not open. Holds sled's own lock: a store of this process that was just dropped
    /// after a failed write may have threads of sled that still write to the file.
    pub(super) fn locked(directory: &Path) -> io::Result<Self> {
        let syncer = Self::new(directory)?;
        owner::lock(&syncer.file).map_err(|error| io::Error::other(format!("cannot lock the file `db`: {error}")))?;
        Ok(syncer)
    }

    /// Makes everything applied to sled durable.
    pub(super) fn sync(&self, database: &Database) -> Result<(), BackendError> {
        // IMPORTANT: `flush` alone is not durable. On Linux it ends in `sync_file_range`, which syncs neither the
        // file's size nor the disk's cache (sled 0.34.7, `src/pagecache/iobuf.rs`).
        database.flush()?;
        self.sync_blobs()?;
        Ok(self.file.sync_data()?)
    }

    /// Syncs pages larger than 128 KiB, which sled stores in files of their own and never syncs. Only index pages with
    /// long keys are that large; usually there are none.
    fn sync_blobs(&self) -> io::Result<()> {
        let mut is_any = false;
        for entry in fs::read_dir(&self.blobs)? {
            File::open(entry?.path())?.sync_all()?;
            is_any = true;
        }
        if is_any { directory::sync(&self.blobs) } else { Ok(()) }
    }

    /// The tip of sled's log. No thread may be writing to it.
    pub(super) fn tip(&self) -> Result<Tip, BackendError> {
        segments::tip(&self.file)?
            .ok_or_else(|| BackendError::Damaged("the file `db` contains no segment of sled's log".into()))
    }

    /// Whether the file has the segment of `tip` at the same place.
    pub(super) fn has(&self, tip: &Tip) -> io::Result<bool> {
        segments::has(&self.file, tip)
    }

    /// Durably restores the file to when its tip was `tip`. Returns whether anything was undone. The database must not
    /// be open.
    pub(super) fn restore(&self, tip: &Tip) -> io::Result<bool> {
        let is_changed = segments::restore(&self.file, tip)?;
        // Even if nothing was undone: after a killed process the content may be only in the system's cache.
        self.file.sync_all()?;
        Ok(is_changed)
    }

    /// Makes durable what a killed process left in the system's cache. The database must not be open.
    pub(super) fn sync_file(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
