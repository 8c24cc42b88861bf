//! Language models behind one small trait.
//!
//! ```text
//! agent loop --Request--> Model (patient: waits, retries, falls back)
//!                           |-- genai/   a provider or any OpenAI-compatible address   (the only folder with genai)
//!                           |-- demo/    a script that plays a small project, no AI
//!                           `-- scripted a list of replies, for tests
//! ```
//! Nothing here knows about runs, nodes or steps; the agent loop makes calls durable.

mod choice;
mod demo;
mod error;
mod genai;
mod interface;
mod message;
mod patient;
mod price;
mod scripted;
mod sight;
mod text_protocol;

pub use choice::{ModelChoice, ModelSource, ModelSpec, ToolProtocol};
pub use demo::{DEMO_BANNER, DEMO_MODEL, DemoModel};
pub use error::ModelError;
pub use interface::{FinishReason, Image, Model, Reply, Request, Silent, Sink, StreamEvent, ToolDefinition, Usage};
pub use message::{Arguments, AssistantMessage, Message, ToolCall, ToolMessage};
pub use patient::{Patience, Patient};
pub use price::{Price, Priced};
pub use scripted::{PendingModel, ScriptedModel, call, say};
