//! The events that users of the product see, made of the events in a run's journal. Pure: the same event, the same JSON.

use orkestra_core::kernel::Next;
use orkestra_core::prelude::{Amount, Event, Failure, Growth, Name, Payload, RunEvent, Seq};
use serde::Deserialize;
use serde_json::Value;

use crate::AgentOutput;
use crate::event::{FeedEvent, ProductEvent};

/// The documented event for `event`; `None` for those that are only the engine's own.
#[must_use]
pub fn product_event(event: &RunEvent) -> Option<FeedEvent> {
    let RunEvent { run, seq, at, event, .. } = event;
    Some(FeedEvent { run_id: run.to_string(), seq: seq.0, ts: at.to_string(), event: told(event, *seq)? })
}

/// IMPORTANT: no `_` here. Whoever adds an event to the engine decides what users are told of it.
fn told(event: &Event, seq: Seq) -> Option<ProductEvent> {
    use ProductEvent as Told;
    Some(match event {
        Event::SlotAwaited { .. }
        | Event::InputReplaced { .. }
        | Event::StepStarted { .. }
        | Event::StepCompleted { .. }
        | Event::Charged { .. }
        | Event::Published { .. }
        | Event::StepFailed { .. }
        | Event::StepNotBegun { .. }
        | Event::TimerSet { .. }
        | Event::TimerFired { .. }
        | Event::SignalReceived { .. }
        | Event::ChildRequested { .. }
        | Event::ChildEnded { .. }
        | Event::ChildCancelled { .. }
        | Event::TaskParked { .. }
        | Event::Recovered
        | Event::Released
        | Event::Forked { .. }
        | Event::ParentTold
        | Event::ValueRead { .. } => return None,
        Event::AttemptStarted { node, attempt, .. } => Told::NodeStarted { agent: text(node), attempt: *attempt },
        Event::AttemptFailed { node, attempt, failure, next } => attempt_failed(text(node), *attempt, failure, *next),
        Event::NodeCompleted { node, output } => completed(text(node), read(output)),
        Event::NodeFailed { node, failure } => failed(text(node), None, failure),
        Event::NodeCancelled { node } => Told::NodeCancelled { agent: text(node) },
        Event::NodeSkipped { node, .. } => Told::NodeSkipped { agent: text(node) },
        Event::NodeReset { node } => Told::NodeReset { agent: text(node) },
        Event::Grown { node, growth, .. } => Told::GraphGrown { agent: text(node), nodes: names(growth) },
        Event::Emitted { node, kind, payload } => Told::reported(node, kind, read(payload)),
        Event::SignalAwaited { node, signal, .. } => signal_awaited(text(node), text(signal)),
        Event::SignalConsumed { node, step, signal } => signal_taken(text(node), step.clone(), text(signal)),
        Event::QuestionAsked { node, step, question, until } => {
            let until = until.map(|until| until.to_string());
            asked(text(node), seq, (step.clone(), read(question), until))
        }
        Event::QuestionAnswered { node, step, answer } => answered(text(node), step.clone(), read(answer)),
        Event::WaitLetGo { node, step } => Told::WaitWithdrawn { agent: text(node), key: step.clone() },
        Event::WaitTimedOut { node, step } => Told::WaitTimedOut { agent: text(node), key: step.clone() },
        Event::BudgetReached { meter, spent, limit } => {
            Told::BudgetReached { meter: text(meter), spent: spent.as_units(), limit: limit.as_units() }
        }
        Event::BudgetSet { meter, limit } => {
            Told::BudgetChanged { meter: text(meter), limit: limit.map(Amount::as_units) }
        }
        Event::RunCreated { plan, input, .. } => started(plan.nodes().len(), &read(input)),
        Event::RunPaused { reason } => Told::RunPaused { reason: reason.to_string() },
        Event::RunResumed => Told::RunResumed {},
        Event::RunReopened => Told::RunReopened {},
        Event::StopRequested { reason, .. } => Told::RunStopping { reason: reason.to_string() },
        Event::CompensationStarted { growth } => Told::CompensationStarted { nodes: names(growth) },
        Event::UndoRetried { node } => Told::CompensationRetried { agent: text(node) },
        Event::RunCompleted { output } => run_completed(&read(output)),
        Event::RunFailed { node, failure } => run_failed(text(node), failure),
        Event::RunCancelled { reason } => Told::RunCancelled { reason: reason.clone() },
        Event::RunTerminated { reason } => Told::RunTerminated { reason: reason.clone() },
        Event::RunTimedOut { deadline } => Told::RunTimedOut { deadline: deadline.to_string() },
    })
}

