//! `write_file`: writes a whole file. `data` is `{path, bytes}`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::blocking;
use crate::error::ToolError;
use crate::limits::WRITE_BYTES_MAX;
use crate::scope::{Happening, ToolScope};
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::workspace::{escaped, shown};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Path of the file, relative to the workspace. Directories are created.
    path: String,
    /// The whole content of the file.
    content: String,
}

pub(crate) struct WriteFile;

#[async_trait]
impl TypedTool for WriteFile {
    type Arguments = Arguments;
    const NAME: &'static str = "write_file";
    const DESCRIPTION: &'static str = "Write content to a file in the workspace, replacing the file if it exists. Give the whole content, at most 2 MiB.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let Arguments { path, content } = arguments;
        let workspace = scope.workspace().clone();
        let (path, bytes) = blocking(move || {
            let bytes = workspace.write(&path, content.as_bytes())?;
            Ok((path, bytes))
        })
        .await?;
        scope.observer().observe(Happening::FileWritten { path: escaped(&path), bytes });
        let text = format!("Wrote {bytes} bytes to {}.", shown(&path));
        Ok(ToolOutput::new(text, json!({ "path": path, "bytes": bytes })))
    }

    fn limits(&self) -> Vec<String> {
        vec![format!("a file has at most {} MiB", WRITE_BYTES_MAX >> 20)]
    }
}
