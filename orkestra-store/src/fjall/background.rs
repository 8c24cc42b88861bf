//! Why a write of fjall in the background has failed. fjall tells that to its log alone; what stops it still stops us.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

pub(super) const FAILED: &str = "a write of fjall in the background has failed";

/// What its writes in the background need.
pub(super) struct Background {
    directory: PathBuf,
    /// What a flush writes.
    bytes: u64,
}

impl Background {
    pub(super) fn new(directory: PathBuf, bytes: u64) -> Self {
        Self { directory, bytes }
    }

    /// The error of one that has failed: with its cause, when writing as much fails for us too.
    pub(super) fn cause(&self) -> io::Error {
        match self.write() {
            Ok(()) => io::Error::other(FAILED),
            Err(error) => io::Error::new(error.kind(), format!("{FAILED}: {error}")),
        }
    }

    /// Writes as much as a flush does, and takes it away again.
    fn write(&self) -> io::Result<()> {
        let path = self.directory.join("room");
        let written = File::create(&path).and_then(|mut file| {
            io::copy(&mut io::repeat(0).take(self.bytes), &mut file)?;
            file.sync_all()
        });
        let removed = fs::remove_file(path);
        written.and(removed)
    }
}
