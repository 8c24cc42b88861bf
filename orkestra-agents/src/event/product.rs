//! The events. Their names and fields are a public format: events and fields are only ever added.

use orkestra_tools::{Network, egress::HostUse};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::validate::DebugInfo;

/// Something that happened to a run, for its users. On the wire `event` holds the name: `{"event": "node_started",
/// "agent": "backend", "attempt": 1}`.
///
/// The enum is exhaustive on purpose: a program that does not handle an event does not compile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProductEvent {
    /// The run was created.
    RunStarted {
        /// Its number of nodes at the start.
        node_count: usize,
        /// The objective. Missing when it is so long that it is kept beside the journal.
        objective: Option<String>,
    },
    /// An attempt of an agent has started.
    NodeStarted {
        /// The agent.
        agent: String,
        /// The attempt, counted from 1.
        attempt: u32,
    },
    /// A piece of a model's answer.
    TokenChunk {
        /// The agent.
        agent: String,
        /// The piece.
        chunk: String,
    },
    /// The model call waits before it is tried again.
    RateLimited {
        /// The agent.
        agent: String,
        /// For how long.
        delay_ms: u64,
        /// The kind of the model's error.
        kind: String,
        /// The reason.
        reason: String,
    },
    /// The answer so far is void: a model starts again.
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
        /// Whether the command wrote it to stderr.
        stderr: bool,
    },
    /// A tool call has started.
    ToolCall {
        /// The agent.
        agent: String,
        /// The tool.
        tool: String,
        /// Its arguments; long texts are cut.
        arguments: Value,
    },
    /// A tool call has ended.
    ToolResult {
        /// The agent.
        agent: String,
        /// The tool.
        tool: String,
        /// Whether the call succeeded.
        ok: bool,
        /// Its result; a long one is cut.
        text: String,
    },
    /// The tokens and the cost of one model call.
    Usage {
        /// The agent.
        agent: String,
        /// The model.
        model: String,
        /// The tokens.
        tokens: Tokens,
        /// The cost in dollars; `None` is unknown, which is not 0.
        cost_usd: Option<f64>,
    },
    /// Something that users should know.
    Notice {
        /// The agent.
        agent: String,
        /// The text.
        message: String,
    },
    /// The run's sandbox has started: at its first command, and again when it was lost or the run has moved.
    SandboxStarted {
        /// The agent whose call came first.
        agent: String,
        /// `docker` or `local`.
        sandbox: String,
        /// The network that commands have.
        network: Network,
        /// What is enforced.
        enforced: Vec<String>,
        /// What a reader might expect but is not enforced.
        gaps: Vec<String>,
    },
    /// Commands used the network: how often, by host, since the last such event of the run.
    NetworkUsed {
        /// The agent whose call came before. Agents of a run share one sandbox: it may have been another one's command.
        agent: String,
        /// The hosts, with what was allowed and what was refused.
        hosts: Vec<HostUse>,
    },
    /// The validator refused an agent's work.
    ValidationFailed {
        /// The agent.
        agent: String,
        /// Why.
        debug_info: DebugInfo,
    },
    /// An attempt failed, and another one follows.
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
    /// An agent has completed.
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
    /// An agent was cancelled because the run is stopping.
    NodeCancelled {
        /// The agent.
        agent: String,
    },
    /// An agent is skipped: its condition is false, or a node before it failed.
    NodeSkipped {
        /// The agent.
        agent: String,
    },
    /// A failed agent is tried again.
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
    /// An agent waits for an answer or a signal.
    HumanInputRequired {
        /// The agent that asks.
        agent: String,
        /// What to answer: the number of the question, or the name of the signal.
        request_id: String,
        /// The question; missing for a signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<Value>,
        /// The key of the wait, which later events refer to; missing for a gate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The deadline for an answer; missing when it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// The answer or the signal has arrived.
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
    /// A wait of an agent has timed out.
    WaitTimedOut {
        /// The agent.
        agent: String,
        /// The key of the wait.
        key: String,
    },
    /// An agent no longer waits; an answer is not needed any more.
    WaitWithdrawn {
        /// The agent.
        agent: String,
        /// The key of the wait.
        key: String,
    },
    /// The run has spent its budget on a meter and is paused.
    BudgetReached {
        /// The meter.
        meter: String,
        /// The amount spent, in units of the meter.
        spent: f64,
        /// The budget.
        limit: f64,
    },
    /// A budget of the run was changed.
    BudgetChanged {
        /// The meter.
        meter: String,
        /// The new budget; `None` is no limit.
        limit: Option<f64>,
    },
    /// The run is paused.
    RunPaused {
        /// The reason.
        reason: String,
    },
    /// The run was resumed.
    RunResumed {},
    /// The run had ended and continues.
    RunReopened {},
    /// The run is stopping: no agent starts any more.
    RunStopping {
        /// The reason.
        reason: String,
    },
    /// Compensation of completed nodes has started.
    CompensationStarted {
        /// The nodes that compensate.
        nodes: Vec<String>,
    },
    /// A failed compensation is tried again.
    CompensationRetried {
        /// The node that compensates.
        agent: String,
    },
    /// The run has completed.
    RunCompleted {
        /// All files that its agents wrote.
        files: Vec<String>,
    },
    /// The run has failed.
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
        /// The reason given by the caller.
        reason: String,
    },
    /// The run was terminated.
    RunTerminated {
        /// The reason given by the caller.
        reason: String,
    },
    /// The run exceeded its deadline.
    RunTimedOut {
        /// The deadline.
        deadline: String,
    },
    /// Bookkeeping of the engine: for programs that follow everything. Text screens leave it out.
    EngineEvent {
        /// The engine's name of the event, `step_completed` for instance.
        kind: String,
        /// The agent; missing when the event concerns the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// The key of the step or wait, the published key, the name of the signal, or the id of the child run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// An event that another task emitted, unchanged, or an event of a newer version.
    #[serde(untagged)]
    Custom(CustomEvent),
}

/// An event that is not one of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomEvent {
    /// Its name.
    #[serde(rename = "event")]
    pub name: String,
    /// All of its fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// The tokens of a model call; `None` is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
}
