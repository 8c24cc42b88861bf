//! How much of the disk a workspace takes, and the limit on it.
//!
//! ```text
//! space:   what the whole file system takes; one system call
//! measure: what the workspace takes, file by file; thousands of calls, so only when `space` says that it may matter
//! ```
//! A file counts with the blocks that it takes, not with its length, and once, however many names it has.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap_std::fs::{Dir, MetadataExt as _};
use tokio::time::Instant;

use super::{Workspace, WorkspaceError, path};
use crate::limits::DISK_SLACK_BYTES;

/// The longest path that is walked from one open directory, bytes; a name more is below what the kernel takes, 4096.
const PATH_BYTES_MAX: usize = 3000;

/// Directories that one walk keeps open: a tree that needs more is 6,000 deep at many places at once.
const BASES_MAX: usize = 64;

/// Bytes and files: taken, or at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Blocks on the disk, bytes.
    pub(crate) bytes: u64,
    /// Files, directories and links.
    pub(crate) files: u64,
}

impl Usage {
    pub(crate) fn exceeds(self, limit: Self) -> bool {
        self.bytes > limit.bytes || self.files > limit.files
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), files: self.files.saturating_add(other.files) }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), files: self.files.saturating_sub(other.files) }
    }

    pub(crate) fn most(self, other: Self) -> Self {
        Self { bytes: self.bytes.max(other.bytes), files: self.files.max(other.files) }
    }
}

/// The last measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) usage: Usage,
    /// Whether all was counted.
    pub(crate) is_whole: bool,
    /// Whether there are directories that this process may not list.
    pub(crate) has_closed: bool,
    /// What the file system took then.
    pub(crate) space: Usage,
    pub(crate) at: Instant,
    pub(crate) cost: std::time::Duration,
    /// What tools have written since.
    written: Usage,
}

/// The limit of a workspace and what is known of it.
#[derive(Debug)]
pub(super) struct Quota {
    limit: Usage,
    known: Mutex<Option<Known>>,
    /// What commands may reach while the limit is exceeded: it does not grow from command to command.
    ceiling: Mutex<Option<Usage>>,
}

impl Quota {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workspace {
    /// Limits what it takes of the disk; once. Writes of tools that exceed the limit fail, and a sandbox stops its commands.
    pub(crate) fn limit_disk(&self, limit: Usage) {
        let _ = self.handle.quota.set(Quota { limit, known: Mutex::new(None), ceiling: Mutex::new(None) });
    }

    pub(crate) fn disk_limit(&self) -> Option<Usage> {
        self.handle.quota.get().map(|quota| quota.limit)
    }

    /// The most that commands may take when `now` is taken and they would be let go up to `most`. Once the limit is exceeded the first
    /// answer holds, until less than the limit is measured.
    pub(crate) fn ceiling(&self, now: Usage, most: Usage) -> Usage {
        let Some(quota) = self.handle.quota.get() else { return most };
        if !now.exceeds(quota.limit) {
            return most;
        }
        // What cannot be counted cannot be let go on.
        let now = if now.files == u64::MAX { Usage { files: 0, ..now } } else { now };
        let mut ceiling = quota.ceiling.lock().unwrap_or_else(PoisonError::into_inner);
        // Not less than what is there: something must be able to remove it.
        ceiling.get_or_insert(most).most(now)
    }

    pub(crate) fn known_usage(&self) -> Option<Known> {
        self.handle.quota.get().and_then(|quota| *quota.known())
    }

    /// What its whole file system takes.
    pub(crate) fn space(&self) -> Usage {
        let Ok(all) = rustix::fs::fstatvfs(&self.handle.dir) else { return Usage::default() };
        Usage {
            bytes: all.f_blocks.saturating_sub(all.f_bfree).saturating_mul(all.f_frsize),
            files: all.f_files.saturating_sub(all.f_ffree),
        }
    }

