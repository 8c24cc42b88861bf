//! The stores that are measured: how each is opened, and what it takes up.

use std::path::Path;
use std::sync::Arc;

use orkestra::store::{MemoryStore, Store};

use crate::Anything;

/// A store to be measured. What is durable there is so against a failure of the power, but for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    #[cfg(feature = "sled")]
    Sled,
    #[cfg(feature = "fjall")]
    Fjall,
}

/// All that were built and can be reached.
pub(crate) fn all() -> Vec<Kind> {
    vec![
        Kind::Memory,
        #[cfg(feature = "sled")]
        Kind::Sled,
        #[cfg(feature = "fjall")]
        Kind::Fjall,
    ]
}

/// What is not measured, and why.
pub(crate) fn left_out() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if cfg!(not(feature = "sled")) {
        missing.push("sled is left out: it was not built, which `--features sled` does");
    }
    if cfg!(not(feature = "fjall")) {
        missing.push("fjall is left out: it was not built, which `--features fjall` does");
    }
    missing
}

impl Kind {
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(crate) fn named(name: &str) -> Anything<Self> {
        Ok(all().into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("`{name}` is not measured"))?)
    }

    /// Opens it in the directory `place`, as users do who name no options.
    pub(crate) async fn open(self, place: &Path) -> Anything<Arc<dyn Store>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            #[cfg(feature = "sled")]
            Self::Sled => Arc::new(orkestra::store::SledStore::open(place)?),
            #[cfg(feature = "fjall")]
            Self::Fjall => Arc::new(orkestra::store::FjallStore::open(place)?),
        })
    }

    /// How many bytes it takes up on disk; none where it has none.
    pub(crate) fn on_disk(self, place: &Path) -> Anything<Option<u64>> {
        Ok(if self == Self::Memory { None } else { Some(allocated(place)?) })
    }
}

/// What the files below `place` take up: files may have holes.
fn allocated(place: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { allocated(&entry.path())? } else { length(&metadata) };
    }
    Ok(bytes)
}

#[cfg(unix)]
fn length(file: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(file) * 512
}

#[cfg(not(unix))]
fn length(file: &std::fs::Metadata) -> u64 {
    file.len()
}
