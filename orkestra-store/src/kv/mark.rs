//! The file `mark`: the number of the group commit that was acknowledged last, which must be there when it is opened again.
//!
//! A damaged end of a log looks like a write that a crash has cut: to go on without it is right for what nobody was told
//! is written, and silent loss for what somebody was. The mark tells the two apart. It is written after each durable
//! write, and never synced: an old mark, or none, asks for less but never for too much.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::error::Trouble;
use super::report::Durability;

const FILE: &str = "mark";

/// The file, held open.
pub(crate) struct Mark {
    file: File,
    durability: Durability,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marked {
    /// The number of a group commit.
    pub(crate) number: u64,
    /// What it was to survive.
    pub(crate) durability: Durability,
}

const BYTES: usize = CHECKSUM + 1 + size_of::<u64>();
const CHECKSUM: usize = size_of::<u32>();

impl Mark {
    /// Whether `directory` has no mark. In a store that is not new, somebody has removed it.
    #[cfg(feature = "fjall")]
    pub(crate) fn is_missing(directory: &Path) -> bool {
        !directory.join(FILE).exists()
    }

    /// Opens the mark in `directory`: what it says, and the mark to go on with.
    pub(crate) fn open(directory: &Path, durability: Durability) -> io::Result<(Option<Marked>, Self)> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(directory.join(FILE))?;
        let mut bytes = Vec::new();
        (&mut file).take(BYTES as u64).read_to_end(&mut bytes)?;
        Ok((decode(&bytes), Self { file, durability }))
    }

    /// Says what must be there from now on.
    pub(crate) fn set(&mut self, number: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&encode(Marked { number, durability: self.durability }))
    }
}

impl Marked {
    /// What is missing where the last group commit that is there is `last`: told where the durability allows for it, damage
    /// where it does not.
    pub(crate) fn missing(self, last: u64, place: &str) -> Result<Option<String>, Trouble> {
        self.must_be_there(last)?;
        if self.number <= last {
            return Ok(None);
        }
        let missing = self.told(last);
        tracing::warn!(store = place, %missing, "the newest writes are lost: the system ended before they were on disk");
        Ok(Some(missing))
    }

    /// Fails if something is missing that the durability promised, where the last group commit is `last`.
    pub(crate) fn must_be_there(self, last: u64) -> Result<(), Trouble> {
        if self.number <= last || self.durability == Durability::Process {
            return Ok(());
        }
        let missing = self.told(last);
        let why = format!("the end of the log is lost, {missing}; to go on with what is there, remove the file `mark`");
        Err(Trouble::Damaged(why))
    }

    fn told(self, last: u64) -> String {
        format!("group commit {} was acknowledged, what is there ends with {last}", self.number)
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
    fn a_mark_is_read_back_or_not_at_all() {
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
