//! Checkpoints: write a full layer into sled in the background, so that its write-ahead file can be reused.
//!
//! ```text
//! write-ahead file synced -> [ keys into sled -> pages settled -> db synced -> fallback synced ] -> its file is free
//!                              sled reuses no segment
//! ```
//!
//! A crash may interrupt this at any point. Until the file `fallback` describes the new state, opening the store
//! restores the old one ([`segments`](super::segments)), and the layer's write-ahead file leads on from there.

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
use crate::kv::error::{BackendError, without_panic};
use crate::kv::keys::META_APPLIED;
use crate::kv::threads::Threads;

/// The most rounds of reading pages until sled has nothing left to split or merge. Two or three are usual.
const SETTLING_ROUNDS_MAX: u32 = 16;

/// How long sled is kept from freeing segments after a failed checkpoint. Threads of sled, each with one buffer to
/// write, may still be writing, and there is no way to wait for them.
const FAILED_PAUSE: Duration = Duration::from_millis(200);

/// Bytes of keys and values written into sled at a time. Until a part is durable, all old versions of its pages stay in
/// memory, about 20 times as much.
const PART_BYTES: usize = 1024 * 1024;

/// A key and its new value; `None` removes it.
type KeyChange<'a> = (&'a IVec, Option<&'a IVec>);

/// A layer to be written into sled.
pub(super) struct Work {
    pub(super) layer: Arc<Layer>,
    /// The number of its last group commit.
    pub(super) last: u64,
    /// The write-ahead file that contains the layer.
    pub(super) file: Arc<File>,
}

/// The checkpoint thread. It runs one checkpoint at a time. Dropping waits for the current one.
pub(super) struct Checkpoints {
    thread: Threads,
    /// Disconnected when the current checkpoint ends.
    under_way: Option<Receiver<()>>,
}

impl Checkpoints {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { thread: Threads::start("orkestra-checkpoint", 1)?, under_way: None })
    }

    /// Starts to write the frozen layer into sled, after the previous checkpoint has ended.
    pub(super) fn start(&mut self, core: &Arc<Core>, work: Work) {
        self.wait();
        let (core, (ended, under_way)) = (Arc::clone(core), sync_channel(1));
        self.under_way = Some(under_way);
        drop(self.thread.call(move || {
            run(&core, work);
            // IMPORTANT: before `ended`: the waiter then closes the database.
            drop(core);
            drop(ended);
        }));
    }

    /// Waits for the current checkpoint, if there is one.
    pub(super) fn wait(&mut self) {
        if let Some(under_way) = self.under_way.take() {
            // A failure is recorded in the store's health.
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
    if write_layer(core, &work).is_ok() {
        let frozen = core.overlay_mut().frozen.take();
        // After the lock is released: dropping a layer takes a while.
        drop((frozen, work));
    }
}

/// Writes the layer into sled, part by part, from the last key to the first: neighbours then meet in the same page, and
/// because of the way sled splits pages, runs created in sequence take less space. An error poisons the store.
fn write_layer(core: &Core, work: &Work) -> Result<(), StoreError> {
    // IMPORTANT: whatever the durability: once sled has a part of the layer, the rest must be recoverable.
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
        // A part in sled is repeated from the write-ahead file after a crash, so only the end of the layer counts.
        let is_last = changes.peek().is_none();
        while_pinned(core, || write_part(core, &part, is_last.then_some(work.last)))?;
        collect_garbage(part.len());
        if is_last {
            return Ok(());
        }
    }
}

/// Runs `work` while sled frees no segment.
fn while_pinned(core: &Core, work: impl FnOnce() -> Result<(), BackendError>) -> Result<(), StoreError> {
    // IMPORTANT: while this thread is pinned sled frees no segment, because it frees them only once no thread can read
    // them (`IoBufs::write_to_log`). Otherwise it would overwrite segments that the fallback needs. Unpin only when the
    // new state is durable, or sled has nothing left to write.
    let pinned = ::sled::pin();
    let done = without_panic(work).map_err(|error| core.health.poison("a checkpoint", error));
    if done.is_err() {
        // Write what sled still has to write now, not when it is closed, and give its writing threads time to end.
        let _ = without_panic(|| Ok(core.database.flush()?));
        std::thread::park_timeout(FAILED_PAUSE);
    }
    drop(pinned);
    done
}

/// Frees what sled deferred while the thread was pinned, after `keys` changes: old page versions, and segments it may
/// reuse. On its own it frees a little per operation, which is less than successive checkpoints defer.
fn collect_garbage(keys: usize) {
    // Each flush frees up to 512 objects, and a change leaves a few. The first flushes only advance the epoch.
    for _ in 0..keys / 8 + 64 {
        ::sled::pin().flush();
    }
}

/// Writes these changes into sled. If `applied` is given, sled then has all group commits up to that number.
fn write_part(core: &Core, changes: &[KeyChange<'_>], applied: Option<u64>) -> Result<(), BackendError> {
    let mut fallback = core.fallback();
    let census = apply(core, changes, fallback.census())?;
    let applied = applied.unwrap_or(fallback.applied());
    core.database.insert(META_APPLIED, &applied.to_be_bytes())?;
    settle_pages(core, changes)?;
    core.syncer.sync(&core.database)?;
    // IMPORTANT: the fallback may only describe what is durable.
    Ok(fallback.set(&State { applied, census, tip: core.syncer.tip()? })?)
}

/// Writes changes to sled. Returns the census after them.
fn apply(core: &Core, changes: &[KeyChange<'_>], mut census: Census) -> Result<Census, BackendError> {
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

/// Reads until reading writes nothing. sled splits and merges pages when they are accessed, also to read them, and
/// nothing would sync those writes.
fn settle_pages(core: &Core, changes: &[KeyChange<'_>]) -> Result<(), BackendError> {
    core.database.flush()?;
    for _ in 0..SETTLING_ROUNDS_MAX {
        for (key, _) in changes {
            core.database.get(key)?;
        }
        if core.database.flush()? == 0 {
            return Ok(());
        }
    }
    // What is left is less than a segment and harmless: it is dropped when the store is opened.
    tracing::debug!(store = core.health.place(), "sled still has pages to split or merge");
    Ok(())
}
