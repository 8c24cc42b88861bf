//! `read_file`: lines of a text file. `data` is `{path, bytes, first_line, last_line, total_lines, truncated}`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::blocking;
use crate::error::ToolError;
use crate::limits::{READ_BYTES_MAX, READ_LINES_DEFAULT, READ_TEXT_BYTES_MAX};
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::workspace::shown;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Path of the file, relative to the workspace.
    path: String,
    /// Number of the first line to read; the first line of the file is 1.
    #[serde(default = "first")]
    #[schemars(range(min = 1))]
    offset: u64,
    /// Maximum number of lines to read.
    #[serde(default = "most")]
    #[schemars(range(min = 1))]
    limit: u64,
}

fn first() -> u64 {
    1
}

fn most() -> u64 {
    READ_LINES_DEFAULT
}

pub(crate) struct ReadFile;

#[async_trait]
impl TypedTool for ReadFile {
    type Arguments = Arguments;
    const NAME: &'static str = "read_file";
    const DESCRIPTION: &'static str = "Read the contents of a text file in the workspace. A long file is cut, and the answer says at which offset to continue.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let workspace = scope.workspace().clone();
        blocking(move || {
            let bytes = workspace.read(&arguments.path)?;
            page(&arguments, &bytes)
        })
        .await
    }

    fn limits(&self) -> Vec<String> {
        vec![format!("a file has at most {} MiB, an answer {} KiB", READ_BYTES_MAX >> 20, READ_TEXT_BYTES_MAX >> 10)]
    }
}

fn page(arguments: &Arguments, bytes: &[u8]) -> Result<ToolOutput, ToolError> {
    let Arguments { path, offset, limit } = arguments;
    let Some(content) = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) else {
        return Err(ToolError::Refused(format!(
            "`{}` is not a text file ({} bytes); use run_command to look at it, for example with `file` or `xxd | head`",
            shown(path),
            bytes.len()
        )));
    };
    let total = content.lines().count() as u64;
    if *offset > total.max(1) {
        return Err(ToolError::Refused(format!(
            "offset {offset} is past the end of `{}`, which has only {total} lines; give a smaller offset",
            shown(path)
        )));
    }
    let mut text = String::new();
    let mut last = offset - 1;
    let mut cut_line = false;
    let skip = usize::try_from(offset - 1).unwrap_or(usize::MAX);
    for line in content.split_inclusive('\n').skip(skip).take(usize::try_from(*limit).unwrap_or(usize::MAX)) {
        if text.len() + line.len() > READ_TEXT_BYTES_MAX {
            if text.is_empty() {
                // A single line is too long: return its beginning.
                text.push_str(&line[..line.floor_char_boundary(READ_TEXT_BYTES_MAX)]);
                (last, cut_line) = (last + 1, true);
            }
            break;
        }
        text.push_str(line);
        last += 1;
    }
    let truncated = cut_line || last < total || *offset > 1;
    let mut shown = text;
    if bytes.is_empty() {
        shown.push_str("[the file is empty]");
    } else if truncated {
        let next = if last < total { format!("; continue with offset={}", last + 1) } else { String::new() };
        let cut = if cut_line { ", the line cut because it is too long" } else { "" };
        let gap = if shown.ends_with('\n') { "" } else { "\n" };
        shown.push_str(&format!("{gap}[lines {offset} to {last} of {total}{cut}{next}]"));
    }
    let data = json!({
        "path": path, "bytes": bytes.len(), "first_line": offset, "last_line": last, "total_lines": total,
        "truncated": cut_line || last < total,
    });
    Ok(ToolOutput::new(shown, data))
}
