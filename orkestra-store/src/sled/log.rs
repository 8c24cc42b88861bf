//! Writing: into the write-ahead file, then to where readers see it, then the mark. When the file is full a checkpoint begins.

use std::sync::Arc;

use crate::kv::changes::Changes;
use crate::kv::error::Trouble;
use crate::kv::map::{Lasting, Log};
use crate::kv::mark::Mark;
use crate::kv::report::Durability;

use super::checkpoint::{Checkpoints, Work};
use super::core::Core;
use super::overlay::Layer;
use super::wal::Wal;

/// Who writes. IMPORTANT: the order of the fields is the order in which they are dropped: a checkpoint ends before the
/// database is closed.
pub(super) struct SledLog {
    pub(super) wal: Wal,
    pub(super) mark: Mark,
    pub(super) checkpoints: Checkpoints,
    pub(super) core: Arc<Core>,
}

impl SledLog {
    /// Goes on with a checkpoint that was cut: its layer, and the number of the last group commit in it.
    pub(super) fn go_on(&mut self, owed: Option<(Arc<Layer>, u64)>) {
        if let Some((layer, last)) = owed {
            self.checkpoints.start(&self.core, Work { layer, last, file: self.wal.other() });
        }
    }

    /// Shows readers what is durable. Begins a checkpoint when there is enough of it.
    fn show(&mut self, changes: Changes) -> Result<(), Trouble> {
        let mut overlay = self.core.overlay_mut();
        overlay.active.add(changes, self.wal.boot());
        if !self.wal.is_full() || overlay.frozen.is_some() {
            return Ok(());
        }
        let layer = overlay.freeze();
        drop(overlay);
        self.checkpoints.start(&self.core, Work { layer, last: self.wal.last(), file: self.wal.current() });
        Ok(self.wal.turn()?)
    }
}

impl Log for SledLog {
    fn write(&mut self, changes: Changes, lasting: Lasting) -> Result<(), Trouble> {
        if self.wal.is_overfull() {
            // The disk does not keep up.
            self.checkpoints.wait();
        }
        let durability = match lasting {
            Lasting::AsOpened => self.wal.durability(),
            Lasting::Always => Durability::Fsync,
            Lasting::Cache => Durability::Process,
        };
        self.wal.append(&changes, durability)?;
        self.show(changes)?;
        // What may be lost must not be missed when the store is opened again.
        if lasting != Lasting::Cache
            && let Err(error) = self.mark.set(self.wal.last())
        {
            // The mark before it still holds.
            tracing::warn!(store = self.core.health.place(), %error, "the mark could not be written");
        }
        Ok(())
    }
}