fn started(node_count: usize, input: &Value) -> ProductEvent {
    let objective = input.get("objective").and_then(Value::as_str).map(str::to_owned);
    ProductEvent::RunStarted { node_count, objective }
}

fn attempt_failed(agent: String, attempt: u32, failure: &Failure, next: Next) -> ProductEvent {
    match next {
        Next::RetryAt(at) => {
            let Failure { message: error, kind, .. } = failure.clone();
            ProductEvent::RetryScheduled { agent, attempt, error, kind, at: at.to_string() }
        }
        _ => failed(agent, Some(attempt), failure),
    }
}

fn failed(agent: String, attempt: Option<u32>, failure: &Failure) -> ProductEvent {
    let Failure { message: error, kind, .. } = failure.clone();
    ProductEvent::NodeFailed { agent, attempt, error, kind }
}

/// NOTE: the node need not be an agent; what it gives back is any JSON then.
fn completed(agent: String, output: Value) -> ProductEvent {
    #[derive(Default, Deserialize)]
    struct Work {
        files_written: Option<Vec<String>>,
        summary: Option<String>,
    }
    let Work { files_written, summary } = serde_json::from_value(output).unwrap_or_default();
    ProductEvent::NodeCompleted { agent, files_written, summary }
}

fn signal_awaited(agent: String, signal: String) -> ProductEvent {
    ProductEvent::HumanInputRequired { agent, request_id: signal, question: None, key: None, until: None }
}

fn signal_taken(agent: String, key: Option<String>, signal: String) -> ProductEvent {
    ProductEvent::HumanInputReceived { agent, request_id: Some(signal), key, answer: None }
}

/// A question is known by the position of its event.
fn asked(agent: String, seq: Seq, (key, question, until): (String, Value, Option<String>)) -> ProductEvent {
    let request_id = seq.0.to_string();
    ProductEvent::HumanInputRequired { agent, request_id, question: Some(question), key: Some(key), until }
}

fn answered(agent: String, key: String, answer: Value) -> ProductEvent {
    ProductEvent::HumanInputReceived { agent, request_id: None, key: Some(key), answer: Some(answer) }
}

fn run_completed(output: &Value) -> ProductEvent {
    ProductEvent::RunCompleted { files: AgentOutput::files_of(&AgentOutput::all_in(output)) }
}

fn run_failed(agent: String, failure: &Failure) -> ProductEvent {
    let Failure { message: error, kind, .. } = failure.clone();
    ProductEvent::RunFailed { agent, error, kind }
}

fn names(growth: &Growth) -> Vec<String> {
    growth.nodes.iter().map(|node| text(&node.name)).collect()
}

fn text(name: &Name) -> String {
    name.to_string()
}

