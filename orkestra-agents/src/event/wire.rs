//! How events are written: into the journal by agents, and as JSON to users. Pure, except for [`ProductEvent::emit`].

use orkestra_core::prelude::Context;
use orkestra_tools::Secrets;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{CustomEvent, ProductEvent};

/// Fields of each event on the wire besides its own. An emitted event cannot replace them.
const ENVELOPE: [&str; 5] = ["event", "type", "run_id", "seq", "ts"];

/// An event of a run, with its position and time.
///
/// On the wire it is one flat object: `event` and `type` (the same name), `run_id`, `seq`, `ts`, and the event's own fields.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedEvent {
    /// The run.
    pub run_id: String,
    /// Its position in the run: the cursor to continue from.
    pub seq: u64,
    /// When it was decided, RFC 3339 in UTC.
    pub ts: String,
    /// What happened.
    pub event: ProductEvent,
}

impl FeedEvent {
    /// The event as users receive it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let name = self.event.name();
        let mut object = Map::new();
        object.insert("event".to_owned(), json!(name));
        object.insert("type".to_owned(), json!(name));
        object.insert("run_id".to_owned(), json!(self.run_id));
        object.insert("seq".to_owned(), json!(self.seq));
        object.insert("ts".to_owned(), json!(self.ts));
        object.extend(fields(&self.event));
        Value::Object(object)
    }
}

impl Serialize for FeedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FeedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Envelope {
            event: String,
            run_id: String,
            seq: u64,
            ts: String,
            #[serde(flatten)]
            fields: Map<String, Value>,
        }
        let Envelope { event, run_id, seq, ts, mut fields } = Envelope::deserialize(deserializer)?;
        fields.remove("type");
        Ok(Self { run_id, seq, ts, event: ProductEvent::of_parts(event, fields) })
    }
}

impl ProductEvent {
    /// The event with this name and these fields. It is a custom event unless it is written exactly like one of ours, so that
    /// nothing is lost.
    pub(crate) fn of_parts(name: String, fields: Map<String, Value>) -> Self {
        let mut whole = fields.clone();
        whole.insert("event".to_owned(), json!(name));
        let whole = Value::Object(whole);
        match serde_json::from_value::<Self>(whole.clone()) {
            Ok(event) if serde_json::to_value(&event).is_ok_and(|written| written == whole) => event,
            _ => Self::Custom(CustomEvent { name, fields }),
        }
    }

