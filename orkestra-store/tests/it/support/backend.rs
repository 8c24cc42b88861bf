//! The backend that a test runs on. Its name is passed to child processes.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use orkestra_core::store::{Store, StoreError};
#[cfg(feature = "fjall")]
use orkestra_store::FjallStore;
#[cfg(feature = "sled")]
use orkestra_store::SledStore;
use orkestra_store::{CheckReport, Durability, OpenReport};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    #[cfg(feature = "sled")]
    Sled,
    #[cfg(feature = "fjall")]
    Fjall,
}

/// All backends that were built.
pub(crate) const BACKENDS: &[Backend] = &[
    #[cfg(feature = "sled")]
    Backend::Sled,
    #[cfg(feature = "fjall")]
    Backend::Fjall,
];

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) durability: Durability,
    /// The write-ahead bytes of sled, or the memtable bytes of fjall. Small by default, so that checkpoints and flushes
    /// happen often.
    pub(crate) gathered_bytes: u64,
    pub(crate) check: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Fsync, gathered_bytes: 50_000, check: false }
    }
}

impl Options {
    /// The options named by an argument of a child process.
    pub(crate) fn of(word: &str) -> Self {
        let durability = match word {
            "fsync" => Durability::Fsync,
            "process" => Durability::Process,
            other => panic!("unknown durability `{other}`"),
        };
        Self { durability, ..Self::default() }
    }
}

impl Backend {
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(crate) fn named(name: &str) -> Self {
        let found = BACKENDS.iter().find(|backend| backend.name() == name);
        *found.unwrap_or_else(|| panic!("unknown backend `{name}`"))
    }

    /// Opens a store with the default options.
    pub(crate) fn open(self, path: impl AsRef<Path>) -> Result<Opened, StoreError> {
        Ok(match self {
            #[cfg(feature = "sled")]
            Self::Sled => Opened::Sled(SledStore::open(path)?),
            #[cfg(feature = "fjall")]
            Self::Fjall => Opened::Fjall(FjallStore::open(path)?),
        })
    }

    pub(crate) fn open_with(self, path: impl AsRef<Path>, options: Options) -> Result<Opened, StoreError> {
        const CACHE_BYTES: u64 = 8 * 1024 * 1024;
        let Options { durability, gathered_bytes, check } = options;
        Ok(match self {
            #[cfg(feature = "sled")]
            Self::Sled => {
                let options = SledStore::options().with_durability(durability).with_cache_bytes(CACHE_BYTES);
                Opened::Sled(options.with_write_ahead_bytes(gathered_bytes).with_check(check).open(path)?)
            }
            #[cfg(feature = "fjall")]
            Self::Fjall => {
                let options = FjallStore::options().with_durability(durability).with_cache_bytes(CACHE_BYTES);
                Opened::Fjall(options.with_memtable_bytes(gathered_bytes).with_check(check).open(path)?)
            }
        })
    }
}

/// An open store of any backend.
#[derive(Clone)]
pub(crate) enum Opened {
    #[cfg(feature = "sled")]
    Sled(SledStore),
    #[cfg(feature = "fjall")]
    Fjall(FjallStore),
}

impl Deref for Opened {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        match self {
            #[cfg(feature = "sled")]
            Self::Sled(store) => store,
            #[cfg(feature = "fjall")]
            Self::Fjall(store) => store,
        }
    }
}

impl Opened {
    pub(crate) fn shared(self) -> Arc<dyn Store> {
        match self {
            #[cfg(feature = "sled")]
            Self::Sled(store) => Arc::new(store),
            #[cfg(feature = "fjall")]
            Self::Fjall(store) => Arc::new(store),
        }
    }

    pub(crate) fn report(&self) -> &OpenReport {
        match self {
            #[cfg(feature = "sled")]
            Self::Sled(store) => store.report(),
            #[cfg(feature = "fjall")]
            Self::Fjall(store) => store.report(),
        }
    }

    pub(crate) async fn check(&self) -> Result<CheckReport, StoreError> {
        match self {
            #[cfg(feature = "sled")]
            Self::Sled(store) => store.check().await,
            #[cfg(feature = "fjall")]
            Self::Fjall(store) => store.check().await,
        }
    }
}
