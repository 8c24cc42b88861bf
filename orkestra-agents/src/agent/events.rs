//! The events that an agent emits while it works, into the run's journal.
//!
//! Everything here is emitted inside a step that is executed, never on a replay: an event is emitted twice only if its step is
//! executed twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orkestra_core::prelude::{Amount, Context};
use orkestra_tools::egress::HostUse;
use orkestra_tools::{Confinement, Happening, Observer, SecretStream, Secrets};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    agent::{chunks::Chunks, condense::cut},
    event::{ProductEvent, Tokens},
    model::{Reply, Sink, StreamEvent, Usage},
    validate::DebugInfo,
    workplace::{StreamBudget, Streamed, Workplace},
};

/// Characters of an argument or a result in an event; the step result has all of it.
const SHOWN_CHARACTERS: usize = 600;

/// Told once, when a run has streamed as much as it may.
const STREAM_ENDS: &str = "The commands of this run have printed so much that their output is no longer streamed; results and \
    artifacts still have it.";

/// The door of an agent's events: secrets are masked in each.
#[derive(Clone)]
pub(super) struct Voice {
    cx: Context,
    secrets: Secrets,
}

impl Voice {
    pub(super) fn new(cx: &Context, secrets: &Secrets) -> Self {
        Self { cx: cx.clone(), secrets: secrets.clone() }
    }

    fn emit(&self, event: &ProductEvent) {
        event.emit_masked(&self.cx, &self.secrets);
    }

    fn agent(&self) -> String {
        self.cx.node().to_owned()
    }
}

/// Emits a model's answer while it streams.
pub(super) struct TokenSink {
    voice: Voice,
    /// Masks a secret that is split over two pieces.
    mask: Mutex<SecretStream>,
    chunks: Mutex<Chunks>,
}

impl TokenSink {
    pub(super) fn new(voice: Voice) -> Self {
        let mask = Mutex::new(voice.secrets.stream());
        Self { voice, mask, chunks: Mutex::default() }
    }

    /// Emits the rest of the text.
    pub(super) fn finish(&self) {
        let held = lock(&self.mask).finish();
        let ready = lock(&self.chunks).push(&String::from_utf8_lossy(&held), Instant::now());
        self.emit_chunk(ready);
        let rest = lock(&self.chunks).take();
        self.emit_chunk(rest);
    }

    fn emit_chunk(&self, chunk: Option<String>) {
        if let Some(chunk) = chunk {
            self.voice.emit(&ProductEvent::TokenChunk { agent: self.voice.agent(), chunk });
        }
    }
}

impl Sink for TokenSink {
    fn event(&self, event: StreamEvent) {
        match event {
            StreamEvent::Text(text) => {
                let masked = lock(&self.mask).push(text.as_bytes()).into_owned();
                let ready = lock(&self.chunks).push(&String::from_utf8_lossy(&masked), Instant::now());
                self.emit_chunk(ready);
            }
            StreamEvent::Waiting { delay, reason } => {
                self.finish();
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                let (kind, reason) = (reason.kind().to_owned(), reason.to_string());
                self.voice.emit(&ProductEvent::RateLimited { agent: self.voice.agent(), delay_ms, kind, reason });
            }
            StreamEvent::Restarted { model } => {
                self.finish();
                self.voice.emit(&ProductEvent::ModelRestarted { agent: self.voice.agent(), model });
            }
        }
    }
}

/// Emits what a tool does, and remembers the files that it writes.
pub(super) struct ToolWatch {
    voice: Voice,
    streamed: Arc<StreamBudget>,
    written: Mutex<Vec<String>>,
}

impl ToolWatch {
    pub(super) fn new(voice: Voice, workplace: &Workplace) -> Self {
        Self { voice, streamed: Arc::clone(workplace.streamed()), written: Mutex::default() }
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
                file_written(&self.voice, path.clone(), bytes);
                lock(&self.written).push(path);
            }
            Happening::CommandOutput { line, stderr } => match self.streamed.take(&line) {
                Streamed::Yes => {
                    self.voice.emit(&ProductEvent::CommandOutput { agent: self.voice.agent(), line, stderr });
                }
                Streamed::NoMore => notice(&self.voice, STREAM_ENDS),
                Streamed::No => {}
            },
            _ => {}
        }
    }
}

pub(super) fn file_written(voice: &Voice, path: String, bytes: u64) {
    voice.emit(&ProductEvent::FileWritten { agent: voice.agent(), path, bytes });
}

pub(super) fn tool_call(voice: &Voice, tool: &str, arguments: &Value) {
    voice.emit(&ProductEvent::ToolCall { agent: voice.agent(), tool: tool.to_owned(), arguments: shown(arguments) });
}

pub(super) fn tool_result(voice: &Voice, tool: &str, text: &str, is_error: bool) {
    let (tool, text) = (tool.to_owned(), cut(text, SHOWN_CHARACTERS));
    voice.emit(&ProductEvent::ToolResult { agent: voice.agent(), tool, ok: !is_error, text });
}

/// Tells what the sandbox confines, when it has started since the last call, and which hosts commands used.
pub(super) fn sandbox_news(voice: &Voice, workplace: &Workplace, hosts: &[HostUse]) {
    if let Some(Confinement { enforced, gaps, .. }) = workplace.take_report() {
        let spec = workplace.spec();
        let (sandbox, network) = (spec.kind.as_str().to_owned(), spec.network_used());
        voice.emit(&ProductEvent::SandboxStarted { agent: voice.agent(), sandbox, network, enforced, gaps });
    }
    if !hosts.is_empty() {
        voice.emit(&ProductEvent::NetworkUsed { agent: voice.agent(), hosts: hosts.to_vec() });
    }
}

pub(super) fn notice(voice: &Voice, message: &str) {
    voice.emit(&ProductEvent::Notice { agent: voice.agent(), message: message.to_owned() });
}

pub(super) fn validation_failed(voice: &Voice, debug_info: &DebugInfo) {
    voice.emit(&ProductEvent::ValidationFailed { agent: voice.agent(), debug_info: debug_info.clone() });
}

/// The tokens and the cost of one call. A cost that is unknown is not 0.
pub(super) fn usage(voice: &Voice, reply: &Reply) {
    if reply.usage == Usage::default() {
        return;
    }
    let cost_usd = reply.usage.cost_usd.map(Amount::as_units);
    let tokens = Tokens { input: reply.usage.input, output: reply.usage.output };
    voice.emit(&ProductEvent::Usage { agent: voice.agent(), model: reply.model.clone(), tokens, cost_usd });
}

/// Arguments with long texts cut: the content of a file is in the file.
pub(super) fn shown(arguments: &Value) -> Value {
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
