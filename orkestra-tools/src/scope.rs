//! What the tools of one agent may touch, and who is told about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::artifacts::Artifacts;
use crate::sandbox::Sandbox;
use crate::workspace::Workspace;

/// Something a tool did, at the moment it happened. For progress, not for the record: the tool's output is the record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// A file was written.
    FileWritten {
        /// Relative to the workspace.
        path: String,
        /// Its size, bytes.
        bytes: u64,
    },
    /// A command said something.
    CommandOutput {
        /// One line without its newline, at most [`crate::limits::OUTPUT_LINE_BYTES_MAX`] bytes.
        line: String,
        /// Whether it came from the error output.
        stderr: bool,
    },
}

/// Is told what tools do. Called on the path of the work: it should hand over and return.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, happening: Happening);
}

/// An observer that does nothing.
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
}

impl ToolScope {
    /// The scope of one agent. `artifacts` is a directory of its own outside the workspace (created when first needed); the
    /// outputs of its commands are kept there, so `read_test_output` answers after a restart too.
    ///
    /// IMPORTANT: a directory inside the workspace is refused when a command runs: commands could plant symlinks in it and so
    /// make the host write elsewhere.
    #[must_use]
    pub fn new(
        workspace: Workspace,
        sandbox: Arc<dyn Sandbox>,
        artifacts: PathBuf,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let artifacts = Artifacts::new(artifacts, workspace.path().to_owned());
        Self { workspace, sandbox, artifacts, observer }
    }

    /// The files.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Where commands run.
    #[must_use]
    pub fn sandbox(&self) -> &Arc<dyn Sandbox> {
        &self.sandbox
    }

    /// Where the outputs of commands are kept.
    #[must_use]
    pub fn artifacts_path(&self) -> &Path {
        self.artifacts.path()
    }

    /// Who is told.
    #[must_use]
    pub fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    pub(crate) fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }
}
