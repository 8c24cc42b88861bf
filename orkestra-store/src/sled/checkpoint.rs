//! Bringing a full layer into sled, in the background, so that its write-ahead file can be used again.
//!
//! It may be cut at any moment: the layer's file is there until all of it is durable in sled, and doing it again ends in
//! the same.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::error::{Trouble, without_panic};
use super::keys::META_APPLIED;
use super::overlay::Layer;
use super::shared::Core;

/// A checkpoint under way, waited for on dropping.
pub(super) struct Checkpoint(Option<JoinHandle<()>>);

impl Checkpoint {
    /// Begins to bring the frozen layer, whose last group commit is `last`, into sled.
    pub(super) fn start(core: &Arc<Core>, layer: &Arc<Layer>, last: u64) -> Self {
        let (its_core, its_layer) = (Arc::clone(core), Arc::clone(layer));
        let work = move || run(&its_core, &its_layer, last);
        let thread = std::thread::Builder::new().name("orkestra-checkpoint".into()).spawn(work);
        if thread.is_err() {
            // The system gives no thread: it is done here.
            run(core, layer, last);
        }
        Self(thread.ok())
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // What a panic was about is in `poison`.
            drop(thread.join());
        }
    }
}

fn run(core: &Core, layer: &Layer, last: u64) {
    let done = without_panic(|| {
        apply(core, layer)?;
        // IMPORTANT: only what is durable may be said to be there.
        core.syncer.sync(&core.database)?;
        core.database.insert(META_APPLIED, &last.to_be_bytes())?;
        core.syncer.sync(&core.database)
    });
    match done {
        Ok(()) => {
            let frozen = core.overlay_mut().frozen.take();
            // After the lock is given back: it takes a while.
            drop(frozen);
        }
        Err(trouble) => {
            let why = core.told(trouble).to_string();
            tracing::error!(store = %core.path.display(), %why, "a checkpoint failed: the store must be opened anew");
            core.poison.get_or_init(|| why);
        }
    }
}

/// In the order of keys, so that neighbours meet in the same page.
fn apply(core: &Core, layer: &Layer) -> Result<(), Trouble> {
    for (key, value) in layer.iter() {
        match value {
            Some(value) => core.database.insert(key, value.clone())?,
            None => core.database.remove(key)?,
        };
    }
    Ok(())
}
