//! The write path: one batch of fjall per group commit, then the mark.

use std::sync::Arc;

use ::fjall::{Error, PersistMode};

use crate::kv::changes::Changes;
use crate::kv::error::BackendError;
use crate::kv::health::Health;
use crate::kv::keys::META_APPLIED;
use crate::kv::map::{Log, Persistence};
use crate::kv::mark::Mark;
use crate::kv::report::Durability;

use super::background::Background;
use super::database::Database;
use super::promised::{self, Promises};

/// The writable side of the store.
pub(super) struct FjallLog {
    pub(super) database: Database,
    pub(super) mark: Mark,
    pub(super) durability: Durability,
    /// The number of the last group commit.
    pub(super) last: u64,
    pub(super) promised: Promises,
    pub(super) health: Arc<Health>,
    pub(super) background: Background,
}

impl FjallLog {
    fn error(&self, error: Error) -> BackendError {
        match error {
            Error::Poisoned => BackendError::Io(self.background.cause()),
            error => error.into(),
        }
    }
}

/// `SyncData` suffices: `fdatasync` writes everything needed to read the data back, including the file's new length.
/// `Buffer` hands the batch to the operating system; without a mode it would stay in this process.
fn mode(durability: Durability) -> PersistMode {
    match durability {
        Durability::Fsync => PersistMode::SyncData,
        Durability::Process => PersistMode::Buffer,
    }
}

impl Log for FjallLog {
    fn write(&mut self, mut changes: Changes, persistence: Persistence) -> Result<(), BackendError> {
        let durability = match persistence {
            Persistence::AsOpened => self.durability,
            Persistence::Synced => Durability::Fsync,
            Persistence::Cache => Durability::Process,
        };
        let number = self.last + 1;
        changes.insert(META_APPLIED, number.to_be_bytes());
        changes.insert(promised::KEY, self.promised.encode());
        self.database.write(changes, mode(durability)).map_err(|error| self.error(error))?;
        (self.last, self.promised.previous) = (number, number);
        if durability == Durability::Fsync {
            // Earlier group commits are in the same journal, or in one that fjall has synced.
            self.promised.synced = number;
        }
        // A write that may be lost must not be required when the store is reopened.
        if persistence == Persistence::Cache {
            return Ok(());
        }
        self.promised.acknowledged = number;
        if let Err(error) = self.mark.set(number) {
            // The previous mark is still valid.
            tracing::warn!(store = self.health.place(), %error, "cannot write the file `mark`; the previous mark is still valid");
        }
        Ok(())
    }
}
