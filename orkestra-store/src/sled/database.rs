//! sled's handle, closed without a panic, and flushed without waiting in vain.

use std::ops::Deref;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{Builder, scope};
use std::time::Duration;

use ::sled::{Config, Db};

use crate::kv::error::{Trouble, without_panic};

/// How long a flush may take before sled is reminded, the first time; after that twice as long each time.
const REMINDED_AFTER: Duration = Duration::from_secs(1);

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

    /// Returns when all that was written is on its way to the disk, and how many bytes that were; or the error of a write.
    ///
    /// sled's own `flush` may wait for ever: a write that fails in one of sled's threads (`exit_reservation` in sled 0.34.7,
    /// src/pagecache/logger.rs) notes the error and wakes nobody. A second `flush` sees the error and wakes all.
    pub(super) fn flush(&self) -> ::sled::Result<usize> {
        let (flushing, flushed) = sync_channel(0);
        scope(|scope| {
            // Without a thread for it nobody reminds sled. That is no reason not to flush.
            drop(Builder::new().name("orkestra-remind".into()).spawn_scoped(scope, move || remind(self, &flushed)));
            let done = self.deref().flush();
            drop(flushing);
            done
        })
    }
}

/// Flushes once more, now and then, until whoever holds the other end has done so.
fn remind(database: &Db, flushed: &Receiver<()>) {
    let mut wait = REMINDED_AFTER;
    while flushed.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let database = database.clone();
        // Nobody waits for it: it may wait in vain as well, until the next one.
        drop(Builder::new().name("orkestra-remind".into()).spawn(move || drop(database.flush())));
        wait *= 2;
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
        let closed = without_panic(|| {
            // Then sled has nothing left to wait for.
            let _ = self.flush();
            drop(self.0.take());
            Ok(())
        });
        if let Err(trouble) = closed {
            tracing::warn!(%trouble, "the store did not close cleanly; nothing that was acknowledged depends on it");
        }
    }
}
