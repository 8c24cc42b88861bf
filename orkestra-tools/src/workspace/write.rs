//! Writes files: one, or several of which all are changed or none.
//!
//! ```text
//! stage: open the directory, write a temporary file, sync      nothing visible has changed; an error removes the temporary files
//! place: keep the old file under another name, rename          an error puts the old files back, in reverse order
//! end:   remove the old files, sync the directories
//! ```
//! After a crash between `place` and `end` some files may be changed and others not; each has its old content or its new one.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher as _;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::Ordering;

use cap_std::fs::{Dir, Metadata, MetadataExt as _, OpenOptions, Permissions, PermissionsExt as _};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::owner::{self, Owner};
use super::{TEMPORARY, Workspace, WorkspaceError, path};
use crate::limits::READ_BYTES_MAX;

/// Symlinks among the directories of one path that are resolved; as many as the kernel.
const LINKS_MAX: usize = 40;

/// A change of one file.
pub(crate) struct Change {
    /// The file.
    pub(crate) path: String,
    /// Its new content, at most [`READ_BYTES_MAX`] bytes, because a file that was read may be renamed; `None` deletes it.
    pub(crate) content: Option<Vec<u8>>,
    /// The file whose permission bits it gets, instead of its own.
    pub(crate) mode_of: Option<String>,
    /// Whether it becomes executable.
    pub(crate) executable: Option<bool>,
}

/// A change whose temporary file is written.
struct Staged {
    path: String,
    dir: Dir,
    name: OsString,
    temporary: Option<String>,
    /// The old file under another name, once the change is placed.
    old: Option<String>,
    placed: bool,
}

/// What a failure takes back.
#[derive(Default)]
struct Batch {
    staged: Vec<Staged>,
    created: Vec<(Dir, OsString)>,
}

/// How directories are created.
struct Creating<'a> {
    /// Those that are new.
    created: &'a mut Vec<(Dir, OsString)>,
    /// Whom they are given to.
    heir: Option<Owner>,
}

impl Workspace {
    /// As [`Workspace::write`] with another limit, bytes.
    pub(crate) fn write_capped(&self, path: &str, content: &[u8], limit: u64) -> Result<u64, WorkspaceError> {
        let mut batch = Batch::default();
        let mut placed = self.stage(&mut batch, path, Some(content), limit, |mode| mode);
        if placed.is_ok() {
            let Staged { dir, name, temporary, .. } = &batch.staged[0];
            let rename = |from: &str| dir.rename(from, dir, &*name).and_then(|()| dir.open(".")?.sync_all());
            let renamed = temporary.as_deref().map_or(Ok(()), rename);
            placed = renamed.map_err(|source| self.error(path, source));
        }
        match placed {
            Ok(()) => Ok(content.len() as u64),
            Err(error) => {
                batch.take_back();
                Err(error)
            }
        }
    }

    /// Makes all changes or none. The paths must differ.
    ///
    /// # Errors
    /// The first change that is not possible; everything is as before, except when the error says that a file could not be put
    /// back.
    pub(crate) fn change_all(&self, changes: &[Change]) -> Result<(), WorkspaceError> {
        let mut batch = Batch::default();
        let staged = changes.iter().try_for_each(|change| self.stage_change(&mut batch, change));
        match staged.and_then(|()| batch.are_different()).and_then(|()| self.place_all(&mut batch)) {
            Ok(()) => {
                batch.end();
                Ok(())
            }
            Err(error) => match batch.take_back() {
                None => Err(error),
                Some(path) => Err(WorkspaceError::Path {
                    path: path::shown(&path),
                    reason: format!(
                        "{error}; and the file could not be put back: look at the names in its directory that begin with {TEMPORARY}"
                    ),
                }),
            },
        }
    }

    fn place_all(&self, batch: &mut Batch) -> Result<(), WorkspaceError> {
        for staged in &mut batch.staged {
            let placed = staged.place(&self.temporary());
            placed.map_err(|source| self.error(&staged.path, source))?;
        }
        Ok(())
    }

    /// The normalised form of a path that may be written.
    pub(crate) fn writable(&self, path: &str) -> Result<PathBuf, WorkspaceError> {
        path::writable(path, self.path())
    }

