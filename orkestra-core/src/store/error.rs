//! Errors of stores, sorted by what the caller should do.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::model::{Epoch, Seq};

/// Why a commit was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The commit does not follow the journal: another writer was faster, or a write was lost. Reload the run.
    #[error("the commit does not follow the journal, which ends at {last}")]
    Conflict {
        /// The last position of the journal.
        last: Seq,
    },
    /// The run was claimed under a newer lease. Stop driving it.
    #[error("the run was claimed with the newer epoch {held}")]
    Fenced {
        /// The newer epoch.
        held: Epoch,
    },
    /// The commit may or may not be durable. Reload the run to find out.
    #[error("the commit may or may not have been written: {0}")]
    Unknown(String),
    /// The commit was not written.
    #[error("{0}")]
    Failed(#[from] StoreError),
}

/// What to do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another process has the store open.
    Busy,
    /// A stored value or the store itself is damaged.
    Damaged,
    /// The store has a format that this library does not read.
    Version,
    /// The directory, disk or network failed. Retrying may help once the cause is gone.
    Io,
    /// An earlier sync failed. The store must be reopened.
    Poisoned,
    /// The request is invalid.
    Invalid,
}

/// The error of a failed store operation.
///
/// Two errors are equal when their kinds and messages are, whatever caused them.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error with a message: what was tried, what went wrong and, if known, what to do.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same with its cause, which [`source`](Error::source) gives. The message says it too.
    #[must_use]
    pub fn with_source(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// [`with_source`](Self::with_source) for a cause that is shared.
    #[must_use]
    pub fn with_shared_source(self, source: Arc<dyn Error + Send + Sync>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The kind, which says what to do.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl PartialEq for StoreError {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.message) == (other.kind, &other.message)
    }
}

impl Eq for StoreError {}
