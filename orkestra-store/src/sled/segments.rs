//! The segments of sled's file `db`: finds the last one, and restores the file to an earlier state.
//!
//! sled appends to a log stored in segments of 512 KiB, anywhere in the file. Each segment begins with a header (sled
//! 0.34.7, `src/pagecache/logger.rs`) whose log sequence number (lsn) is its position in the log:
//!
//! ```text
//! checksum of the rest, inverted, 4 | lsn xor MASK, 8 | highest stable lsn xor MASK, 8       all little-endian
//! ```
//!
//! sled writes behind the end of the last segment, the *tip*, or into segments that follow it in the log. So a copy of
//! the tip suffices to restore an earlier state: overwrite the tip, erase the headers of later segments. This holds as
//! long as sled has not reused a segment that the earlier state needs: `checkpoint.rs` guarantees that.
//!
//! Opening without a snapshot, sled requires every segment from the highest stable lsn in a header on
//! (`src/pagecache/iterator.rs`, `check_contiguity_in_unstable_tail`), and treats the database as empty when the first
//! of them is missing. The header of the tip names an lsn that was stable when the segment was started; segments after
//! it may have been freed since. Everything before the tip of a restored state is durable, so restoring writes that
//! into the header.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// The length of a segment: sled's default, stored in `conf` when the store is created.
pub(super) const SEGMENT_BYTES: u64 = 512 * 1024;
const HEAD: usize = 20;
const CHECKSUM: usize = size_of::<u32>();
const MASK: u64 = 0x7FFF_FFFF_FFFF_FFFF;

/// The segment that sled was writing to at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    /// Its position in the log.
    pub(super) lsn: u64,
    /// Its position in the file.
    pub(super) offset: u64,
    /// Its content.
    pub(super) bytes: Vec<u8>,
}

/// The tip of the database `file`; `None` when it has no segment.
pub(super) fn tip(file: &File) -> io::Result<Option<Tip>> {
    let Some((offset, lsn)) = segments(file)?.into_iter().max_by_key(|(_, lsn)| *lsn) else {
        return Ok(None);
    };
    Ok(Some(Tip { lsn, offset, bytes: read(file, offset)? }))
}

/// Whether `file` has the segment of `tip` at the same place.
pub(super) fn has(file: &File, tip: &Tip) -> io::Result<bool> {
    Ok(segments(file)?.contains(&(tip.offset, tip.lsn)))
}

/// Undoes what sled has written to `file` since its tip was `tip`. Returns whether there was anything. Not durable yet.
pub(super) fn restore(file: &File, tip: &Tip) -> io::Result<bool> {
    let (found, mut wanted) = (read(file, tip.offset)?, tip.bytes.clone());
    // The file may have ended there. sled ignores zeros.
    wanted.resize(wanted.len().max(found.len()), 0);
    let mut is_changed = found.get(HEAD..) != wanted.get(HEAD..);
    if is_changed {
        write(file, tip.offset, &wanted)?;
    }
    write(file, tip.offset, &stable_head(tip.lsn))?;
    for (offset, lsn) in segments(file)? {
        if lsn > tip.lsn {
            write(file, offset, &[0; HEAD])?;
            is_changed = true;
        }
    }
    Ok(is_changed)
}

/// The positions of segments in the file and in the log.
fn segments(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let length = file.metadata()?.len();
    let mut found = Vec::new();
    for offset in (0..length).step_by(usize::try_from(SEGMENT_BYTES).expect("it is small")) {
        let mut head = [0; HEAD];
        let mut reader = file;
        reader.seek(SeekFrom::Start(offset))?;
        if length - offset >= HEAD as u64 {
            reader.read_exact(&mut head)?;
            found.extend(parse(&head).map(|lsn| (offset, lsn)));
        }
    }
    Ok(found)
}

/// The lsn in a header; `None` when the header is invalid.
fn parse(head: &[u8; HEAD]) -> Option<u64> {
    let (checksum, rest) = head.split_first_chunk()?;
    let (lsn, _) = rest.split_first_chunk()?;
    let lsn = u64::from_le_bytes(*lsn) ^ MASK;
    let is_whole = crc32fast::hash(&head[CHECKSUM..]) == !u32::from_le_bytes(*checksum);
    (is_whole && lsn.is_multiple_of(SEGMENT_BYTES)).then_some(lsn)
}

