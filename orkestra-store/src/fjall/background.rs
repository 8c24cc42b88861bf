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
            Ok(()) => io::Error::other(format!("{FAILED}{}", self.left())),
            Err(error) => io::Error::new(error.kind(), format!("{FAILED}: {error}")),
        }
    }

    /// What is left on the disk: what failed may have needed more than a flush does, and has given it back.
    fn left(&self) -> String {
        #[cfg(unix)]
        if let Ok(disk) = rustix::fs::statvfs(&self.directory) {
            return format!("; {} KiB are left on its disk", disk.f_bavail.saturating_mul(disk.f_frsize) / 1024);
        }
        String::new()
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