/// What a payload says; null for one that is so long that it is kept beside the journal.
fn read(payload: &Payload) -> Value {
    payload.to().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    /// An event as it stands in a journal, and what users get of it beside place and time.
    struct Row(Value, Option<Value>);

    fn nobody(event: Value) -> Row {
        Row(event, None)
    }

    fn users(event: Value, told: Value) -> Row {
        Row(event, Some(told))
    }

    fn of_nodes() -> Vec<Row> {
        let failure = json!({"kind": "timed_out", "message": "too long"});
        let growth = json!({"nodes": [{"name": "fix", "task": "fix"}]});
        vec![
            nobody(json!({"SlotAwaited": {"node": "qa"}})),
            users(
                json!({"NodeSkipped": {"node": "qa", "reason": "Condition"}}),
                json!({"event": "node_skipped", "agent": "qa"}),
            ),
            users(
                json!({"NodeFailed": {"node": "qa", "failure": failure}}),
                json!({"event": "node_failed", "agent": "qa", "error": "too long", "kind": "timed_out"}),
            ),
            users(json!({"NodeReset": {"node": "qa"}}), json!({"event": "node_reset", "agent": "qa"})),
            nobody(json!({"InputReplaced": {"node": "qa", "input": 1}})),
            users(
                json!({"AttemptStarted": {"node": "qa", "attempt": 2}}),
                json!({"event": "node_started", "agent": "qa", "attempt": 2}),
            ),
            users(
                json!({"AttemptFailed": {"node": "qa", "attempt": 1, "failure": failure, "next": {"RetryAt": 1_500}}}),
                json!({"event": "retry_scheduled", "agent": "qa", "attempt": 1, "error": "too long", "kind": "timed_out",
                    "at": "1970-01-01T00:00:01.500Z"}),
            ),
            users(
                json!({"AttemptFailed": {"node": "qa", "attempt": 3, "failure": failure, "next": "GiveUp"}}),
                json!({"event": "node_failed", "agent": "qa", "attempt": 3, "error": "too long", "kind": "timed_out"}),
            ),
            users(
                json!({"NodeCompleted": {"node": "qa", "output": {"files_written": ["a.py"], "summary": "done", "x": 1}}}),
                json!({"event": "node_completed", "agent": "qa", "files_written": ["a.py"], "summary": "done"}),
            ),
            users(
                json!({"NodeCompleted": {"node": "plain", "output": 5}}),
                json!({"event": "node_completed", "agent": "plain", "files_written": null, "summary": null}),
            ),
            users(json!({"NodeCancelled": {"node": "qa"}}), json!({"event": "node_cancelled", "agent": "qa"})),
            users(
                json!({"Grown": {"node": "qa", "step": "k", "growth": growth}}),
                json!({"event": "graph_grown", "agent": "qa", "nodes": ["fix"]}),
            ),
            nobody(json!({"TaskParked": {"node": "qa"}})),
            users(
                json!({"UndoRetried": {"node": "undo:qa"}}),
                json!({"event": "compensation_retried", "agent": "undo:qa"}),
            ),
        ]
    }

    fn of_steps_and_waits() -> Vec<Row> {
        let failure = json!({"kind": "error", "message": "no"});
        let step = |name: &str| json!({name: {"node": "qa", "step": "k"}});
        let question = json!({"node": "qa", "step": "k", "question": {"text": "Which?"}});
        vec![
            nobody(step("StepStarted")),
            nobody(json!({"StepCompleted": {"node": "qa", "step": "k", "result": 1}})),
            nobody(json!({"Charged": {"node": "qa", "step": "k", "charges": {"usd": 1}}})),
            nobody(json!({"StepFailed": {"node": "qa", "step": "k", "failure": failure}})),
            nobody(step("StepNotBegun")),
            nobody(json!({"TimerSet": {"node": "qa", "step": "k", "due": 5}})),
            nobody(step("TimerFired")),
            users(
                json!({"SignalAwaited": {"node": "qa", "step": "k", "signal": "approve"}}),
                json!({"event": "human_input_required", "agent": "qa", "request_id": "approve"}),
            ),
            nobody(json!({"SignalReceived": {"signal": "approve", "payload": true}})),
            users(
                json!({"SignalConsumed": {"node": "qa", "step": "k", "signal": "approve"}}),
                json!({"event": "human_input_received", "agent": "qa", "key": "k", "request_id": "approve"}),
            ),
            users(
                json!({"QuestionAsked": question}),
                json!({"event": "human_input_required", "agent": "qa", "request_id": "7", "key": "k",
                    "question": {"text": "Which?"}}),
            ),
            users(
                json!({"QuestionAnswered": {"node": "qa", "step": "k", "answer": "sled"}}),
                json!({"event": "human_input_received", "agent": "qa", "key": "k", "answer": "sled"}),
            ),
            nobody(json!({"ChildRequested": {"node": "qa", "step": "k", "child": "c", "workflow": "w", "input": 1}})),
            nobody(json!({"ChildEnded": {"node": "qa", "step": "k", "outcome": {"completed": 1}}})),
            users(step("WaitLetGo"), json!({"event": "wait_withdrawn", "agent": "qa", "key": "k"})),
            users(step("WaitTimedOut"), json!({"event": "wait_timed_out", "agent": "qa", "key": "k"})),
            nobody(json!({"ChildCancelled": {"child": "c"}})),
            nobody(json!({"ValueRead": {"value": "Input", "answers": {}}})),
        ]
    }

    fn of_runs() -> Vec<Row> {
        let plan = json!({"name": "w", "nodes": [{"name": "qa", "task": "qa"}]});
        let created = json!({"plan": plan, "input": {"objective": "Build it"}});
        let outputs = json!({"agent": "qa", "files_written": [], "summary": "", "files": ["b.py", "a.py"]});
        let failure = json!({"kind": "panic", "message": "oh"});
        let asked = |reason: &str| json!({"Cancelled": {"reason": reason}});
        vec![
            users(
                json!({"RunCreated": created}),
                json!({"event": "run_started", "node_count": 1, "objective": "Build it"}),
            ),
            nobody(json!("Recovered")),
            nobody(json!("Released")),
            users(
                json!({"BudgetReached": {"meter": "usd", "spent": 2_500_000, "limit": 2_000_000}}),
                json!({"event": "budget_reached", "meter": "usd", "spent": 2.5, "limit": 2.0}),
            ),
            users(
                json!({"BudgetSet": {"meter": "usd", "limit": null}}),
                json!({"event": "budget_changed", "meter": "usd", "limit": null}),
            ),
            users(
                json!({"RunPaused": {"reason": {"Asked": {"reason": "lunch"}}}}),
                json!({"event": "run_paused", "reason": "lunch"}),
            ),
            users(
                json!({"RunPaused": {"reason": {"Budget": {"meter": "usd"}}}}),
                json!({"event": "run_paused", "reason": "the budget of `usd` is spent"}),
            ),
            users(json!("RunResumed"), json!({"event": "run_resumed"})),
            users(json!("RunReopened"), json!({"event": "run_reopened"})),
            nobody(json!({"Forked": {}})),
            users(
                json!({"CompensationStarted": {"growth": {"nodes": [{"name": "undo:qa", "task": "undo"}]}}}),
                json!({"event": "compensation_started", "nodes": ["undo:qa"]}),
            ),
            users(
                json!({"StopRequested": {"reason": asked("enough"), "grace_until": 9}}),
                json!({"event": "run_stopping", "reason": "enough"}),
            ),
            users(
                json!({"RunCompleted": {"output": outputs}}),
                json!({"event": "run_completed", "files": ["a.py", "b.py"]}),
            ),
            users(
                json!({"RunFailed": {"node": "qa", "failure": failure}}),
                json!({"event": "run_failed", "agent": "qa", "error": "oh", "kind": "panic"}),
            ),
            users(json!({"RunCancelled": {"reason": "enough"}}), json!({"event": "run_cancelled", "reason": "enough"})),
            users(json!({"RunTerminated": {"reason": "now"}}), json!({"event": "run_terminated", "reason": "now"})),
            users(
                json!({"RunTimedOut": {"deadline": 0}}),
                json!({"event": "run_timed_out", "deadline": "1970-01-01T00:00:00.000Z"}),
            ),
            nobody(json!("ParentTold")),
        ]
    }

    fn report(kind: &str, payload: Value, told: Value) -> Row {
        let mut event = json!({"Emitted": {"node": "qa", "kind": kind}});
        event["Emitted"]["payload"] = payload;
        users(event, told)
    }

    fn reports() -> Vec<Row> {
        let info = json!({"error_type": "no_tests", "failed_command": "pytest", "full_output": "", "failed_tests": [],
            "attempt": 1});
        vec![
            report("token_chunk", json!({"chunk": "a"}), json!({"event": "token_chunk", "agent": "qa", "chunk": "a"})),
            report(
                "rate_limited",
                json!({"delay_ms": 5, "kind": "model_rate_limited", "reason": "slow"}),
                json!({"event": "rate_limited", "agent": "qa", "delay_ms": 5, "kind": "model_rate_limited", "reason": "slow"}),
            ),
            report(
                "usage",
                json!({"model": "m", "tokens": {"input": 5, "output": null}, "cost_usd": null}),
                json!({"event": "usage", "agent": "qa", "model": "m", "tokens": {"input": 5, "output": null},
                    "cost_usd": null}),
            ),
            report(
                "validation_failed",
                json!({"debug_info": info}),
                json!({"event": "validation_failed", "agent": "qa", "debug_info": info}),
            ),
            // What tasks of others report passes as it is, also when it looks like ours.
            report("mine", json!({"x": 1, "seq": 9}), json!({"event": "mine", "agent": "qa", "x": 1})),
            report("mine", json!([1]), json!({"event": "mine", "agent": "qa", "value": [1]})),
            report("mine", Value::Null, json!({"event": "mine", "agent": "qa"})),
            report("token_chunk", json!({"x": 1}), json!({"event": "token_chunk", "agent": "qa", "x": 1})),
            report(
                "node_failed",
                json!({"error": "no", "kind": "k"}),
                json!({"event": "node_failed", "agent": "qa", "error": "no", "kind": "k"}),
            ),
        ]
    }

    #[test]
    fn every_event_of_the_engine_is_told_or_left_out_on_purpose() {
        let rows = [of_nodes(), of_steps_and_waits(), of_runs(), reports()].into_iter().flatten();
        let mut kinds = BTreeSet::new();
        for Row(written, wanted) in rows {
            let kind = written.as_str().or_else(|| written.as_object()?.keys().next().map(String::as_str));
            kinds.insert(kind.expect("an event has a name").to_owned());
            let event: Event = serde_json::from_value(written.clone()).expect("an event of a journal");
            let told = told(&event, Seq(7));
            let json = told.as_ref().map(|told| serde_json::to_value(told).expect("JSON"));
            assert_eq!(json, wanted, "{written}");
            let Some(told) = told else { continue };
            assert_eq!(json.expect("it is told")["event"], told.name(), "{written}");
            let sent = FeedEvent { run_id: "r".into(), seq: 7, ts: "then".into(), event: told };
            let json = sent.to_json();
            assert_eq!(json["event"], json["type"]);
            assert_eq!(json["run_id"], "r");
            let received: FeedEvent = serde_json::from_value(json).expect("it reads back");
            assert_eq!(received.to_json(), sent.to_json(), "{written}");
        }
        assert_eq!(kinds, Event::kinds().iter().map(|kind| (*kind).to_owned()).collect());
    }

    #[test]
    fn a_task_cannot_pretend_that_its_run_has_ended() {
        let Row(written, _) = report("run_cancelled", json!({"reason": "no"}), Value::Null);
        let event: Event = serde_json::from_value(written).expect("an event of a journal");
        assert!(matches!(told(&event, Seq(7)), Some(ProductEvent::Custom(_))));
    }
}
