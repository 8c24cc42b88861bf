//! Parses one batch of a journal as fjall 3.1.13 writes it (format version 3: `src/journal/entry.rs` and
//! `src/journal/writer.rs`; `CompressionType` is in `src/compression.rs` of lsm-tree 3.1.10). Numbers are
//! little-endian:
//!
//! ```text
//! start  1  number of items: u32  seqno: u64
//! item   2  type of value: u8  compression: u8  keyspace: u64  lengths of key: u16, value: u32, stored value: u32  key  stored value
//! end    3  XXH3 of all items: u64  "FJL" 3
//! ```
//!
//! fjall has a fourth kind of entry, which clears a keyspace. This store never writes it, so a batch with one counts as
//! incomplete.
//!
//! Lengths may be torn: never allocate by them. Values are read in pieces.

use std::io::{self, BufRead};

use xxhash_rust::xxh3::Xxh3;

use crate::kv::keys::META_APPLIED;

use super::super::promised::{self, Promises};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const TRAILER: [u8; 4] = *b"FJL\x03";

/// A value, a tombstone, a weak tombstone. The remaining type, an indirection, never occurs in a journal.
const VALUE_TYPE_MAX: u8 = 2;
/// None, or LZ4.
const COMPRESSION_MAX: u8 = 1;

/// The longest key or value whose content is needed here.
const SHORT: usize = 32;

/// A complete batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// Its sequence number in fjall.
    pub(super) seqno: u64,
    /// The number of its group commit. Zero if it has none.
    pub(super) number: u64,
    /// What it says about earlier group commits. Older versions of this library do not write it.
    pub(super) promised: Option<Promises>,
}

impl Batch {
    /// Reads the next batch of `source`. `None` at the end, or if the batch is incomplete.
    pub(super) fn read(source: &mut impl BufRead) -> io::Result<Option<Self>> {
        match (Reader { source, bytes: 0, checksum: Xxh3::new() }).batch() {
            Ok(batch) => Ok(Some(batch)),
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks that no batch is missing between `last`, if there is one, and this one. The error says what is wrong.
    pub(super) fn follows(self, last: Option<Self>) -> Result<(), String> {
        let Self { number, seqno, promised, .. } = self;
        if number == 0 {
            return Err("the batch has no group commit number".into());
        }
        let Some(last) = last else {
            return Ok(());
        };
        if seqno <= last.seqno {
            return Err(format!("the sequence number of group commit {number} is too low"));
        }
        let previous = promised.map_or(last.number, |promised| promised.previous);
        if previous != last.number || number <= last.number {
            return Err(format!("group commit {number} follows {}", last.number));
        }
        Ok(())
    }
}

struct Reader<'a, R> {
    source: &'a mut R,
    /// Number of bytes read.
    bytes: u64,
    checksum: Xxh3,
}

impl<R: BufRead> Reader<'_, R> {
    fn batch(mut self) -> io::Result<Batch> {
        ensure(self.take()? == [START])?;
        let items = u32::from_le_bytes(self.take()?);
        let mut batch = Batch { seqno: u64::from_le_bytes(self.take()?), ..Batch::default() };
        ensure(items > 0)?;
        // The checksum covers only the items.
        self.checksum.reset();
        for _ in 0..items {
            self.item(&mut batch)?;
        }
        let checksum = self.checksum.digest();
        ensure(self.take()? == [END])?;
        ensure(self.take()? == checksum.to_le_bytes())?;
        ensure(self.take()? == TRAILER)?;
        Ok(Batch { bytes: self.bytes, ..batch })
    }

