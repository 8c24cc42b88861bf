//! `glob`: the files whose paths match a pattern. `data` is `{files: [{path, bytes}], truncated}`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::blocking;
use super::grep::Glob as Pattern;
use crate::error::ToolError;
use crate::limits::GLOB_FILES_MAX;
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::workspace::{Found, show_path, shown};

/// The order of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Sort {
    #[default]
    Modified,
    Name,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The pattern. Without a slash it is matched against names, such as `*.py`; with one against paths from the top of the
    /// workspace, or from `path`, such as `src/**/*.{js,ts}`.
    #[schemars(length(min = 1))]
    pattern: String,
    /// Directory to look in, relative to the workspace.
    #[serde(default = "top")]
    path: String,
    /// `modified` lists the files that were changed last first, `name` lists them in the order of their names.
    #[serde(default)]
    sort: Sort,
}

fn top() -> String {
    ".".to_owned()
}

pub(crate) struct Glob;

#[async_trait]
impl TypedTool for Glob {
    type Arguments = Arguments;
    const NAME: &'static str = "glob";
    const DESCRIPTION: &'static str = "Find files in the workspace by a pattern for their names, with sizes in bytes. Files ignored by \
        .gitignore are left out.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let workspace = scope.workspace().clone();
        blocking(move || {
            let pattern = Pattern::new(&arguments.pattern).map_err(ToolError::Refused)?;
            let walked = workspace.walk(&arguments.path)?;
            let mut found = workspace.find(&walked, |path| pattern.selects(&walked.start, path));
            if arguments.sort == Sort::Modified {
                found
                    .sort_by(|left, right| right.modified.cmp(&left.modified).then_with(|| left.path.cmp(&right.path)));
            }
            let mut notes = super::walk_notes(&walked);
            if found.len() > GLOB_FILES_MAX {
                notes.insert(
                    0,
                    format!("{} of {} files; use a narrower pattern or a path", GLOB_FILES_MAX, found.len()),
                );
            }
            Ok(answer(&arguments, &found, &notes, walked.truncated))
        })
        .await
    }

    fn limits(&self) -> Vec<String> {
        vec![format!("lists at most {GLOB_FILES_MAX} files"), super::walk_limits()]
    }
}

fn answer(arguments: &Arguments, found: &[Found], notes: &[String], truncated: bool) -> ToolOutput {
    let listed = &found[..found.len().min(GLOB_FILES_MAX)];
    let mut lines: Vec<String> =
        listed.iter().map(|file| format!("{} ({})", show_path(&file.path), file.bytes)).collect();
    if lines.is_empty() {
        lines.push(format!("No file in `{}` matches `{}`.", shown(&arguments.path), shown(&arguments.pattern)));
    }
    lines.extend(notes.iter().map(|note| format!("[{note}]")));
    let files: Vec<Value> =
        listed.iter().map(|file| json!({"path": show_path(&file.path), "bytes": file.bytes})).collect();
    let data = json!({"files": files, "truncated": truncated || found.len() > GLOB_FILES_MAX});
    ToolOutput::new(lines.join("\n"), data)
}
