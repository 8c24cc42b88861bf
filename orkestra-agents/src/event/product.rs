//! The events themselves. Their names and fields are a public format: they are only ever added to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::validate::DebugInfo;

/// Something that happened to a run, as its users are told. On the wire `event` holds its name: `{"event": "node_started",
/// "agent": "backend", "attempt": 1}`.
///
/// The enum is exhaustive on purpose: a screen that forgets an event does not compile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProductEvent {
    /// The run exists.
    RunStarted {
        /// How many nodes it begins with.
        node_count: usize,
        /// What it is to build. Missing when it is so long that it is kept beside the journal.
        objective: Option<String>,
    },
    /// An agent begins an attempt.
    NodeStarted {
        /// The agent.
        agent: String,
        /// The attempt, counted from 1.
        attempt: u32,
    },
    /// A model's answer, piece by piece.
    TokenChunk {
        /// The agent.
        agent: String,
        /// The piece.
        chunk: String,
    },
    /// The model must be waited for.
    RateLimited {
        /// The agent.
        agent: String,
        /// For how long.
        delay_ms: u64,
        /// The kind of the model's error.
        kind: String,
        /// Why, in words.
        reason: String,
    },
    /// The answer so far counts no more: a model begins anew.
    ModelRestarted {
        /// The agent.
        agent: String,
        /// The model that answers now.
        model: String,
    },
    /// A file was written.
    FileWritten {
        /// The agent.
        agent: String,
        /// Its path in the workspace.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// A line of output of a command.
    CommandOutput {
        /// The agent.
        agent: String,
        /// The line.
        line: String,
        /// Whether it came from the error output.
        stderr: bool,
    },
    /// A tool is called.
    ToolCall {
        /// The agent.
        agent: String,
        /// The tool.
        tool: String,
        /// Its arguments, long texts cut.
        arguments: Value,
    },
    /// A tool has answered.
    ToolResult {
        /// The agent.
        agent: String,
        /// The tool.
        tool: String,
        /// Whether it did what it was asked for.
        ok: bool,
        /// Its answer, cut.
        text: String,
    },
    /// The tokens of one model call.
    Usage {
        /// The agent.
        agent: String,
        /// The model.
        model: String,
        /// The tokens.
        tokens: Tokens,
        /// The price in dollars; `None` is unknown, which is not 0.
        cost_usd: Option<f64>,
    },
    /// Something that people should know.
    Notice {
        /// The agent.
        agent: String,
        /// What.
        message: String,
    },
    /// The validator refused an agent's work.
    ValidationFailed {
        /// The agent.
        agent: String,
        /// Why.
        debug_info: DebugInfo,
    },
    /// An attempt failed, and another follows.
    RetryScheduled {
        /// The agent.
        agent: String,
        /// The attempt that failed.
        attempt: u32,
        /// What went wrong.
        error: String,
        /// The kind of the failure.
        kind: String,
        /// When the next attempt begins.
        at: String,
    },
    /// An agent is done.
    NodeCompleted {
        /// The agent.
        agent: String,
        /// The files that it wrote; missing when the node is not an agent.
        files_written: Option<Vec<String>>,
        /// What it says about its work; missing when the node is not an agent.
        summary: Option<String>,
    },
    /// An agent failed for good.
    NodeFailed {
        /// The agent.
        agent: String,
        /// Its last attempt; missing when it failed while none was running.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// What went wrong.
        error: String,
        /// The kind of the failure.
        kind: String,
    },
    /// An agent ended because the run is stopping.
    NodeCancelled {
        /// The agent.
        agent: String,
    },
    /// An agent will not run: its condition does not hold, or nodes before it failed.
    NodeSkipped {
        /// The agent.
        agent: String,
    },
    /// An agent that failed is tried again.
    NodeReset {
        /// The agent.
        agent: String,
    },
    /// The graph has grown.
    GraphGrown {
        /// The agent that added to it.
        agent: String,
        /// The new nodes.
        nodes: Vec<String>,
    },
    /// Somebody must answer.
    HumanInputRequired {
        /// The agent that asks.
        agent: String,
        /// What the answer is given to: the number of the question, or the name of the signal.
        request_id: String,
        /// The question; missing for a signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<Value>,
        /// The key of the wait, which later events name; missing for a gate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The deadline for an answer; missing when it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// The answer is there.
    HumanInputReceived {
        /// The agent that asked.
        agent: String,
        /// The key of the wait; missing for a gate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The name of the signal; missing for a question.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The answer to a question; missing for a signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Value>,
    },
    /// What an agent waited for did not come in time.
    WaitTimedOut {
        /// The agent.
        agent: String,
        /// The key of the wait.
        key: String,
    },
    /// An agent no longer waits: nobody needs to answer.
    WaitWithdrawn {
        /// The agent.
        agent: String,
        /// The key of the wait.
        key: String,
    },
    /// What was spent on a meter reached the run's budget. The run is paused.
    BudgetReached {
        /// The meter.
        meter: String,
        /// What was spent, in units of the meter.
        spent: f64,
        /// What may be spent.
        limit: f64,
    },
    /// Somebody changed what the run may spend.
    BudgetChanged {
        /// The meter.
        meter: String,
        /// What may be spent from now on; `None` is any amount.
        limit: Option<f64>,
    },
    /// The run is paused.
    RunPaused {
        /// Why, in words.
        reason: String,
    },
    /// The run goes on.
    RunResumed {},
    /// The run had ended and goes on.
    RunReopened {},
    /// The run is about to end: no agent starts any more.
    RunStopping {
        /// Why, in words.
        reason: String,
    },
    /// Completed nodes are compensated.
    CompensationStarted {
        /// The nodes that do it.
        nodes: Vec<String>,
    },
    /// A compensation that failed is tried again.
    CompensationRetried {
        /// The node that does it.
        agent: String,
    },
    /// The run is done.
    RunCompleted {
        /// Every file of its agents.
        files: Vec<String>,
    },
    /// The run failed.
    RunFailed {
        /// The agent that failed.
        agent: String,
        /// What went wrong.
        error: String,
        /// The kind of the failure.
        kind: String,
    },
    /// The run was cancelled.
    RunCancelled {
        /// Why, in the words of whoever asked.
        reason: String,
    },
    /// The run was ended by force.
    RunTerminated {
        /// Why, in the words of whoever did.
        reason: String,
    },
    /// The run passed its deadline.
    RunTimedOut {
        /// The deadline.
        deadline: String,
    },
    /// What a task of somebody else's reported, as it is; or an event of a newer version.
    #[serde(untagged)]
    Custom(CustomEvent),
}

/// An event that is none of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomEvent {
    /// Its name.
    #[serde(rename = "event")]
    pub name: String,
    /// All of its fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// Tokens of a model call; `None` is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
}
