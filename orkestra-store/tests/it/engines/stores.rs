//! The stores that engine tests run on: one of each kind that was built.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::prelude::*;
use tempfile::TempDir;

#[cfg(all(feature = "postgres", unix))]
use crate::postgres::Database;
use crate::support::backend::{BACKENDS, Backend};

/// A place where a store can be opened repeatedly.
pub(super) enum TestStore {
    Directory(Backend, TempDir),
    #[cfg(all(feature = "postgres", unix))]
    Database(Box<Database>),
}

impl TestStore {
    /// One of each kind, empty.
    pub(super) fn all() -> Vec<Self> {
        let directory = |backend: &Backend| Self::Directory(*backend, tempfile::tempdir().expect("a directory"));
        let all: Vec<_> = BACKENDS.iter().map(directory).collect();
        #[cfg(all(feature = "postgres", unix))]
        let all = all.into_iter().chain(Database::new().map(|database| Self::Database(Box::new(database)))).collect();
        all
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Directory(backend, _) => backend.name(),
            #[cfg(all(feature = "postgres", unix))]
            Self::Database(_) => "postgres".to_owned(),
        }
    }

    /// Opens the store with the default options.
    pub(super) async fn open(&self) -> Result<Arc<dyn Store>, orkestra_core::store::StoreError> {
        Ok(match self {
            Self::Directory(backend, directory) => backend.open(directory.path())?.shared(),
            #[cfg(all(feature = "postgres", unix))]
            Self::Database(database) => {
                let options = database.options().with_lease_clock(orkestra_store::LeaseClock::Database);
                Arc::new(options.connect(&database.url).await?)
            }
        })
    }

    /// Two stores for two engines of one process. They are the same where a directory can be opened only once.
    pub(super) async fn open_twice(&self) -> [Arc<dyn Store>; 2] {
        let first = self.open().await.expect("a store");
        match self {
            Self::Directory(..) => [Arc::clone(&first), first],
            #[cfg(all(feature = "postgres", unix))]
            Self::Database(_) => [first, self.open().await.expect("a store")],
        }
    }
}

/// Waits for `happens`, or fails after 20 s.
pub(super) async fn in_time<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), happens).await.unwrap_or_else(|_| panic!("timed out: {what}"))
}

/// Waits until the engine drives no run.
pub(super) async fn until_idle(engine: &Engine) {
    while engine.health().await.live > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
