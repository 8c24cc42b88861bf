//! What tools answer when they cannot do what was asked. Messages are written for a language model: they name what was
//! wrong with the call and what to do instead. Whether the *model* or the *operator* can act is in the type.

use crate::sandbox::SandboxError;
use crate::workspace::WorkspaceError;

/// Why a tool call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// No such tool in this set.
    #[error("there is no tool named `{name}`; the tools are: {known}")]
    UnknownTool {
        /// What was asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// The arguments do not fit the tool's schema. The tool was not called, so nothing has happened.
    #[error("{message}")]
    InvalidArguments {
        /// The tool.
        tool: String,
        /// What is wrong and what is expected; to be shown to the model as it is.
        message: String,
    },
    /// The tool could not do this, and the message says why and what to try. Nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// The workspace refused a path or a size, or the disk failed.
    #[error("{0}")]
    Workspace(#[from] WorkspaceError),
    /// The sandbox failed; a command that merely exits with an error is not this, but a result.
    #[error("{0}")]
    Sandbox(#[from] SandboxError),
    /// A fault of the host or of this library.
    #[error("the tool failed for a reason outside the workspace: {0}")]
    Internal(String),
}

impl ToolError {
    /// Whether the model can do something about it: show it the message and let it go on. Otherwise the attempt should
    /// fail, because every further call would meet the same fault.
    #[must_use]
    pub fn is_for_model(&self) -> bool {
        match self {
            Self::UnknownTool { .. } | Self::InvalidArguments { .. } | Self::Refused(_) => true,
            Self::Workspace(error) => error.is_for_model(),
            Self::Sandbox(error) => matches!(error, SandboxError::InvalidCommand(_)),
            Self::Internal(_) => false,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Sandbox(error) => error.is_retryable(),
            Self::Workspace(WorkspaceError::Io { .. }) => true,
            _ => false,
        }
    }
}
