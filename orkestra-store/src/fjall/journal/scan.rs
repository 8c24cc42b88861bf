//! Reads one journal of fjall: its complete batches, and what follows them. It never changes the file.
//!
//! fjall creates a journal as a file of 64 MiB, most of it a hole. When it reopens one, it truncates the file to its
//! batches, and the file grows from there. So an intact journal ends with its last batch, or with zeros behind it.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use crate::kv::error::BackendError;

use super::super::promised::{self, Promises};
use super::batch::Batch;

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// The content of a journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The first and the last complete batch. No batch is missing between them.
    pub(super) batches: Option<(Batch, Batch)>,
    /// The offset of the end of the last one.
    pub(super) end: u64,
    /// What follows them, unless it is all zeros.
    pub(super) tail: Option<Tail>,
}

/// What follows the last complete batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Number of bytes, up to the last nonzero one.
    pub(super) bytes: u64,
    /// The highest promises of the batches in it, complete or not.
    pub(super) promised: Promises,
}

impl Scan {
    /// Reads the journal at `path`.
    pub(super) fn of(path: &Path) -> Result<Self, BackendError> {
        let mut file = BufReader::with_capacity(PIECE, File::open(path)?);
        let mut scan = Self::default();
        while let Some(batch) = Batch::read(&mut file)? {
            scan.add(batch, path)?;
        }
        file.seek(SeekFrom::Start(scan.end))?;
        scan.tail = Tail::read(&mut file)?;
        Ok(scan)
    }

    /// Adds a complete batch. A crash cannot produce one that does not follow the previous one.
    fn add(&mut self, batch: Batch, path: &Path) -> Result<(), BackendError> {
        batch.follows(self.batches.map(|(_, last)| last)).map_err(|why| {
            let (place, at) = (path.display(), self.end);
            BackendError::Damaged(format!("the journal {place} is damaged at byte {at}: {why}"))
        })?;
        self.batches = Some((self.batches.map_or(batch, |(first, _)| first), batch));
        self.end += batch.bytes;
        Ok(())
    }
}

impl Tail {
    /// Reads the rest of `source`. `None` if it is all zeros.
    fn read(source: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let (zeros, mut piece) = (vec![0; PIECE], vec![0; promised::OVERLAP + PIECE]);
        let (mut kept, mut read) = (0, 0_u64);
        let mut tail: Option<Self> = None;
        loop {
            let length = source.read(&mut piece[kept..kept + PIECE])?;
            if length == 0 {
                return Ok(tail);
            }
            let filled = kept + length;
            // Most of a journal is zeros, and comparing slices is the fastest check.
            let is_zero = piece[kept..filled] == zeros[..length];
            if !is_zero && let Some(last) = piece[kept..filled].iter().rposition(|byte| *byte != 0) {
                let before = tail.map_or_else(Promises::default, |tail| tail.promised);
                let promised = before.max(Promises::find(&piece[..filled]));
                tail = Some(Self { bytes: read + last as u64 + 1, promised });
            }
            read += length as u64;
            kept = filled.min(promised::OVERLAP);
            piece.copy_within(filled - kept..filled, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::batch::tests::write;
    use super::*;

    fn scan(bytes: &[u8], zeros: u64) -> Result<Scan, BackendError> {
        let file = tempfile::NamedTempFile::new().expect("a file for a test");
        fs::write(file.path(), bytes).expect("it writes");
        file.as_file().set_len(bytes.len() as u64 + zeros).expect("it grows");
        Scan::of(file.path())
    }

    #[test]
    fn a_journal_ends_with_its_last_batch_or_with_zeros() {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let journal = write(directory.path(), 3, 500);
        for zeros in [0, 1, 600, 1_000_000] {
            let found = scan(&journal, zeros).expect("it is whole");
            let numbers = found.batches.map(|(first, last)| (first.number, last.number));
            assert_eq!((numbers, found.end, found.tail), (Some((1, 3)), journal.len() as u64, None));
        }
        assert_eq!(scan(&[], 5_000).expect("nothing is in it"), Scan::default());
    }

    #[test]
    fn the_tail_after_the_last_complete_batch_is_reported() {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let journal = write(directory.path(), 3, 500);
        let second = Batch::read(&mut &journal[..]).expect("memory can be read").expect("it is whole").bytes;
        let second = usize::try_from(second).expect("it is small");
        for at in (second..journal.len()).step_by(13) {
            let mut bytes = journal.clone();
            bytes[at] = !bytes[at];
            let Ok(found) = scan(&bytes, 2_000) else { continue };
            let (_, last) = found.batches.expect("the first one is whole");
            // A changed sequence number is detected in the next batch, and the last batch has none.
            if last.number < 3 {
                let tail = found.tail.expect("the rest is behind it");
                let end = found.end + tail.bytes;
                assert!(end == bytes.len() as u64, "changed at {at}: {end}");
            }
        }
    }

    #[test]
    fn complete_batches_that_do_not_follow_each_other_are_damage() {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let journal = write(directory.path(), 3, 10);
        let length = |from: usize| {
            let batch = Batch::read(&mut &journal[from..]).expect("memory can be read").expect("it is whole");
            usize::try_from(batch.bytes).expect("it is small")
        };
        let first = length(0);
        let second = first + length(first);
        for (pieces, found) in [
            ([&journal[..first], &journal[second..]], "group commit 3 follows 1"),
            ([&journal[..second], &journal[..first]], "the sequence number of group commit 1 is too low"),
        ] {
            let error = scan(&pieces.concat(), 0).expect_err("they do not follow each other").to_string();
            assert!(error.contains(found), "{error}");
        }
    }

    #[test]
    fn promises_are_found_wherever_a_piece_ends() {
        let item = [b"\x09\x00\x18\x00\x00\x00\x18\x00\x00\x00mpromised".to_vec(), [0, 0, 0, 0, 0, 0, 0, 9].repeat(3)]
            .concat();
        for before in PIECE - 50..PIECE + promised::OVERLAP + 50 {
            let tail =
                scan(&[vec![1; before], item.clone()].concat(), 100).expect("it reads").tail.expect("it is there");
            assert_eq!((tail.promised.synced, tail.promised.acknowledged), (9, 9), "after {before} bytes");
            assert_eq!(tail.bytes, (before + item.len()) as u64);
        }
    }
}
