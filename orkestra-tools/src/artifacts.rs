//! The files that an agent's tools leave: whole outputs of commands in `command-000001.log` and so on, `last-command.json`, from
//! which `read_test_output` answers, also after a restart, and screenshots in `screenshot-000001.png` and so on.
//!
//! At worst a crash leaves an incomplete output file that `last-command.json` does not mention.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::ToolError;
use crate::limits::ARTIFACT_FILES_MAX;
use crate::sandbox::CommandResult;

const LAST: &str = "last-command.json";

/// A kind of numbered file: what its names begin and end with.
struct Kind(&'static str, &'static str);

const OUTPUT: Kind = Kind("command-", ".log");
const SCREENSHOT: Kind = Kind("screenshot-", ".png");
#[cfg(feature = "mcp")]
const ANSWER: Kind = Kind("mcp-answer-", ".txt");
#[cfg(feature = "mcp")]
const ATTACHED: Kind = Kind("mcp-attached-", ".bin");

/// The last command of an agent and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LastCommand {
    pub(crate) command: String,
    pub(crate) result: CommandResult,
}

#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    path: PathBuf,
    workspace: PathBuf,
}

impl Artifacts {
    pub(crate) fn new(path: PathBuf, workspace: PathBuf) -> Self {
        Self { path, workspace }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the next output file, empty, and deletes the oldest ones beyond [`ARTIFACT_FILES_MAX`].
    pub(crate) fn next_output(&self) -> Result<PathBuf, ToolError> {
        self.next(&OUTPUT)
    }

    /// Writes the next screenshot, and deletes the oldest ones beyond [`ARTIFACT_FILES_MAX`].
    pub(crate) fn keep_screenshot(&self, png: &[u8]) -> Result<PathBuf, ToolError> {
        let path = self.next(&SCREENSHOT)?;
        fs::write(&path, png).map_err(|error| internal(&path, &error))?;
        Ok(path)
    }

    /// Writes the whole answer of an MCP server, and deletes the oldest ones. Returns its number too.
    #[cfg(feature = "mcp")]
    pub(crate) fn keep_answer(&self, text: &str) -> Result<(u64, PathBuf), ToolError> {
        let path = self.next(&ANSWER)?;
        fs::write(&path, text).map_err(|error| internal(&path, &error))?;
        Ok((ANSWER.number(&path).unwrap_or_default(), path))
    }

    /// The answer of this number, if it is still kept.
    #[cfg(feature = "mcp")]
    pub(crate) fn answer(&self, number: u64) -> Result<Option<Vec<u8>>, ToolError> {
        let path = ANSWER.path(&self.path, number);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(internal(&path, &error)),
        }
    }

    /// Writes a picture, a sound or another file of an MCP server, and deletes the oldest ones.
    #[cfg(feature = "mcp")]
    pub(crate) fn keep_attached(&self, bytes: &[u8]) -> Result<PathBuf, ToolError> {
        let path = self.next(&ATTACHED)?;
        fs::write(&path, bytes).map_err(|error| internal(&path, &error))?;
        Ok(path)
    }

    fn next(&self, kind: &Kind) -> Result<PathBuf, ToolError> {
        let directory = self.open()?;
        let mut numbers = self.numbers(kind).map_err(|error| internal(&self.path, &error))?;
        numbers.sort_unstable();
        let surplus = (numbers.len() + 1).saturating_sub(ARTIFACT_FILES_MAX);
        for number in numbers.iter().take(surplus) {
            let _ = fs::remove_file(kind.path(&directory, *number));
        }
        let first = numbers.last().map_or(1, |last| last + 1);
        // Two calls of one agent may run at once: the one that creates the file gets the number.
        for number in first..first + ARTIFACT_FILES_MAX as u64 {
            let path = kind.path(&directory, number);
            match fs::File::create_new(&path) {
                Ok(_) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(internal(&path, &error)),
            }
        }
        Err(ToolError::Internal(format!("cannot create a file in {}: no free name", directory.display())))
    }

    /// Records the last command. The file is renamed into place, so a crash leaves the old record or the new one.
    pub(crate) fn record(&self, last: &LastCommand) -> Result<(), ToolError> {
        let directory = self.open()?;
        let write = || -> io::Result<()> {
            let bytes = serde_json::to_vec(last)?;
            let mut file = tempfile::NamedTempFile::new_in(&directory)?;
            io::Write::write_all(&mut file, &bytes)?;
            file.as_file().sync_all()?;
            file.persist(directory.join(LAST))?;
            Ok(())
        };
        write().map_err(|error| internal(&directory, &error))
    }

    /// The last recorded command, or `None`.
    pub(crate) fn last(&self) -> Result<Option<LastCommand>, ToolError> {
        match fs::read(self.path.join(LAST)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| internal(&self.path, &error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(internal(&self.path, &error)),
        }
    }

    fn open(&self) -> Result<PathBuf, ToolError> {
        let directory = fs::create_dir_all(&self.path).and_then(|()| self.path.canonicalize());
        let directory = directory.map_err(|error| internal(&self.path, &error))?;
        if directory.starts_with(&self.workspace) {
            let message = format!(
                "cannot use {} for artifacts: it must not be inside the workspace; use another directory",
                self.path.display()
            );
            return Err(ToolError::Internal(message));
        }
        Ok(directory)
    }

    fn numbers(&self, kind: &Kind) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            numbers.extend(kind.number(&entry?.path()));
        }
        Ok(numbers)
    }
}

impl Kind {
    fn number(&self, path: &Path) -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix(self.0)?.strip_suffix(self.1)?.parse().ok()
    }

    fn path(&self, directory: &Path, number: u64) -> PathBuf {
        let Self(prefix, suffix) = self;
        directory.join(format!("{prefix}{number:06}{suffix}"))
    }
}

fn internal(path: &Path, error: &io::Error) -> ToolError {
    ToolError::Internal(format!("artifacts in {}: {error}", path.display()))
}
