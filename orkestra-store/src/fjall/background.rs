//! Finds out why a background write of fjall failed. fjall reports the cause only to its own log, but what stops fjall
//! usually stops us too.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

pub(super) const FAILED: &str = "a background write of fjall failed";

/// The resources that background writes need.
pub(super) struct Background {
    directory: PathBuf,
    /// The size of a flush.
    bytes: u64,
}

impl Background {
    pub(super) fn new(directory: PathBuf, bytes: u64) -> Self {
        Self { directory, bytes }
    }

    /// The error of a failed background write, with its cause if a write of the same size fails here too.
    pub(super) fn cause(&self) -> io::Error {
        match self.write() {
            Ok(()) => io::Error::other(format!("{FAILED}{}", self.free_space())),
            Err(error) => io::Error::new(error.kind(), format!("{FAILED}: {error}")),
        }
    }

    /// The free space on the disk: the failed write may have needed more than a flush, and may have freed it again.
    fn free_space(&self) -> String {
        #[cfg(unix)]
        if let Ok(disk) = rustix::fs::statvfs(&self.directory) {
            return format!("; its disk has {} KiB left", disk.f_bavail.saturating_mul(disk.f_frsize) / 1024);
        }
        String::new()
    }

    /// Writes as much as a flush does, then deletes it.
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
