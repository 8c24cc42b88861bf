//! Bringing a full layer into sled, in the background, so that its write-ahead file can be used again.
//!
//! ```text
//! write-ahead file synced -> [ keys into sled -> pages settled -> db synced -> fallback synced ] -> its file is free
//!                             sled uses no segment again
//! ```
//!
//! It may be cut at any moment. Until the file `fallback` tells of the new state, the store goes back to the old one as it is
//! opened ([`segments`](super::segments)), and the layer's write-ahead file is there to lead on from it.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use ::sled::IVec;
use orkestra_core::store::StoreError;

use super::census::Census;
use super::core::Core;
use super::fallback::State;
use super::overlay::Layer;
use crate::kv::error::{Trouble, without_panic};
use crate::kv::keys::META_APPLIED;
use crate::kv::threads::Threads;

/// How often pages are looked at until sled has nothing left to split or merge. Two or three times is usual.
const SETTLING_ROUNDS_MAX: u32 = 16;

/// How long sled is kept from freeing segments after a checkpoint has failed: threads of sled may still be writing. Nothing
/// tells when the last one has ended; each has one buffer to write.
const FAILED_PAUSE: Duration = Duration::from_millis(200);

/// How many bytes of keys and values are brought into sled at a time. Until a part is durable all old versions of its pages stay in
/// memory, some 20 times as much.
const PART_BYTES: usize = 1024 * 1024;

/// A key and its new value; `None` is a removal.
type KeyChange<'a> = (&'a IVec, Option<&'a IVec>);

/// A layer on its way into sled.
pub(super) struct Work {
    pub(super) layer: Arc<Layer>,
    /// The number of its last group commit.
    pub(super) last: u64,
    /// The write-ahead file that it came from.
    pub(super) file: Arc<File>,
}

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

    /// Begins to bring the frozen layer into sled.
    pub(super) fn start(&mut self, core: &Arc<Core>, work: Work) {
        self.wait();
        let (core, (ended, under_way)) = (Arc::clone(core), sync_channel(1));
        self.under_way = Some(under_way);
        drop(self.thread.call(move || {
            run(&core, work);
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

fn run(core: &Core, work: Work) {
    if bring(core, &work).is_ok() {
        let frozen = core.overlay_mut().frozen.take();
        // After the lock is given back: it takes a while.
        drop((frozen, work));
    }
}

/// Brings the layer into sled, part by part. From the last key to the first, so that neighbours meet in the same page, and because of
/// how sled splits pages: runs that were created in a row take up less room so. After an error the store is poisoned.
fn bring(core: &Core, work: &Work) -> Result<(), StoreError> {
    // IMPORTANT: whatever the durability. Once sled has a part of it, the rest must be there.
    work.file.sync_data().map_err(|error| core.health.poison("a checkpoint", error.into()))?;
    let mut changes = work.layer.iter().rev().peekable();
    loop {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < PART_BYTES
            && let Some((key, value)) = changes.next()
        {
            bytes += key.len() + value.map_or(0, |value| value.len());
            part.push((key, value));
        }
        // What is in sled in part is done again from the write-ahead file: only the end of it is told.
        let is_last = changes.peek().is_none();
        pinned(core, || bring_part(core, &part, is_last.then_some(work.last)))?;
        collect(part.len());
        if is_last {
            return Ok(());
        }
    }
}

/// Does `work` while sled frees no segment.
fn pinned(core: &Core, work: impl FnOnce() -> Result<(), Trouble>) -> Result<(), StoreError> {
    // IMPORTANT: as long as this thread is pinned, sled frees no segment, for it frees them when nobody can look into them any
    // more (`IoBufs::write_to_log`). Without that it writes over what the fallback needs. It is given up only when the new
    // state is durable, or sled has nothing left to write.
    let pinned = ::sled::pin();
    let done = without_panic(work).map_err(|trouble| core.health.poison("a checkpoint", trouble));
    if done.is_err() {
        // What sled still has to write must not be written after this, as it is closed; threads of sled that are writing end.
        let _ = without_panic(|| Ok(core.database.flush()?));
        std::thread::park_timeout(FAILED_PAUSE);
    }
    drop(pinned);
    done
}

/// Frees what sled has put off while it was pinned, after `keys` changes: pages' old versions, and the segments that it may use
/// again. By itself it frees a little with each operation, which is less than checkpoints in a row put off.
fn collect(keys: usize) {
    // Each turn frees up to 512 things, of which a change leaves a handful; the first turns only let the epoch pass.
    for _ in 0..keys / 8 + 64 {
        ::sled::pin().flush();
    }
}

/// Brings these changes into sled, which then has all group commits up to `applied`, if there is a number.
fn bring_part(core: &Core, changes: &[KeyChange<'_>], applied: Option<u64>) -> Result<(), Trouble> {
    let mut fallback = core.fallback();
    let census = apply(core, changes, fallback.census())?;
    let applied = applied.unwrap_or(fallback.applied());
    core.database.insert(META_APPLIED, &applied.to_be_bytes())?;
    settle(core, changes)?;
    core.syncer.sync(&core.database)?;
    // IMPORTANT: only what is durable may be said to be there.
    Ok(fallback.set(&State { applied, census, tip: core.syncer.tip()? })?)
}

/// Writes changes to sled. Answers what it holds then.
fn apply(core: &Core, changes: &[KeyChange<'_>], mut census: Census) -> Result<Census, Trouble> {
    for (key, value) in changes {
        let before = match value {
            Some(value) => core.database.insert(key, (*value).clone())?,
            None => core.database.remove(key)?,
        };
        if let Some(before) = before {
            census.remove(key, &before);
        }
        if let Some(value) = value {
            census.add(key, value);
        }
    }
    Ok(census)
}

/// Returns when reading writes nothing: sled splits and merges pages when somebody comes by, also to read. What it writes
/// then would be synced by nobody.
fn settle(core: &Core, changes: &[KeyChange<'_>]) -> Result<(), Trouble> {
    core.database.flush()?;
    for _ in 0..SETTLING_ROUNDS_MAX {
        for (key, _) in changes {
            core.database.get(key)?;
        }
        if core.database.flush()? == 0 {
            return Ok(());
        }
    }
    // What is left is less than a segment, which does no harm: it is dropped when the store is opened.
    tracing::debug!(store = core.health.place(), "sled still has pages to split or merge");
    Ok(())
}
