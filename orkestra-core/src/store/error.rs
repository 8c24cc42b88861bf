//! How stores fail, sorted by what the caller should do.

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
    #[error(transparent)]
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
}

impl StoreError {
    /// An error that says in one sentence what happened and, if it is known, what to do.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What to do about it.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}
