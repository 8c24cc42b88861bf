//! `list_files`: the files of the workspace. `data` is a [`crate::Listing`].

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::blocking;
use crate::error::ToolError;
use crate::limits::{LIST_DEPTH_MAX, LIST_FILES_MAX, LIST_VISITS_MAX};
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

pub(crate) struct ListFiles;

#[async_trait]
impl TypedTool for ListFiles {
    type Arguments = Arguments;
    const NAME: &'static str = "list_files";
    const DESCRIPTION: &'static str = "List all files in the workspace with their sizes in bytes. Files ignored by .gitignore, and \
        directories such as .git and node_modules, are left out.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, _: Arguments) -> Result<ToolOutput, ToolError> {
        let workspace = scope.workspace().clone();
        let listing = blocking(move || Ok(workspace.list()?)).await?;
        let mut lines: Vec<String> =
            listing.files.iter().map(|file| format!("{} ({})", file.path, file.bytes)).collect();
        if lines.is_empty() {
            lines.push("The workspace has no files.".to_owned());
        }
        if !listing.unreadable.is_empty() {
            let first: Vec<&str> = listing.unreadable.iter().take(5).map(String::as_str).collect();
            let count = listing.unreadable.len();
            lines.push(format!("[{count} directories cannot be read, such as {}]", first.join(", ")));
        }
        if listing.truncated {
            lines.push("[there are more files; use glob with a pattern or a path to look further]".to_owned());
        }
        let data = serde_json::to_value(&listing).map_err(|error| ToolError::Internal(error.to_string()))?;
        Ok(ToolOutput::new(lines.join("\n"), data))
    }

    fn limits(&self) -> Vec<String> {
        vec![
            format!("lists at most {LIST_FILES_MAX} files"),
            format!("visits at most {LIST_VISITS_MAX} directory entries, {LIST_DEPTH_MAX} directories deep"),
        ]
    }
}
