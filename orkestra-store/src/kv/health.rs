//! Whether a store is usable. After a failed write or sync it is not, until it is reopened.

use std::path::PathBuf;
use std::sync::OnceLock;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::error::BackendError;

/// Shared by readers, writers and background threads: the path of the store, and why it is poisoned if it is.
pub(crate) struct Health {
    path: PathBuf,
    poison: OnceLock<String>,
}

impl Health {
    /// Creates the health of a usable store.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, poison: OnceLock::new() }
    }

    /// The path of the store, for messages.
    pub(crate) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Fails when the store is poisoned.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let Some(why) = self.poison.get() else {
            return Ok(());
        };
        let message = format!(
            "cannot use the store in {}: an earlier write failed ({why}); reopen the store",
            self.path.display()
        );
        Err(StoreError::new(StoreErrorKind::Poisoned, message))
    }

    /// The error for callers.
    pub(crate) fn error(&self, error: BackendError) -> StoreError {
        error.at(&self.place())
    }

    /// Poisons the store because `what` failed. Later calls report the first failure.
    pub(crate) fn poison(&self, what: &str, error: BackendError) -> StoreError {
        let why = self.error(error).to_string();
        tracing::error!(store = %self.path.display(), %why, "{what} failed; reopen the store");
        StoreError::new(StoreErrorKind::Poisoned, self.poison.get_or_init(|| why))
    }
}
