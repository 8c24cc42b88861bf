//! The events that users of the product see, made of the events in a run's journal. Pure: the same event, the same JSON.

use orkestra_core::prelude::{Event, Failure, Payload, RunEvent};
use serde_json::{Map, Value, json};

use crate::AgentOutput;

/// The documented event for `event`: an object with `event` and `type` (the same), `run_id`, `seq`, `ts`, and what belongs
/// to it. Nothing for events that are only the engine's own.
///
/// `run_started {node_count, objective}`, `node_started {agent, attempt}`, `token_chunk {agent, chunk}`, `file_written
/// {agent, path, bytes}`, `command_output {agent, line, stderr}`, `tool_call {agent, tool, arguments}`, `tool_result {agent,
/// tool, ok, text}`, `validation_failed {agent, debug_info}`, `retry_scheduled {agent, attempt, error, at}`, `rate_limited
/// {agent, delay_ms, reason}`, `usage {agent, model, tokens, cost_usd}`, `notice {agent, message}`, `node_completed {agent,
/// files_written, summary}`, `node_failed {agent, attempt, error, kind}`, `human_input_required {agent, request_id}`,
/// `run_completed {files}`, `run_failed {agent, error, kind}`, `run_cancelled {reason}`.
#[must_use]
pub fn product_event(run_id: &str, event: &RunEvent) -> Option<Value> {
    let (name, mut fields) = describe(&event.event)?;
    let mut object = Map::new();
    object.insert("event".to_owned(), json!(name));
    object.insert("type".to_owned(), json!(name));
    object.insert("run_id".to_owned(), json!(run_id));
    object.insert("seq".to_owned(), json!(event.seq.0));
    object.insert("ts".to_owned(), json!(event.at.to_string()));
    // NOTE: the names above are ours: what a task emits cannot replace them.
    fields.retain(|name, _| !object.contains_key(name));
    object.extend(fields);
    Some(Value::Object(object))
}

fn describe(event: &Event) -> Option<(String, Map<String, Value>)> {
    let (name, fields) = match event {
        Event::RunCreated { plan, input, .. } => {
            let objective = value(input).get("objective").cloned().unwrap_or_default();
            ("run_started", json!({"node_count": plan.nodes().len(), "objective": objective}))
        }
        Event::AttemptStarted { node, attempt, .. } => ("node_started", json!({"agent": node, "attempt": attempt})),
        Event::AttemptFailed { node, attempt, failure, next } => return Some(failed(node, *attempt, failure, next)),
        Event::NodeCompleted { node, output } => {
            let output = value(output);
            let (files, summary) = (&output["files_written"], &output["summary"]);
            ("node_completed", json!({"agent": node, "files_written": files, "summary": summary}))
        }
        Event::NodeCancelled { node } => ("node_cancelled", json!({"agent": node})),
        Event::SignalAwaited { node, signal, .. } => {
            ("human_input_required", json!({"agent": node, "request_id": signal}))
        }
        Event::Emitted { node, kind, payload } => return Some(emitted(node, kind, payload)),
        Event::RunCompleted { output } => {
            let outputs = AgentOutput::all_in(&value(output));
            ("run_completed", json!({"files": AgentOutput::files_of(&outputs)}))
        }
        Event::RunFailed { node, failure } => {
            ("run_failed", json!({"agent": node, "error": failure.message, "kind": failure.kind}))
        }
        Event::RunCancelled { reason } => ("run_cancelled", json!({"reason": reason})),
        _ => return None,
    };
    Some((name.to_owned(), object(fields)))
}

fn failed(
    node: &str,
    attempt: u32,
    failure: &Failure,
    next: &orkestra_core::kernel::Next,
) -> (String, Map<String, Value>) {
    let mut fields = object(json!({"agent": node, "attempt": attempt, "error": failure.message, "kind": failure.kind}));
    let name = match next {
        orkestra_core::kernel::Next::RetryAt(at) => {
            fields.insert("at".to_owned(), json!(at.to_string()));
            "retry_scheduled"
        }
        _ => "node_failed",
    };
    (name.to_owned(), fields)
}

fn emitted(node: &str, kind: &str, payload: &Payload) -> (String, Map<String, Value>) {
    let mut fields = match value(payload) {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        other => object(json!({"value": other})),
    };
    fields.insert("agent".to_owned(), json!(node));
    (kind.to_owned(), fields)
}

fn value(payload: &Payload) -> Value {
    payload.to().unwrap_or_default()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
