//! Making what sled was given durable, which is done in the background.

use std::fs::File;
use std::io;
use std::path::Path;

use super::database::Database;
use super::options::Durability;
use crate::kv::error::Trouble;

/// Makes a database durable.
pub(crate) struct Syncer {
    /// The file that sled writes to, opened a second time: it keeps its own handle to itself. Open for as long as the
    /// store is, so that no failed write-back goes unreported.
    file: File,
    durability: Durability,
}

impl Syncer {
    /// For the database in `directory`, which sled has opened.
    pub(crate) fn new(directory: &Path, durability: Durability) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(directory.join("db"))?;
        Ok(Self { file, durability })
    }

    /// Returns when all that was applied is durable.
    pub(crate) fn sync(&self, database: &Database) -> Result<(), Trouble> {
        self.sync_as(database, self.durability)
    }

    /// The same, durable as `durability` says.
    pub(crate) fn sync_as(&self, database: &Database, durability: Durability) -> Result<(), Trouble> {
        // IMPORTANT: `flush` alone is not durable. On Linux it ends in `sync_file_range`, which leaves the file's size
        // and the disk's own cache as they are (sled 0.34.7, src/pagecache/iobuf.rs).
        database.flush()?;
        match durability {
            Durability::Fsync => Ok(self.file.sync_data().map_err(::sled::Error::Io)?),
            Durability::Process => Ok(()),
        }
    }
}

/// Makes the entries of `directory` durable: the names of new files are not part of the files.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    // Elsewhere directories cannot be opened as files, and there is no way to sync them.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}
