//! `apply_patch`: changes several files at once, or none. `data` is `{files: [{path, change, from, bytes, added, removed}]}`;
//! `change` is `A`, `M`, `D`, `R` or `C`, as git shows it.
//!
//! ```text
//! text -> form::parse (unified | envelope) -> plan (all files in memory, place: where each hunk goes) -> Workspace::change_all
//! ```

mod envelope;
mod form;
mod place;
mod plan;
#[cfg(test)]
mod tests;
mod unified;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use self::form::{Action, FilePatch};
use self::plan::Done;
use super::blocking;
use crate::error::ToolError;
use crate::limits::{PATCH_BYTES_MAX, PATCH_FILES_MAX, WRITE_BYTES_MAX};
use crate::scope::{Happening, ToolScope};
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::workspace::{escaped, shown};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The patch: a unified diff as git writes it, or the form between `*** Begin Patch` and `*** End Patch`. Paths are relative to
    /// the workspace. Give each hunk enough unchanged lines that it fits in one place only.
    #[schemars(length(min = 1))]
    patch: String,
}

pub(crate) struct ApplyPatch;

/// The files that a patch reads or writes, as it names them; nothing of a patch that would be refused.
pub(crate) fn paths(patch: &str) -> Vec<String> {
    let both = |file: FilePatch| match file.action {
        Action::Rename(from) | Action::Copy(from) => vec![file.path, from],
        Action::Add | Action::Delete | Action::Update => vec![file.path],
    };
    form::parse(patch).unwrap_or_default().into_iter().flat_map(both).collect()
}

#[async_trait]
impl TypedTool for ApplyPatch {
    type Arguments = Arguments;
    const NAME: &'static str = "apply_patch";
    const DESCRIPTION: &'static str = "Apply a patch to files in the workspace: it can change, create, delete and rename several files. If \
        one part does not apply, nothing is changed.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let workspace = scope.workspace().clone();
        let done = blocking(move || {
            let patches = form::parse(&arguments.patch).map_err(ToolError::Refused)?;
            let (changes, done) = plan::plan(&workspace, &patches)?;
            workspace.change_all(&changes)?;
            Ok(done)
        })
        .await?;
        for file in &done {
            if let Some(bytes) = file.bytes {
                scope.observer().observe(Happening::FileWritten { path: escaped(&file.path), bytes });
            }
        }
        let lines: Vec<String> = done.iter().map(describe).collect();
        let files: Vec<_> = done
            .iter()
            .map(|file| {
                json!({
                    "path": escaped(&file.path), "change": file.mark, "from": file.from.as_deref().map(escaped),
                    "bytes": file.bytes, "added": file.added, "removed": file.removed,
                })
            })
            .collect();
        let text = format!("Applied the patch to {} file(s):\n{}", done.len(), lines.join("\n"));
        Ok(ToolOutput::new(text, json!({ "files": files })))
    }

    fn limits(&self) -> Vec<String> {
        vec![format!(
            "at most {PATCH_FILES_MAX} files of {} MiB each after the change, {} MiB in all before it",
            WRITE_BYTES_MAX >> 20,
            PATCH_BYTES_MAX >> 20
        )]
    }
}

fn describe(file: &Done) -> String {
    let from = file.from.as_ref().map(|from| format!("{} -> ", shown(from))).unwrap_or_default();
    format!("{} {from}{} (+{} -{})", file.mark, shown(&file.path), file.added, file.removed)
}
