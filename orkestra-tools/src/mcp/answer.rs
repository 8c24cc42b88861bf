//! The result of a call, shaped for a model: text inside a fence, the middle of a long one cut out and kept as an artifact, pictures
//! and other files as artifacts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

use crate::error::ToolError;
use crate::limits::{OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES};
use crate::scope::ToolScope;
use crate::secrets::Secrets;
use crate::tool::ToolOutput;
use crate::tools::blocking;
use crate::web::untrusted::{boundary, clean, fenced_from, one_line};

/// Pictures and files of one answer that are kept; the rest is counted. A message can hold a hundred thousand empty ones.
const ATTACHED_MAX: usize = 8;

/// The tool that reads on in an answer.
pub(super) const READ_ANSWER: &str = "read_mcp_answer";

/// Turns a result into what the model reads. An error of the tool is an error here too.
pub(super) async fn output(
    scope: &ToolScope,
    tool: &str,
    result: CallToolResult,
    secrets: &Secrets,
) -> Result<ToolOutput, ToolError> {
    let is_error = result.is_error == Some(true);
    let (text, attached) = flat(result);
    let text = scope.secrets().masked(secrets.masked(clean(&text)));
    let mut notes = Vec::new();
    let mut files = Vec::new();
    let dropped = attached.len().saturating_sub(ATTACHED_MAX);
    for Attached { kind, bytes } in attached.into_iter().take(ATTACHED_MAX) {
        let (artifacts, size) = (scope.artifacts().clone(), bytes.len());
        let path = blocking(move || artifacts.keep_attached(&bytes)).await?;
        notes.push(format!("[{} of {size} bytes, kept as the artifact {}]", one_line(&kind, 60), path.display()));
        files.push(path);
    }
    if dropped > 0 {
        notes.push(format!("[{dropped} more pictures or files were not kept; ask for fewer at a time]"));
    }
    let mut whole = None;
    let shown = if text.len() <= OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES {
        text
    } else {
        let (artifacts, kept) = (scope.artifacts().clone(), text.clone());
        let (number, path) = blocking(move || artifacts.keep_answer(&kept)).await?;
        let (head, tail) = (boundary(&text, OUTPUT_HEAD_BYTES), boundary(&text, text.len() - OUTPUT_TAIL_BYTES));
        notes.push(format!(
            "[the answer has {} bytes, of which the middle is left out; read on with {READ_ANSWER} {{\"answer\": {number}, \"offset\": {head}}}]",
            text.len(),
        ));
        whole = Some(path);
        format!("{}\n[... {} bytes left out ...]\n{}", &text[..head], tail - head, &text[tail..])
    };
    let shown = if shown.trim().is_empty() { "[no text]" } else { &shown };
    let mut text = fenced_from("an MCP server", tool, shown);
    for note in notes {
        text.push('\n');
        text.push_str(&note);
    }
    if is_error {
        return Err(ToolError::Failed(format!("{tool} reports an error.\n{text}")));
    }
    Ok(ToolOutput::new(text, json!({"tool": tool, "whole": whole, "files": files})))
}

struct Attached {
    kind: String,
    bytes: Vec<u8>,
}

/// All texts of a result in order, and what is not text.
fn flat(result: CallToolResult) -> (String, Vec<Attached>) {
    let (mut texts, mut attached): (Vec<String>, Vec<Attached>) = (Vec::new(), Vec::new());
    let mut attach = |kind: &str, data: &str| match STANDARD.decode(data.trim()) {
        Ok(bytes) => {
            attached.push(Attached { kind: kind.to_owned(), bytes });
            None
        }
        Err(_) => Some(format!("[{}: its data is not base64]", one_line(kind, 60))),
    };
    for content in result.content {
        match content {
            ContentBlock::Text(text) => texts.push(text.text),
            ContentBlock::Image(image) => texts.extend(attach(&format!("picture {}", image.mime_type), &image.data)),
            ContentBlock::Audio(audio) => texts.extend(attach(&format!("sound {}", audio.mime_type), &audio.data)),
            ContentBlock::ResourceLink(link) => {
                texts.push(format!(
                    "[link to the resource {}: {}]",
                    one_line(&link.uri, 500),
                    one_line(&link.name, 200)
                ));
            }
            ContentBlock::Resource(resource) => match resource.resource {
                ResourceContents::TextResourceContents { uri, text, .. } => {
                    texts.push(format!("[resource {}]\n{text}", one_line(&uri, 500)));
                }
                ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                    let kind = mime_type.unwrap_or_default();
                    texts.extend(attach(&format!("resource {} {kind}", one_line(&uri, 300)), &blob));
                }
                _ => texts.push("[a resource of an unknown kind]".to_owned()),
            },
            _ => texts.push("[content of an unknown kind]".to_owned()),
        }
    }
    // Servers send the same facts as text too, for clients that know no structured content.
    if let Some(structured) = result.structured_content
        && !texts.iter().any(|text| serde_json::from_str::<Value>(text).is_ok_and(|value| value == structured))
        && texts.iter().all(|text| text.trim().is_empty())
    {
        texts.push(structured.to_string());
    }
    (texts.join("\n"), attached)
}