/// A header for the segment at `lsn`, with everything before it stable.
fn stable_head(lsn: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[CHECKSUM..12].copy_from_slice(&(lsn ^ MASK).to_le_bytes());
    head[12..].copy_from_slice(&(lsn ^ MASK).to_le_bytes());
    let checksum = !crc32fast::hash(&head[CHECKSUM..]);
    head[..CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// The content of the segment at `offset`. The last segment may be short.
fn read(mut file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(SEGMENT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(mut file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as sled writes it.
    fn head(lsn: u64) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[CHECKSUM..12].copy_from_slice(&(lsn ^ MASK).to_le_bytes());
        head[12..].copy_from_slice(&(7 ^ MASK).to_le_bytes());
        let checksum = !crc32fast::hash(&head[CHECKSUM..]);
        head[..CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    fn file(lsns: &[Option<u64>]) -> File {
        let file = tempfile::tempfile().expect("a file for a test");
        for (number, lsn) in lsns.iter().enumerate() {
            let offset = number as u64 * SEGMENT_BYTES;
            write(&file, offset, &lsn.map_or([9; HEAD], |lsn| head(lsn * SEGMENT_BYTES))).expect("it writes");
        }
        file
    }

    fn lsns(file: &File) -> Vec<u64> {
        segments(file).expect("it reads").into_iter().map(|(_, lsn)| lsn / SEGMENT_BYTES).collect()
    }

    #[test]
    fn the_tip_is_the_last_segment_of_the_log_wherever_it_is() {
        let tip = tip(&file(&[Some(4), None, Some(7), Some(5)])).expect("it reads").expect("there is one");
        assert_eq!((tip.lsn, tip.offset), (7 * SEGMENT_BYTES, 2 * SEGMENT_BYTES));
        assert!(super::tip(&file(&[])).expect("it reads").is_none());
        assert!(super::tip(&file(&[None])).expect("it reads").is_none());
    }

    #[test]
    fn restoring_rewrites_the_tip_and_erases_later_segments() {
        let file = file(&[Some(4), None, Some(7), Some(5)]);
        let tip = tip(&file).expect("it reads").expect("there is one");
        assert!(!restore(&file, &tip).expect("it is the same"));
        write(&file, 2 * SEGMENT_BYTES + 100, b"more").expect("it writes");
        write(&file, SEGMENT_BYTES, &head(8 * SEGMENT_BYTES)).expect("it writes");
        write(&file, 4 * SEGMENT_BYTES, &head(9 * SEGMENT_BYTES)).expect("it writes");
        assert_eq!(lsns(&file), [4, 8, 7, 5, 9]);
        assert!(restore(&file, &tip).expect("it restores"));
        assert_eq!(lsns(&file), [4, 7, 5]);
        let back = super::tip(&file).expect("it reads").expect("there is one");
        assert_eq!((back.lsn, back.offset, &back.bytes[HEAD..]), (tip.lsn, tip.offset, &tip.bytes[HEAD..]));
        assert_eq!(back.bytes[..HEAD], stable_head(tip.lsn), "all before it is stable");
        assert!(!restore(&file, &tip).expect("it is the same"));
    }

    #[test]
    fn restoring_erases_what_was_written_behind_a_short_tip() {
        let file = file(&[Some(4), Some(5)]);
        let tip = tip(&file).expect("it reads").expect("there is one");
        assert_eq!(tip.bytes.len(), HEAD);
        write(&file, SEGMENT_BYTES + HEAD as u64, b"more").expect("it writes");
        assert!(restore(&file, &tip).expect("it restores"));
        let left = read(&file, SEGMENT_BYTES).expect("it reads");
        assert_eq!((&left[..HEAD], &left[HEAD..]), (&stable_head(tip.lsn)[..], &[0; 4][..]));
        assert!(!restore(&file, &tip).expect("it is the same"));
    }
}
