//! One tool call, as one memoised step. A mutating call begins at most once; a read-only call is repeated after a crash.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use orkestra_core::prelude::{Context, FailureKind, TaskError, TaskResult};
use orkestra_tools::egress::HostUse;
use orkestra_tools::{Effect, SandboxError, ToolError, ToolScope, ToolSet};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    agent::consent::{self, Consented, Said, Verdict, Waiting},
    agent::events::{self, ToolWatch, Voice},
    agent::{mask, pictures::Picture, prompt},
    call_log::{CallKey, CallLog},
    model::{Arguments, ToolCall},
    validate::ErrorType,
    workplace::Workplace,
};

/// The stored result of a tool call: what the model reads, and what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ToolRecord {
    pub(super) text: String,
    pub(super) is_error: bool,
    #[serde(default)]
    pub(super) files: Vec<String>,
    /// How often commands used hosts since the call before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) hosts: Vec<HostUse>,
    /// What a model that sees is shown beside the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pictures: Vec<Picture>,
    /// What a person has to say before the call has a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waits: Option<Waiting>,
}

impl ToolRecord {
    pub(super) fn error(text: impl Into<String>) -> Self {
        let (files, hosts, pictures) = (Vec::new(), Vec::new(), Vec::new());
        Self { text: text.into(), is_error: true, files, hosts, pictures, waits: None }
    }

    fn waiting(waiting: Waiting) -> Self {
        Self { waits: Some(waiting), is_error: false, ..Self::error("") }
    }
}

/// What a tool call needs.
pub(super) struct ToolTurn<'a> {
    pub(super) cx: &'a Context,
    pub(super) tools: &'a ToolSet,
    pub(super) workplace: &'a Workplace,
    pub(super) call_log: &'a CallLog,
}

