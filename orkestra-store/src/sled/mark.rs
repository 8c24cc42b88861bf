//! The file `mark`: something that was acknowledged last, and must be in the log when it is opened again.
//!
//! sled takes a damaged end of its log for a write that a crash has cut, and goes on without it: right for what nobody was
//! told is written, silent loss for what somebody was. The mark tells the two apart. It is written after each durable
//! write, and never synced: an old mark, or none, asks for less but never for too much.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

use ::sled::Db;

use super::error::Trouble;
use super::options::Durability;
use super::{keys, small};

/// What must be in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing in particular.
    Nothing,
    /// The commit at this key.
    Commit(Vec<u8>),
    /// The small value of this name, of this version or a later one.
    Small(String, u64),
}

/// The file, held open.
pub(super) struct Mark {
    file: Mutex<File>,
    durability: Durability,
}

/// Enough for the longest key, and one block of a disk.
const BYTES: usize = 512;
const CHECKSUM: usize = size_of::<u32>();

impl Mark {
    /// Opens the mark in `directory`: what it says, of a store of which durability, and the mark to go on with.
    pub(super) fn open(directory: &Path, durability: Durability) -> io::Result<(Option<(Expected, Durability)>, Self)> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(directory.join("mark"))?;
        let mut bytes = Vec::new();
        (&mut file).take(BYTES as u64).read_to_end(&mut bytes)?;
        Ok((decode(&bytes), Self { file: Mutex::new(file), durability }))
    }

    /// Says what must be there from now on.
    pub(super) fn set(&self, expected: &Expected) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&encode(expected, self.durability))
    }
}

/// Whether what is expected is there; else what is missing.
pub(super) fn missing(db: &Db, expected: &Expected) -> Result<Option<String>, Trouble> {
    match expected {
        Expected::Nothing => Ok(None),
        Expected::Commit(key) if db.contains_key(key)? => Ok(None),
        Expected::Commit(key) => {
            let (run, first) = keys::parse_commit(key)?;
            Ok(Some(format!("the commit at {first} of run `{run}`")))
        }
        Expected::Small(name, version) => {
            let found = small::get(db, name)?.map_or(0, |value| value.version);
            Ok((found < *version).then(|| format!("version {version} of `{name}`")))
        }
    }
}

/// `checksum, durability, kind, version, length of the key, key`, filled up with zeros.
fn encode(expected: &Expected, durability: Durability) -> Vec<u8> {
    let (kind, version, key) = match expected {
        Expected::Nothing => (0, 0, &[][..]),
        Expected::Commit(key) => (1, 0, key.as_slice()),
        Expected::Small(name, version) => (2, *version, name.as_bytes()),
    };
    let durability = u8::from(durability == Durability::Process);
    let length = u16::try_from(key.len()).expect("keys are shorter than a block");
    let mut content = [&[durability, kind], &version.to_be_bytes()[..], &length.to_be_bytes(), key].concat();
    content.resize(BYTES - CHECKSUM, 0);
    [&crc32fast::hash(&content).to_be_bytes(), content.as_slice()].concat()
}

fn decode(bytes: &[u8]) -> Option<(Expected, Durability)> {
    let (checksum, content) = bytes.split_first_chunk()?;
    if bytes.len() != BYTES || u32::from_be_bytes(*checksum) != crc32fast::hash(content) {
        return None;
    }
    let ([durability, kind], rest) = content.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let key = rest.get(..u16::from_be_bytes(*length).into())?.to_vec();
    let expected = match kind {
        0 => Expected::Nothing,
        1 => Expected::Commit(key),
        2 => Expected::Small(String::from_utf8(key).ok()?, u64::from_be_bytes(*version)),
        _ => return None,
    };
    Some((expected, if *durability == 1 { Durability::Process } else { Durability::Fsync }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_or_not_at_all() {
        let longest = "k".repeat(400);
        for expected in [Expected::Nothing, Expected::Commit(vec![7; 215]), Expected::Small(longest, u64::MAX)] {
            for durability in [Durability::Fsync, Durability::Process] {
                let bytes = encode(&expected, durability);
                assert_eq!(decode(&bytes), Some((expected.clone(), durability)));
                for at in 0..bytes.len() {
                    let mut changed = bytes.clone();
                    changed[at] ^= 1;
                    assert_eq!(decode(&changed), None, "changed at {at}");
                    assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
                }
            }
        }
    }
}
