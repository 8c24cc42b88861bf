//! Agents on the durable engine: models, the agent loop, validators, and a pipeline of four agents (planner -> backend and
//! frontend -> qa).
//!
//! To write an agent of your own, put an [`Agent`] behind a node of any workflow; to use the pipeline, start an [`Orkestra`].
//!
//! ```text
//! pipeline/    which agents, in which order, for which job      event, feed, view    what CLI and server show of a run
//!    |
//! agent/       the loop: brief, model, tools, validator         workplace/           workspace, sandbox and artifacts of a run
//!    |
//! model/       genai, the demo model, text protocol             validate/            tests and syntax checks, debug_info
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

pub use agent::{Agent, AgentOutput, Brief, TOKENS_METER, USD_METER, ask_human};
pub use call_log::CALL_LOG_VARIABLE;
pub use error::{Error, ErrorKind};
pub use pipeline::{
    Job, MODEL_LABEL, OBJECTIVE_LABEL, Orkestra, OrkestraBuilder, PIPELINE, PROJECT_LABEL, PipelineRequest,
    SandboxChoice, egress_of_machine, every_tool,
};
pub use workplace::{SandboxKind, SandboxSpec, Workplaces, is_lost_hosts_pause};