    /// Whether something has this path, also a link that leads nowhere.
    pub(crate) fn is_taken(&self, path: &str) -> Result<bool, WorkspaceError> {
        match self.handle.dir.symlink_metadata(self.writable(path)?) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.error(path, error)),
        }
    }

    fn stage_change(&self, batch: &mut Batch, change: &Change) -> Result<(), WorkspaceError> {
        let source = change.mode_of.as_deref().map(|source| self.mode(source)).transpose()?;
        let mode = |own: Option<u32>| match (source.or(own), change.executable) {
            (mode, None) => mode,
            (mode, Some(true)) => Some(mode.unwrap_or(0o644) | 0o111),
            (mode, Some(false)) => Some(mode.unwrap_or(0o644) & !0o111),
        };
        self.stage(batch, &change.path, change.content.as_deref(), READ_BYTES_MAX, mode)
    }

    fn mode(&self, path: &str) -> Result<u32, WorkspaceError> {
        let clean = path::relative_to(path, self.path())?;
        let metadata = self.handle.dir.metadata(&clean).map_err(|source| self.error(path, source))?;
        Ok(metadata.permissions().mode())
    }

    /// Opens the directory of `path` and writes the temporary file. `mode` gets the permission bits of an existing file.
    fn stage(
        &self,
        batch: &mut Batch,
        path: &str,
        content: Option<&[u8]>,
        limit: u64,
        mode: impl Fn(Option<u32>) -> Option<u32>,
    ) -> Result<(), WorkspaceError> {
        let clean = path::writable(path, self.path())?;
        let bytes = content.map_or(0, <[u8]>::len) as u64;
        if bytes > limit {
            return Err(WorkspaceError::TooLarge { path: path::shown(path), bytes, limit });
        }
        let (Some(parent), Some(name)) = (clean.parent(), clean.file_name()) else {
            return Err(WorkspaceError::NotAFile(path::shown(path)));
        };
        if content.is_some() {
            self.admit(path, bytes)?;
        }
        let heir = owner::heir(&self.handle.dir);
        let creating = Creating { created: &mut batch.created, heir };
        let dir = self.directory(path, parent, content.is_some().then_some(creating))?;
        let before = match dir.symlink_metadata(name) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound && content.is_some() => None,
            Err(error) => return Err(self.error(path, error)),
        };
        if before.as_ref().is_some_and(|metadata| !metadata.is_file() && !metadata.is_symlink()) {
            return Err(WorkspaceError::NotAFile(path::shown(path)));
        }
        let temporary = content.is_some().then(|| self.temporary());
        batch.staged.push(Staged {
            path: path.to_owned(),
            dir,
            name: name.to_owned(),
            temporary: temporary.clone(),
            old: None,
            placed: false,
        });
        let dir = &batch.staged[batch.staged.len() - 1].dir;
        if let (Some(content), Some(temporary)) = (content, temporary) {
            let own = before.filter(Metadata::is_file).map(|metadata| metadata.permissions().mode());
            write_new(dir, &temporary, content, mode(own), heir).map_err(|source| self.error(path, source))?;
        }
        Ok(())
    }

    /// Opens the directory `place`, creating it when `creating` is given. Afterwards everything happens beneath its handle, so
    /// swapping a parent directory has no effect.
    ///
    /// IMPORTANT: each component is opened without following a link, and a link is resolved to a path that is checked again:
    /// a link to `.git` is not a way into it.
    fn directory(&self, path: &str, place: &Path, mut creating: Option<Creating<'_>>) -> Result<Dir, WorkspaceError> {
        let root = &self.handle.dir;
        let mut place = place.to_owned();
        for _ in 0..LINKS_MAX {
            match descend(root, &place, creating.as_mut()) {
                Ok(dir) => return Ok(dir),
                Err((through, source)) => {
                    let is_link = root.symlink_metadata(&through).is_ok_and(|metadata| metadata.is_symlink());
                    if !is_link {
                        return Err(self.error(path, source));
                    }
                    let real = root.canonicalize(&through).map_err(|source| self.error(path, source))?;
                    let rest = place.strip_prefix(&through).unwrap_or(Path::new(""));
                    place = real.join(rest);
                    path::outside_git(&place).map_err(|reason| path::refused(path, reason))?;
                }
            }
        }
        Err(self.error(path, Errno::LOOP.into()))
    }

    /// A name that commands cannot predict, so that they cannot put something else in its place beforehand.
    fn temporary(&self) -> String {
        let number = self.handle.writes.fetch_add(1, Ordering::Relaxed);
        format!("{TEMPORARY}{:016x}", self.handle.names.hash_one(number))
    }
}

/// Opens a directory component by component. An error has the path of the component that failed.
fn descend(root: &Dir, place: &Path, mut creating: Option<&mut Creating<'_>>) -> Result<Dir, (PathBuf, io::Error)> {
    let mut so_far = PathBuf::new();
    let mut dir = root.try_clone().map_err(|error| (so_far.clone(), error))?;
    for component in place.components() {
        let Component::Normal(name) = component else { continue };
        so_far.push(name);
        dir = enter(&dir, name, creating.as_deref_mut()).map_err(|error| (so_far.clone(), error))?;
    }
    Ok(dir)
}

