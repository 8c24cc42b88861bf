//! The write-ahead files: they make a group commit durable with one write and one sync.
//!
//! ```text
//! record:  checksum of the rest, 4 | length of the changes, 4 | number, 8 | boot number, 4 | changes
//! file:    records with consecutive numbers, then remains of an earlier use, or zeros
//! ```
//!
//! There are two files. One is written to. When it is full and the records of the other are in sled, they swap roles. A
//! file is never truncated to reuse it: overwriting does not change the file's length, so a sync writes only the
//! record. A record is valid if its checksum is right, its number follows the previous one, and its boot number is not
//! lower. So remains of an earlier use are never valid.
//!
//! This module alone decides which records are readable. What they mean is decided elsewhere.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use super::encoding;
use super::options::SledOptions;
use super::recover::Recovered;
use crate::kv::changes::Changes;
use crate::kv::error::BackendError;
use crate::kv::report::Durability;

const FILES: [&str; 2] = ["wal.0", "wal.1"];
const HEAD: usize = 20;
const CHECKSUM: usize = size_of::<u32>();

/// A file this many times full makes writers wait for a checkpoint.
const OVERFULL: u64 = 4;
/// The length of a new file. It doubles when it is full_bytes, by at most `GROW_BYTES_MAX`.
const NEW_BYTES: u64 = 256 * 1024;
const GROW_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A group commit read from a file.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) boot: u32,
    pub(super) changes: Changes,
}

/// The open files.
pub(super) struct Wal {
    files: [WalFile; 2],
    current: usize,
    /// The number of the last record.
    last: u64,
    boot: u32,
    durability: Durability,
    /// Whether the last record of the current file is unsynced.
    unsynced: bool,
    /// The size in bytes at which a file is full. Its changes are in memory as well.
    full_bytes: u64,
    /// Kept for its capacity.
    buffer: Vec<u8>,
}

struct WalFile {
    /// Shared with the checkpoint that writes its records into sled.
    file: Arc<File>,
    /// The offset of the next record.
    end: u64,
    /// The allocated length.
    length: u64,
    /// The content when it was opened; empty once the file is in use.
    read: Vec<u8>,
}

/// The contents of the files in a directory.
pub(super) struct Found {
    files: [WalFile; 2],
    /// The records of each file.
    pub(super) records: [Vec<Record>; 2],
}

/// Whether both write-ahead files exist.
pub(super) fn exist(directory: &Path) -> bool {
    FILES.iter().all(|name| directory.join(name).exists())
}

/// Reads the files of `directory`, creating those that do not exist.
pub(super) fn open(directory: &Path) -> io::Result<Found> {
    let [(first, firsts), (second, seconds)] = [open_file(directory, FILES[0])?, open_file(directory, FILES[1])?];
    Ok(Found { files: [first, second], records: [firsts, seconds] })
}

fn open_file(directory: &Path, name: &str) -> io::Result<(WalFile, Vec<Record>)> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(directory.join(name))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (mut records, mut rest): (Vec<Record>, _) = (Vec::new(), &bytes[..]);
    while let Some((record, behind)) = read_record(rest) {
        let follows = records.last().is_none_or(|last| record.number == last.number + 1 && record.boot >= last.boot);
        if !follows {
            break;
        }
        records.push(record);
        rest = behind;
    }
    let (length, end) = (bytes.len() as u64, (bytes.len() - rest.len()) as u64);
    Ok((WalFile { file: Arc::new(file), end, length, read: bytes }, records))
}

fn read_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let (checksum, numbers) = head.split_first_chunk()?;
    let (length, numbers) = numbers.split_first_chunk()?;
    let (number, boot) = numbers.split_first_chunk()?;
    let (changes, behind) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let boot = u32::from_be_bytes(boot.try_into().ok()?);
    // A record of zeros is invalid, even though its checksum may be right.
    let whole = boot > 0 && crc32fast::hash(&bytes[CHECKSUM..HEAD + changes.len()]) == u32::from_be_bytes(*checksum);
    if !whole {
        return None;
    }
    let changes = encoding::decode(changes).ok()?;
    Some((Record { number: u64::from_be_bytes(*number), boot, changes }, behind))
}

