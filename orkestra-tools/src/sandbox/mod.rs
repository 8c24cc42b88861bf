//! Where commands run: the [`Sandbox`] trait with its input and output types. The implementations are in `docker/` and
//! `local/`.
//!
//! Both give the same guarantees, tested by one table (`tests/it/sandbox_table.rs`):
//! - the command and everything that it started is gone when `execute` returns, is dropped, or times out;
//! - its output is streamed line by line and capped; its environment holds nothing of this process's;
//! - it can write in the workspace and in scratch space that is removed with the sandbox.

mod capture;
pub(crate) mod docker;
pub(crate) mod local;
mod owner;
mod pipe;
mod process;

pub use self::pipe::PipedCommand;
pub use self::process::{ProcessStart, ProcessState};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub(crate) use self::owner::Owner;
use crate::egress::HostUse;
use crate::limits::{COMMAND_BYTES_MAX, COMMAND_TIMEOUT_DEFAULT, COMMAND_TIMEOUT_MAX, COPY_BYTES_MAX};
use crate::scope::Observer;
use crate::secrets::Secrets;
use crate::workspace::{Workspace, WorkspaceError, relative};

/// Exit code of a command that was killed at its timeout, as of `timeout(1)`.
pub(crate) const EXIT_TIMED_OUT: i32 = 124;

/// The environment of every command besides PATH, HOME and TMPDIR: for plain, unbuffered output.
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
    /// The sandbox cannot be used on this machine now. The message says what to do.
    #[error("{0}")]
    Unavailable(String),
    /// The command is invalid; nothing was started.
    #[error("the command was not run: {0}")]
    InvalidCommand(String),
    /// There is no such process, or it cannot be started now. Nothing has changed.
    #[error("{0}")]
    Process(String),
    /// The sandbox was lost while the command ran. The outcome is unknown: the command may have had all, some or none of its
    /// effects.
    #[error("the sandbox was lost while the command ran, so its outcome is unknown: {0}")]
    Lost(String),
    /// A file could not be copied.
    #[error("{0}")]
    Copy(#[from] WorkspaceError),
    /// An internal fault of the sandbox; the command was not started.
    #[error("the sandbox failed: {0}")]
    Failed(String),
}

impl SandboxError {
    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Failed(_))
    }
}

/// A command for `sh -c`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command {
    /// The command line, at most [`COMMAND_BYTES_MAX`] bytes.
    pub line: String,
    /// The directory to run it in, relative to the workspace; the workspace itself when `None`.
    pub cwd: Option<String>,
    /// The time after which it is killed with all its descendants, at most [`COMMAND_TIMEOUT_MAX`].
    pub timeout: Duration,
    /// A file on the host, outside the workspace, that receives the whole output (truncated first); `None` for no file.
    pub whole: Option<PathBuf>,
    /// What is masked in its output: in the result, the lines and the file.
    pub secrets: Secrets,
    /// Variables of its environment, beside those that every command has. Every process of the sandbox that runs as the same user
    /// can read them.
    pub environment: BTreeMap<String, String>,
}

impl Command {
    /// A command with the default timeout, in the workspace.
    #[must_use]
    pub fn new(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            cwd: None,
            timeout: COMMAND_TIMEOUT_DEFAULT,
            whole: None,
            secrets: Secrets::default(),
            environment: BTreeMap::new(),
        }
    }

    /// Sets the timeout.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the directory, relative to the workspace.
    #[must_use]
    pub fn with_cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Writes the whole output (up to [`crate::limits::OUTPUT_WHOLE_BYTES_MAX`] bytes) to this file on the host.
    #[must_use]
    pub fn with_whole(mut self, path: impl Into<PathBuf>) -> Self {
        self.whole = Some(path.into());
        self
    }

    /// Masks these secrets in the output. A [`ToolScope`](crate::ToolScope) adds its own to every command.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn with_environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// The effective timeout.
    pub(crate) fn time(&self) -> Duration {
        self.timeout.min(COMMAND_TIMEOUT_MAX)
    }

    /// Checks the command before anything starts; returns the normalised relative directory.
    pub(crate) fn check(&self, workspace: &Workspace) -> Result<PathBuf, SandboxError> {
        let refuse = |reason: String| Err(SandboxError::InvalidCommand(reason));
        if self.line.trim().is_empty() {
            return refuse("it is empty".to_owned());
        }
        if self.line.len() > COMMAND_BYTES_MAX {
            return refuse(format!(
                "it is longer than {COMMAND_BYTES_MAX} bytes; write it to a script file and run that"
            ));
        }
        if self.line.contains('\0') {
            return refuse("it contains a NUL character".to_owned());
        }
        for (name, value) in &self.environment {
            check_variable(name, value).map_err(SandboxError::InvalidCommand)?;
        }
        let cwd = self.cwd.as_deref().unwrap_or(".");
        let clean = relative(cwd).map_err(|error| SandboxError::InvalidCommand(format!("cwd: {error}")))?;
        if !workspace.has_dir(&clean) {
            return refuse(format!("cwd `{cwd}` is not a directory in the workspace"));
        }
        Ok(clean)
    }
}

