//! The demo model: a script that plays the tool calls of a small real project. It is not an AI, and says so.
//!
//! ```text
//! conversation --Scene--> role, turn, tool results --> planner | backend | frontend | qa
//! ```
//! It has no state: its turn follows from the messages alone, so it behaves like any model after a crash. The files it writes
//! are real, its tests really run, and the validator really finds its one mistake.

mod backend;
mod frontend;
mod planner;
mod qa;
mod scene;
mod subject;
mod template;

use std::time::Duration;

use async_trait::async_trait;

use self::scene::Scene;
use crate::model::{AssistantMessage, FinishReason, Model, ModelError, Reply, Request, Sink, StreamEvent, Usage};

/// The notice for users of a run with the demo model.
pub const DEMO_BANNER: &str = "DEMO MODEL: no AI here. No model key was found, so a fixed script plays a small project \
                               (Python service, page, tests), with one honest mistake for the validator to find. \
                               The files, commands and tests are real. Set a key (DASHSCOPE_API_KEY, OPENAI_API_KEY, …) \
                               or name a model to get real work.";

/// The name of the demo model.
pub const DEMO_MODEL: &str = "demo";

/// Words per streamed piece.
const PIECE_WORDS: usize = 4;

/// A script that plays a model.
#[derive(Debug, Clone, Copy)]
pub struct DemoModel {
    delay: Duration,
}

impl DemoModel {
    /// A demo model that takes about `delay` per answer.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        Self { delay }
    }
}

#[async_trait]
impl Model for DemoModel {
    fn name(&self) -> &str {
        DEMO_MODEL
    }

    fn context_tokens(&self) -> u64 {
        // NOTE: large enough that a conversation is never condensed, which would hide the model's own turns from it.
        1_000_000
    }

    fn notice(&self) -> Option<&str> {
        Some(DEMO_BANNER)
    }

    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        let scene = Scene::read(&request.messages)?;
        let message = answer(&scene);
        let words: Vec<&str> = message.text.split_inclusive(' ').collect();
        let pieces: Vec<String> = words.chunks(PIECE_WORDS).map(<[&str]>::concat).collect();
        let pause = self.delay / u32::try_from(pieces.len().max(1)).unwrap_or(u32::MAX);
        for piece in pieces {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            sink.event(StreamEvent::Text(piece));
        }
        Ok(Reply { message, usage: Usage::default(), stop: FinishReason::Finished, model: DEMO_MODEL.to_owned() })
    }
}

fn answer(scene: &Scene) -> AssistantMessage {
    // IMPORTANT: the outcome of an interrupted call is unknown. All calls of the script can be repeated safely.
    if let Some(again) = scene.interrupted_calls() {
        return again;
    }
    match scene.role.as_str() {
        "planner" => planner::turn(scene),
        "backend" => backend::turn(scene),
        "frontend" => frontend::turn(scene),
        "qa" => qa::turn(scene),
        other => crate::model::say(format!("The demo model has no script for the agent {other:?}.")),
    }
}
