//! The file `mark`: the number of the last acknowledged group commit, which must be found when the store is reopened.
//!
//! A damaged end of a log looks like a write that a crash interrupted. Dropping it is right for an unacknowledged
//! write, and silent data loss for an acknowledged one. The mark tells the two apart. It is written after each durable
//! write and never synced: an old or missing mark demands too little, never too much.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::error::BackendError;
use super::report::Durability;

const FILE: &str = "mark";

/// The open file.
pub(crate) struct Mark {
    file: File,
    durability: Durability,
}

/// The content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marked {
    /// The number of a group commit.
    pub(crate) number: u64,
    /// The durability it was acknowledged with.
    pub(crate) durability: Durability,
}

const BYTES: usize = CHECKSUM + 1 + size_of::<u64>();
const CHECKSUM: usize = size_of::<u32>();

impl Mark {
    /// Whether `directory` has no mark. If the store is not new, somebody has removed it.
    #[cfg(feature = "fjall")]
    pub(crate) fn is_missing(directory: &Path) -> bool {
        !directory.join(FILE).exists()
    }

    /// Opens the mark in `directory`. Returns its content, and the handle to update it.
    pub(crate) fn open(directory: &Path, durability: Durability) -> io::Result<(Option<Marked>, Self)> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(directory.join(FILE))?;
        let mut bytes = Vec::new();
        (&mut file).take(BYTES as u64).read_to_end(&mut bytes)?;
        Ok((decode(&bytes), Self { file, durability }))
    }

    /// Sets the group commit that must be found from now on.
    pub(crate) fn set(&mut self, number: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&encode(Marked { number, durability: self.durability }))
    }
}

impl Marked {
    /// Compares the mark with the last group commit found, `last`. Returns a description of what is missing if the
    /// durability allows losing it.
    ///
    /// # Errors `Damaged` if the durability does not allow it.
    pub(crate) fn missing(self, last: u64, place: &str) -> Result<Option<String>, BackendError> {
        self.must_be_there(last)?;
        if self.number <= last {
            return Ok(None);
        }
        let missing = self.description(last);
        tracing::warn!(store = place, %missing, "the newest writes are lost: the system stopped before they reached the disk");
        Ok(Some(missing))
    }

    /// Fails if a group commit after `last` was acknowledged with a durability that promised to keep it.
    pub(crate) fn must_be_there(self, last: u64) -> Result<(), BackendError> {
        if self.number <= last || self.durability == Durability::Process {
            return Ok(());
        }
        let missing = self.description(last);
        let why = format!("the end of the log is lost: {missing}; remove the file `mark` to accept the loss");
        Err(BackendError::Damaged(why))
    }

    fn description(self, last: u64) -> String {
        format!("group commit {} was acknowledged, but the log ends with {last}", self.number)
    }
}

/// `checksum, durability, number`.
fn encode(marked: Marked) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[CHECKSUM] = u8::from(marked.durability == Durability::Process);
    bytes[CHECKSUM + 1..].copy_from_slice(&marked.number.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[CHECKSUM..]);
    bytes[..CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Marked> {
    let (checksum, content) = bytes.split_first_chunk()?;
    let ([durability], number) = content.split_first_chunk()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    let durability = if *durability == 1 { Durability::Process } else { Durability::Fsync };
    (u32::from_be_bytes(*checksum) == crc32fast::hash(content)).then_some(Marked { number, durability })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_mark_is_ignored() {
        for number in [0, 1, u64::MAX] {
            for durability in [Durability::Fsync, Durability::Process] {
                let marked = Marked { number, durability };
                let bytes = encode(marked);
                assert_eq!(decode(&bytes), Some(marked));
                for at in 0..bytes.len() {
                    let mut changed = bytes;
                    changed[at] ^= 1;
                    assert_eq!(decode(&changed), None, "changed at {at}");
                    assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
                }
            }
        }
    }
}
