//! sled's handle, with a close that does not panic and a flush that does not hang.

use std::ops::Deref;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{Builder, scope};
use std::time::Duration;

use ::sled::{Config, Db};

use crate::kv::error::{BackendError, without_panic};

/// How long a flush may take before another one wakes it. Doubles each time.
const FLUSH_RETRY_AFTER: Duration = Duration::from_secs(1);

/// sled's handle. `None` only while it is dropped.
pub(super) struct Database(Option<Db>);

impl Database {
    /// Opens the database at `path`. A panic of sled becomes an error.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, BackendError> {
        // IMPORTANT: no periodic flush. Its thread syncs whether or not that is needed, waits forever for itself if it
        // panics, and frees segments for reuse whose content is not durable elsewhere yet. Compacting half-dead
        // segments, which it also does, gains next to nothing: `docs/store.md` has the figures.
        let config = Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        without_panic(|| Ok(Self(Some(config.open()?))))
    }

    /// Flushes all writes to the operating system. Returns the number of bytes.
    ///
    /// sled's own `flush` may hang: when a write fails in one of its threads (`exit_reservation` in sled 0.34.7,
    /// `src/pagecache/logger.rs`), sled records the error without waking the waiters. A second `flush` sees the error
    /// and wakes all.
    ///
    /// # Errors That of a failed write.
    pub(super) fn flush(&self) -> ::sled::Result<usize> {
        let (flushing, flushed) = sync_channel(0);
        scope(|scope| {
            // If the thread cannot be started, flush anyway.
            drop(
                Builder::new().name("orkestra-reflush".into()).spawn_scoped(scope, move || flush_until(self, &flushed)),
            );
            let done = self.deref().flush();
            drop(flushing);
            done
        })
    }
}

/// Flushes again at growing intervals until `flushed` is disconnected.
fn flush_until(database: &Db, flushed: &Receiver<()>) {
    let mut wait = FLUSH_RETRY_AFTER;
    while flushed.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let database = database.clone();
        // Not awaited: this flush may hang as well, until the next one.
        drop(Builder::new().name("orkestra-reflush".into()).spawn(move || drop(database.flush())));
        wait *= 2;
    }
}

impl Deref for Database {
    type Target = Db;

    fn deref(&self) -> &Db {
        self.0.as_ref().expect("the handle is taken only on drop")
    }
}

impl Drop for Database {
    /// Closing sled flushes again, and panics if that fails; no caller is left to get the error.
    fn drop(&mut self) {
        let closed = without_panic(|| {
            // Then sled has nothing to wait for when it closes.
            let _ = self.flush();
            drop(self.0.take());
            Ok(())
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the store did not close cleanly; no acknowledged write is affected");
        }
    }
}
