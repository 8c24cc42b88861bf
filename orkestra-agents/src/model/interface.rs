//! The `Model` trait: what the agent loop needs of a language model, and nothing of any provider.

use std::time::Duration;

use async_trait::async_trait;
use orkestra_core::model::Amount;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{AssistantMessage, Message, ModelError};

/// A language model. One value serves many runs at once.
#[async_trait]
pub trait Model: Send + Sync {
    /// The name that people know it by.
    fn name(&self) -> &str;

    /// How many tokens its window holds, as far as known.
    fn context_tokens(&self) -> u64;

    /// What users must know before they rely on this model's work; reported once per run.
    fn notice(&self) -> Option<&str> {
        None
    }

    /// One turn, its text handed to `sink` as it comes.
    ///
    /// # Errors
    /// A [`ModelError`]; what `sink` has seen until then is void.
    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError>;

    /// One turn, answered when it is whole.
    ///
    /// # Errors
    /// As [`Model::stream`].
    async fn complete(&self, request: &Request) -> Result<Reply, ModelError> {
        self.stream(request, &Silent).await
    }
}

/// What is asked of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools that it may call.
    pub tools: Vec<ToolDefinition>,
    /// Whether it must answer in words this time. The tools are named all the same: providers want to know those that
    /// the conversation has called.
    pub words_only: bool,
}

/// A tool as a model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// Its name.
    pub name: String,
    /// What it does, in a sentence or two.
    pub description: String,
    /// The JSON schema of its arguments.
    pub schema: Value,
}

/// One turn of a model, whole. Stored as the result of its step: a replay reads exactly this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What it said.
    pub message: AssistantMessage,
    /// What it cost.
    pub usage: Usage,
    /// Why it stopped.
    pub stop: StopReason,
    /// The model that answered: after a fall-back not the one that was asked first.
    pub model: String,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// It was finished, or wants its tools called.
    Finished,
    /// It was cut off at its limit of tokens.
    Length,
    /// A filter of the provider stopped it.
    Filtered,
}

/// The tokens and the cost of one call. What is not known is `None`, never 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub input: Option<u64>,
    /// Tokens written.
    pub output: Option<u64>,
    /// The cost in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Amount>,
}

impl Usage {
    /// The tokens read and written, as far as they are known; `None` when neither is.
    #[must_use]
    pub fn tokens(self) -> Option<u64> {
        match (self.input, self.output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        }
    }
}

/// Something that happens while a model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// A piece of the answer's text.
    Text(String),
    /// The call waits before it is tried again.
    Waiting {
        /// For how long.
        delay: Duration,
        /// Why.
        reason: ModelError,
    },
    /// What came so far is void: the call is made again, perhaps with another model.
    Restarted {
        /// The model that is asked now.
        model: String,
    },
}

/// Hears what happens while a model answers. It must not block.
pub trait Sink: Send + Sync {
    /// Hears one event.
    fn event(&self, event: StreamEvent);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _event: StreamEvent) {}
}
