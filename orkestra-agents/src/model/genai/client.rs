//! A model of any provider that genai supports, or of any OpenAI-compatible server.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use genai::{
    Client, ModelIden,
    chat::{ChatOptions, ChatStreamEvent, ToolChoice},
};

use super::{
    convert,
    failure::model_error,
    target::{Environment, target},
};
use crate::model::{Model, ModelError, ModelSpec, Reply, Request, Sink, StreamEvent};

/// How long a server may take before its answer begins. A local server queues a second request behind the first, so this
/// covers a whole answer to another request.
const ANSWER_BEGINS_MAX: Duration = Duration::from_secs(600);
/// The longest silence within an answer.
const SILENCE_MAX: Duration = Duration::from_secs(120);
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// Limits of a model's conversations and answers.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct Limits {
    pub(in crate::model) context_tokens: u64,
    pub(in crate::model) max_tokens: u32,
    pub(in crate::model) temperature: Option<f64>,
    pub(in crate::model) sees_images: bool,
}

/// A model behind genai.
pub(in crate::model) struct GenaiModel {
    name: String,
    context_tokens: u64,
    sees_images: bool,
    client: Client,
    model: ModelIden,
    options: ChatOptions,
}

impl GenaiModel {
    /// Prepares calls to the model of `spec`; it sends nothing.
    ///
    /// # Errors
    /// [`ModelError::Authentication`] when its provider's key is missing.
    pub(in crate::model) fn new(
        spec: &ModelSpec,
        api_key: Option<&str>,
        limits: Limits,
        environment: Environment<'_>,
    ) -> Result<Self, ModelError> {
        let target = target(spec, api_key, environment)?;
        let http = reqwest::Client::builder().connect_timeout(CONNECT_MAX).build();
        let http = http.map_err(|error| ModelError::Unavailable(error.to_string()))?;
        let provider = target.provider();
        let client = Client::builder().with_reqwest(http).append_provider_config(target.model.adapter_kind, provider);
        let client = client.build().map_err(|error| ModelError::Unavailable(error.to_string()))?;
        let options = ChatOptions::default()
            .with_capture_content(true)
            .with_capture_tool_calls(true)
            .with_capture_reasoning_content(true)
            .with_capture_usage(true)
            .with_max_tokens(limits.max_tokens)
            .with_stream_header_timeout(ANSWER_BEGINS_MAX)
            .with_stream_read_timeout(SILENCE_MAX);
        let options = match limits.temperature {
            Some(temperature) => options.with_temperature(temperature),
            None => options,
        };
        Ok(Self {
            name: spec.name.clone(),
            context_tokens: limits.context_tokens,
            sees_images: limits.sees_images,
            client,
            model: target.model,
            options,
        })
    }
}

#[async_trait]
impl Model for GenaiModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn context_tokens(&self) -> u64 {
        self.context_tokens
    }

    fn sees_images(&self) -> bool {
        self.sees_images
    }

    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        let chat = convert::request(request, self.sees_images);
        let mut options = self.options.clone();
        if request.words_only && !request.tools.is_empty() {
            options.tool_choice = Some(ToolChoice::None);
        }
        let answer = self.client.exec_chat_stream(self.model.clone(), chat, Some(&options)).await;
        let mut stream = answer.map_err(|error| model_error(&error))?.stream;
        while let Some(event) = stream.next().await {
            match event.map_err(|error| model_error(&error))? {
                ChatStreamEvent::Chunk(chunk) => sink.event(StreamEvent::Text(chunk.content)),
                ChatStreamEvent::End(end) => return Ok(convert::reply(end, &self.name)),
                _ => {}
            }
        }
        // IMPORTANT: a stream without its end is not an answer, even when its text looks complete: calls may be missing.
        Err(ModelError::Unavailable("the stream ended before the answer did".to_owned()))
    }
}
