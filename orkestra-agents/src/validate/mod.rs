//! Validators: what says whether an agent's work holds, instead of the agent.
//!
//! ```text
//! files in the workspace --plan--> checks --commands in the sandbox--> exit code, output, JUnit file --verdict--> Verdict
//! ```
//! A validator never trusts what an agent says, and never a report that was there before its command ran.

mod code;
mod debug_info;
mod junit;
mod plan;
mod tests_run;
mod verdict;
mod wanted;

use async_trait::async_trait;
use orkestra_tools::{SandboxError, ToolScope, WorkspaceError};

pub use code::CodeValidator;
pub use debug_info::{DebugInfo, ErrorType};
pub use verdict::Verdict;
pub(crate) use wanted::named_files;

/// The work that is judged.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// Its workspace, the sandbox for commands, and the observer of their output.
    pub scope: &'a ToolScope,
    /// The files that the agent wrote, in all its attempts of this run.
    pub written: &'a [String],
    /// Files that must be there when this work is done: those that the objective names, for the agent that comes last.
    pub wanted: &'a [String],
    /// The attempt that is judged.
    pub attempt: u32,
}

impl Work<'_> {
    /// Refuses the work: the next attempt reads which command or check failed and what it wrote.
    #[must_use]
    pub fn refused(self, error_type: ErrorType, command: impl Into<String>, output: impl Into<String>) -> Verdict {
        Verdict::Failed(DebugInfo {
            error_type,
            failed_command: command.into(),
            full_output: output.into(),
            failed_tests: Vec::new(),
            attempt: self.attempt,
        })
    }
}

/// Why a validator came to no verdict. The work may be good or bad: the attempt fails and is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidateError {
    /// No command could be run.
    #[error("the validator could not run its command: {0}")]
    Sandbox(#[from] SandboxError),
    /// The workspace could not be read.
    #[error("the validator could not use the workspace: {0}")]
    Workspace(#[from] WorkspaceError),
    /// A fault of ours or of the host.
    #[error("the validator failed: {0}")]
    Internal(String),
}

/// Judges an agent's work.
#[async_trait]
pub trait Validator: Send + Sync {
    /// What it checks, for the prompt of the agent: the words after "a validator checks your work: it". Empty says nothing.
    fn checks(&self) -> &str {
        ""
    }

    /// Judges. It may be asked again about the same work: after a crash the verdict was not kept.
    ///
    /// # Errors
    /// [`ValidateError`] when it comes to no verdict.
    async fn validate(&self, work: Work<'_>) -> Result<Verdict, ValidateError>;
}

/// Every file in the workspace that is not ours.
async fn files(scope: &ToolScope) -> Result<Vec<String>, ValidateError> {
    let workspace = scope.workspace().clone();
    let listing = blocking(move || Ok(workspace.list()?)).await?;
    let paths = listing.files.into_iter().map(|entry| entry.path);
    Ok(paths.filter(|path| !path.starts_with(tests_run::FOLDER)).collect())
}

/// Runs what blocks on the disk where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ValidateError> + Send + 'static,
) -> Result<T, ValidateError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ValidateError::Internal(error.to_string())))
}
