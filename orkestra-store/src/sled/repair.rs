//! Moves damaged snapshots of sled aside.
//!
//! When sled opens, it writes its page table to a file `snap.<lsn>`, by way of `snap.<lsn>.generating`. A crash can
//! leave either of them torn, and sled then refuses to open with `Corruption` (spacejam/sled #1527, #1533). Both are
//! caches of the log. Nothing else is repaired here: any other damaged file may be the only copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use orkestra_core::store::StoreError;

/// The directory for damaged files.
const ASIDE: &str = "damaged";

/// The snapshots of `directory` that would keep sled from opening.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshots {
    /// Unfinished ones, not yet in use when the process stopped.
    pub(super) unfinished: Vec<PathBuf>,
    /// Damaged ones.
    pub(super) torn: Vec<PathBuf>,
}

/// Finds the bad snapshots of `directory`.
pub(super) fn snapshots(directory: &Path) -> io::Result<Snapshots> {
    let mut found = Snapshots::default();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("snap.") {
            continue;
        }
        if name.ends_with(".generating") {
            found.unfinished.push(path);
        } else if !is_whole(&fs::read(&path)?) {
            found.torn.push(path);
        }
    }
    Ok(found)
}

/// A snapshot ends with the length of its content and a checksum of it, both little-endian.
fn is_whole(bytes: &[u8]) -> bool {
    let Some((rest, checksum)) = bytes.split_last_chunk() else {
        return false;
    };
    let Some((content, length)) = rest.split_last_chunk() else {
        return false;
    };
    let length = u64::from_le_bytes(*length);
    !content.is_empty() && length == content.len() as u64 && crc32fast::hash(content) == u32::from_le_bytes(*checksum)
}

/// Snapshots that were moved aside, and a copy of the log from before it was opened without them.
#[derive(Debug)]
pub(super) struct MovedAside {
    /// The snapshots at their new place.
    pub(super) snapshots: Vec<PathBuf>,
    /// A copy of the log, in case opening without the snapshot makes things worse.
    pub(super) log: PathBuf,
}

/// Moves the damaged snapshots of `directory` aside, and copies the log.
pub(super) fn move_aside(directory: &Path, torn: &[PathBuf]) -> io::Result<MovedAside> {
    let aside = new_directory(&directory.join(ASIDE))?;
    let log = aside.join("db");
    fs::copy(directory.join("db"), &log)?;
    fs::File::open(&log)?.sync_all()?;
    let mut snapshots = Vec::new();
    for path in torn {
        let to = aside.join(path.file_name().unwrap_or_default());
        fs::rename(path, &to)?;
        snapshots.push(to);
    }
    Ok(MovedAside { snapshots, log })
}

/// Adds to the error of a failed opening where the copies are.
pub(super) fn with_copies(error: StoreError, aside: Option<&MovedAside>) -> StoreError {
    let Some(aside) = aside else {
        return error;
    };
    let message = format!(
        "{error}; its damaged snapshot was moved to {:?}, and a copy of the log from before is in {}",
        aside.snapshots,
        aside.log.display()
    );
    StoreError::new(error.kind(), message).with_source(error)
}

/// Creates a new numbered directory in `parent`.
fn new_directory(parent: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(parent)?;
    let mut number = 1_u32;
    loop {
        let path = parent.join(number.to_string());
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
            Ok(()) => return Ok(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_intact_when_its_length_and_checksum_match() {
        let content = b"pages";
        let mut bytes = content.to_vec();
        bytes.extend_from_slice(&5_u64.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
        assert!(is_whole(&bytes));
        for cut in 0..bytes.len() {
            assert!(!is_whole(&bytes[..cut]), "cut at {cut}");
            let mut changed = bytes.clone();
            changed[cut] ^= 1;
            assert!(!is_whole(&changed), "changed at {cut}");
        }
    }
}
