//! Whether a store may still be believed. After a failed write or sync it may not, until it is opened anew.

use std::path::PathBuf;
use std::sync::OnceLock;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::error::Trouble;

/// What readers, writers and threads in the background share: where the store is, and why nothing can be told any more.
pub(crate) struct Health {
    path: PathBuf,
    poison: OnceLock<String>,
}

impl Health {
    /// Of a store that is well.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, poison: OnceLock::new() }
    }

    /// Where the store is, for messages.
    pub(crate) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// An error when nothing can be told any more.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let Some(why) = self.poison.get() else {
            return Ok(());
        };
        let message = format!("{} must be opened anew: a write failed before ({why})", self.path.display());
        Err(StoreError::new(StoreErrorKind::Poisoned, message))
    }

    /// What the caller is told of `trouble`.
    pub(crate) fn told(&self, trouble: Trouble) -> StoreError {
        trouble.at(&self.place())
    }

    /// Ends the store because `what` met `trouble`. The error says why: that of the first who came.
    pub(crate) fn poison(&self, what: &str, trouble: Trouble) -> StoreError {
        let why = self.told(trouble).to_string();
        tracing::error!(store = %self.path.display(), %why, "{what} failed: the store must be opened anew");
        StoreError::new(StoreErrorKind::Poisoned, self.poison.get_or_init(|| why))
    }
}
