//! `read_mcp_answer`: reads on in a long answer of an MCP server. `data` is `{answer, offset, next, bytes}`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::answer::READ_ANSWER;
use crate::error::ToolError;
use crate::limits::MCP_READ_BYTES_MAX;
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::tools::blocking;
use crate::web::untrusted::{boundary, fenced_from};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The number of the answer, as the answer says it.
    answer: u64,
    /// The byte to read from.
    #[serde(default)]
    offset: u64,
}

pub(super) struct ReadAnswer;

#[async_trait]
impl TypedTool for ReadAnswer {
    type Arguments = Arguments;
    const NAME: &'static str = READ_ANSWER;
    const DESCRIPTION: &'static str =
        "Read on in an answer of an MCP server's tool that was too long to be shown whole.";
    const EFFECT: Effect = Effect::ReadOnly;

    fn limits(&self) -> Vec<String> {
        vec![format!("an answer has at most {} KiB", MCP_READ_BYTES_MAX >> 10)]
    }

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let Arguments { answer, offset } = arguments;
        let artifacts = scope.artifacts().clone();
        let Some(bytes) = blocking(move || artifacts.answer(answer)).await? else {
            let message =
                format!("there is no answer {answer}; use the number that a long answer names, or call its tool again");
            return Err(ToolError::Refused(message));
        };
        let text = String::from_utf8_lossy(&bytes);
        let start = boundary(&text, usize::try_from(offset).unwrap_or(usize::MAX));
        let end = boundary(&text, start.saturating_add(MCP_READ_BYTES_MAX));
        if start == end {
            let message = format!("the answer {answer} has {} bytes; read from a smaller offset", text.len());
            return Err(ToolError::Refused(message));
        }
        let next = (end < text.len()).then_some(end);
        let mut shown = fenced_from("an MCP server", &format!("answer {answer}"), &text[start..end]);
        shown.push_str(&match next {
            Some(next) => format!("\n[bytes {start} to {end} of {}; go on with \"offset\": {next}]", text.len()),
            None => format!("\n[bytes {start} to {end}, the end]"),
        });
        let data = json!({"answer": answer, "offset": start, "next": next, "bytes": text.len()});
        Ok(ToolOutput::new(shown, data))
    }
}
