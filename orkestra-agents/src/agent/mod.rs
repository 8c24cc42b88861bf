//! An agent: a role, what it is told, its tools, its model and its validator. It is a task like any other.
//!
//! ```text
//! brief --> [ model call --> tool calls --> results ] ... --> done --> validator --> output
//!              each a memoised step of the node              |
//!                                                            `--> validation_failure: the next attempt reads why
//! ```
//! Keys of steps begin with the attempt (`a2/turn-3/model`): a crash inside an attempt repeats nothing, a new attempt
//! really asks the model again. A tool call that was under way when the process died is unknown: read-only ones are
//! repeated, others are told to the model as interrupted.

mod chunks;
mod condense;
mod detector;
mod events;
mod model_turn;
mod output;
pub(crate) mod prompt;
mod talk;
mod task;
mod tool_turn;

use std::sync::Arc;

use orkestra_tools::ToolSet;

use crate::{model::Model, validate::Validator, workplace::Workplaces};

pub(crate) use condense::cut;
pub use output::AgentOutput;

/// Turns of one attempt. A good model needs ten to twenty for a feature; a poor one would go on for ever.
const TURNS_MAX: u32 = 40;
/// Tool calls of one turn; the rest is refused, so that one answer cannot keep a run busy for hours.
const CALLS_PER_TURN_MAX: usize = 16;

/// An agent of a pipeline.
///
/// ```no_run
/// # fn workplaces() -> std::sync::Arc<orkestra_agents::Workplaces> { unimplemented!() }
/// use orkestra_agents::{Agent, validate::CodeValidator};
///
/// let writer = Agent::new("writer", "You write the user manual as manual.md.", workplaces())
///     .with_validator(CodeValidator::own_work())
///     .with_turns_max(20);
/// ```
#[derive(Clone)]
pub struct Agent {
    role: String,
    duty: String,
    tools: ToolSet,
    model: Option<Arc<dyn Model>>,
    validator: Option<Arc<dyn Validator>>,
    answer_file: Option<String>,
    turns_max: u32,
    workplaces: Arc<Workplaces>,
}

impl Agent {
    /// An agent with all tools, the run's model and no validator.
    pub fn new(role: impl Into<String>, duty: impl Into<String>, workplaces: Arc<Workplaces>) -> Self {
        Self {
            role: role.into(),
            duty: duty.into(),
            tools: ToolSet::builtin(),
            model: None,
            validator: None,
            answer_file: None,
            turns_max: TURNS_MAX,
            workplaces,
        }
    }

    /// Other tools than all.
    #[must_use]
    pub fn with_tools(mut self, tools: ToolSet) -> Self {
        self.tools = tools;
        self
    }

    /// A model of its own instead of the run's.
    #[must_use]
    pub fn with_model(mut self, model: Arc<dyn Model>) -> Self {
        self.model = Some(model);
        self
    }

    /// Who judges its work.
    #[must_use]
    pub fn with_validator(mut self, validator: impl Validator + 'static) -> Self {
        self.validator = Some(Arc::new(validator));
        self
    }

    /// A file that the agent is to write. When it answers in words instead, its answer is what is written there: weak
    /// models do their work in the answer.
    #[must_use]
    pub fn with_answer_file(mut self, path: impl Into<String>) -> Self {
        self.answer_file = Some(path.into());
        self
    }

    /// The most turns of one attempt.
    #[must_use]
    pub fn with_turns_max(mut self, turns: u32) -> Self {
        self.turns_max = turns.max(1);
        self
    }

    /// Its role, which is its name in prompts.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }
}
