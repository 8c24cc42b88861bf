//! The events that an agent emits while it works, into the run's journal.
//!
//! Everything here is emitted inside a step that is executed, never on a replay: an event is emitted twice only if its step is
//! executed twice.

use std::sync::{Mutex, MutexGuard, PoisonError};

use orkestra_core::prelude::{Amount, Context};
use orkestra_tools::{Happening, Observer};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    agent::{chunks::Chunks, condense::cut},
    event::{ProductEvent, Tokens},
    model::{Reply, Sink, StreamEvent, Usage},
    validate::DebugInfo,
};

/// Characters of an argument or a result in an event; the step result has all of it.
const SHOWN_CHARACTERS: usize = 600;

/// Emits a model's answer while it streams.
pub(super) struct TokenSink {
    cx: Context,
    chunks: Mutex<Chunks>,
}

impl TokenSink {
    pub(super) fn new(cx: Context) -> Self {
        Self { cx, chunks: Mutex::default() }
    }

    /// Emits the rest of the text.
    pub(super) fn finish(&self) {
        let rest = lock(&self.chunks).take();
        self.emit_chunk(rest);
    }

    fn emit_chunk(&self, chunk: Option<String>) {
        if let Some(chunk) = chunk {
            ProductEvent::TokenChunk { agent: agent(&self.cx), chunk }.emit(&self.cx);
        }
    }
}

impl Sink for TokenSink {
    fn event(&self, event: StreamEvent) {
        match event {
            StreamEvent::Text(text) => {
                let ready = lock(&self.chunks).push(&text, Instant::now());
                self.emit_chunk(ready);
            }
            StreamEvent::Waiting { delay, reason } => {
                self.finish();
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                let (kind, reason) = (reason.kind().to_owned(), reason.to_string());
                ProductEvent::RateLimited { agent: agent(&self.cx), delay_ms, kind, reason }.emit(&self.cx);
            }
            StreamEvent::Restarted { model } => {
                self.finish();
                ProductEvent::ModelRestarted { agent: agent(&self.cx), model }.emit(&self.cx);
            }
        }
    }
}

/// Emits what a tool does, and remembers the files that it writes.
pub(super) struct ToolWatch {
    cx: Context,
    written: Mutex<Vec<String>>,
}

impl ToolWatch {
    pub(super) fn new(cx: Context) -> Self {
        Self { cx, written: Mutex::default() }
    }

    /// The files written so far.
    pub(super) fn written(&self) -> Vec<String> {
        lock(&self.written).clone()
    }
}

impl Observer for ToolWatch {
    fn observe(&self, happening: Happening) {
        match happening {
            Happening::FileWritten { path, bytes } => {
                file_written(&self.cx, path.clone(), bytes);
                lock(&self.written).push(path);
            }
            Happening::CommandOutput { line, stderr } => {
                ProductEvent::CommandOutput { agent: agent(&self.cx), line, stderr }.emit(&self.cx);
            }
            _ => {}
        }
    }
}

pub(super) fn file_written(cx: &Context, path: String, bytes: u64) {
    ProductEvent::FileWritten { agent: agent(cx), path, bytes }.emit(cx);
}

pub(super) fn tool_call(cx: &Context, tool: &str, arguments: &Value) {
    ProductEvent::ToolCall { agent: agent(cx), tool: tool.to_owned(), arguments: shown(arguments) }.emit(cx);
}

pub(super) fn tool_result(cx: &Context, tool: &str, text: &str, is_error: bool) {
    let (tool, text) = (tool.to_owned(), cut(text, SHOWN_CHARACTERS));
    ProductEvent::ToolResult { agent: agent(cx), tool, ok: !is_error, text }.emit(cx);
}

pub(super) fn notice(cx: &Context, message: &str) {
    ProductEvent::Notice { agent: agent(cx), message: message.to_owned() }.emit(cx);
}

pub(super) fn validation_failed(cx: &Context, debug_info: &DebugInfo) {
    ProductEvent::ValidationFailed { agent: agent(cx), debug_info: debug_info.clone() }.emit(cx);
}

/// The tokens and the cost of one call. A cost that is unknown is not 0.
pub(super) fn usage(cx: &Context, reply: &Reply) {
    if reply.usage == Usage::default() {
        return;
    }
    let cost_usd = reply.usage.cost_usd.map(Amount::as_units);
    let tokens = Tokens { input: reply.usage.input, output: reply.usage.output };
    ProductEvent::Usage { agent: agent(cx), model: reply.model.clone(), tokens, cost_usd }.emit(cx);
}

fn agent(cx: &Context) -> String {
    cx.node().to_owned()
}

/// Arguments with long texts cut: the content of a file is in the file.
fn shown(arguments: &Value) -> Value {
    match arguments {
        Value::String(text) => Value::String(cut(text, SHOWN_CHARACTERS)),
        Value::Array(values) => values.iter().map(shown).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        other => other.clone(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