fn enter(dir: &Dir, name: &OsStr, creating: Option<&mut Creating<'_>>) -> io::Result<Dir> {
    let open =
        || openat(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let opened = match (open(), creating) {
        (Err(Errno::NOENT), Some(Creating { created, heir })) => {
            match mkdirat(dir, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => {
                    created.push((dir.try_clone()?, name.to_owned()));
                    owner::give(dir, Path::new(name), *heir)?;
                }
                // Another agent was faster.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            open()
        }
        (opened, _) => opened,
    };
    Ok(Dir::from_std_file(opened?.into()))
}

impl Staged {
    /// Makes the change visible, keeping the old file as `old`.
    fn place(&mut self, old: &str) -> io::Result<()> {
        let Self { dir, name, temporary, .. } = self;
        let has_old = dir.symlink_metadata(&*name).is_ok();
        match temporary {
            Some(temporary) => {
                if has_old {
                    // A second link, so that the name always exists. Not every file system and owner may have one.
                    dir.hard_link(&*name, dir, old).or_else(|_| dir.rename(&*name, dir, old))?;
                    self.old = Some(old.to_owned());
                }
                self.placed = true;
                dir.rename(&*temporary, dir, &*name)
            }
            None => {
                dir.rename(&*name, dir, old)?;
                (self.old, self.placed) = (Some(old.to_owned()), true);
                Ok(())
            }
        }
    }

    fn take_back(&mut self) -> io::Result<()> {
        if let Some(temporary) = &self.temporary {
            let _ = self.dir.remove_file(temporary);
        }
        if let Some(old) = &self.old {
            self.dir.rename(old, &self.dir, &self.name)?;
            // NOTE: renaming one link of a file to another of the same file does nothing.
            let _ = self.dir.remove_file(old);
            return Ok(());
        }
        if self.placed && self.temporary.is_some() {
            let _ = self.dir.remove_file(&self.name);
        }
        Ok(())
    }
}

impl Batch {
    /// Two paths may be the same file through a link among their directories.
    fn are_different(&self) -> Result<(), WorkspaceError> {
        let mut seen = HashMap::new();
        for Staged { path, dir, name, .. } in &self.staged {
            let metadata =
                dir.dir_metadata().map_err(|source| WorkspaceError::Io { path: path::shown(path), source })?;
            if let Some(other) = seen.insert((metadata.dev(), metadata.ino(), name), path) {
                let reason = format!(
                    "it is the same file as `{}`, through a symbolic link; use one path only",
                    path::shown(other)
                );
                return Err(path::refused(path, reason));
            }
        }
        Ok(())
    }

    fn end(self) {
        for staged in self.staged {
            if let Some(old) = staged.old {
                let _ = staged.dir.remove_file(old);
            }
            let _ = staged.dir.open(".").and_then(|dir| dir.sync_all());
        }
    }

    /// Puts everything back as it was; returns a file for which that failed.
    fn take_back(mut self) -> Option<String> {
        let mut failed = None;
        for staged in self.staged.iter_mut().rev() {
            if staged.take_back().is_err() {
                failed = Some(staged.path.clone());
            }
        }
        for (dir, name) in self.created.iter().rev() {
            // Fails if another agent has put something into it.
            let _ = dir.remove_dir(name);
        }
        failed
    }
}

fn write_new(dir: &Dir, name: &str, content: &[u8], mode: Option<u32>, heir: Option<Owner>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = dir.open_with(name, &options)?;
    file.write_all(content)?;
    owner::give_file(&file, heir)?;
    if let Some(mode) = mode {
        // Set-user-id and the like are dropped: the file is ours now, and its content came from a model.
        file.set_permissions(Permissions::from_mode(mode & 0o777))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn change(path: &str, content: Option<&str>) -> Change {
        let content = content.map(|content| content.as_bytes().to_vec());
        Change { path: path.to_owned(), content, mode_of: None, executable: None }
    }

    #[test]
    fn a_write_that_fails_midway_puts_back_every_file_that_was_changed_before_it() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let workspace = Workspace::open(root.path()).expect("opened");
        for path in ["changed", "deleted", "last"] {
            workspace.write(path, path.as_bytes()).expect("written");
        }
        fs::set_permissions(root.path().join("changed"), fs::Permissions::from_mode(0o751)).expect("set");
        let names = || {
            let mut names: Vec<_> =
                fs::read_dir(root.path()).expect("listed").flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        let changes = [
            change("changed", Some("x")),
            change("deleted", None),
            change("new/deep/er", Some("x")),
            change("last", Some("x")),
        ];
        for lost in 0..changes.len() {
            let mut batch = Batch::default();
            changes.iter().try_for_each(|change| workspace.stage_change(&mut batch, change)).expect("staged");
            // What a hostile command may do between the two halves: the file to rename or to delete is gone.
            let staged = &batch.staged[lost];
            match &staged.temporary {
                Some(temporary) => staged.dir.remove_file(temporary).expect("removed"),
                None => staged.dir.rename("deleted", &staged.dir, "elsewhere").expect("renamed"),
            }
            workspace.place_all(&mut batch).expect_err("one is lost");
            assert_eq!(batch.take_back(), None);
            let _ = fs::rename(root.path().join("elsewhere"), root.path().join("deleted"));
            assert_eq!(names(), ["changed", "deleted", "last"], "{lost}");
            for path in ["changed", "deleted", "last"] {
                assert_eq!(fs::read_to_string(root.path().join(path)).expect("read"), path, "{lost}");
            }
            assert_eq!(fs::metadata(root.path().join("changed")).expect("there").permissions().mode() & 0o777, 0o751);
        }
        workspace.change_all(&changes).expect("all are possible");
        assert_eq!(names(), ["changed", "last", "new"]);
    }
}
