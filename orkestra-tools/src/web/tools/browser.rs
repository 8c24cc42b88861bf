//! The tools `browser_navigate`, `browser_get_content`, `browser_click` and `browser_screenshot`. `data` of the first three is
//! `{url, status, title, javascript}`, for `browser_get_content` with `{from, to, bytes}` of the text; of the last
//! `{screenshot, bytes, media_type}` with the path of the artifact.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ToolError;
use crate::limits::{PAGE_PREVIEW_BYTES_MAX, PAGE_TEXT_BYTES_MAX, SCREENSHOT_BYTES_MAX};
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};
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
        let mut slot = self.0.of(scope.artifacts_path()).await;
        let view = self.0.started(&mut slot).await?.navigate(&arguments.url).await?;
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
        let mut slot = self.0.of(scope.artifacts_path()).await;
        let view = slot.session()?.content().await?;
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
        let mut slot = self.0.of(scope.artifacts_path()).await;
        let view = slot.session()?.click(&arguments.selector).await?;
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
        let mut slot = self.0.of(scope.artifacts_path()).await;
        let png = self.0.started(&mut slot).await?.screenshot().await?;
        let bytes = png.len();
        if bytes > SCREENSHOT_BYTES_MAX {
            let text =
                format!("the screenshot has {bytes} bytes, more than {SCREENSHOT_BYTES_MAX}; use browser_get_content");
            return Err(ToolError::Refused(text));
        }
        let artifacts = scope.artifacts().clone();
        let path = blocking(move || artifacts.keep_screenshot(&png)).await?;
        let text = format!("Made a screenshot of the page ({bytes} bytes, PNG); it is kept as an artifact of the run.");
        Ok(ToolOutput::new(text, json!({"screenshot": path, "bytes": bytes, "media_type": "image/png"})))
    }
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
