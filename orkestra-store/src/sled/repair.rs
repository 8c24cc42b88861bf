//! Damaged snapshots of sled, put aside.
//!
//! As it opens, sled writes where its pages are into a file `snap.<lsn>`, by way of `snap.<lsn>.generating`. An abrupt stop
//! can leave either of them torn, and sled then refuses to open with `Corruption` (spacejam/sled #1527, #1533). Both are
//! a cache: all they say is in the log. Nothing else is ever put right here: whatever else is damaged may have been the
//! only copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use orkestra_core::store::StoreError;

/// Where damaged files are put.
const ASIDE: &str = "damaged";

/// The snapshots of `directory` that sled would stumble over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshots {
    /// Unfinished ones. sled left them behind before they counted for anything.
    pub(super) unfinished: Vec<PathBuf>,
    /// Torn ones.
    pub(super) torn: Vec<PathBuf>,
}

/// Looks at the snapshots of `directory`.
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

/// A snapshot ends in the length of what is before it and its checksum, both little-endian.
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

/// Snapshots that were put aside, and the database as it was before it was opened without them.
#[derive(Debug)]
pub(super) struct Aside {
    /// The snapshots, where they are now.
    pub(super) snapshots: Vec<PathBuf>,
    /// A copy of the log, in case that opening without the snapshot makes it worse.
    pub(super) log: PathBuf,
}

/// Puts the torn snapshots of `directory` aside, and a copy of the log with them.
pub(super) fn set_aside(directory: &Path, torn: &[PathBuf]) -> io::Result<Aside> {
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
    Ok(Aside { snapshots, log })
}

/// The error of an opening that went wrong, with where the copies are.
pub(super) fn with_copy(error: StoreError, aside: Option<&Aside>) -> StoreError {
    let Some(aside) = aside else {
        return error;
    };
    let message = format!(
        "{error}. Its snapshot was torn and put aside as {:?}; the log as it was before is kept as {}",
        aside.snapshots,
        aside.log.display()
    );
    StoreError::new(error.kind(), message)
}

/// A directory in `parent` that is not there yet.
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
    fn a_snapshot_is_whole_when_its_length_and_checksum_fit() {
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
