//! A sandbox and an observer that let no secret out. [`ToolScope::with_secrets`](crate::ToolScope::with_secrets) puts them
//! around those of the embedder, so tools and validators cannot go past them.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::Secrets;
use crate::egress::HostUse;
use crate::error::ToolError;
use crate::sandbox::{
    Command, CommandResult, Confinement, PipedCommand, ProcessStart, ProcessState, Sandbox, SandboxError,
};
use crate::scope::{Happening, Observer};
use crate::tool::ToolOutput;
use crate::workspace::Workspace;

/// Masks what an observer is told.
pub(crate) struct MaskedObserver {
    pub(crate) inner: Arc<dyn Observer>,
    pub(crate) secrets: Secrets,
}

impl Observer for MaskedObserver {
    fn observe(&self, happening: Happening) {
        self.inner.observe(self.secrets.happening(happening));
    }
}

/// Gives the secrets to each command, so that its output is masked before it is split into lines, and masks errors.
pub(crate) struct MaskedSandbox {
    pub(crate) inner: Arc<dyn Sandbox>,
    pub(crate) secrets: Secrets,
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a method with a default would lose what the inner sandbox does")]
impl Sandbox for MaskedSandbox {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn workspace(&self) -> &Workspace {
        self.inner.workspace()
    }

    fn confinement(&self) -> Confinement {
        self.inner.confinement()
    }

    async fn execute(&self, command: Command, observer: &dyn Observer) -> Result<CommandResult, SandboxError> {
        let result = self.inner.execute(command.with_secrets(self.secrets.clone()), observer).await;
        result.map_err(|error| self.secrets.sandbox_error(error))
    }

    fn hosts(&self) -> Vec<HostUse> {
        self.inner.hosts()
    }

    async fn start_process(&self, start: ProcessStart) -> Result<ProcessState, SandboxError> {
        self.state(self.inner.start_process(start.with_secrets(self.secrets.clone())).await)
    }

    async fn read_process(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError> {
        self.state(self.inner.read_process(owner, id).await)
    }

    async fn stop_process(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError> {
        self.state(self.inner.stop_process(owner, id).await)
    }

    async fn pipe(&self, command: Command) -> Result<PipedCommand, SandboxError> {
        let command = command.with_secrets(self.secrets.clone());
        self.inner.pipe(command).await.map_err(|error| self.secrets.sandbox_error(error))
    }

    async fn copy_in(&self, host: &Path, path: &str) -> Result<u64, SandboxError> {
        self.inner.copy_in(host, path).await.map_err(|error| self.secrets.sandbox_error(error))
    }

    async fn copy_out(&self, path: &str, host: &Path) -> Result<u64, SandboxError> {
        self.inner.copy_out(path, host).await.map_err(|error| self.secrets.sandbox_error(error))
    }

    async fn close(&self) -> Result<(), SandboxError> {
        self.inner.close().await.map_err(|error| self.secrets.sandbox_error(error))
    }
}

impl MaskedSandbox {
    fn state(&self, state: Result<ProcessState, SandboxError>) -> Result<ProcessState, SandboxError> {
        let mask = |text: String| self.secrets.masked(text);
        match state {
            Ok(state) => Ok(ProcessState {
                id: mask(state.id),
                line: mask(state.line),
                lost: state.lost.map(mask),
                output: mask(state.output),
                ..state
            }),
            Err(error) => Err(self.secrets.sandbox_error(error)),
        }
    }
}

impl Secrets {
    /// IMPORTANT: no `_` here; a new happening must be masked too.
    fn happening(&self, happening: Happening) -> Happening {
        match happening {
            Happening::FileWritten { path, bytes } => Happening::FileWritten { path: self.masked(path), bytes },
            Happening::CommandOutput { line, stderr } => Happening::CommandOutput { line: self.masked(line), stderr },
        }
    }

    fn sandbox_error(&self, error: SandboxError) -> SandboxError {
        match error {
            SandboxError::Unavailable(text) => SandboxError::Unavailable(self.masked(text)),
            SandboxError::InvalidCommand(text) => SandboxError::InvalidCommand(self.masked(text)),
            SandboxError::Lost(text) => SandboxError::Lost(self.masked(text)),
            SandboxError::Failed(text) => SandboxError::Failed(self.masked(text)),
            SandboxError::Process(text) => SandboxError::Process(self.masked(text)),
            SandboxError::Copy(error) => match self.rewritten(&error) {
                // The kind is kept: both are for the model, or neither.
                Some(text) if error.is_for_model() => SandboxError::InvalidCommand(text),
                Some(text) => SandboxError::Failed(text),
                None => SandboxError::Copy(error),
            },
        }
    }

    pub(crate) fn tool_error(&self, error: ToolError) -> ToolError {
        match error {
            ToolError::UnknownTool { name, known } => {
                ToolError::UnknownTool { name: self.masked(name), known: self.masked(known) }
            }
            ToolError::InvalidArguments { tool, message } => {
                ToolError::InvalidArguments { tool: self.masked(tool), message: self.masked(message) }
            }
            ToolError::Refused(text) => ToolError::Refused(self.masked(text)),
            ToolError::Incomplete(text) => ToolError::Incomplete(self.masked(text)),
            ToolError::Internal(text) => ToolError::Internal(self.masked(text)),
            ToolError::Sandbox(error) => ToolError::Sandbox(self.sandbox_error(error)),
            ToolError::Workspace(error) => match self.rewritten(&error) {
                Some(text) if error.is_for_model() => ToolError::Refused(text),
                Some(text) => ToolError::Internal(text),
                None => ToolError::Workspace(error),
            },
        }
    }

    pub(crate) fn output(&self, mut output: ToolOutput) -> ToolOutput {
        output.text = self.masked(output.text);
        self.mask_json(&mut output.data);
        output
    }

    /// The masked text of an error, if it has a secret.
    fn rewritten(&self, error: &crate::WorkspaceError) -> Option<String> {
        let text = error.to_string();
        match self.mask(&text) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(masked) => Some(masked),
        }
    }
}
