//! The errors of tools. Messages are written for a language model: they say what was wrong with the call and what to do
//! instead. The type says whether the *model* or the *operator* can act on it.

use crate::sandbox::SandboxError;
use crate::workspace::WorkspaceError;

/// Why a tool call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// The set has no such tool.
    #[error("there is no tool named `{name}`; the tools are: {known}")]
    UnknownTool {
        /// The requested name.
        name: String,
        /// The names of the tools in the set, separated by commas.
        known: String,
    },
    /// The arguments do not match the tool's schema. The tool was not called, so nothing has changed.
    #[error("{message}")]
    InvalidArguments {
        /// The tool.
        tool: String,
        /// What is wrong and what is expected, to show to the model as it is.
        message: String,
    },
    /// The tool refused; the message says why and what to try. Nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// The tool was called and failed, did a part of its work, or how it ended is not known: it may have changed something. The
    /// message says which, and what to do.
    #[error("{0}")]
    Failed(String),
    /// The workspace refused a path or a size, or an I/O error occurred.
    #[error("{0}")]
    Workspace(#[from] WorkspaceError),
    /// The sandbox failed. A command that exits with an error is a result, not this.
    #[error("{0}")]
    Sandbox(#[from] SandboxError),
    /// A fault of the host or of this library.
    #[error("the tool failed for a reason outside the workspace: {0}")]
    Internal(String),
}

impl ToolError {
    /// Whether the model can act on it: then show it the message and continue. Otherwise the attempt should fail, because
    /// every further call would hit the same fault.
    #[must_use]
    pub fn is_for_model(&self) -> bool {
        match self {
            Self::UnknownTool { .. } | Self::InvalidArguments { .. } | Self::Refused(_) | Self::Failed(_) => true,
            Self::Workspace(error) => error.is_for_model(),
            Self::Sandbox(error) => matches!(error, SandboxError::InvalidCommand(_) | SandboxError::Process(_)),
            Self::Internal(_) => false,
        }
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Sandbox(error) => error.is_retryable(),
            Self::Workspace(WorkspaceError::Io { .. }) => true,
            _ => false,
        }
    }
}
