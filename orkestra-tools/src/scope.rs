//! What the tools of one agent may access, and the observer of what they do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::artifacts::Artifacts;
use crate::sandbox::Sandbox;
use crate::secrets::{MaskedObserver, MaskedSandbox, Secrets};
use crate::workspace::Workspace;

/// Something that a tool did, reported when it happens. For showing progress only: the tool's output is the record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// A file was written.
    FileWritten {
        /// Its path, relative to the workspace.
        path: String,
        /// Its size, bytes.
        bytes: u64,
    },
    /// A command printed a line. Reported at most [`crate::limits::STREAM_LINES_MAX`] times per command, and once more to say
    /// that the rest is not streamed.
    CommandOutput {
        /// The line without its newline. A line longer than [`crate::limits::OUTPUT_LINE_BYTES_MAX`] bytes is split.
        line: String,
        /// Whether it was printed to stderr.
        stderr: bool,
    },
}

/// Observes what tools and commands do. Called inline while a tool or a command works, so it should return quickly.
pub trait Observer: Send + Sync {
    /// Called for each thing that happened.
    fn observe(&self, happening: Happening);
}

/// An observer that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: Happening) {}
}

/// Workspace, sandbox, artifacts and observer of one agent. Cheap to clone.
#[derive(Clone)]
pub struct ToolScope {
    workspace: Workspace,
    sandbox: Arc<dyn Sandbox>,
    artifacts: Artifacts,
    observer: Arc<dyn Observer>,
    secrets: Secrets,
}

impl ToolScope {
    /// The scope of one agent. `artifacts` is a directory of the agent's own outside the workspace (created when first
    /// needed). The outputs of its commands are kept there, so that `read_test_output` works after a restart too.
    ///
    /// IMPORTANT: a directory inside the workspace is refused when a command runs, because commands could plant symlinks in it
    /// and make the host write elsewhere.
    #[must_use]
    pub fn new(
        workspace: Workspace,
        sandbox: Arc<dyn Sandbox>,
        artifacts: PathBuf,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let artifacts = Artifacts::new(artifacts, workspace.path().to_owned());
        // What tools write counts against the sandbox's limit on the disk.
        let own = sandbox.workspace();
        let workspace = if own.path() == workspace.path() { own.clone() } else { workspace };
        Self { workspace, sandbox, artifacts, observer, secrets: Secrets::default() }
    }

    /// Masks these secrets in everything that comes out of the scope: outputs of commands, happenings, artifacts, results and
    /// errors. Files in the workspace are not changed.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        if !secrets.is_empty() {
            self.sandbox = Arc::new(MaskedSandbox { inner: self.sandbox, secrets: secrets.clone() });
            self.observer = Arc::new(MaskedObserver { inner: self.observer, secrets: secrets.clone() });
            self.secrets = secrets;
        }
        self
    }

    /// The secrets that are masked.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The workspace with the files.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The sandbox that runs commands.
    #[must_use]
    pub fn sandbox(&self) -> &Arc<dyn Sandbox> {
        &self.sandbox
    }

    /// The directory with the outputs of commands.
    #[must_use]
    pub fn artifacts_path(&self) -> &Path {
        self.artifacts.path()
    }

    /// The observer.
    #[must_use]
    pub fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    pub(crate) fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }
}