impl ToolTurn<'_> {
    /// Makes the call, or returns its remembered result. Waits for a person if the call asks one, or the policy does.
    pub(super) async fn call(&self, key: &str, call: &ToolCall) -> TaskResult<ToolRecord> {
        let record = self.step(key, call, None).await?;
        let Some(waiting) = record.waits else { return Ok(record) };
        // A person consents to what will be done, so nothing of it is left out.
        let shown = call.arguments.to_value();
        if waiting.is_too_long(&shown) {
            let told = consent::record(consent::too_long(&call.name), true);
            return self.told(&format!("{key}/told"), call, told).await;
        }
        let (secrets, limit) = (self.workplace.secrets(), self.workplace.answer_time());
        let cx = self.cx.scope(&format!("{key}/ask"))?;
        match waiting.ask(&cx, &call.name, &shown, limit, secrets).await? {
            Said::Consented(consented) => self.step(&format!("{key}/allowed"), call, Some(consented)).await,
            Said::Told(text, is_error) => {
                self.told(&format!("{key}/told"), call, consent::record(text, is_error)).await
            }
        }
    }

    /// Decides on the call and makes it, as one step.
    async fn step(&self, key: &str, call: &ToolCall, consented: Option<Consented<'_>>) -> TaskResult<ToolRecord> {
        let is_done_now = Arc::new(AtomicBool::new(false));
        let (run, node) = (self.cx.run_id().to_string(), self.cx.node().to_owned());
        let call_key = CallKey { run: &run, node: &node, step: key, call: &call.name };
        let work = || {
            let is_done_now = Arc::clone(&is_done_now);
            async move {
                self.call_log.start(call_key);
                let made = self.really_call(call, consented).await;
                let record = made.map_err(|error| mask::error(self.workplace.secrets(), error))?;
                is_done_now.store(true, Ordering::Relaxed);
                Ok::<_, TaskError>(record)
            }
        };
        let step = self.cx.step(key, work);
        // NOTE: the call of an unknown tool changes nothing; its result is an error.
        let mutates = self.tools.get(&call.name).is_some_and(|tool| tool.effect() == Effect::Mutating);
        let result = if mutates { step.at_most_once().await } else { step.await };
        let record = match result {
            Ok(record) => record,
            Err(error) if error.failure().kind == FailureKind::Interrupted => self.interrupted(key, call).await?,
            Err(error) => return Err(error),
        };
        if is_done_now.load(Ordering::Relaxed) {
            self.call_log.end(call_key);
        }
        Ok(record)
    }

    /// The record of a call whose process died inside it. A step of its own, so that it is reported once.
    async fn interrupted(&self, key: &str, call: &ToolCall) -> TaskResult<ToolRecord> {
        self.told(&format!("{key}/interrupted"), call, ToolRecord::error(prompt::interrupted(&call.name))).await
    }

    /// Reports a result that no tool gave, once.
    async fn told(&self, key: &str, call: &ToolCall, record: ToolRecord) -> TaskResult<ToolRecord> {
        let told = || {
            let (voice, record, tool) = (self.voice(), record.clone(), call.name.clone());
            async move {
                events::tool_result(&voice, &tool, &record.text, record.is_error);
                Ok::<_, TaskError>(record)
            }
        };
        self.cx.step(key, told).await
    }

    fn voice(&self) -> Voice {
        Voice::new(self.cx, self.workplace.secrets())
    }

    async fn look(&self, tool: &str, arguments: &Value) -> Result<Option<consent::Valid>, TaskError> {
        let (tools, workspace) = (self.tools.clone(), self.workplace.workspace().clone());
        let (tool, arguments) = (tool.to_owned(), arguments.clone());
        let look = move || consent::look(&tools, &workspace, &tool, &arguments);
        Ok(tokio::task::spawn_blocking(look).await?)
    }

    async fn really_call(&self, call: &ToolCall, consented: Option<Consented<'_>>) -> Result<ToolRecord, TaskError> {
        let voice = self.voice();
        if consented.is_none() {
            events::tool_call(&voice, &call.name, &call.arguments.to_value());
        }
        let consents = self.workplace.consents();
        let judge = |valid| match consented {
            Some(Consented { consent, for_run }) => match consent.is_outdated(self.tools, &call.name) {
                Some(why) => Verdict::Refuse(why),
                None => {
                    if for_run {
                        consents.keep(&call.name, consent);
                    }
                    Verdict::Make
                }
            },
            None => consent::judge(self.workplace.policy(), self.tools, &consents, &call.name, valid),
        };
        let record = match &call.arguments {
            Arguments::Valid(arguments) => match judge(self.look(&call.name, arguments).await?) {
                Verdict::Make => {
                    let watch = Arc::new(ToolWatch::new(voice.clone(), self.workplace));
                    let scope = self.workplace.scope(self.cx.node(), Arc::clone(&watch));
                    let result = self.tools.call(&scope, &call.name, arguments.clone()).await;
                    let pictures = match &result {
                        Ok(output) => Picture::of(output, &scope).await,
                        Err(_) => Vec::new(),
                    };
                    let mut record = record_of(&call.name, &scope, result)?;
                    record.files = watch.written();
                    record.pictures = pictures;
                    // NOTE: a command chooses the names that it asks for.
                    record.hosts = mask::value(self.workplace.secrets(), self.workplace.take_hosts().await)?;
                    events::sandbox_news(&voice, self.workplace, &record.hosts);
                    record
                }
                Verdict::Wait(waiting) => return Ok(ToolRecord::waiting(waiting)),
                Verdict::Refuse(text) => ToolRecord::error(text),
            },
            Arguments::Malformed { text, problem } => ToolRecord::error(malformed(&call.name, text, problem)),
        };
        events::tool_result(&voice, &call.name, &record.text, record.is_error);
        Ok(record)
    }
}

fn record_of(
    tool: &str,
    scope: &ToolScope,
    result: Result<orkestra_tools::ToolOutput, ToolError>,
) -> Result<ToolRecord, TaskError> {
    match result {
        Ok(output) => Ok(ToolRecord { is_error: false, ..ToolRecord::error(output.text) }),
        Err(error) if error.is_for_model() => Ok(ToolRecord::error(error.to_string())),
        Err(ToolError::Sandbox(SandboxError::Lost(reason))) => {
            tracing::warn!(tool, reason, sandbox = scope.sandbox().kind(), "the sandbox was lost during a tool call");
            Ok(ToolRecord::error(prompt::interrupted(tool)))
        }
        Err(error) => {
            let is_retryable = error.is_retryable();
            let message = format!("cannot call the tool {tool}: {error}");
            let failure = if is_retryable { TaskError::new(message) } else { TaskError::permanent(message) };
            Err(failure.with_kind(ErrorType::ToolError.name()))
        }
    }
}

fn malformed(tool: &str, text: &str, problem: &str) -> String {
    let tail: String = text.chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
    format!(
        "{tool} was not called: its arguments are not a JSON object ({problem}); they end with {tail:?}. If your answer was \
         cut off, write less at a time: smaller files, or one part after the other."
    )
}
