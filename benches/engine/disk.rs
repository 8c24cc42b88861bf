//! What the disk allows: appends that are durable, one by one and in groups.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

const RECORD: [u8; 300] = [b'x'; 300];

/// The median time of an append and fdatasync by a single writer.
pub(crate) fn append_and_sync(place: &Path, count: u32) -> io::Result<Duration> {
    write_and_sync(&mut File::create(place.join("one"))?, count)
}

/// The same over what is there already: a file that keeps its length has no metadata to be written. What a store that
/// writes ahead cannot do without.
pub(crate) fn overwrite_and_sync(place: &Path, count: u32) -> io::Result<Duration> {
    let mut file = File::create(place.join("over"))?;
    file.write_all(&vec![0; RECORD.len() * count as usize])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    write_and_sync(&mut file, count)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn write_and_sync(file: &mut File, count: u32) -> io::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        file.write_all(&RECORD)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

#[derive(Default)]
struct Group {
    waiting: Vec<u8>,
    written: u64,
    durable: u64,
    syncing: bool,
}

/// Appends per second of `writers` that each wait until their record is durable: whoever finds no sync under way writes
/// and syncs for all that wait.
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
