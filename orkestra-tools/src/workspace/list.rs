//! Lists the files of a workspace, one directory after the other, until a limit is reached.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};

use super::name::show;
use super::walk::{Folder, Ignores, read_folder};
use crate::limits::{LIST_DEPTH_MAX, LIST_FILES_MAX, LIST_VISITS_MAX};

/// One file of a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileEntry {
    /// Path relative to the workspace, separated by `/`, as the methods of [`crate::Workspace`] take it: a name with control
    /// characters, quotes, backslashes or bytes that are not UTF-8 is in double quotes with C escapes, as git shows it.
    pub path: String,
    /// Size, bytes.
    pub bytes: u64,
}

/// The files of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Listing {
    /// At most [`LIST_FILES_MAX`] files; those of a directory before those of its subdirectories.
    pub files: Vec<FileEntry>,
    /// Whether there are more files than listed.
    pub truncated: bool,
    /// Directories that could not be read, written like the paths of files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

pub(super) fn list(dir: &Dir) -> io::Result<Listing> {
    let mut walk = Walk { root: dir, listing: Listing::default(), visits: AtomicUsize::new(LIST_VISITS_MAX) };
    let folder = read_folder(dir, Path::new(""), &None, &walk.visits)?;
    walk.directory(dir, folder, 0);
    Ok(walk.listing)
}

struct Walk<'a> {
    root: &'a Dir,
    listing: Listing,
    visits: AtomicUsize,
}

impl Walk<'_> {
    fn directory(&mut self, dir: &Dir, folder: Folder, depth: usize) {
        let Folder { place, files, subdirectories, ignores, cut } = folder;
        self.listing.truncated |= cut;
        for (name, is_link) in files {
            let path = place.join(&name);
            // A link may lead out of its directory and stay in the workspace.
            let metadata = if is_link { self.root.metadata(&path) } else { dir.symlink_metadata(&name) };
            match metadata {
                Ok(metadata) if metadata.is_file() => self.record(&path, metadata.len()),
                _ => {}
            }
        }
        for name in subdirectories {
            if depth + 1 >= LIST_DEPTH_MAX || self.listing.truncated {
                self.listing.truncated = true;
                break;
            }
            self.subdirectory(dir, &name, &place.join(&name), &ignores, depth + 1);
        }
    }

    fn subdirectory(&mut self, dir: &Dir, name: &OsStr, place: &Path, ignores: &Ignores, depth: usize) {
        // Opening is confined to `dir`; it fails if the directory was swapped meanwhile.
        let read = dir.open_dir(name).and_then(|child| {
            let folder = read_folder(&child, place, ignores, &self.visits)?;
            Ok((child, folder))
        });
        match read {
            Ok((child, folder)) => self.directory(&child, folder, depth),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => self.listing.unreadable.push(show(place)),
        }
    }

    fn record(&mut self, path: &Path, bytes: u64) {
        if self.listing.files.len() >= LIST_FILES_MAX {
            self.listing.truncated = true;
            return;
        }
        self.listing.files.push(FileEntry { path: show(path), bytes });
    }
}
