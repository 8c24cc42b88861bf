//! The directory that an agent works in. All access goes through one directory handle (cap-std), so a path cannot leave it
//! through `..`, an absolute path or a symlink, even if a command plants a symlink between two calls: the kernel resolves every
//! component beneath the handle.
//!
//! It must never open a path by its absolute name after [`Workspace::open`], and never block on something that is not a
//! regular file (a command can put a FIFO anywhere).

mod list;
mod owner;
mod path;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};

pub use list::{FileEntry, Listing};
pub(crate) use path::relative;

use crate::limits::{READ_BYTES_MAX, WRITE_BYTES_MAX};

/// Prefix of our temporary files. They are not listed, and those left by a crash are safe to delete.
const TEMPORARY: &str = ".orkestra-write-";

/// An error of a [`Workspace`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// A tool may not use this path. The reason says what to write instead.
    #[error("cannot use the path `{path}`: {reason}")]
    Path {
        /// The path as given, shortened.
        path: String,
        /// Why, and what to do instead.
        reason: String,
    },
    /// The file does not exist.
    #[error("there is no file `{0}` in the workspace; use list_files to see the files")]
    NotFound(String),
    /// It is a directory, a device, a FIFO or a socket.
    #[error("cannot use `{0}`: it is not a regular file; give the path of a file")]
    NotAFile(String),
    /// The file is larger than the limit; nothing was read or written.
    #[error("`{path}` has {bytes} bytes, and the limit is {limit} bytes; use a command to work with parts of it")]
    TooLarge {
        /// The path as given.
        path: String,
        /// Its size, bytes.
        bytes: u64,
        /// The limit, bytes.
        limit: u64,
    },
    /// An I/O error, including missing permissions.
    #[error("`{path}`: {source}")]
    Io {
        /// The path as given.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl WorkspaceError {
    /// Whether the model can act on it, with another path or size.
    #[must_use]
    pub fn is_for_model(&self) -> bool {
        !matches!(self, Self::Io { source, .. } if !matches!(
            source.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidFilename
        ))
    }
}

/// A directory that paths cannot leave. Cheap to clone; clones share one handle.
///
/// Its methods block on disk I/O: call them from async code through `spawn_blocking`, as the tools do.
///
/// ```
/// let directory = tempfile::tempdir()?;
/// let workspace = orkestra_tools::Workspace::open(directory.path())?;
/// workspace.write("src/main.py", b"print('hello')\n")?;
/// assert_eq!(workspace.read("src/main.py")?, b"print('hello')\n");
/// assert!(workspace.read("../outside").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Workspace {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    dir: Dir,
    path: PathBuf,
    writes: AtomicU64,
}

