//! The `Model` trait: what the agent loop needs of a language model, independent of any provider.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use orkestra_core::model::Amount;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{AssistantMessage, Message, ModelError};

/// A language model. One value serves many runs at once.
#[async_trait]
pub trait Model: Send + Sync {
    /// Its name, for users.
    fn name(&self) -> &str;

    /// The size of its window in tokens, as far as it is known.
    fn context_tokens(&self) -> u64;

    /// The model that this one wraps. A wrapper has the notice of what it wraps, and its reports of cost, unless it says
    /// otherwise.
    fn inner(&self) -> Option<&dyn Model> {
        None
    }

    /// What users must know before they rely on this model's work; reported as [`Brief::notices`](crate::Brief::notices).
    fn notice(&self) -> Option<&str> {
        self.inner()?.notice()
    }

    /// Whether its replies say what they cost ([`Usage::cost_usd`]), so that a budget in dollars holds although no price is
    /// set.
    fn reports_cost(&self) -> bool {
        matches!(self.inner(), Some(model) if model.reports_cost())
    }

    /// Whether it can look at [`Request::images`]. Others are sent none.
    fn sees_images(&self) -> bool {
        matches!(self.inner(), Some(model) if model.sees_images())
    }

    /// Makes one turn and passes its text to `sink` while it streams.
    ///
    /// # Errors
    /// A [`ModelError`]; the text that `sink` has received is then void.
    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError>;

    /// Makes one turn and returns it as a whole.
    ///
    /// # Errors
    /// As [`Model::stream`].
    async fn complete(&self, request: &Request) -> Result<Reply, ModelError> {
        self.stream(request, &Silent).await
    }
}

/// A request to a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools that it may call.
    pub tools: Vec<ToolDefinition>,
    /// Whether it must answer without calling a tool. The tools are listed all the same, because providers need those that
    /// the conversation has called.
    pub words_only: bool,
    /// Pictures that the last tool results made, for a model that sees images. They follow the messages.
    pub images: Vec<Image>,
}

/// A picture for a model. The journal has a reference to its file, not its content.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// Its type, such as `image/png`.
    pub media_type: String,
    /// Its content.
    pub content: Arc<[u8]>,
}

impl Image {
    /// A picture of this type, such as `image/png`.
    #[must_use]
    pub fn new(media_type: impl Into<String>, content: impl Into<Arc<[u8]>>) -> Self {
        Self { media_type: media_type.into(), content: content.into() }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Image({}, {} bytes)", self.media_type, self.content.len())
    }
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

/// One turn of a model. Stored as the result of its step, so that a replay reads exactly this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The message.
    pub message: AssistantMessage,
    /// Its tokens and cost.
    pub usage: Usage,
    /// Why it stopped.
    pub stop: FinishReason,
    /// The model that answered, which after a fallback is not the first one.
    pub model: String,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// It has finished, or wants its tools called.
    Finished,
    /// The answer reached its limit of tokens.
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
        /// How long it waits.
        delay: Duration,
        /// Why.
        reason: ModelError,
    },
    /// The text so far is void: the call is made again, perhaps with another model.
    Restarted {
        /// The model that answers now.
        model: String,
    },
}

/// Receives what happens while a model answers. It must not block.
pub trait Sink: Send + Sync {
    /// Receives one event.
    fn event(&self, event: StreamEvent);
}

/// A sink that drops everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _event: StreamEvent) {}
}
