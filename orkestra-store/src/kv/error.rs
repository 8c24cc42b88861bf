//! Errors inside a backend, and the errors that callers get for them.

use std::io;

use orkestra_core::journal::ReplayError;
use orkestra_core::model::RunId;
use orkestra_core::store::{Refusal, StoreError, StoreErrorKind};

/// Why an operation on the database failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// The operating system reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The store has a format that this version cannot read.
    #[error("{0}")]
    Version(String),
    /// The stored data is not what this library writes.
    #[error("{0}")]
    Damaged(String),
    /// A stored journal cannot be replayed.
    #[error(transparent)]
    Journal(#[from] ReplayError),
    /// The database panicked.
    #[error("the database panicked: {0}")]
    Panic(String),
    /// The caller's request is invalid.
    #[error("{0}")]
    Invalid(String),
    /// A request that every store refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A stored record is not what this library writes.
    #[error("the value at `{key}` is damaged: {source}")]
    Record {
        /// Its key.
        key: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The record of a run cannot be written.
    #[error("cannot encode the record of run `{run}`: {source}")]
    Unencodable {
        /// The run.
        run: RunId,
        /// Why.
        source: serde_json::Error,
    },
}

impl BackendError {
    /// A key that this library does not write.
    pub(crate) fn key(key: &[u8]) -> Self {
        Self::Damaged(format!("unknown key `{}`", key.escape_ascii()))
    }

    /// A value that this library does not write.
    pub(crate) fn value(key: &[u8], why: impl std::fmt::Display) -> Self {
        Self::Damaged(format!("the value at `{}` is damaged: {why}", key.escape_ascii()))
    }

    /// The error for callers of the store at `place`.
    pub(crate) fn at(self, place: &str) -> StoreError {
        match self {
            Self::Io(error) => io_error(&format!("cannot use the store in {place}"), error),
            Self::Version(why) => {
                StoreError::new(StoreErrorKind::Version, format!("cannot open the store in {place}: {why}"))
            }
            Self::Damaged(why) => {
                StoreError::new(StoreErrorKind::Damaged, format!("the store in {place} is damaged: {why}"))
            }
            Self::Journal(error) => {
                let message = format!("the store in {place} is damaged: {error}");
                StoreError::new(StoreErrorKind::Damaged, message).with_source(error)
            }
            Self::Panic(why) => {
                let message = format!("the store in {place} is damaged: the database panicked: {why}");
                StoreError::new(StoreErrorKind::Damaged, message)
            }
            Self::Invalid(why) => StoreError::new(StoreErrorKind::Invalid, why),
            Self::Refused(refusal) => refusal.into(),
            Self::Record { key, source } => {
                let message = format!("the store in {place} is damaged: the value at `{key}` is damaged: {source}");
                StoreError::new(StoreErrorKind::Damaged, message).with_source(source)
            }
            Self::Unencodable { run, source } => {
                let message = format!("cannot encode the record of run `{run}`: {source}");
                StoreError::new(StoreErrorKind::Invalid, message).with_source(source)
            }
        }
    }
}

/// An error of the file system, with advice for the common ones.
pub(crate) fn io_error(what: &str, error: io::Error) -> StoreError {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; give this user read and write access",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the file system is mounted read-only, remount it or use another directory"
        }
        io::ErrorKind::StorageFull => "; free some disk space",
        _ => "",
    };
    // A truncated file of an existing database is damage. Other errors may be gone on the next try.
    let kind = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => StoreErrorKind::Damaged,
        _ => StoreErrorKind::Io,
    };
    StoreError::new(kind, format!("{what}: {error}{hint}")).with_source(error)
}

/// Runs `work` and turns a panic into an error. Databases panic on some damaged files.
pub(crate) fn without_panic<T>(work: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    // Callers drop what `work` used, or never use it again: inconsistent state is never read.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(BackendError::Panic(text.unwrap_or_else(|| "no message".into())))
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use orkestra_core::model::Seq;

    use super::*;

    #[test]
    fn errors_of_the_disk_and_of_journals_are_the_source() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        for error in [BackendError::Io(full()).at("./data"), io_error("cannot read", full())] {
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull), "{error}");
        }
        let run = RunId::new("r").expect("an id");
        let error = BackendError::from(ReplayError::Gap { run, found: Seq(2), expected: Seq(1) }).at("./data");
        assert!(error.source().is_some_and(<dyn std::error::Error>::is::<ReplayError>), "{error}");
    }

    #[test]
    fn errors_of_records_keep_the_json_error() {
        let json = || serde_json::from_str::<u8>("{").expect_err("no number");
        let run = RunId::new("r").expect("an id");
        let cases = [
            (
                BackendError::Record { key: "k".into(), source: json() },
                "the store in ./data is damaged: the value at `k`",
            ),
            (BackendError::Unencodable { run, source: json() }, "cannot encode the record of run `r`: "),
        ];
        for (error, wanted) in cases {
            let error = error.at("./data");
            let text = error.to_string();
            assert!(text.starts_with(wanted) && text.ends_with(&json().to_string()), "{text}");
            assert!(error.source().is_some_and(<dyn std::error::Error>::is::<serde_json::Error>), "{error}");
        }
    }
}