impl Workspace {
    /// Opens the directory, creating it and its parents if missing.
    ///
    /// # Errors
    /// [`WorkspaceError::Io`] when it cannot be created or opened.
    pub fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let io = |source| WorkspaceError::Io { path: path.display().to_string(), source };
        std::fs::create_dir_all(path).map_err(io)?;
        let path_real = path.canonicalize().map_err(io)?;
        let dir = Dir::open_ambient_dir(&path_real, ambient_authority()).map_err(io)?;
        Ok(Self { handle: Arc::new(Handle { dir, path: path_real, writes: AtomicU64::new(0) }) })
    }

    /// Its absolute path with all symlinks resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.handle.path
    }

    /// Reads a whole file of at most [`READ_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// A path outside the workspace, a missing file, something that is not a regular file, or a file that is too large.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, WorkspaceError> {
        self.read_capped(path, READ_BYTES_MAX)
    }

    /// As [`Self::read`] with another limit, bytes.
    pub(crate) fn read_capped(&self, path: &str, limit: u64) -> Result<Vec<u8>, WorkspaceError> {
        let clean = relative(path)?;
        let mut file = open_regular(&self.handle.dir, &clean, path)?;
        let mut bytes = Vec::new();
        // The file may grow while it is read, so its size is not trusted: reading one byte more than the limit decides.
        (&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(|source| io_error(path, source))?;
        if bytes.len() as u64 > limit {
            let size = file.metadata().map_or(limit + 1, |metadata| metadata.len());
            return Err(WorkspaceError::TooLarge { path: path.to_owned(), bytes: size, limit });
        }
        Ok(bytes)
    }

    /// Writes a whole file of at most [`WRITE_BYTES_MAX`] bytes, creating directories as needed; returns its size in bytes.
    ///
    /// The content is written to a temporary file, synced, and renamed: a crash leaves the old content or the new one, and at
    /// worst a file named `.orkestra-write-*` that nothing reads. A symlink at the path is replaced, not followed. The
    /// permission bits of an existing file are kept.
    ///
    /// # Errors
    /// A path outside the workspace or inside `.git`, content that is too large, or an I/O error.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<u64, WorkspaceError> {
        self.write_capped(path, content, WRITE_BYTES_MAX)
    }

    /// As [`Self::write`] with another limit, bytes.
    pub(crate) fn write_capped(&self, path: &str, content: &[u8], limit: u64) -> Result<u64, WorkspaceError> {
        let clean = path::writable(path)?;
        let bytes = content.len() as u64;
        if bytes > limit {
            return Err(WorkspaceError::TooLarge { path: path.to_owned(), bytes, limit });
        }
        let io = |source| io_error(path, source);
        let heir = owner::heir(&self.handle.dir);
        let (parent, name) = match (clean.parent(), clean.file_name()) {
            (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => (parent, name),
            (_, Some(name)) => (Path::new("."), name),
            (_, None) => return Err(WorkspaceError::NotAFile(path.to_owned())),
        };
        if parent != Path::new(".") {
            owner::create_dirs(&self.handle.dir, parent, heir).map_err(io)?;
        }
        // From here on everything happens beneath this handle, so swapping a parent directory has no effect.
        let dir = self.handle.dir.open_dir(parent).map_err(io)?;
        let before = dir.symlink_metadata(name).ok();
        if before.as_ref().is_some_and(cap_std::fs::Metadata::is_dir) {
            return Err(WorkspaceError::NotAFile(path.to_owned()));
        }
        let number = self.handle.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{TEMPORARY}{}-{number}", std::process::id());
        let moved = write_new(&dir, &temporary, content, before.filter(cap_std::fs::Metadata::is_file), heir)
            .and_then(|()| dir.rename(&temporary, &dir, name))
            .and_then(|()| dir.open(".")?.sync_all());
        if let Err(source) = moved {
            let _ = dir.remove_file(&temporary);
            return Err(io(source));
        }
        Ok(bytes)
    }

    /// Lists the files, sorted by directory and name, without those that `.gitignore` excludes, up to a limit (see
    /// [`Listing::truncated`]).
    ///
    /// # Errors
    /// [`WorkspaceError::Io`] when the workspace itself cannot be read; unreadable subdirectories are skipped.
    pub fn list(&self) -> Result<Listing, WorkspaceError> {
        list::list(&self.handle.dir).map_err(|source| io_error(".", source))
    }

    /// Removes one of our own files. Ignored when it does not exist.
    pub(crate) fn remove(&self, name: &str) {
        let _ = self.handle.dir.remove_file(name);
    }

    /// Whether the path is a directory inside the workspace; used for the `cwd` of a command.
    pub(crate) fn has_dir(&self, clean: &Path) -> bool {
        self.handle.dir.open_dir(clean).is_ok()
    }

    /// The owner of the directory: a container runs as this user, so that both sides can write.
    #[cfg(unix)]
    pub(crate) fn owner(&self) -> io::Result<(u32, u32)> {
        use cap_std::fs::MetadataExt as _;
        let metadata = self.handle.dir.dir_metadata()?;
        Ok((metadata.uid(), metadata.gid()))
    }

    /// Gives everything in it that belongs to root to this user, who then owns the workspace. For root only.
    #[cfg(unix)]
    pub(crate) fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        owner::give_all(&self.handle.dir, (uid, gid))
    }
}

/// Opens for reading without ever blocking: with `O_NONBLOCK` opening a FIFO or device returns, and then it is refused.
fn open_regular(dir: &Dir, clean: &Path, path: &str) -> Result<File, WorkspaceError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(NONBLOCK);
    let file = dir.open_with(clean, &options).map_err(|source| io_error(path, source))?;
    if !file.metadata().map_err(|source| io_error(path, source))?.is_file() {
        return Err(WorkspaceError::NotAFile(path.to_owned()));
    }
    Ok(file)
}

const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

fn write_new(
    dir: &Dir,
    name: &str,
    content: &[u8],
    before: Option<cap_std::fs::Metadata>,
    heir: Option<owner::Owner>,
) -> io::Result<()> {
    // A leftover of a crash with the same name would make `create_new` fail every time.
    let _ = dir.remove_file(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = dir.open_with(name, &options)?;
    file.write_all(content)?;
    owner::give_file(&file, heir)?;
    if let Some(metadata) = before {
        file.set_permissions(without_special_bits(metadata.permissions()))?;
    }
    file.sync_all()
}

/// Keeps `rwx` and drops set-user-id and the like: the file is ours now, and its content came from a model.
fn without_special_bits(mut permissions: cap_std::fs::Permissions) -> cap_std::fs::Permissions {
    use cap_std::fs::PermissionsExt as _;
    permissions.set_mode(permissions.mode() & 0o777);
    permissions
}

fn io_error(path: &str, source: io::Error) -> WorkspaceError {
    match source.kind() {
        io::ErrorKind::NotFound => WorkspaceError::NotFound(path.to_owned()),
        // cap-std's error for a component that would lead outside.
        io::ErrorKind::PermissionDenied if source.raw_os_error().is_none() || is_escape(&source) => {
            WorkspaceError::Path { path: path.to_owned(), reason: "it leads out of the workspace".to_owned() }
        }
        _ => WorkspaceError::Io { path: path.to_owned(), source },
    }
}

fn is_escape(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error())
}
