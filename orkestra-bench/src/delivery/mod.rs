//! What an agent delivered: the files of its workspace, read once after nothing of the agent runs any more.
//!
//! ```text
//! workspace --read--> Delivery --+--> text checks (all files)
//!                                +--> the copy that hidden tests drive (without what could be planted for a grader)
//!                                +--> the changes in the report
//! ```
//!
//! Links are never followed: a link to a file of this machine would bring its content into the report.

mod planted;
mod read;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};

pub use self::read::{DeliveryError, read_all};

/// A file: its path relative to the workspace, with `/` between names, and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl File {
    /// A file.
    #[must_use]
    pub fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: content.into() }
    }

    /// Its content as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.content)
    }
}

/// What an agent delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    files: BTreeMap<String, File>,
    left_out: Vec<String>,
}

impl Delivery {
    /// Reads the files below a directory; an empty delivery when it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn read(directory: &Path) -> Result<Self, DeliveryError> {
        read::delivery(directory)
    }

    /// A delivery of these files, for a task's own solutions.
    #[must_use]
    pub fn of(files: impl IntoIterator<Item = File>) -> Self {
        let files = files.into_iter().map(|file| (file.path.clone(), file)).collect();
        Self { files, left_out: Vec::new() }
    }

    /// The file at this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path.strip_prefix("./").unwrap_or(path))
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// What is not graded, each with the reason: links, files that are too large, files that only a grader would read.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Writes the copy that hidden tests drive into an empty directory: without what could be planted for a grader.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_copy(&self, directory: &Path) -> io::Result<()> {
        for file in self.files().filter(|file| !planted::is_planted(&file.path)) {
            write(directory, file)?;
        }
        Ok(())
    }
}

/// Writes a file below a directory.
///
/// # Errors
/// When its path leaves the directory, or it cannot be written.
pub fn write(directory: &Path, file: &File) -> io::Result<()> {
    let path = Path::new(&file.path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path {:?}", file.path)));
    }
    let path = directory.join(path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, &file.content)
}

#[cfg(test)]
mod tests;
