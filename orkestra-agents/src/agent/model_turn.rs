//! One model call, as one memoised step. The whole answer is stored, so that a replay is exact.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use orkestra_core::prelude::{Amount, Context, TaskError, TaskResult};
use orkestra_tools::Secrets;
use serde::{Deserialize, Serialize};

use crate::{
    agent::{
        events::{self, TokenSink, Voice},
        mask,
        pictures::Pictures,
        talk::Talk,
    },
    call_log::{CallKey, CallLog},
    model::{Model, ModelError, Reply, Request, ToolDefinition},
};

/// How often a conversation is condensed further when the provider refuses it as too long.
const CONDENSINGS_MAX: u32 = 5;

/// The meter that counts the tokens of model calls, read and written.
pub const TOKENS_METER: &str = "tokens";
/// The meter that counts dollars. Calls whose price is unknown are not counted.
pub const USD_METER: &str = "usd";

/// The stored result of a model call.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Replied(Reply),
    // IMPORTANT: stored too: a replay must not ask again whether the conversation was too long.
    TooLong,
}

impl Answer {
    /// What the call costs, by meter. What is unknown is left out: it is not 0.
    fn charges(&self) -> Vec<(&'static str, Amount)> {
        let Self::Replied(reply) = self else { return Vec::new() };
        let usage = reply.usage;
        let tokens = usage.tokens().map(|tokens| (TOKENS_METER, Amount::whole(tokens)));
        tokens.into_iter().chain(usage.cost_usd.map(|cost| (USD_METER, cost))).collect()
    }
}

/// What a model call needs.
pub(super) struct ModelTurn<'a> {
    pub(super) cx: &'a Context,
    pub(super) model: &'a Arc<dyn Model>,
    pub(super) tools: &'a [ToolDefinition],
    pub(super) call_log: &'a CallLog,
    pub(super) secrets: &'a Secrets,
    /// The prefix of the step's key, such as `a1/turn-3`.
    pub(super) key: &'a str,
    /// Whether the model must answer in words this time.
    pub(super) words_only: bool,
}

impl ModelTurn<'_> {
    /// Asks the model to continue `talk`.
    pub(super) async fn ask(&self, talk: &Talk) -> TaskResult<Reply> {
        let tools_size: usize =
            self.tools.iter().map(|tool| tool.schema.to_string().len() + tool.description.len()).sum();
        let tools_tokens = u64::try_from(tools_size / 3).unwrap_or(u64::MAX);
        let window = self.model.context_tokens().saturating_sub(tools_tokens).max(1_000);
        for times in 0..=CONDENSINGS_MAX {
            let messages = talk.to_send(window, times);
            let key = match times {
                0 => format!("{}/model", self.key),
                times => format!("{}/model-condensed-{times}", self.key),
            };
            let request =
                Request { messages, tools: self.tools.to_vec(), words_only: self.words_only, ..Request::default() };
            if let Answer::Replied(reply) = self.step(&key, request, talk.pictures()).await? {
                return Ok(reply);
            }
        }
        Err(TaskError::new(format!("the conversation is too long for the model even after {CONDENSINGS_MAX} condensings; use a model with a larger window"))
            .with_kind(ModelError::CONTEXT_TOO_LONG))
    }

    async fn step(&self, key: &str, request: Request, pictures: &Pictures) -> TaskResult<Answer> {
        let request = Arc::new(request);
        let is_done_now = Arc::new(AtomicBool::new(false));
        let (run, node) = (self.cx.run_id().to_string(), self.cx.node().to_owned());
        let call_key = CallKey { run: &run, node: &node, step: key, call: "model" };
        let work = || {
            let (cx, model, request) = (self.cx.clone(), Arc::clone(self.model), Arc::clone(&request));
            let is_done_now = Arc::clone(&is_done_now);
            async move {
                self.call_log.start(call_key);
                let request = match model.sees_images() {
                    true => Request { images: pictures.load().await, ..(*request).clone() },
                    false => (*request).clone(),
                };
                let answer = call(&Voice::new(&cx, self.secrets), &*model, &request).await;
                let answer = answer.map_err(|error| mask::error(self.secrets, error))?;
                let answer = mask::value(self.secrets, answer)?;
                is_done_now.store(true, Ordering::Relaxed);
                Ok::<_, TaskError>(answer)
            }
        };
        let answer = self.cx.step(key, work).charge(Answer::charges).await?;
        if is_done_now.load(Ordering::Relaxed) {
            self.call_log.end(call_key);
        }
        Ok(answer)
    }
}

async fn call(voice: &Voice, model: &dyn Model, request: &Request) -> Result<Answer, TaskError> {
    let sink = TokenSink::new(voice.clone());
    let answer = model.stream(request, &sink).await;
    sink.finish();
    match answer {
        Ok(reply) => {
            events::usage(voice, &reply);
            Ok(Answer::Replied(reply))
        }
        Err(ModelError::ContextTooLong(_)) => Ok(Answer::TooLong),
        Err(error) => Err(task_error(&error)),
    }
}

/// A failed call as the failure of an attempt. Retries have already happened inside the model.
pub(crate) fn task_error(error: &ModelError) -> TaskError {
    let failure =
        if error.is_retryable() { TaskError::new(error.to_string()) } else { TaskError::permanent(error.to_string()) };
    failure.with_kind(error.kind())
}