/// IMPORTANT: a variable must not replace what finds the processes of a command.
fn check_variable(name: &str, value: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = !name.is_empty() && name.bytes().all(is_plain) && !name.as_bytes()[0].is_ascii_digit();
    if !is_name {
        return Err(format!(
            "the name of a variable must be letters, digits and `_`: {:?}",
            name.escape_debug().to_string()
        ));
    }
    if name.starts_with("ORKESTRA_") {
        return Err(format!("the variable {name} is reserved; use another name"));
    }
    if value.contains('\0') || value.len() > COMMAND_BYTES_MAX {
        return Err(format!(
            "the value of {name} contains a NUL character or is longer than {COMMAND_BYTES_MAX} bytes"
        ));
    }
    Ok(())
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// The exit code; 124 on timeout, 128 + n when killed by signal n.
    pub exit_code: i32,
    /// Whether it was killed at its timeout.
    pub timed_out: bool,
    /// stdout and stderr in the order of arrival; the middle of a long output is cut out, which the text says.
    pub output: String,
    /// The file with the whole output, if one was requested.
    pub whole: Option<PathBuf>,
    /// The duration, milliseconds.
    pub duration_ms: u64,
}

/// What a started sandbox confines, in words for an operator. Derived from what is in force, not from what was requested.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Confinement {
    /// What is enforced.
    pub enforced: Vec<String>,
    /// What a reader might expect but is not enforced.
    pub gaps: Vec<String>,
}

impl Confinement {
    /// One line for an operator to read first: what is not enforced. `None` when there are no gaps.
    ///
    /// ```
    /// # let mut confinement = orkestra_tools::Confinement::default();
    /// assert_eq!(confinement.warning(), None);
    /// confinement.gaps = vec!["the network is open".to_owned(), "no Landlock".to_owned()];
    /// assert_eq!(confinement.warning().as_deref(), Some("warning: commands are not fully confined: the network is open; no Landlock"));
    /// ```
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let gaps = self.gaps.join("; ");
        (!gaps.is_empty()).then(|| format!("warning: commands are not fully confined: {gaps}"))
    }
}

/// Runs commands in one workspace. Shared by the agents of a run: commands may run at the same time.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// `docker` or `local`.
    fn kind(&self) -> &'static str;

    /// The workspace that commands see.
    fn workspace(&self) -> &Workspace;

    /// Reports what is confined and what is not.
    fn confinement(&self) -> Confinement;

    /// The hosts that commands have used so far, where the sandbox can count them: for the record of a run.
    fn hosts(&self) -> Vec<HostUse> {
        Vec::new()
    }

    /// Runs a command until it ends, it times out, or the future is dropped. Afterwards nothing of it is running, not even
    /// its background processes. `observer` receives its output line by line while it runs, as
    /// [`Happening::CommandOutput`](crate::Happening::CommandOutput); the result has the output too.
    ///
    /// # Errors
    /// [`SandboxError::InvalidCommand`] and [`SandboxError::Failed`] when the command was not started;
    /// [`SandboxError::Lost`] when its outcome is unknown.
    async fn execute(&self, command: Command, observer: &dyn Observer) -> Result<CommandResult, SandboxError>;

    /// Starts a command that keeps running, such as a dev server, and returns after at most
    /// [`PROCESS_SETTLE`](crate::limits::PROCESS_SETTLE). Later commands reach it through the loopback address. It runs until it
    /// ends, is stopped, or the sandbox is closed or dropped; after a crash of this process nothing of it is left running.
    ///
    /// # Errors
    /// [`SandboxError::InvalidCommand`] for the command; [`SandboxError::Process`] for a name that is in use and for more than
    /// [`PROCESSES_MAX`](crate::limits::PROCESSES_MAX) processes of one owner.
    async fn start_process(&self, start: ProcessStart) -> Result<ProcessState, SandboxError>;

    /// What is known of a process of this owner. The last ones that have ended are known too.
    ///
    /// # Errors
    /// [`SandboxError::Process`] when the owner has no such process.
    async fn read_process(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError>;

    /// Kills a process of this owner with everything that it started, and returns when nothing of it runs any more. Stopping
    /// one that has ended is allowed.
    ///
    /// # Errors
    /// [`SandboxError::Process`] when the owner has no such process; [`SandboxError::Failed`] when it did not end.
    async fn stop_process(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError>;

    /// Starts a command whose standard input and output are streams of the caller: a server that speaks a protocol over them. Its
    /// timeout does not apply, and its output is neither masked nor capped. It runs until it ends, the returned handle is
    /// dropped, or the sandbox is closed or dropped; after a crash of this process nothing of it is left running. A sandbox that
    /// has no such commands answers [`SandboxError::Unavailable`].
    ///
    /// # Errors
    /// [`SandboxError::InvalidCommand`] for the command; [`SandboxError::Process`] when
    /// [`PIPES_MAX`](crate::limits::PIPES_MAX) of them run.
    async fn pipe(&self, command: Command) -> Result<PipedCommand, SandboxError> {
        let _ = command;
        Err(SandboxError::Unavailable(format!("the sandbox `{}` has no piped commands", self.kind())))
    }

    /// Copies a file of the host to a path in the workspace; returns its size in bytes.
    ///
    /// # Errors
    /// [`SandboxError::Copy`] for a path outside the workspace, more than [`COPY_BYTES_MAX`] bytes, or an I/O error.
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

    /// Copies a file of the workspace to a path on the host, replacing an existing file; returns its size in bytes.
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

    /// Kills everything that runs in it and frees its resources; the workspace stays. Closing twice is allowed.
    ///
    /// # Errors
    /// When something could not be removed; `reap` or the next start for the same run will remove it.
    async fn close(&self) -> Result<(), SandboxError>;
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(SandboxError::Failed(error.to_string())))
}

/// A hash of these parts, sixteen hexadecimal digits.
fn hash(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;

    use sha2::Digest as _;

    let mut hasher = sha2::Sha256::new();
    for part in parts {
        // Hash the length too, so that moving a byte from one part to the next changes the result.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
