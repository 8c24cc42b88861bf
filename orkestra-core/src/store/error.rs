//! How stores fail, sorted by what the caller should do.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::model::{Epoch, Seq};

/// Why a commit was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The commit does not follow the journal: somebody else wrote, or something was lost on the way. Load the run anew.
    #[error("the journal ends at {last}, the commit does not follow it")]
    Conflict {
        /// The last position of the journal.
        last: Seq,
    },
    /// A newer lease holds the run: stop driving it.
    #[error("epoch {held} holds the run")]
    Fenced {
        /// The epoch that holds it.
        held: Epoch,
    },
    /// The commit may be durable or not: load the run anew and see.
    #[error("it cannot be told whether the commit was written: {0}")]
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
    /// The store is of a version that this library does not read.
    Version,
    /// The directory, disk or network refuses. Trying again may help once its cause is gone.
    Io,
    /// A sync failed before: the store must be opened anew.
    Poisoned,
    /// The caller asked for what cannot be.
    Invalid,
}

/// A store that did not do what it was asked for.
///
/// Two are equal when they say the same, whatever caused them.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error that says in one sentence what happened and, if it is known, what to do.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same with its cause, which [`source`](Error::source) gives. The message says it too.
    #[must_use]
    pub fn with_source(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// What to do about it.
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