    /// Measures it: about a second for a million files. It ends early when `enough` is exceeded.
    pub(crate) fn measure(&self, enough: Usage) -> Usage {
        let (begun, space) = (Instant::now(), self.space());
        let mut has_closed = false;
        let usage = measure(&self.handle.dir, enough, &mut has_closed);
        if let Some(quota) = self.handle.quota.get() {
            if !usage.exceeds(quota.limit) {
                *quota.ceiling.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            let cost = begun.elapsed();
            *quota.known() = Some(Known {
                usage,
                is_whole: !usage.exceeds(enough),
                has_closed,
                space,
                at: begun,
                cost,
                written: Usage::default(),
            });
        }
        usage
    }

    /// Whether a tool may write one more file of this size, which counts from now on.
    pub(super) fn admit(&self, path: &str, bytes: u64) -> Result<(), WorkspaceError> {
        let Some(quota) = self.handle.quota.get() else { return Ok(()) };
        let new = Usage { bytes, files: 1 };
        let fits = |known: &Known| !known.usage.plus(known.written).plus(new).exceeds(quota.limit);
        if !quota.known().as_ref().is_some_and(fits) {
            self.measure(quota.limit.plus(Usage { bytes: DISK_SLACK_BYTES, files: 1 }));
        }
        let mut known = quota.known();
        match known.as_mut() {
            Some(known) if fits(known) => {
                known.written = known.written.plus(new);
                Ok(())
            }
            known => Err(WorkspaceError::Full {
                path: path::shown(path),
                bytes: known.as_ref().map_or(0, |known| known.usage.bytes),
                files: known.map_or(0, |known| known.usage.files),
                bytes_max: quota.limit.bytes,
                files_max: quota.limit.files,
            }),
        }
    }
}

/// A directory that is yet to be read: its path below one that is open.
struct Pending {
    base: Rc<Dir>,
    path: PathBuf,
}

/// Walks by paths below open directories, so that depth costs few descriptors. Deeper than [`BASES_MAX`] allows nothing is
/// counted, and every limit is exceeded. `has_closed` becomes true when a directory cannot be listed.
fn measure(root: &Dir, enough: Usage, has_closed: &mut bool) -> Usage {
    let mut usage = Usage { bytes: blocks(root.dir_metadata().ok().as_ref()), files: 1 };
    let mut several = HashSet::new();
    let Ok(base) = root.try_clone().map(Rc::new) else { return usage };
    let mut bases = vec![Rc::downgrade(&base)];
    let mut pending = vec![Pending { base, path: PathBuf::new() }];
    while let Some(Pending { base, path }) = pending.pop() {
        let opened = if path.as_os_str().is_empty() { base.try_clone() } else { base.open_dir(&path) };
        let (dir, entries) = match opened.and_then(|dir| Ok((dir.try_clone()?, dir.entries()?))) {
            Ok(opened) => opened,
            // What cannot be listed can be written into all the same.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                *has_closed = true;
                continue;
            }
            // Removed meanwhile.
            Err(_) => continue,
        };
        let (base, path) = if path.as_os_str().len() > PATH_BYTES_MAX {
            bases.retain(|base| base.strong_count() > 0);
            if bases.len() >= BASES_MAX {
                return Usage { bytes: usage.bytes, files: u64::MAX };
            }
            let base = Rc::new(dir);
            bases.push(Rc::downgrade(&base));
            (base, PathBuf::new())
        } else {
            (base, path)
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() || metadata.nlink() == 1 || several.insert(metadata.ino()) {
                usage = usage.plus(Usage { bytes: blocks(Some(&metadata)), files: 1 });
            }
            if metadata.is_dir() {
                pending.push(Pending { base: Rc::clone(&base), path: path.join(entry.file_name()) });
            }
            if usage.exceeds(enough) {
                return usage;
            }
        }
    }
    usage
}

/// The unit is 512 bytes, whatever the file system's blocks are.
fn blocks(metadata: Option<&cap_std::fs::Metadata>) -> u64 {
    metadata.map_or(0, |metadata| metadata.blocks().saturating_mul(512))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const NO_LIMIT: Usage = Usage { bytes: u64::MAX, files: u64::MAX };

    #[test]
    fn blocks_count_once_and_nothing_outside_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let (inside, outside) = (root.path().join("inside"), root.path().join("outside"));
        std::fs::create_dir_all(inside.join("a/b")).expect("made");
        std::fs::create_dir(&outside).expect("made");
        std::fs::write(outside.join("large"), vec![1; 4 << 20]).expect("written");
        symlink(&outside, inside.join("link")).expect("linked");
        let workspace = Workspace::open(&inside).expect("opened");
        let empty = workspace.measure(NO_LIMIT);
        assert_eq!(empty.files, 4);
        std::fs::write(inside.join("a/b/file"), vec![1; 1 << 20]).expect("written");
        std::fs::hard_link(inside.join("a/b/file"), inside.join("a/again")).expect("linked");
        let sparse = std::fs::File::create(inside.join("sparse")).expect("made");
        sparse.set_len(1 << 40).expect("set");
        let added = workspace.measure(NO_LIMIT).minus(empty);
        assert_eq!(added.files, 2, "one with two names, and a sparse one");
        assert!((1 << 20..(1 << 20) + 65_536).contains(&added.bytes), "{added:?}");
    }

    #[test]
    fn directories_that_no_path_reaches_are_counted() {
        use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
        let root = tempfile::tempdir().expect("a directory");
        let mut dir = open(root.path(), OFlags::DIRECTORY, Mode::empty()).expect("opened");
        let name = "d".repeat(200);
        for _ in 0..100 {
            mkdirat(&dir, &*name, Mode::RWXU).expect("made");
            mkdirat(&dir, "beside", Mode::RWXU).expect("made");
            dir = openat(&dir, &*name, OFlags::DIRECTORY, Mode::empty()).expect("opened");
        }
        assert_eq!(Workspace::open(root.path()).expect("opened").measure(NO_LIMIT).files, 201);
    }

    #[test]
    fn tools_write_up_to_the_limit() {
        let root = tempfile::tempdir().expect("a directory");
        let workspace = Workspace::open(root.path()).expect("opened");
        workspace.limit_disk(Usage { bytes: 1 << 20, files: 10 });
        workspace.write("small", b"x").expect("there is room");
        let refused = workspace.write("large", &vec![1; 1 << 20]).expect_err("too much");
        assert!(refused.is_for_model() && refused.to_string().contains("remove"), "{refused}");
        for number in 0..8 {
            workspace.write(&format!("{number}"), b"x").expect("there is room");
        }
        workspace.write("one-more", b"x").expect_err("too many");
        std::fs::remove_file(root.path().join("0")).expect("removed");
        workspace.write("one-more", b"x").expect("there is room again");
        workspace.write("one-more", b"y").expect_err("the old file stays until the new one is complete");
    }

    #[test]
    fn what_commands_may_reach_in_a_full_workspace_does_not_grow() {
        let root = tempfile::tempdir().expect("a directory");
        let workspace = Workspace::open(root.path()).expect("opened");
        let bytes = |bytes| Usage { bytes, files: 1 };
        workspace.limit_disk(Usage { bytes: 100, files: 10 });
        let reached = |now, most| workspace.ceiling(bytes(now), bytes(most)).bytes;
        assert_eq!([reached(50, 100), reached(200, 216), reached(216, 232), reached(150, 166)], [100, 216, 216, 216]);
        assert_eq!(reached(300, 316), 300, "nothing more, but what is there can be removed");
    }
}
