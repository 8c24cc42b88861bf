//! An agent: a role and a duty, a brief, tools, a model and a validator. It is a task like any other.
//!
//! ```text
//! brief --> [ model call --> tool calls --> results ] ... --> done --> validator --> output
//!              each a memoised step of the node              |
//!                                                            `--> validation_failure: the next attempt reads why
//! ```
//! Step keys begin with the attempt (`a2/turn-3/model`): a crash inside an attempt repeats nothing, and a new attempt asks
//! the model again. The outcome of a tool call is unknown when its process died inside it: read-only calls are repeated, the
//! others are reported to the model as interrupted.
//!
//! Nothing here knows which agents there are, in which order they work, or what their runs are for.

mod brief;
mod chunks;
mod condense;
mod consent;
mod detector;
mod events;
mod mask;
mod model_turn;
mod output;
mod pictures;
pub(crate) mod prompt;
mod talk;
mod task;
mod tool_turn;

use std::sync::Arc;

use orkestra_core::prelude::{Context, TaskResult};
use orkestra_tools::{ToolSet, ToolSource};
use serde_json::Value;

use crate::{model::Model, validate::Validator, workplace::Workplaces};

pub use brief::Brief;
pub(crate) use condense::cut;
pub use consent::ask_human;
pub(crate) use consent::{ANSWER_TIME, Consents};
pub(crate) use model_turn::task_error;
pub use model_turn::{TOKENS_METER, USD_METER};
pub use output::AgentOutput;
pub(crate) use task::NETWORK_KEY;

/// Turns of one attempt. A good model needs ten to twenty for a feature; a poor one would never stop.
const TURNS_MAX: u32 = 40;
/// Tool calls of one turn; the rest is refused, so that one answer cannot keep a run busy for hours.
const CALLS_PER_TURN_MAX: usize = 16;

type ChooseModel = dyn Fn(&Context) -> TaskResult<Arc<dyn Model>> + Send + Sync;
type ChooseTools = dyn Fn(&Context) -> TaskResult<ToolSet> + Send + Sync;
type MakeBrief = dyn Fn(&Context, &Value) -> TaskResult<Brief> + Send + Sync;

/// An agent, as a [`Task`](orkestra_core::prelude::Task) for a node of a workflow.
///
/// Each answer of the model charges the run's meters: `tokens`, and `usd` when the price is known
/// ([`Usage::cost_usd`](crate::model::Usage::cost_usd)). A budget on one of them pauses the run when it is used up.
///
/// ```
/// use orkestra_agents::{Agent, SandboxKind, Workplaces, model::{ScriptedModel, say}, validate::CodeValidator};
/// use orkestra_core::prelude::Workflow;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let workplaces = Workplaces::new(path)?.with_sandbox(SandboxKind::Local);
/// let model = ScriptedModel::new("scripted", [Ok(say("Done."))]);
/// let writer = Agent::new("writer", "You write the user manual as manual.md.", model, &workplaces)
///     .with_validator(CodeValidator::own_work())
///     .with_turns_max(20);
/// let workflow = Workflow::new("manual").node("write", writer).build()?;
/// # drop(workflow);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Agent {
    role: String,
    duty: String,
    tools: Arc<ChooseTools>,
    model: Arc<ChooseModel>,
    validator: Option<Arc<dyn Validator>>,
    answer_file: Option<String>,
    turns_max: u32,
    brief: Arc<MakeBrief>,
    workplaces: Workplaces,
}

impl Agent {
    /// An agent with all built-in tools, the default brief ([`Brief::of_run`]) and no validator. The system message says
    /// that it is the `role` agent, and then `duty`.
    pub fn new(
        role: impl Into<String>,
        duty: impl Into<String>,
        model: Arc<dyn Model>,
        workplaces: &Workplaces,
    ) -> Self {
        Self::with_chosen_model(role, duty, move |_| Ok(Arc::clone(&model)), workplaces)
    }

    /// The same as [`Agent::new`] with a model that `choose` opens for each attempt, from the run's input for instance.
    pub fn with_chosen_model(
        role: impl Into<String>,
        duty: impl Into<String>,
        choose: impl Fn(&Context) -> TaskResult<Arc<dyn Model>> + Send + Sync + 'static,
        workplaces: &Workplaces,
    ) -> Self {
        Self {
            role: role.into(),
            duty: duty.into(),
            tools: Arc::new(|_| Ok(ToolSet::builtin())),
            model: Arc::new(choose),
            validator: None,
            answer_file: None,
            turns_max: TURNS_MAX,
            brief: Arc::new(Brief::of_run),
            workplaces: workplaces.clone(),
        }
    }

    /// Replaces the duty.
    #[must_use]
    pub fn with_duty(mut self, duty: impl Into<String>) -> Self {
        self.duty = duty.into();
        self
    }

    /// Replaces the tools.
    #[must_use]
    pub fn with_tools(mut self, tools: ToolSet) -> Self {
        self.tools = Arc::new(move |_| Ok(tools.clone()));
        self
    }

    /// Sets the tools that `choose` gives for each attempt, from the run's input for instance. The same run should get the same
    /// tools in every process.
    #[must_use]
    pub fn with_chosen_tools(
        mut self,
        choose: impl Fn(&Context) -> TaskResult<ToolSet> + Send + Sync + 'static,
    ) -> Self {
        self.tools = Arc::new(choose);
        self
    }

    /// Adds tools that can change while the agent works, such as those of MCP servers. See [`ToolSet::with_source`].
    #[must_use]
    pub fn with_tool_source(mut self, source: Arc<dyn ToolSource>) -> Self {
        let choose = self.tools;
        self.tools = Arc::new(move |cx| Ok(choose(cx)?.with_source(Arc::clone(&source))));
        self
    }

    /// Replaces the model.
    #[must_use]
    pub fn with_model(mut self, model: Arc<dyn Model>) -> Self {
        self.model = Arc::new(move |_| Ok(Arc::clone(&model)));
        self
    }

    /// Sets the validator that judges the agent's work. Work that it refuses fails the attempt, and the next attempt reads
    /// why.
    #[must_use]
    pub fn with_validator(mut self, validator: impl Validator + 'static) -> Self {
        self.validator = Some(Arc::new(validator));
        self
    }

    /// Sets how the brief is made, from the run and the input of the node. It is called for each attempt, and again after a
    /// crash.
    #[must_use]
    pub fn with_brief(mut self, brief: impl Fn(&Context, &Value) -> TaskResult<Brief> + Send + Sync + 'static) -> Self {
        self.brief = Arc::new(brief);
        self
    }

    /// Sets the file that the agent has to write. If the agent does not write it with its tools, its last answer is written
    /// there: weak models do their work in the answer.
    #[must_use]
    pub fn with_answer_file(mut self, path: impl Into<String>) -> Self {
        self.answer_file = Some(path.into());
        self
    }

    /// Sets the largest number of turns of one attempt.
    #[must_use]
    pub fn with_turns_max(mut self, turns: u32) -> Self {
        self.turns_max = turns.max(1);
        self
    }

    /// The role, which is the agent's name in prompts.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }
}
