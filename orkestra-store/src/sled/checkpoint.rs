//! Bringing a full layer into sled, in the background, so that its write-ahead file can be used again.
//!
//! It may be cut at any moment: the layer's file is there until all of it is durable in sled, and doing it again ends in
//! the same.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::core::Core;
use super::overlay::Layer;
use crate::kv::error::{Trouble, without_panic};
use crate::kv::keys::META_APPLIED;
use crate::kv::threads::Threads;

/// The thread that does it, one layer at a time. What is under way is waited for on dropping.
pub(super) struct Checkpoints {
    thread: Threads,
    /// Its other end is dropped when the one under way has ended.
    under_way: Option<Receiver<()>>,
}

impl Checkpoints {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { thread: Threads::start("orkestra-checkpoint", 1)?, under_way: None })
    }

    /// Begins to bring the frozen layer, whose last group commit is `last`, into sled.
    pub(super) fn start(&mut self, core: &Arc<Core>, layer: Arc<Layer>, last: u64) {
        self.wait();
        let (core, (ended, under_way)) = (Arc::clone(core), sync_channel(1));
        self.under_way = Some(under_way);
        drop(self.thread.call(move || {
            run(&core, layer, last);
            // IMPORTANT: before whoever waits goes on and closes the database.
            drop(core);
            drop(ended);
        }));
    }

    /// Returns when none is under way.
    pub(super) fn wait(&mut self) {
        if let Some(under_way) = self.under_way.take() {
            // What went wrong is in `poison`.
            let _ = under_way.recv();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.wait();
    }
}

fn run(core: &Core, layer: Arc<Layer>, last: u64) {
    let done = without_panic(|| {
        apply(core, &layer)?;
        // IMPORTANT: only what is durable may be said to be there.
        core.syncer.sync(&core.database)?;
        core.database.insert(META_APPLIED, &last.to_be_bytes())?;
        core.syncer.sync(&core.database)
    });
    match done {
        Ok(()) => {
            let frozen = core.overlay_mut().frozen.take();
            // After the lock is given back: it takes a while.
            drop((frozen, layer));
        }
        Err(trouble) => {
            core.health.poison("a checkpoint", trouble);
        }
    }
}

/// In the order of keys, so that neighbours meet in the same page; from the last to the first, because of how sled
/// splits pages: runs that were created in a row take up less room so.
fn apply(core: &Core, layer: &Layer) -> Result<(), Trouble> {
    for (key, value) in layer.iter().rev() {
        match value {
            Some(value) => core.database.insert(key, value.clone())?,
            None => core.database.remove(key)?,
        };
    }
    Ok(())
}
