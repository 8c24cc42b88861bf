//! The tools `browser_navigate`, `browser_get_content`, `browser_click` and `browser_screenshot`. `data` of the first three is
//! `{url, status, title, javascript}`, for `browser_get_content` with `{from, to, bytes}` of the text; of the last
//! `{path, width, height, bytes, sha256, media_type}` of the artifact, with `base64` when it is small.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::ToolError;
use crate::limits::{PAGE_PREVIEW_BYTES_MAX, PAGE_TEXT_BYTES_MAX, SCREENSHOT_BYTES_MAX, SCREENSHOT_INLINE_BYTES_MAX};
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolImage, ToolOutput, TypedTool};
use crate::tools::blocking;
use crate::web::browser::{BrowserError, PageView, Sessions};
use crate::web::untrusted::{boundary, fenced};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NavigateArguments {
    /// A complete address, such as https://example.com/docs.
    #[schemars(length(min = 1))]
    url: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClickArguments {
    /// A CSS selector such as a[href="/docs"], or text= with the text of a link.
    #[schemars(length(min = 1))]
    selector: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoArguments {}

pub(crate) struct Navigate(pub(crate) Arc<Sessions>);
pub(crate) struct GetContent(pub(crate) Arc<Sessions>);
pub(crate) struct Click(pub(crate) Arc<Sessions>);
pub(crate) struct Screenshot(pub(crate) Arc<Sessions>);

#[async_trait]
impl TypedTool for Navigate {
    type Arguments = NavigateArguments;
    const NAME: &'static str = "browser_navigate";
    const DESCRIPTION: &'static str = "Open a web page and see how it begins; read it with browser_get_content.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, arguments: NavigateArguments) -> Result<ToolOutput, ToolError> {
        let mut slot = self.0.of(scope).await;
        let navigated = self.0.started(&mut slot, scope.sandbox()).await?.navigate(&arguments.url).await;
        let view = slot.seen(navigated)?;
        slot.next_part = 0;
        Ok(opened(&view))
    }
}

#[async_trait]
impl TypedTool for GetContent {
    type Arguments = NoArguments;
    const NAME: &'static str = "browser_get_content";
    const DESCRIPTION: &'static str =
        "Read the text and the links of the open page. A long page comes in parts: call it again for the next one.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, _: NoArguments) -> Result<ToolOutput, ToolError> {
        let mut slot = self.0.of(scope).await;
        let read = slot.session()?.content().await;
        let view = slot.seen(read)?;
        // After the last part, and if the page has become shorter, it begins again.
        let from = if slot.next_part < view.text.len() { boundary(&view.text, slot.next_part) } else { 0 };
        let to = part_end(&view.text, from, PAGE_TEXT_BYTES_MAX);
        slot.next_part = to;
        let mut head = notes(&view);
        if (from, to) != (0, view.text.len()) {
            let next = if to < view.text.len() {
                "call browser_get_content again for the next part"
            } else {
                "this is the last part"
            };
            head.push_str(&format!("Bytes {from} to {to} of {}; {next}.\n", view.text.len()));
        }
        let mut data = facts(&view);
        data["from"] = from.into();
        data["to"] = to.into();
        data["bytes"] = view.text.len().into();
        Ok(ToolOutput::new(head + &part(&view, from, to), data))
    }
}

#[async_trait]
impl TypedTool for Click {
    type Arguments = ClickArguments;
    const NAME: &'static str = "browser_click";
    const DESCRIPTION: &'static str =
        "Click an element of the open page, such as a link, and see the page that follows.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: ClickArguments) -> Result<ToolOutput, ToolError> {
        let mut slot = self.0.of(scope).await;
        let clicked = slot.session()?.click(&arguments.selector).await;
        let view = slot.seen(clicked)?;
        slot.next_part = 0;
        Ok(opened(&view))
    }
}

