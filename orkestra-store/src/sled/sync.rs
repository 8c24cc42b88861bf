//! Making what sled was given durable, which is done in the background.

use std::fs::File;
use std::io;
use std::path::Path;

use super::database::Database;
use crate::kv::error::Trouble;
use crate::kv::report::Durability;

/// Makes a database durable.
pub(super) struct Syncer {
    /// The file that sled writes to, opened a second time: it keeps its own handle to itself. Open for as long as the
    /// store is, so that no failed write-back goes unreported.
    file: File,
    durability: Durability,
}

impl Syncer {
    /// For the database in `directory`, which sled has opened.
    pub(super) fn new(directory: &Path, durability: Durability) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(directory.join("db"))?;
        Ok(Self { file, durability })
    }

    /// Returns when all that was applied is durable.
    pub(super) fn sync(&self, database: &Database) -> Result<(), Trouble> {
        self.sync_as(database, self.durability)
    }

    /// The same, durable as `durability` says.
    pub(super) fn sync_as(&self, database: &Database, durability: Durability) -> Result<(), Trouble> {
        // IMPORTANT: `flush` alone is not durable. On Linux it ends in `sync_file_range`, which leaves the file's size
        // and the disk's own cache as they are (sled 0.34.7, src/pagecache/iobuf.rs).
        database.flush()?;
        match durability {
            Durability::Fsync => Ok(self.file.sync_data()?),
            Durability::Process => Ok(()),
        }
    }
}