impl Found {
    /// The files to continue with in the opening `boot`, after recovery. Invalid records are erased.
    pub(super) fn into_wal(self, recovered: &Recovered, boot: u32, options: &SledOptions) -> io::Result<Wal> {
        let &Recovered { current, last, keep_current, keep_other, .. } = recovered;
        let (durability, full_bytes) = (options.durability, options.backend.write_ahead_bytes);
        let mut wal =
            Wal { files: self.files, current, last, boot, durability, unsynced: false, full_bytes, buffer: Vec::new() };
        for (number, keep) in [(current, keep_current), (1 - current, keep_other)] {
            let file = &mut wal.files[number];
            if keep {
                file.rewrite()?;
            } else {
                file.erase()?;
            }
            file.read = Vec::new();
            if file.length < NEW_BYTES {
                file.grow(NEW_BYTES)?;
            }
            file.file.sync_all()?;
        }
        Ok(wal)
    }
}

impl WalFile {
    /// Writes the records again. After a failed sync, what was read may be only in the system's cache, marked as
    /// written, so that no later sync would write it.
    fn rewrite(&mut self) -> io::Result<()> {
        let end = usize::try_from(self.end).map_err(io::Error::other)?;
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&self.read[..end])
    }

    /// Makes all records invalid.
    fn erase(&mut self) -> io::Result<()> {
        self.end = 0;
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[0; HEAD])
    }

    /// Extends the file with zeros to `length`.
    fn grow(&mut self, length: u64) -> io::Result<()> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.length))?;
        io::copy(&mut io::repeat(0).take(length.saturating_sub(self.length)), &mut file)?;
        self.length = self.length.max(length);
        Ok(())
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let end = self.end + record.len() as u64;
        if end > self.length {
            self.grow(end.max(self.length + self.length.min(GROW_BYTES_MAX)))?;
        }
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(record)?;
        self.end = end;
        Ok(())
    }
}

impl Wal {
    /// The number of the last record.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The boot number of new records.
    pub(super) fn boot(&self) -> u32 {
        self.boot
    }

    /// The file being written to.
    pub(super) fn current(&self) -> Arc<File> {
        Arc::clone(&self.files[self.current].file)
    }

    /// The other file.
    pub(super) fn other(&self) -> Arc<File> {
        Arc::clone(&self.files[1 - self.current].file)
    }

    /// The durability of the store.
    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    /// Writes a record, with the given durability. After an error, it is unknown whether the record is durable.
    pub(super) fn append(&mut self, changes: &Changes, durability: Durability) -> Result<(), BackendError> {
        let number = self.last + 1;
        let mut record = std::mem::take(&mut self.buffer);
        record.clear();
        record.extend_from_slice(&[0; HEAD]);
        encoding::encode(changes, &mut record);
        let length = u32::try_from(record.len() - HEAD);
        let length =
            length.map_err(|_| BackendError::Invalid("cannot write a group commit of 4 GiB or more".into()))?;
        record[CHECKSUM..8].copy_from_slice(&length.to_be_bytes());
        record[8..16].copy_from_slice(&number.to_be_bytes());
        record[16..HEAD].copy_from_slice(&self.boot.to_be_bytes());
        let checksum = crc32fast::hash(&record[CHECKSUM..]);
        record[..CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
        let file = &mut self.files[self.current];
        let written = file.write(&record).and_then(|()| match durability {
            Durability::Fsync => file.file.sync_data(),
            Durability::Process => Ok(()),
        });
        written?;
        self.last = number;
        self.unsynced = durability == Durability::Process;
        if record.capacity() as u64 <= NEW_BYTES {
            self.buffer = record;
        }
        Ok(())
    }

    /// Whether a checkpoint should start.
    pub(super) fn is_full(&self) -> bool {
        self.files[self.current].end >= self.full_bytes
    }

    /// Whether writers should wait for a checkpoint.
    pub(super) fn is_overfull(&self) -> bool {
        self.files[self.current].end >= OVERFULL * self.full_bytes
    }

    /// Switches to the other file, whose records must all be in sled.
    pub(super) fn switch(&mut self) -> io::Result<()> {
        // IMPORTANT: records in the other file are valid only if this one is complete.
        if self.unsynced && self.durability == Durability::Fsync {
            self.files[self.current].file.sync_data()?;
        }
        self.current = 1 - self.current;
        let file = &mut self.files[self.current];
        file.end = 0;
        let most = (OVERFULL * self.full_bytes).max(NEW_BYTES);
        if file.length > most {
            file.file.set_len(most)?;
            file.length = most;
        }
        Ok(())
    }
}
