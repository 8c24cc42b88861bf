//! What can go wrong below, and what the caller is told of it.

use std::io;

use orkestra_core::journal::ReplayError;
use orkestra_core::store::{StoreError, StoreErrorKind};

/// Why something in the database could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A version that this one cannot read.
    #[error("{0}")]
    Version(String),
    /// What is stored is not what this library writes.
    #[error("{0}")]
    Damaged(String),
    /// A stored journal is no run.
    #[error(transparent)]
    Journal(#[from] ReplayError),
    /// The database panicked.
    #[error("the database panicked: {0}")]
    Panic(String),
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Invalid(String),
}

impl Trouble {
    /// A key that nobody writes.
    pub(crate) fn key(key: &[u8]) -> Self {
        Self::Damaged(format!("the key `{}` is no key of this store", key.escape_ascii()))
    }

    /// A value that nobody writes.
    pub(crate) fn value(key: &[u8], why: impl std::fmt::Display) -> Self {
        Self::Damaged(format!("the value at `{}` is damaged: {why}", key.escape_ascii()))
    }

    /// The same for the caller of the store at `place`.
    pub(crate) fn at(self, place: &str) -> StoreError {
        match self {
            Self::Io(error) => refused(&format!("{place} cannot be used"), error),
            Self::Version(why) => StoreError::new(StoreErrorKind::Version, format!("{place} cannot be opened: {why}")),
            Self::Damaged(why) => StoreError::new(StoreErrorKind::Damaged, format!("{place} is damaged: {why}")),
            Self::Journal(error) => {
                StoreError::new(StoreErrorKind::Damaged, format!("{place} is damaged: {error}")).with_source(error)
            }
            Self::Panic(why) => {
                let message = format!("{place} is damaged: the database gave up on it: {why}");
                StoreError::new(StoreErrorKind::Damaged, message)
            }
            Self::Invalid(why) => StoreError::new(StoreErrorKind::Invalid, why),
        }
    }
}

/// An error of the file system, with what to do about the common ones.
pub(crate) fn refused(what: &str, error: io::Error) -> StoreError {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; this user needs to read and write there",
        io::ErrorKind::ReadOnlyFilesystem => "; the file system is mounted read-only",
        io::ErrorKind::StorageFull => "; the disk is full",
        _ => "",
    };
    // A missing file of a database that exists is damage; everything else may be gone when one tries again.
    let kind = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => StoreErrorKind::Damaged,
        _ => StoreErrorKind::Io,
    };
    StoreError::new(kind, format!("{what}: {error}{hint}")).with_source(error)
}

/// Runs `work`; a panic in it becomes an error: databases panic on some damaged files.
pub(crate) fn without_panic<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    // Whoever calls this drops what was used, or never uses it again: a torn state is not looked at.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Trouble::Panic(text.unwrap_or_else(|| "without a word".into())))
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use orkestra_core::model::{RunId, Seq};

    use super::*;

    #[test]
    fn errors_of_the_disk_and_of_journals_are_the_source() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        for error in [Trouble::Io(full()).at("sled at ./data"), refused("no", full())] {
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull), "{error}");
        }
        let run = RunId::new("r").expect("an id");
        let gap = ReplayError::Gap { run, found: Seq(2), expected: Seq(1) };
        let error = Trouble::from(gap).at("sled at ./data");
        assert!(error.source().is_some_and(|source| source.is::<ReplayError>()), "{error}");
    }
}
