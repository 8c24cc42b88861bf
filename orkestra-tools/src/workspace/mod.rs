//! The directory that an agent works in. All access goes through one directory handle (cap-std), so a path cannot leave it
//! through `..`, an absolute path or a symlink, even if a command plants a symlink between two calls: the kernel resolves every
//! component beneath the handle.
//!
//! It must never open a path by its absolute name after [`Workspace::open`], and never block on something that is not a
//! regular file (a command can put a FIFO anywhere).

mod diagnose;
mod list;
mod name;
mod owner;
mod path;
mod target;
mod usage;
mod walk;
mod write;

use std::hash::RandomState;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};

pub use list::{FileEntry, Listing};
pub use name::parse as parse_path;
pub(crate) use name::show as show_path;
pub(crate) use path::{escaped, relative, shown};
pub(crate) use usage::Usage;
pub(crate) use walk::{Found, Walked};
pub(crate) use write::Change;

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
    #[error("cannot use `{0}`: it is a directory, a device, a FIFO or a socket; give the path of a regular file")]
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
    /// The workspace is as large as it may be; nothing was written.
    #[error(
        "cannot write `{path}`: the workspace takes {bytes} bytes in {files} files, and may take {bytes_max} bytes in {files_max} files; \
         remove what is not needed (`du -x . | sort -n | tail` shows the largest directories), then write again"
    )]
    Full {
        /// The path as given.
        path: String,
        /// What the workspace takes, bytes on the disk.
        bytes: u64,
        /// Its files, directories and links.
        files: u64,
        /// The most it may take, bytes.
        bytes_max: u64,
        /// The most files it may have.
        files_max: u64,
    },
    /// An I/O error of the host, such as a full disk.
    #[error("cannot use `{path}`: {source}")]
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
        !matches!(self, Self::Io { source, .. } if diagnose::is_host_fault(source))
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
    quota: OnceLock<usage::Quota>,
    /// Makes the names of temporary files unpredictable.
    names: RandomState,
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
        Ok(Self {
            handle: Arc::new(Handle {
                dir,
                path: path_real,
                writes: AtomicU64::new(0),
                quota: OnceLock::new(),
                names: RandomState::new(),
            }),
        })
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
        let clean = path::relative_to(path, self.path())?;
        let Some(mut file) = open_regular(&self.handle.dir, &clean).map_err(|source| self.error(path, source))? else {
            return Err(WorkspaceError::NotAFile(shown(path)));
        };
        let mut bytes = Vec::new();
        // The file may grow while it is read, so its size is not trusted: reading one byte more than the limit decides.
        (&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(|source| self.error(path, source))?;
        if bytes.len() as u64 > limit {
            let size = file.metadata().map_or(limit + 1, |metadata| metadata.len());
            return Err(WorkspaceError::TooLarge { path: shown(path), bytes: size, limit });
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

    /// Lists the files, sorted by directory and name, without those that `.gitignore` excludes, up to a limit (see
    /// [`Listing::truncated`]).
    ///
    /// # Errors
    /// [`WorkspaceError::Io`] when the workspace itself cannot be read; unreadable subdirectories are skipped.
    pub fn list(&self) -> Result<Listing, WorkspaceError> {
        list::list(&self.handle.dir).map_err(|source| self.error(".", source))
    }

    /// The error for a path that the operating system refused.
    fn error(&self, path: &str, source: io::Error) -> WorkspaceError {
        let clean = path::relative_to(path, self.path()).unwrap_or_default();
        diagnose::diagnose(&self.handle.dir, path, &clean, source)
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

    /// Takes set-user-id and set-group-id from the files in it.
    #[cfg(unix)]
    pub(crate) fn reset_modes(&self) -> io::Result<()> {
        owner::reset_modes(&self.handle.dir)
    }

    /// Gives everything in it that belongs to root to this user, who then owns the workspace. For root only.
    #[cfg(unix)]
    pub(crate) fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        owner::give_all(&self.handle.dir, (uid, gid))
    }
}

/// Opens for reading without ever blocking: with `O_NONBLOCK` opening a FIFO or device returns. `None` for what is not a regular
/// file.
fn open_regular(dir: &Dir, clean: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(NONBLOCK);
    let file = dir.open_with(clean, &options)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