#[async_trait]
impl TypedTool for Screenshot {
    type Arguments = NoArguments;
    const NAME: &'static str = "browser_screenshot";
    const DESCRIPTION: &'static str = "Make a picture of the open page. Needs a real browser; without one it says so.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, _: NoArguments) -> Result<ToolOutput, ToolError> {
        let mut slot = self.0.of(scope).await;
        let made = self.0.started(&mut slot, scope.sandbox()).await?.screenshot().await;
        let png = slot.seen(made)?;
        let bytes = png.len();
        if bytes > SCREENSHOT_BYTES_MAX {
            let text =
                format!("the screenshot has {bytes} bytes, more than {SCREENSHOT_BYTES_MAX}; use browser_get_content");
            return Err(ToolError::Refused(text));
        }
        let Some((width, height)) = size_of_png(&png) else {
            return Err(ToolError::Refused("the browser made no valid picture; use browser_get_content".to_owned()));
        };
        let sha256 = hexadecimal(&Sha256::digest(&png));
        let inline = (bytes <= SCREENSHOT_INLINE_BYTES_MAX).then(|| BASE64_STANDARD.encode(&png));
        let artifacts = scope.artifacts().clone();
        let path = blocking(move || artifacts.keep_screenshot(&png)).await?;
        let mut data = json!({
            "path": path, "width": width, "height": height, "bytes": bytes, "sha256": sha256, "media_type": PNG,
        });
        if let Some(inline) = inline {
            data["base64"] = inline.into();
        }
        let text = format!(
            "Made a screenshot of the page ({width} x {height}, {bytes} bytes, PNG); it is kept as an artifact of the run."
        );
        let image = ToolImage { path, media_type: PNG.to_owned(), bytes: bytes as u64, sha256 };
        Ok(ToolOutput { text, data, images: vec![image] })
    }
}

const PNG: &str = "image/png";

/// Width and height in the header of a PNG.
fn size_of_png(png: &[u8]) -> Option<(u32, u32)> {
    let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let number = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    Some((number(0)?, number(4)?))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<BrowserError> for ToolError {
    /// All of them are for the model: it can use another page, or do without.
    fn from(error: BrowserError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// The answer of `browser_navigate` and `browser_click`.
fn opened(view: &PageView) -> ToolOutput {
    let to = part_end(&view.text, 0, PAGE_PREVIEW_BYTES_MAX);
    let bytes = view.text.len();
    let more = if to < bytes {
        format!("This is the beginning; read all {bytes} bytes with browser_get_content.\n")
    } else {
        String::new()
    };
    ToolOutput::new(format!("{}{more}{}", notes(view), part(view, 0, to)), facts(view))
}

fn notes(view: &PageView) -> String {
    view.notes.iter().map(|note| format!("{note}\n")).collect()
}

fn facts(view: &PageView) -> Value {
    json!({"url": view.url, "status": view.status, "title": view.title, "javascript": view.ran_scripts})
}

/// A part of the text with the links in it. All that comes from the page is inside the fence.
fn part(view: &PageView, from: usize, to: usize) -> String {
    let text = &view.text[from..to];
    let mut shown = String::new();
    if from == 0 && !view.title.is_empty() {
        shown.push_str(&format!("Title: {}\n\n", view.title));
    }
    shown.push_str(if view.text.is_empty() { "[the page has no text]" } else { text });
    let links = view.links.iter().enumerate().map(|(index, link)| (format!("[{}]", index + 1), link));
    let links: Vec<_> = links.filter(|(mark, _)| text.contains(mark)).collect();
    if !links.is_empty() {
        shown.push_str("\n\nLinks:\n");
        shown.extend(links.iter().map(|(mark, link)| format!("{mark} {}\n", link.url)));
    }
    fenced(&view.url, &shown)
}

/// Where a part ends: after a line if there is one in its second half.
fn part_end(text: &str, from: usize, bytes_max: usize) -> usize {
    let end = boundary(text, from.saturating_add(bytes_max));
    if end == text.len() {
        return end;
    }
    let line = text[from..end].rfind('\n').map(|at| from + at + 1);
    line.filter(|line| line - from > bytes_max / 2).unwrap_or(end)
}
