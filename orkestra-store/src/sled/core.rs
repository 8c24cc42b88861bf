//! What readers, the writer and checkpoints share: sled, and what lies over it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use crate::kv::health::Health;
use crate::kv::map::{self, Map};

use super::database::Database;
use super::fallback::Fallback;
use super::overlay::Overlay;
use super::sync::Syncer;
use super::view::View;

/// The map: the overlay over sled.
pub(super) struct Core {
    pub(super) database: Database,
    pub(super) overlay: RwLock<Overlay>,
    pub(super) syncer: Syncer,
    /// What sled is put back to when a checkpoint is cut. Checkpoints alone write to it.
    pub(super) fallback: Mutex<Fallback>,
    pub(super) health: Arc<Health>,
}

impl Core {
    pub(super) fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        // Nothing that holds it can panic half-way through a change.
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fallback(&self) -> MutexGuard<'_, Fallback> {
        // After a panic the store is poisoned, and what the file tells of still holds.
        self.fallback.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map for Core {
    fn view(&self) -> Box<dyn map::View + '_> {
        let overlay = self.overlay.read().unwrap_or_else(PoisonError::into_inner);
        Box::new(View { db: &self.database, overlay })
    }
}
