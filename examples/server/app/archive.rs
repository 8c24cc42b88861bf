//! Packs a directory as a ZIP while reading it.
//!
//! Agents own the directory and may change it at any time, so nothing in it is trusted: each entry is opened by name in its
//! open parent directory, never through a path or a symlink. Symlinks, sockets and the like, files that vanish or cannot be
//! read, and our own temporary files are skipped.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

/// How deep directories may be nested: each is an open file while its content is packed.
const DEPTH_MAX: usize = 64;
/// How many entries an archive may have: its index is in memory until the end.
const ENTRIES_MAX: usize = 500_000;
/// From this size on a file needs a ZIP64 entry, which old programs cannot read.
const LARGE: u64 = 0xffff_0000;
/// The prefix of our own files in a workspace.
const OURS: &str = ".orkestra-";

/// Writes all files below `root` to `out`. If `root` does not exist (yet), the archive is empty.
pub(crate) fn write(root: &Path, out: impl Write) -> io::Result<()> {
    let mut archive = Archive { zip: ZipWriter::new_stream(out), entries: 0 };
    match openat(CWD, root, directory_flags(), Mode::empty()) {
        Ok(root) => archive.directory(&root, "", 0)?,
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    archive.zip.finish()?.into_inner().flush()
}

struct Archive<W: Write> {
    zip: ZipWriter<StreamWriter<W>>,
    entries: usize,
}

impl<W: Write> Archive<W> {
    /// Packs the content of a directory; `prefix` is its name in the archive, empty or ending with a slash.
    fn directory(&mut self, directory: &OwnedFd, prefix: &str, depth: usize) -> io::Result<()> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_listed =
                matches!(entry.file_type(), FileType::RegularFile | FileType::Directory | FileType::Unknown);
            if [c".", c".."].contains(&name) || name.to_bytes().starts_with(OURS.as_bytes()) || !is_listed {
                continue;
            }
            // NONBLOCK: opening an entry that has become a FIFO meanwhile must not block.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let opened = match openat(directory, name, flags, Mode::empty()) {
                Ok(opened) => opened,
                Err(error) => {
                    tracing::debug!(?name, %error, "a file was skipped in a download");
                    continue;
                }
            };
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(io::Error::other(format!(
                    "cannot pack the workspace: it has more than {ENTRIES_MAX} files"
                )));
            }
            let name = match name.to_str() {
                Ok(name) => format!("{prefix}{name}"),
                // Different non-UTF-8 names may become the same text, so a number is added.
                Err(_) => format!("{prefix}{}~{}", name.to_string_lossy(), self.entries),
            };
            self.entry(opened, &name, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, opened: OwnedFd, name: &str, depth: usize) -> io::Result<()> {
        let about = fstat(&opened)?;
        let options = SimpleFileOptions::default().unix_permissions(about.st_mode & 0o777);
        match FileType::from_raw_mode(about.st_mode) {
            FileType::RegularFile => {
                // Limit the entry to the current size, which its format was chosen for; the file may still grow.
                let size = u64::try_from(about.st_size).unwrap_or(0);
                let options = options.compression_method(CompressionMethod::Deflated).large_file(size >= LARGE);
                self.zip.start_file(name, options)?;
                io::copy(&mut File::from(opened).take(size), &mut self.zip)?;
            }
            FileType::Directory if depth < DEPTH_MAX => {
                self.zip.add_directory(name, options)?;
                self.directory(&opened, &format!("{name}/"), depth + 1)?;
            }
            _ => tracing::debug!(name, "an entry was skipped in a download"),
        }
        Ok(())
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}
