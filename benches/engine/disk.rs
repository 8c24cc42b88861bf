//! The speed of the disk: durable appends by a single writer.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// The bytes of one append.
pub(crate) const RECORD: [u8; 300] = [b'x'; 300];

/// The median time of an append and fdatasync by a single writer.
pub(crate) fn append_and_sync(place: &Path, count: u32) -> io::Result<Duration> {
    write_and_sync(&mut File::create(place.join("one"))?, count)
}

/// The same, overwriting existing bytes: a file that keeps its length needs no metadata write. A lower bound for a store with a
/// write-ahead file.
pub(crate) fn overwrite_and_sync(place: &Path, count: u32) -> io::Result<Duration> {
    let mut file = File::create(place.join("over"))?;
    file.write_all(&vec![0; RECORD.len() * count as usize])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    write_and_sync(&mut file, count)
}

fn write_and_sync(file: &mut File, count: u32) -> io::Result<Duration> {
    let mut times = (0..count).map(|_| once(file)).collect::<io::Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// The time of one write and fdatasync at the current position of the file.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn once(file: &mut File) -> io::Result<Duration> {
    let begun = Instant::now();
    file.write_all(&RECORD)?;
    file.sync_data()?;
    Ok(begun.elapsed())
}
