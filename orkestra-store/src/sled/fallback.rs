//! The file `fallback`: the last state of sled that is completely durable, and the data needed to restore it.
//!
//! sled does not say in what state a power failure may leave its files. So whenever a part of a checkpoint has been
//! synced, its state is written to this file. Opening the store restores sled to that state, whatever sled has written
//! since. The write-ahead files lead on from there.
//!
//! ```text
//! slot:  checksum of the rest of the head, 4 | turn, 8 | last group commit, 8 | entries, 8 | their sum, 8 | lsn of the tip, 8
//!        | offset of the tip, 8 | length of the tip, 4 | checksum of the tip, 4, zeros up to 4096 | the tip, 512 KiB
//! file:  two slots; the one with the higher turn is valid. All numbers are big-endian.
//! ```
//!
//! The slots are written in turn, so an interrupted write leaves the previous state.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::kv::directory;

use super::census::Census;
use super::segments::{SEGMENT_BYTES, Tip};

const FILE: &str = "fallback";
/// A whole page, so that a torn write of the tip cannot damage the head.
const HEAD: usize = 4096;
const NUMBERS: usize = 6;
const CHECKSUM: usize = size_of::<u32>();
const SLOT_BYTES: u64 = HEAD as u64 + SEGMENT_BYTES;

/// A state of sled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The number of the last group commit it contains.
    pub(super) applied: u64,
    /// The census of its entries.
    pub(super) census: Census,
    /// The segment that sled was writing to.
    pub(super) tip: Tip,
}

/// The open file.
pub(super) struct Fallback {
    directory: PathBuf,
    /// `None` until the first state is written.
    file: Option<File>,
    /// How often the file was written.
    turn: u64,
    /// The last group commit in the state written last.
    applied: u64,
    /// The census of the state written last.
    census: Census,
}

/// Whether the file exists. Stores of older formats have none.
pub(super) fn exists(directory: &Path) -> io::Result<bool> {
    directory.join(FILE).try_exists()
}

pub(super) fn remove(directory: &Path) -> io::Result<()> {
    fs::remove_file(directory.join(FILE))
}

/// The state in `directory`'s file, and its turn; `None` when both slots are damaged.
pub(super) fn read(directory: &Path) -> io::Result<Option<(State, u64)>> {
    let mut file = File::open(directory.join(FILE))?;
    let mut newest: Option<(State, u64)> = None;
    for slot in 0..2 {
        file.seek(SeekFrom::Start(slot * SLOT_BYTES))?;
        let mut bytes = Vec::new();
        (&mut file).take(SLOT_BYTES).read_to_end(&mut bytes)?;
        let found = decode(&bytes);
        if let Some(found) = found.filter(|(_, turn)| newest.as_ref().is_none_or(|(_, other)| turn > other)) {
            newest = Some(found);
        }
    }
    Ok(newest)
}

impl Fallback {
    /// For a directory without the file.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), file: None, turn: 0, applied: 0, census: Census::default() }
    }

    /// Continues with the file of `directory`, which contains `state` in its slot for `turn`.
    pub(super) fn resume(directory: &Path, state: &State, turn: u64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(directory.join(FILE))?;
        // IMPORTANT: write it again before writing to the other slot. After a failed sync or a killed process, what was
        // read may be only in the system's cache.
        write(&file, state, turn)?;
        Ok(Self {
            directory: directory.to_owned(),
            file: Some(file),
            turn,
            applied: state.applied,
            census: state.census,
        })
    }

    /// The number of the last group commit in the state written last.
    pub(super) fn applied(&self) -> u64 {
        self.applied
    }

    /// The census of the state written last.
    pub(super) fn census(&self) -> Census {
        self.census
    }

    /// Writes `state` durably. After an error, the previous state is still valid.
    pub(super) fn set(&mut self, state: &State) -> io::Result<()> {
        let turn = self.turn + 1;
        match &self.file {
            Some(file) => write(file, state, turn)?,
            None => self.file = Some(create(&self.directory, state, turn)?),
        }
        (self.turn, self.applied, self.census) = (turn, state.applied, state.census);
        Ok(())
    }
}

