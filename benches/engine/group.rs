//! The speed of the disk with group commits: writers that wait during a sync share the next one.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::disk::RECORD;

#[derive(Default)]
struct Group {
    waiting: Vec<u8>,
    written: u64,
    durable: u64,
    syncing: bool,
}

/// Appends per second of `writers` threads that each wait until their record is durable. A writer that finds no sync running
/// writes and syncs for all that wait.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn group_commits(place: &Path, writers: u32, each: u32) -> io::Result<f64> {
    let file = File::create(place.join("many"))?;
    let (group, changed) = (Mutex::new(Group::default()), Condvar::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(|| write_all(&file, &group, &changed, each))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a writer does not panic"))
    })?;
    Ok(f64::from(writers * each) / begun.elapsed().as_secs_f64())
}

fn write_all(mut file: &File, group: &Mutex<Group>, changed: &Condvar, count: u32) -> io::Result<()> {
    for _ in 0..count {
        let mut now = group.lock().unwrap_or_else(PoisonError::into_inner);
        now.waiting.extend_from_slice(&RECORD);
        now.written += 1;
        let mine = now.written;
        while now.durable < mine {
            if now.syncing {
                now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            now.syncing = true;
            let (bytes, written) = (std::mem::take(&mut now.waiting), now.written);
            drop(now);
            file.write_all(&bytes)?;
            file.sync_data()?;
            now = group.lock().unwrap_or_else(PoisonError::into_inner);
            now.durable = written;
            now.syncing = false;
            changed.notify_all();
        }
    }
    Ok(())
}
