//! Where commands run. The trait, what goes in and what comes out; the implementations are in `docker/` and `local/`.
//!
//! Both keep the same promises, tested by one table (`tests/it/sandbox_table.rs`):
//! - the command and everything it started is gone when `execute` returns, is dropped, or times out;
//! - its output is streamed line by line and capped; its environment holds nothing of ours;
//! - it can write in the workspace and in scratch space that goes away with the sandbox.

mod capture;
pub(crate) mod docker;
pub(crate) mod local;
mod owner;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::limits::{COMMAND_BYTES_MAX, COMMAND_TIMEOUT_DEFAULT, COMMAND_TIMEOUT_MAX, COPY_BYTES_MAX};
use crate::workspace::{Workspace, WorkspaceError, relative};

/// Exit code of a command that was killed because its time was up, as `timeout(1)` has it.
pub(crate) const EXIT_TIMED_OUT: i32 = 124;

/// What every command finds in its environment beside PATH, HOME and TMPDIR: plain unbuffered output, and nothing of ours.
pub(crate) const ENVIRONMENT: [(&str, &str); 5] = [
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
    ("NO_COLOR", "1"),
    ("PYTHONUNBUFFERED", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
];

/// Why a sandbox did not run a command. A command that ran and failed is a [`CommandResult`], never this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The sandbox cannot be used on this machine now. The message is one sentence that says what to do.
    #[error("{0}")]
    Unavailable(String),
    /// The command itself cannot be run as given; nothing was started.
    #[error("the command was not run: {0}")]
    InvalidCommand(String),
    /// The sandbox went away while the command ran. *Unknown*: the command may have had all, some or none of its effects.
    #[error("the sandbox was lost while the command ran, so its outcome is unknown: {0}")]
    Lost(String),
    /// A file could not be copied.
    #[error("{0}")]
    Copy(#[from] WorkspaceError),
    /// A fault of the sandbox's machinery; the command was not started.
    #[error("the sandbox failed: {0}")]
    Failed(String),
}

impl SandboxError {
    /// Whether trying again later may help without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Failed(_))
    }
}

/// A command for `sh -c`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command {
    /// The line, at most [`COMMAND_BYTES_MAX`] bytes.
    pub line: String,
    /// Directory relative to the workspace; the workspace itself when `None`.
    pub cwd: Option<String>,
    /// Time after which it is killed with all its descendants; capped at [`COMMAND_TIMEOUT_MAX`].
    pub timeout: Duration,
    /// File of the host that gets the whole output (truncated first), outside the workspace; nowhere when `None`.
    pub whole: Option<PathBuf>,
}

impl Command {
    /// A command with the default timeout, in the workspace.
    #[must_use]
    pub fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), cwd: None, timeout: COMMAND_TIMEOUT_DEFAULT, whole: None }
    }

    /// Another timeout.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Another directory, relative to the workspace.
    #[must_use]
    pub fn with_cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Keeps the whole output (up to [`crate::limits::OUTPUT_WHOLE_BYTES_MAX`]) in this file of the host.
    #[must_use]
    pub fn with_whole(mut self, path: impl Into<PathBuf>) -> Self {
        self.whole = Some(path.into());
        self
    }

    /// The timeout after the cap.
    pub(crate) fn time(&self) -> Duration {
        self.timeout.min(COMMAND_TIMEOUT_MAX)
    }

    /// Checks what can be checked before anything starts; returns the clean relative directory.
    pub(crate) fn check(&self, workspace: &Workspace) -> Result<PathBuf, SandboxError> {
        let refuse = |reason: String| Err(SandboxError::InvalidCommand(reason));
        if self.line.trim().is_empty() {
            return refuse("the command is empty".to_owned());
        }
        if self.line.len() > COMMAND_BYTES_MAX {
            return refuse(format!(
                "it is longer than {COMMAND_BYTES_MAX} bytes; write it to a script file and run that"
            ));
        }
        if self.line.contains('\0') {
            return refuse("it contains a NUL character".to_owned());
        }
        let cwd = self.cwd.as_deref().unwrap_or(".");
        let clean = relative(cwd).map_err(|error| SandboxError::InvalidCommand(format!("cwd: {error}")))?;
        if !workspace.has_dir(&clean) {
            return refuse(format!("cwd `{cwd}` is not a directory in the workspace"));
        }
        Ok(clean)
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// Exit code; 124 on time-out, 128 + n when signal n ended it.
    pub exit_code: i32,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
    /// Both outputs in the order they arrived, the middle cut out when long (the text says so).
    pub output: String,
    /// File with the whole output, when one was asked for.
    pub whole: Option<PathBuf>,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
}

