//! The state shared by readers, the writer and checkpoints: sled, and the overlay above it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use crate::kv::health::Health;
use crate::kv::map::{self, Map};

use super::database::Database;
use super::fallback::Fallback;
use super::overlay::Overlay;
use super::sync::Syncer;
use super::view::View;

/// The overlay and sled, together the map.
pub(super) struct Core {
    pub(super) database: Database,
    pub(super) overlay: RwLock<Overlay>,
    pub(super) syncer: Syncer,
    /// The state restored after an interrupted checkpoint. Only checkpoints write to it.
    pub(super) fallback: Mutex<Fallback>,
    pub(super) health: Arc<Health>,
}

impl Core {
    pub(super) fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        // No panic can happen in the middle of a change of the overlay.
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fallback(&self) -> MutexGuard<'_, Fallback> {
        // A panic while it was locked has poisoned the store, and the file still describes a valid state.
        self.fallback.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map for Core {
    fn view(&self) -> Box<dyn map::View + '_> {
        let overlay = self.overlay.read().unwrap_or_else(PoisonError::into_inner);
        Box::new(View { db: &self.database, overlay })
    }
}