/// Creates the file durably: after a crash it is complete or does not exist.
fn create(directory: &Path, state: &State, turn: u64) -> io::Result<File> {
    let new = directory.join(format!("{FILE}.new"));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
    write(&file, state, turn)?;
    fs::rename(&new, directory.join(FILE))?;
    directory::sync(directory)?;
    Ok(file)
}

/// Writes the slot of `turn` durably.
fn write(mut file: &File, state: &State, turn: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(turn % 2 * SLOT_BYTES))?;
    file.write_all(&encode(state, turn))?;
    file.sync_data()
}

fn encode(state: &State, turn: u64) -> Vec<u8> {
    let State { applied, census, tip } = state;
    let numbers = [turn, *applied, census.entries, census.sum, tip.lsn, tip.offset];
    let length = u32::try_from(tip.bytes.len()).expect("a segment is short");
    let mut bytes = vec![0; CHECKSUM];
    bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    bytes.extend(length.to_be_bytes());
    bytes.extend(crc32fast::hash(&tip.bytes).to_be_bytes());
    bytes.resize(HEAD, 0);
    let checksum = crc32fast::hash(&bytes[CHECKSUM..]);
    bytes[..CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend_from_slice(&tip.bytes);
    bytes
}

fn decode(bytes: &[u8]) -> Option<(State, u64)> {
    let (head, tip) = bytes.split_first_chunk::<HEAD>()?;
    let (checksum, rest) = head.split_first_chunk()?;
    if crc32fast::hash(rest) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let (numbers, rest) = rest.split_first_chunk::<{ NUMBERS * size_of::<u64>() }>()?;
    let (numbers, _) = numbers.as_chunks::<{ size_of::<u64>() }>();
    let [turn, applied, entries, sum, lsn, offset]: [u64; NUMBERS] =
        std::array::from_fn(|number| u64::from_be_bytes(numbers[number]));
    let (length, rest) = rest.split_first_chunk()?;
    let (checksum, _) = rest.split_first_chunk()?;
    let bytes = tip.get(..u32::from_be_bytes(*length) as usize)?;
    if crc32fast::hash(bytes) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let tip = Tip { lsn, offset, bytes: bytes.to_vec() };
    Some((State { applied, census: Census { entries, sum }, tip }, turn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(applied: u64) -> State {
        let tip = Tip { lsn: 3 * SEGMENT_BYTES, offset: SEGMENT_BYTES, bytes: vec![7; 5_000] };
        State { applied, census: Census { entries: 5, sum: u64::MAX }, tip }
    }

    #[test]
    fn the_newest_state_is_read_and_a_torn_write_leaves_the_previous_one() {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let path = directory.path().join(FILE);
        let mut fallback = Fallback::new(directory.path());
        assert!(!path.exists(), "no state was written yet");
        for applied in 1..=3 {
            fallback.set(&state(applied)).expect("it writes");
            assert_eq!(read(directory.path()).expect("it reads"), Some((state(applied), applied)));
        }
        let mut fallback = Fallback::resume(directory.path(), &state(3), 3).expect("it resumes");
        assert_eq!(read(directory.path()).expect("it reads"), Some((state(3), 3)));
        fallback.set(&state(4)).expect("it writes");
        fallback.set(&state(5)).expect("it writes");
        // The fifth was written to the second slot.
        let whole = fs::read(&path).expect("it reads");
        let begin = usize::try_from(SLOT_BYTES).expect("it is small");
        for at in [0, 4, 60, 4_095, 4_096, 9_000] {
            let mut torn = whole.clone();
            torn[begin + at] ^= 1;
            fs::write(&path, torn).expect("it writes");
            assert_eq!(read(directory.path()).expect("it reads"), Some((state(4), 4)), "torn at {at}");
            fs::write(&path, &whole[..begin + at]).expect("it writes");
            assert_eq!(read(directory.path()).expect("it reads"), Some((state(4), 4)), "cut at {at}");
        }
    }
}