    /// The event that the task at `node` emitted as `kind`. A task cannot emit an event of the engine: it becomes a custom event.
    pub(crate) fn reported(node: &str, kind: &str, report: Value) -> Self {
        let mut fields = match report {
            Value::Object(fields) => fields,
            Value::Null => Map::new(),
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        fields.retain(|name, _| !ENVELOPE.contains(&name.as_str()));
        fields.insert("agent".to_owned(), json!(node));
        match Self::of_parts(kind.to_owned(), fields) {
            event if event.is_report() => event,
            event => Self::Custom(CustomEvent { name: kind.to_owned(), fields: self::fields(&event) }),
        }
    }

    /// Emits the event into the journal of the task's run.
    pub fn emit(&self, cx: &Context) {
        self.emit_masked(cx, &Secrets::default());
    }

    /// The same with secrets masked.
    pub(crate) fn emit_masked(&self, cx: &Context, secrets: &Secrets) {
        let mut fields = fields(self);
        // The journal records the node that emits it.
        fields.remove("agent");
        let mut fields = Value::Object(fields);
        secrets.mask_json(&mut fields);
        cx.emit(&secrets.mask(self.name()), fields);
    }

    /// Whether agents emit it; the other events follow from events of the engine.
    const fn is_report(&self) -> bool {
        match self {
            Self::TokenChunk { .. }
            | Self::RateLimited { .. }
            | Self::ModelRestarted { .. }
            | Self::FileWritten { .. }
            | Self::CommandOutput { .. }
            | Self::ToolCall { .. }
            | Self::ToolResult { .. }
            | Self::Usage { .. }
            | Self::Notice { .. }
            | Self::SandboxStarted { .. }
            | Self::NetworkUsed { .. }
            | Self::ValidationFailed { .. }
            | Self::Custom(_) => true,
            Self::RunStarted { .. }
            | Self::NodeStarted { .. }
            | Self::RetryScheduled { .. }
            | Self::NodeCompleted { .. }
            | Self::NodeFailed { .. }
            | Self::NodeCancelled { .. }
            | Self::NodeSkipped { .. }
            | Self::NodeReset { .. }
            | Self::GraphGrown { .. }
            | Self::HumanInputRequired { .. }
            | Self::HumanInputReceived { .. }
            | Self::WaitTimedOut { .. }
            | Self::WaitWithdrawn { .. }
            | Self::BudgetReached { .. }
            | Self::BudgetChanged { .. }
            | Self::RunPaused { .. }
            | Self::RunResumed {}
            | Self::RunReopened {}
            | Self::RunStopping { .. }
            | Self::CompensationStarted { .. }
            | Self::CompensationRetried { .. }
            | Self::RunCompleted { .. }
            | Self::RunFailed { .. }
            | Self::RunCancelled { .. }
            | Self::RunTerminated { .. }
            | Self::RunTimedOut { .. }
            | Self::EngineEvent { .. } => false,
        }
    }

    /// Whether it is bookkeeping of the engine, which people need not see.
    #[must_use]
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::EngineEvent { .. })
    }

    /// The agent that the event is about; `None` for an event of the whole run.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        match self {
            Self::NodeStarted { agent, .. }
            | Self::TokenChunk { agent, .. }
            | Self::RateLimited { agent, .. }
            | Self::ModelRestarted { agent, .. }
            | Self::FileWritten { agent, .. }
            | Self::CommandOutput { agent, .. }
            | Self::ToolCall { agent, .. }
            | Self::ToolResult { agent, .. }
            | Self::Usage { agent, .. }
            | Self::Notice { agent, .. }
            | Self::SandboxStarted { agent, .. }
            | Self::NetworkUsed { agent, .. }
            | Self::ValidationFailed { agent, .. }
            | Self::RetryScheduled { agent, .. }
            | Self::NodeCompleted { agent, .. }
            | Self::NodeFailed { agent, .. }
            | Self::NodeCancelled { agent }
            | Self::NodeSkipped { agent }
            | Self::NodeReset { agent }
            | Self::GraphGrown { agent, .. }
            | Self::HumanInputRequired { agent, .. }
            | Self::HumanInputReceived { agent, .. }
            | Self::WaitTimedOut { agent, .. }
            | Self::WaitWithdrawn { agent, .. }
            | Self::CompensationRetried { agent } => Some(agent),
            Self::EngineEvent { agent, .. } => agent.as_deref(),
            Self::Custom(event) => event.fields.get("agent").and_then(Value::as_str),
            Self::RunStarted { .. }
            | Self::BudgetReached { .. }
            | Self::BudgetChanged { .. }
            | Self::RunPaused { .. }
            | Self::RunResumed {}
            | Self::RunReopened {}
            | Self::RunStopping { .. }
            | Self::CompensationStarted { .. }
            | Self::RunCompleted { .. }
            | Self::RunFailed { .. }
            | Self::RunCancelled { .. }
            | Self::RunTerminated { .. }
            | Self::RunTimedOut { .. } => None,
        }
    }

    /// Its name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::NodeStarted { .. } => "node_started",
            Self::TokenChunk { .. } => "token_chunk",
            Self::RateLimited { .. } => "rate_limited",
            Self::ModelRestarted { .. } => "model_restarted",
            Self::FileWritten { .. } => "file_written",
            Self::CommandOutput { .. } => "command_output",
            Self::ToolCall { .. } => "tool_call",
            Self::ToolResult { .. } => "tool_result",
            Self::Usage { .. } => "usage",
            Self::Notice { .. } => "notice",
            Self::SandboxStarted { .. } => "sandbox_started",
            Self::NetworkUsed { .. } => "network_used",
            Self::ValidationFailed { .. } => "validation_failed",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::NodeCompleted { .. } => "node_completed",
            Self::NodeFailed { .. } => "node_failed",
            Self::NodeCancelled { .. } => "node_cancelled",
            Self::NodeSkipped { .. } => "node_skipped",
            Self::NodeReset { .. } => "node_reset",
            Self::GraphGrown { .. } => "graph_grown",
            Self::HumanInputRequired { .. } => "human_input_required",
            Self::HumanInputReceived { .. } => "human_input_received",
            Self::WaitTimedOut { .. } => "wait_timed_out",
            Self::WaitWithdrawn { .. } => "wait_withdrawn",
            Self::EngineEvent { .. } => "engine_event",
            Self::BudgetReached { .. } => "budget_reached",
            Self::BudgetChanged { .. } => "budget_changed",
            Self::RunPaused { .. } => "run_paused",
            Self::RunResumed {} => "run_resumed",
            Self::RunReopened {} => "run_reopened",
            Self::RunStopping { .. } => "run_stopping",
            Self::CompensationStarted { .. } => "compensation_started",
            Self::CompensationRetried { .. } => "compensation_retried",
            Self::RunCompleted { .. } => "run_completed",
            Self::RunFailed { .. } => "run_failed",
            Self::RunCancelled { .. } => "run_cancelled",
            Self::RunTerminated { .. } => "run_terminated",
            Self::RunTimedOut { .. } => "run_timed_out",
            Self::Custom(event) => &event.name,
        }
    }
}

/// The event's own fields.
fn fields(event: &ProductEvent) -> Map<String, Value> {
    match event {
        ProductEvent::Custom(event) => event.fields.clone(),
        event => match serde_json::to_value(event) {
            Ok(Value::Object(mut fields)) => {
                fields.remove("event");
                fields
            }
            // An event is always an object with text keys.
            _ => Map::new(),
        },
    }
}
