//! The measured stores: how each is opened, and its size on disk.

use std::path::Path;
use std::sync::Arc;

use orkestra::store::{MemoryStore, Store};

use crate::BenchResult;
#[cfg(feature = "postgres")]
use crate::server;

/// A measured store. In all but the first, what is durable survives a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    #[cfg(feature = "sled")]
    Sled,
    #[cfg(feature = "fjall")]
    Fjall,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// All stores that were built and can be reached.
pub(crate) fn all() -> Vec<Kind> {
    let built = [
        Kind::Memory,
        #[cfg(feature = "sled")]
        Kind::Sled,
        #[cfg(feature = "fjall")]
        Kind::Fjall,
        #[cfg(feature = "postgres")]
        Kind::Postgres,
    ];
    built.into_iter().filter(|kind| kind.can_be_reached()).collect()
}

/// The stores that are not measured, and why.
pub(crate) fn left_out() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if cfg!(not(feature = "sled")) {
        missing.push("sled is skipped: it is not built; use `--features sled`");
    }
    if cfg!(not(feature = "fjall")) {
        missing.push("fjall is skipped: it is not built; use `--features fjall`");
    }
    #[cfg(not(feature = "postgres"))]
    missing.push("Postgres is skipped: it is not built; use `--features postgres`");
    #[cfg(feature = "postgres")]
    if server::url().is_none() {
        missing.push("Postgres is skipped: set ORKESTRA_TEST_POSTGRES to the URL of a database");
    }
    missing
}

impl Kind {
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(crate) fn named(name: &str) -> BenchResult<Self> {
        Ok(all().into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("`{name}` is not measured"))?)
    }

    fn can_be_reached(self) -> bool {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => server::url().is_some(),
            _ => true,
        }
    }

    /// Opens it in the directory `place`, with default options. In a database, the schema is named after the directory.
    pub(crate) async fn open(self, place: &Path) -> BenchResult<Arc<dyn Store>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            #[cfg(feature = "sled")]
            Self::Sled => Arc::new(orkestra::store::SledStore::open(place)?),
            #[cfg(feature = "fjall")]
            Self::Fjall => Arc::new(orkestra::store::FjallStore::open(place)?),
            #[cfg(feature = "postgres")]
            Self::Postgres => Arc::new(server::open(place).await?),
        })
    }

    /// Its size on disk, bytes; `None` for a store in memory.
    pub(crate) fn on_disk(self, place: &Path) -> BenchResult<Option<u64>> {
        match self {
            Self::Memory => Ok(None),
            #[cfg(feature = "postgres")]
            Self::Postgres => server::on_disk(place).map(Some),
            #[cfg(any(feature = "sled", feature = "fjall"))]
            _ => Ok(Some(allocated(place)?)),
        }
    }

    /// Removes it, if it would not be removed with its directory.
    pub(crate) fn remove(self, place: &Path) -> BenchResult {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => server::remove(place),
            _ => {
                let _goes_with_its_directory = place;
                Ok(())
            }
        }
    }
}

/// The allocated size of the files below `place`, bytes; files may be sparse.
#[cfg(any(feature = "sled", feature = "fjall"))]
fn allocated(place: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { allocated(&entry.path())? } else { length(&metadata) };
    }
    Ok(bytes)
}

#[cfg(all(unix, any(feature = "sled", feature = "fjall")))]
fn length(file: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(file) * 512
}

#[cfg(all(not(unix), any(feature = "sled", feature = "fjall")))]
fn length(file: &std::fs::Metadata) -> u64 {
    file.len()
}