    fn item(&mut self, batch: &mut Batch) -> io::Result<()> {
        let [tag, value_type, compression] = self.take()?;
        ensure(tag == ITEM && value_type <= VALUE_TYPE_MAX && compression <= COMPRESSION_MAX)?;
        let _keyspace: [u8; 8] = self.take()?;
        let key_bytes = u32::from(u16::from_le_bytes(self.take()?));
        let value_bytes = u32::from_le_bytes(self.take()?);
        let stored_bytes = u32::from_le_bytes(self.take()?);
        ensure(compression != 0 || value_bytes == stored_bytes)?;
        if key_bytes as usize > SHORT || stored_bytes as usize > SHORT {
            return self.skip(u64::from(key_bytes) + u64::from(stored_bytes));
        }
        let (mut key, mut value) = ([0; SHORT], [0; SHORT]);
        let (key, value) = (&mut key[..key_bytes as usize], &mut value[..stored_bytes as usize]);
        self.fill(key)?;
        self.fill(value)?;
        match &*key {
            META_APPLIED => batch.number = (&*value).try_into().map_or(0, u64::from_be_bytes),
            promised::KEY => batch.promised = Promises::decode(value),
            _ => {}
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(bytes)?;
        self.checksum.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn skip(&mut self, mut left: u64) -> io::Result<()> {
        while left > 0 {
            let piece = self.source.fill_buf()?;
            let length = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.checksum.update(&piece[..length]);
            self.source.consume(length);
            self.bytes += length as u64;
            left -= length as u64;
        }
        Ok(())
    }
}

/// Fails unless the bytes have the expected form.
fn ensure(is_so: bool) -> io::Result<()> {
    if is_so { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use ::fjall::{KeyspaceCreateOptions, PersistMode};

    use super::*;

    /// A journal written by fjall: group commits numbered from 1, each with one more value of `bytes` bytes, and a
    /// removal.
    pub(in crate::fjall::journal) fn write(directory: &Path, commits: u64, bytes: usize) -> Vec<u8> {
        let database = ::fjall::Database::builder(directory).open().expect("it opens");
        let keyspace = database.keyspace("runs", KeyspaceCreateOptions::default).expect("it can be made");
        for number in 1..=commits {
            let mut batch = database.batch().durability(Some(PersistMode::Buffer));
            for value in 0..number {
                batch.insert(&keyspace, format!("key {value}"), vec![7; bytes]);
            }
            batch.remove(&keyspace, "key of a length that no other has");
            batch.insert(&keyspace, META_APPLIED, number.to_be_bytes());
            let promised = Promises { synced: 0, acknowledged: 0, previous: number - 1 };
            batch.insert(&keyspace, promised::KEY, promised.encode());
            batch.commit().expect("it writes");
        }
        drop((keyspace, database));
        let journal = std::fs::read(directory.join("0.jnl")).expect("it reads");
        let end = journal.iter().rposition(|byte| *byte != 0).expect("something was written") + 1;
        journal[..end].to_vec()
    }

    #[test]
    fn batches_written_by_fjall_are_parsed() {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let journal = write(directory.path(), 5, 3_000);
        let (mut source, mut numbers, mut bytes, mut last) = (&journal[..], Vec::new(), 0, None);
        while let Some(batch) = Batch::read(&mut source).expect("memory can be read") {
            numbers.push(batch.number);
            bytes += batch.bytes;
            assert_eq!(batch.follows(last), Ok(()), "{batch:?} after {last:?}");
            last = Some(batch);
        }
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(bytes, journal.len() as u64);
    }

    #[test]
    fn a_batch_follows_the_one_that_it_names() {
        let batch = |number, seqno, previous: Option<u64>| {
            let promised = previous.map(|previous| Promises { previous, ..Promises::default() });
            Batch { bytes: 100, seqno, number, promised }
        };
        let last = batch(7, 20, Some(6));
        for (next, wrong) in [
            (batch(8, 21, Some(7)), None),
            // Tables contained more than the journal when the store was opened.
            (batch(12, 30, Some(7)), None),
            // Older versions do not write promises.
            (batch(12, 30, None), None),
            (batch(12, 30, Some(11)), Some("group commit 12 follows 7")),
            (batch(7, 30, Some(7)), Some("group commit 7 follows 7")),
            (batch(6, 30, None), Some("group commit 6 follows 7")),
            (batch(8, 20, Some(7)), Some("the sequence number of group commit 8 is too low")),
            (batch(0, 21, Some(7)), Some("the batch has no group commit number")),
        ] {
            assert_eq!(next.follows(Some(last)).err().as_deref(), wrong, "{next:?}");
        }
        assert_eq!(batch(9, 1, Some(8)).follows(None), Ok(()));
    }

    #[test]
    fn a_batch_changed_anywhere_is_incomplete() {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let journal = write(directory.path(), 1, 300);
        let whole = Batch::read(&mut &journal[..]).expect("memory can be read").expect("it is whole");
        for at in 0..journal.len() {
            let cut = Batch::read(&mut &journal[..at]).expect("memory can be read");
            assert_eq!(cut, None, "cut at {at}");
            for other in [0, !journal[at]] {
                let mut changed = journal.clone();
                changed[at] = other;
                let read = Batch::read(&mut &changed[..]).expect("memory can be read");
                // The checksum does not cover the sequence number, which is compared with the previous one.
                let is_seqno = (5..13).contains(&at);
                assert!(read.is_none() || is_seqno || other == journal[at], "{read:?} changed at {at}");
            }
        }
        assert_eq!(whole.number, 1);
    }
}
