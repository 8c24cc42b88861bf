//! The built-in tools, one per file.

mod edit_file;
mod list_files;
mod processes;
mod read_file;
mod read_test_output;
mod run_command;
mod write_file;

use std::sync::Arc;

use crate::error::ToolError;
use crate::tool::{Tool, typed};

pub(crate) fn builtin() -> Vec<Arc<dyn Tool>> {
    vec![
        typed(write_file::WriteFile),
        typed(read_file::ReadFile),
        typed(edit_file::EditFile),
        typed(list_files::ListFiles),
        typed(run_command::RunCommand),
        typed(read_test_output::ReadTestOutput),
        typed(processes::StartProcess),
        typed(processes::ReadProcess),
        typed(processes::StopProcess),
    ]
}

/// Runs disk I/O off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ToolError::Internal(error.to_string())))
}
