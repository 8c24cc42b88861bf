//! Validators: they judge an agent's work, so that its own word does not count.
//!
//! ```text
//! files in the workspace --plan--> checks --commands in the sandbox--> exit code, output, JUnit file --verdict--> Verdict
//! ```
//! A validator never trusts what an agent says, and never a report that existed before its command ran.

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

/// The work to judge.
#[derive(Clone, Copy)]
pub struct Submission<'a> {
    /// Its workspace, the sandbox for commands, and the observer of their output.
    pub scope: &'a ToolScope,
    /// The files that the agent wrote, in all its attempts of this run.
    pub written: &'a [String],
    /// The files that must exist when the work is done: [`Brief::wanted`](crate::Brief::wanted).
    pub wanted: &'a [String],
    /// The attempt to judge.
    pub attempt: u32,
}

impl Submission<'_> {
    /// Refuses the work: the next attempt reads which command failed and what it wrote.
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

/// Why a validator has no verdict. The attempt fails and is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidateError {
    /// A command could not be run.
    #[error("the validator cannot run its command: {0}")]
    Sandbox(#[from] SandboxError),
    /// The workspace could not be read.
    #[error("the validator cannot use the workspace: {0}")]
    Workspace(#[from] WorkspaceError),
    /// An internal error.
    #[error("the validator failed: {0}")]
    Internal(String),
}

/// Judges an agent's work.
#[async_trait]
pub trait Validator: Send + Sync {
    /// What it checks, for the agent's prompt: it completes the sentence "a validator checks your work: it …". Empty adds
    /// nothing.
    fn checks(&self) -> &str {
        ""
    }

    /// Judges the work. It is called again about the same work when a crash lost the verdict.
    ///
    /// # Errors
    /// [`ValidateError`] when it has no verdict.
    async fn validate(&self, work: Submission<'_>) -> Result<Verdict, ValidateError>;
}

/// Every file in the workspace, except those of validators.
async fn files(scope: &ToolScope) -> Result<Vec<String>, ValidateError> {
    let workspace = scope.workspace().clone();
    let listing = blocking(move || Ok(workspace.list()?)).await?;
    let paths = listing.files.into_iter().map(|entry| entry.path);
    Ok(paths.filter(|path| !path.starts_with(tests_run::FOLDER)).collect())
}

/// Runs blocking work on a thread where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ValidateError> + Send + 'static,
) -> Result<T, ValidateError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ValidateError::Internal(error.to_string())))
}
