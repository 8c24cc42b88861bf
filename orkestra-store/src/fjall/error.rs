//! Maps errors of fjall.

use std::io;

use ::fjall::{Error, LsmError};

use crate::kv::error::BackendError;

use super::background::FAILED;

impl From<Error> for BackendError {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) | Error::Storage(LsmError::Io(error)) => Self::Io(error),
            Error::InvalidVersion(found) => Self::Version(format!("fjall does not support its version {found:?}")),
            Error::Storage(LsmError::InvalidVersion(found)) => {
                Self::Version(format!("fjall does not support its version {found}"))
            }
            Error::Locked => Self::Io(io::Error::other("fjall's own lock is held by another process")),
            // A failed flush or compaction. fjall wrote the cause to its log.
            Error::Poisoned => Self::Io(io::Error::other(FAILED)),
            error => Self::Damaged(error.to_string()),
        }
    }
}
