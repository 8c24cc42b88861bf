//! Lists the files of a workspace, with our own walk over directory handles. The walker of the `ignore` crate opens paths by
//! name, so it could be led outside by a directory swapped for a symlink, and a `.gitignore` that is a FIFO would block it;
//! only its pattern matcher is used here.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::{Deserialize, Serialize};

use super::{TEMPORARY, open_regular};
use crate::limits::{GITIGNORE_BYTES_MAX, LIST_DEPTH_MAX, LIST_FILES_MAX, LIST_VISITS_MAX};

/// Directories that are skipped even without a `.gitignore`: they hold generated files and would use up the limit.
const SKIPPED: [&str; 5] = [".git", "node_modules", "__pycache__", ".venv", ".pytest_cache"];

/// One file of a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileEntry {
    /// Path relative to the workspace, separated by `/`. Bytes that are not UTF-8 are replaced by `\u{fffd}`.
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
}

pub(super) fn list(dir: &Dir) -> io::Result<Listing> {
    let mut walk = Walk { listing: Listing::default(), visits: 0, ignores: Vec::new() };
    walk.directory(dir, &PathBuf::new(), 0)?;
    Ok(walk.listing)
}

struct Walk {
    listing: Listing,
    visits: usize,
    /// The `.gitignore` of each directory on the current path, with that directory.
    ignores: Vec<(PathBuf, Gitignore)>,
}

impl Walk {
    fn directory(&mut self, dir: &Dir, place: &Path, depth: usize) -> io::Result<()> {
        let ignore = read_gitignore(dir);
        let has_ignore = ignore.is_some();
        self.ignores.extend(ignore.map(|ignore| (place.to_owned(), ignore)));
        let subdirectories = self.files(dir, place)?;
        for name in subdirectories {
            if depth + 1 >= LIST_DEPTH_MAX || self.is_full() {
                self.listing.truncated = true;
                break;
            }
            // Opening is confined to `dir`; it fails if the directory was swapped meanwhile, and is then skipped.
            if let Ok(child) = dir.open_dir(&name) {
                let _ = self.directory(&child, &place.join(&name), depth + 1);
            }
        }
        if has_ignore {
            self.ignores.pop();
        }
        Ok(())
    }

    /// Records the files of one directory and returns the subdirectories to visit, both sorted by name.
    fn files(&mut self, dir: &Dir, place: &Path) -> io::Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for entry in dir.entries()? {
            if self.is_full() {
                self.listing.truncated = true;
                break;
            }
            self.visits += 1;
            let Ok(entry) = entry else { continue };
            let Ok(kind) = entry.file_type() else { continue };
            names.push((PathBuf::from(entry.file_name()), kind));
        }
        names.sort_by(|left, right| left.0.cmp(&right.0));
        let mut subdirectories = Vec::new();
        for (name, kind) in names {
            let path = place.join(&name);
            let text = name.to_string_lossy();
            if text.starts_with(TEMPORARY) || self.is_ignored(&path, kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                if !SKIPPED.contains(&text.as_ref()) {
                    subdirectories.push(name);
                }
            } else if let Some(bytes) = file_size(dir, &name) {
                self.record(&path, bytes);
            }
        }
        Ok(subdirectories)
    }

    fn record(&mut self, path: &Path, bytes: u64) {
        if self.listing.files.len() >= LIST_FILES_MAX {
            self.listing.truncated = true;
            return;
        }
        self.listing.files.push(FileEntry { path: path.to_string_lossy().into_owned(), bytes });
    }

    fn is_full(&self) -> bool {
        self.visits >= LIST_VISITS_MAX || self.listing.files.len() >= LIST_FILES_MAX
    }

    /// The innermost `.gitignore` with a matching pattern decides, as in git.
    fn is_ignored(&self, path: &Path, is_dir: bool) -> bool {
        for (place, ignore) in self.ignores.iter().rev() {
            let Ok(below) = path.strip_prefix(place) else { continue };
            match ignore.matched(below, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }
}

/// The size of a regular file, also through a symlink that stays inside the workspace; `None` for everything else.
fn file_size(dir: &Dir, name: &Path) -> Option<u64> {
    let metadata = dir.metadata(name).ok()?;
    metadata.is_file().then(|| metadata.len())
}

fn read_gitignore(dir: &Dir) -> Option<Gitignore> {
    let file = open_regular(dir, Path::new(".gitignore"), ".gitignore").ok()?;
    let mut bytes = Vec::new();
    file.take(GITIGNORE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > GITIGNORE_BYTES_MAX {
        return None;
    }
    let mut builder = GitignoreBuilder::new("");
    for line in String::from_utf8_lossy(&bytes).lines() {
        // Invalid patterns are ignored, as in git.
        let _ = builder.add_line(None, line);
    }
    builder.build().ok()
}
