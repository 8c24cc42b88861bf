//! fjall's handles, and views of its content.

use std::ops::Bound;
use std::path::Path;

use ::fjall::{
    CompressionType, Guard, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot,
};

use crate::kv::changes::{Change, Changes};
use crate::kv::error::{BackendError, without_panic};
use crate::kv::map::{self, Entries, Map};

use super::options::FjallOptions;

/// The only keyspace.
const KEYSPACE: &str = "runs";

/// One for flushes and one for compactions, so that neither waits for the other.
const WORKERS: usize = 2;
/// The most tables kept open, of about 64 MiB each.
const OPEN_FILES_MAX: usize = 100;
/// The minimum of fjall. Its journal has this length from the start, most of it a hole.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An open database.
#[derive(Clone)]
pub(super) struct Database {
    // IMPORTANT: dropped before the database, which waits for its threads.
    keyspace: Keyspace,
    database: ::fjall::Database,
}

impl Database {
    /// Opens the database in `directory`. If `existed`, it must not be empty.
    pub(super) fn open(directory: &Path, options: &FjallOptions, existed: bool) -> Result<Self, BackendError> {
        without_panic(|| {
            let builder = ::fjall::Database::builder(directory).cache_size(options.cache_bytes);
            let builder = builder.worker_threads(WORKERS).max_cached_files(Some(OPEN_FILES_MAX));
            // Even if another crate enables fjall's feature `lz4`: a program without it must be able to read the
            // journal.
            let builder = builder.journal_compression(CompressionType::None);
            let database = builder.max_journaling_size(JOURNAL_BYTES_MAX).open()?;
            if existed && !database.keyspace_exists(KEYSPACE) {
                return Err(BackendError::Damaged(format!("fjall no longer has the keyspace `{KEYSPACE}`")));
            }
            let memtable_bytes = options.backend.memtable_bytes;
            let keyspace =
                database.keyspace(KEYSPACE, || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes))?;
            Ok(Self { keyspace, database })
        })
    }

    /// Writes `changes`, and makes them visible once they are as durable as `mode` says.
    pub(super) fn write(&self, changes: Changes, mode: PersistMode) -> Result<(), ::fjall::Error> {
        let mut batch: OwnedWriteBatch = self.database.batch().durability(Some(mode));
        for (key, change) in changes {
            match change {
                Change::Put(value) | Change::New(value) => batch.insert(&self.keyspace, key, value),
                Change::Remove => batch.remove(&self.keyspace, key),
            }
        }
        batch.commit()
    }
}

impl Map for Database {
    fn view(&self) -> Box<dyn map::View + '_> {
        Box::new(View { snapshot: self.database.snapshot(), keyspace: &self.keyspace })
    }
}

/// What was published when it was taken. It blocks no writer; fjall keeps the old versions that it needs.
struct View<'a> {
    snapshot: Snapshot,
    keyspace: &'a Keyspace,
}

impl map::View for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.snapshot.get(self.keyspace, key)?.map(|value| value.to_vec()))
    }

    fn forward<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>) -> Entries<'a> {
        Box::new(self.snapshot.range::<&[u8], _>(self.keyspace, (begin, end)).map(entry))
    }

    fn reverse<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>) -> Entries<'a> {
        Box::new(self.snapshot.range::<&[u8], _>(self.keyspace, (begin, end)).rev().map(entry))
    }
}

fn entry(guard: Guard) -> map::Entry {
    let (key, value) = guard.into_inner()?;
    Ok((key.to_vec(), value.to_vec()))
}
