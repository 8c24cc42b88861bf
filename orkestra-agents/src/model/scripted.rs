//! A model with scripted replies, for tests of agents and workflows, yours and ours.
//!
//! `new` plays a list. `answering` computes each reply from the conversation, which tests of crashes need: as with a real
//! model, the same conversation then gets the same kind of reply, however often it is sent.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use serde_json::Value;

use crate::model::{
    Arguments, AssistantMessage, FinishReason, Model, ModelError, Reply, Request, Sink, StreamEvent, ToolCall, Usage,
};

type Answer = dyn Fn(&Request) -> Result<AssistantMessage, ModelError> + Send + Sync;

/// A model that plays a script. Each reply counts 10 tokens read and 5 written.
pub struct ScriptedModel {
    name: String,
    context_tokens: u64,
    answer: Box<Answer>,
    asked: Mutex<Vec<Request>>,
}

impl ScriptedModel {
    /// Plays `replies` in order, one per call. Further calls fail.
    pub fn new(
        name: impl Into<String>,
        replies: impl IntoIterator<Item = Result<AssistantMessage, ModelError>>,
    ) -> Arc<Self> {
        let replies: Mutex<VecDeque<_>> = Mutex::new(replies.into_iter().collect());
        Self::answering(name, move |_| {
            let next = replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            next.unwrap_or_else(|| Err(ModelError::BadRequest("the script has no more replies; add one".to_owned())))
        })
    }

    /// Computes each reply from the request.
    pub fn answering(
        name: impl Into<String>,
        answer: impl Fn(&Request) -> Result<AssistantMessage, ModelError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::with_window(name, 32_000, answer)
    }

    /// The same as [`ScriptedModel::answering`] with a window of `context_tokens`.
    pub fn with_window(
        name: impl Into<String>,
        context_tokens: u64,
        answer: impl Fn(&Request) -> Result<AssistantMessage, ModelError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { name: name.into(), context_tokens, answer: Box::new(answer), asked: Mutex::default() })
    }

    /// All requests so far, in order.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn context_tokens(&self) -> u64 {
        self.context_tokens
    }

    /// Its script sees them.
    fn sees_images(&self) -> bool {
        true
    }

    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let message = (self.answer)(request)?;
        sink.event(StreamEvent::Text(message.text.clone()));
        let usage = Usage { input: Some(10), output: Some(5), ..Usage::default() };
        Ok(Reply { message, usage, stop: FinishReason::Finished, model: self.name.clone() })
    }
}

/// A model that never answers, for tests of whatever waits for one.
pub struct PendingModel;

#[async_trait]
impl Model for PendingModel {
    fn name(&self) -> &str {
        "pending"
    }

    fn context_tokens(&self) -> u64 {
        8_000
    }

    async fn stream(&self, _: &Request, _: &dyn Sink) -> Result<Reply, ModelError> {
        std::future::pending().await
    }
}

/// A reply with text only.
pub fn say(text: impl Into<String>) -> AssistantMessage {
    AssistantMessage { text: text.into(), ..AssistantMessage::default() }
}

/// A reply that calls one tool.
pub fn call(name: &str, arguments: Value) -> AssistantMessage {
    AssistantMessage {
        tool_calls: vec![ToolCall {
            id: format!("call_{name}"),
            name: name.to_owned(),
            arguments: Arguments::from_value(arguments),
            signatures: None,
        }],
        ..AssistantMessage::default()
    }
}
