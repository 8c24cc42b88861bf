//! The built-in tools, one per file.

pub(crate) mod apply_patch;
mod edit_file;
mod glob;
mod grep;
mod list_files;
mod processes;
mod read_file;
mod read_test_output;
mod run_command;
mod write_file;

use std::sync::Arc;

use crate::error::ToolError;
use crate::limits::{LIST_DEPTH_MAX, SEARCH_VISITS_MAX};
use crate::tool::{Tool, typed};
use crate::workspace::{Walked, show_path};

pub(crate) fn builtin() -> Vec<Arc<dyn Tool>> {
    let mut tools = vec![
        typed(write_file::WriteFile),
        typed(read_file::ReadFile),
        typed(edit_file::EditFile),
        typed(apply_patch::ApplyPatch),
        typed(list_files::ListFiles),
        typed(grep::Grep),
        typed(glob::Glob),
        typed(run_command::RunCommand),
        typed(read_test_output::ReadTestOutput),
        typed(processes::StartProcess),
        typed(processes::ReadProcess),
        typed(processes::StopProcess),
    ];
    tools.extend(crate::git::tools());
    tools
}

/// Runs disk I/O off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ToolError::Internal(error.to_string())))
}

/// What a walk could not look at, for the end of an answer.
fn walk_notes(walked: &Walked) -> Vec<String> {
    let mut notes = Vec::new();
    if walked.truncated {
        notes.push(format!(
            "more than {SEARCH_VISITS_MAX} entries, or deeper than {LIST_DEPTH_MAX} directories: not everything was looked at; give a path"
        ));
    }
    if let Some(first) = walked.unreadable.first() {
        notes.push(format!("{} directories cannot be read, such as {}", walked.unreadable.len(), show_path(first)));
    }
    notes
}

fn walk_limits() -> String {
    format!("visits at most {SEARCH_VISITS_MAX} directory entries, {LIST_DEPTH_MAX} directories deep")
}
