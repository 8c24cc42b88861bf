//! The write path: the write-ahead file, then the overlay, then the mark. A full file starts a checkpoint.

use std::sync::Arc;

use crate::kv::changes::Changes;
use crate::kv::error::BackendError;
use crate::kv::map::{Log, Persistence};
use crate::kv::mark::Mark;
use crate::kv::report::Durability;

use super::checkpoint::{Checkpoints, Work};
use super::core::Core;
use super::overlay::Layer;
use super::wal::Wal;

/// The writable side of the store.
///
/// IMPORTANT: fields are dropped in this order: a running checkpoint ends before the database is closed.
pub(super) struct SledLog {
    pub(super) wal: Wal,
    pub(super) mark: Mark,
    pub(super) checkpoints: Checkpoints,
    pub(super) core: Arc<Core>,
}

impl SledLog {
    /// Resumes an interrupted checkpoint: its layer, and the number of its last group commit.
    pub(super) fn resume_checkpoint(&mut self, unfinished_checkpoint: Option<(Arc<Layer>, u64)>) {
        if let Some((layer, last)) = unfinished_checkpoint {
            self.checkpoints.start(&self.core, Work { layer, last, file: self.wal.other() });
        }
    }

    /// Makes durable changes visible. Starts a checkpoint when the write-ahead file is full.
    fn show(&mut self, changes: Changes) -> Result<(), BackendError> {
        let mut overlay = self.core.overlay_mut();
        overlay.active.add(changes, self.wal.boot());
        if !self.wal.is_full() || overlay.frozen.is_some() {
            return Ok(());
        }
        let layer = overlay.freeze();
        drop(overlay);
        self.checkpoints.start(&self.core, Work { layer, last: self.wal.last(), file: self.wal.current() });
        Ok(self.wal.switch()?)
    }
}

impl Log for SledLog {
    fn write(&mut self, changes: Changes, persistence: Persistence) -> Result<(), BackendError> {
        if self.wal.is_overfull() {
            // Checkpoints do not keep up with writes.
            self.checkpoints.wait();
        }
        let durability = match persistence {
            Persistence::AsOpened => self.wal.durability(),
            Persistence::Synced => Durability::Fsync,
            Persistence::Cache => Durability::Process,
        };
        self.wal.append(&changes, durability)?;
        self.show(changes)?;
        // A write that may be lost must not be required when the store is reopened.
        if persistence != Persistence::Cache
            && let Err(error) = self.mark.set(self.wal.last())
        {
            // The previous mark is still valid.
            tracing::warn!(store = self.core.health.place(), %error, "cannot write the file `mark`; the previous mark is still valid");
        }
        Ok(())
    }
}
