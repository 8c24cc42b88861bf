//! sled's handle, closed without a panic.

use std::ops::Deref;
use std::path::Path;

use ::sled::{Config, Db};

use crate::kv::error::{Trouble, without_panic};

/// sled's handle.
pub(super) struct Database(Option<Db>);

impl Database {
    /// Opens the database at `path`. A panic of sled is an error.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, Trouble> {
        // IMPORTANT: no flushing by itself. Its thread syncs whether there is need or not, waits for its own end in vain if it
        // panics, and lets segments be used again whose content is not durable elsewhere yet. What it would gather of
        // half-dead segments is next to nothing: docs/store.md has the figures.
        let config = Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        without_panic(|| Ok(Self(Some(config.open()?))))
    }
}

impl Deref for Database {
    type Target = Db;

    fn deref(&self) -> &Db {
        self.0.as_ref().expect("it is taken out on dropping only")
    }
}

impl Drop for Database {
    /// sled flushes once more as it closes, and panics when that fails: there is nobody left to tell.
    fn drop(&mut self) {
        let db = self.0.take();
        let closed = without_panic(|| {
            drop(db);
            Ok(())
        });
        if let Err(trouble) = closed {
            tracing::warn!(%trouble, "the store did not close cleanly; nothing that was acknowledged depends on it");
        }
    }
}