/// Gets a command's output while it runs.
pub trait OutputSink: Send + Sync {
    /// One line without its newline; a line longer than [`crate::limits::OUTPUT_LINE_BYTES_MAX`] comes in pieces. Called at
    /// most [`crate::limits::STREAM_LINES_MAX`] times per command and once more to say that the rest is not streamed.
    fn line(&self, line: &str, stderr: bool);
}

/// A sink that drops everything; the result still has the output.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiscardOutput;

impl OutputSink for DiscardOutput {
    fn line(&self, _: &str, _: bool) {}
}

/// What a started sandbox confines, in words for an operator. Derived from what is in force, not from what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Confinement {
    /// What is enforced.
    pub enforced: Vec<String>,
    /// What a reader might expect and does not get here.
    pub gaps: Vec<String>,
}

/// A place where commands run, with one workspace. Shared by the agents of a run: commands may run at the same time.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// `docker` or `local`.
    fn kind(&self) -> &'static str;

    /// The workspace that commands see.
    fn workspace(&self) -> &Workspace;

    /// What is confined and what is not.
    fn confinement(&self) -> Confinement;

    /// Runs a command to its end, its time-out or until the future is dropped; afterwards nothing of it is running, not
    /// even what it put in the background.
    ///
    /// # Errors
    /// [`SandboxError::InvalidCommand`] before anything started; [`SandboxError::Lost`] when the outcome is unknown.
    async fn execute(&self, command: Command, sink: &dyn OutputSink) -> Result<CommandResult, SandboxError>;

    /// Copies a file of the host to a path in the workspace; returns its size, bytes.
    ///
    /// # Errors
    /// [`SandboxError::Copy`] for a path outside or more than [`COPY_BYTES_MAX`] bytes.
    async fn copy_in(&self, host: &Path, path: &str) -> Result<u64, SandboxError> {
        let (workspace, host, path) = (self.workspace().clone(), host.to_owned(), path.to_owned());
        blocking(move || {
            let io = |source| WorkspaceError::Io { path: host.display().to_string(), source };
            let bytes = std::fs::metadata(&host).map_err(io)?.len();
            if bytes > COPY_BYTES_MAX {
                return Err(WorkspaceError::TooLarge {
                    path: host.display().to_string(),
                    bytes,
                    limit: COPY_BYTES_MAX,
                }
                .into());
            }
            let content = std::fs::read(&host).map_err(io)?;
            Ok(workspace.write_capped(&path, &content, COPY_BYTES_MAX)?)
        })
        .await
    }

    /// Copies a file of the workspace to a path of the host, replacing what is there; returns its size, bytes.
    ///
    /// # Errors
    /// As [`Self::copy_in`].
    async fn copy_out(&self, path: &str, host: &Path) -> Result<u64, SandboxError> {
        let (workspace, host, path) = (self.workspace().clone(), host.to_owned(), path.to_owned());
        blocking(move || {
            let content = workspace.read_capped(&path, COPY_BYTES_MAX)?;
            let io = |source| WorkspaceError::Io { path: host.display().to_string(), source };
            std::fs::write(&host, &content).map_err(io)?;
            Ok(content.len() as u64)
        })
        .await
    }

    /// Ends everything that runs in it and gives back what it holds; the workspace stays. Closing twice is fine.
    ///
    /// # Errors
    /// When something could not be removed; it will be, by `reap` or by the next start for the same run.
    async fn close(&self) -> Result<(), SandboxError>;
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(SandboxError::Failed(error.to_string())))
}

/// Sixteen hexadecimal digits that stand for these parts.
fn hash(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;

    use sha2::Digest as _;

    let mut hasher = sha2::Sha256::new();
    for part in parts {
        // The length goes in too, so that moving a byte from one part to the next changes the result.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
