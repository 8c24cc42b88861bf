//! A directory as a ZIP, written as it is read.
//!
//! Agents own the directory and may change it at any moment, so nothing in it is trusted: each entry is opened by name
//! in the opened directory above it, never through a path and never through a symlink. What is left out: symlinks,
//! sockets and the like, files that vanish or may not be read, and our own temporary ones.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

/// Directories in directories: each is an open file while its inside is packed.
const DEPTH_MAX: usize = 64;
/// The index of an archive is in memory until its end.
const ENTRIES_MAX: usize = 500_000;
/// From this size on a file needs the large form of an entry, which old programs cannot read.
const LARGE: u64 = 0xffff_0000;
/// What begins the names of our own files in a workspace.
const OURS: &str = ".orkestra-";

/// Writes all files below `root` to `out`. A root that is not there (yet) gives an empty archive.
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
    /// Packs what is in a directory; `prefix` is its name in the archive, empty or with a slash at its end.
    fn directory(&mut self, directory: &OwnedFd, prefix: &str, depth: usize) -> io::Result<()> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_listed =
                matches!(entry.file_type(), FileType::RegularFile | FileType::Directory | FileType::Unknown);
            if [c".", c".."].contains(&name) || name.to_bytes().starts_with(OURS.as_bytes()) || !is_listed {
                continue;
            }
            // NONBLOCK: an entry that has become a pipe meanwhile must not make us wait for its other end.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let opened = match openat(directory, name, flags, Mode::empty()) {
                Ok(opened) => opened,
                Err(error) => {
                    tracing::debug!(?name, %error, "left out of a download");
                    continue;
                }
            };
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(io::Error::other(format!("the workspace has more than {ENTRIES_MAX} files")));
            }
            let name = match name.to_str() {
                Ok(name) => format!("{prefix}{name}"),
                // Two such names may look the same; with a number they do not.
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
                // What is written to a file from now on is left for the next download: the entry's form fits this size.
                let size = u64::try_from(about.st_size).unwrap_or(0);
                let options = options.compression_method(CompressionMethod::Deflated).large_file(size >= LARGE);
                self.zip.start_file(name, options)?;
                io::copy(&mut File::from(opened).take(size), &mut self.zip)?;
            }
            FileType::Directory if depth < DEPTH_MAX => {
                self.zip.add_directory(name, options)?;
                self.directory(&opened, &format!("{name}/"), depth + 1)?;
            }
            _ => tracing::debug!(name, "left out of a download"),
        }
        Ok(())
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}
