//! Agents on the durable engine: models, the agent loop, validators, and the pipeline planner -> backend and
//! frontend -> qa.
//!
//! ```text
//! Orkestra (facade) --create--> a run of the pipeline, an ordinary workflow of orkestra-core
//!   pipeline   which agents, in which order                event, feed, view   what CLI and server show of a run
//!   agent/     the loop: model, tools, validator           workplaces        workspace, sandbox, artifacts of a run
//!   model/     genai, the demo model, text protocol        validate/    tests and syntax checks, debug_info
//! ```
//! Every model call and every tool call is a memoised step of its node: a crash repeats none that finished.

mod agent;
mod call_log;
mod error;
pub mod event;
pub mod feed;
pub mod model;
pub mod pipeline;
mod sections;
pub mod validate;
pub mod view;
mod workplace;

pub use agent::{Agent, AgentOutput, Brief, TOKENS_METER, USD_METER};
pub use call_log::CALL_LOG_VARIABLE;
pub use error::{Error, ErrorKind};
pub use pipeline::{
    Job, MODEL_LABEL, OBJECTIVE_LABEL, Orkestra, OrkestraBuilder, PIPELINE, PROJECT_LABEL, PipelineRequest,
    SandboxChoice,
};
pub use workplace::{SandboxKind, Workplaces};
