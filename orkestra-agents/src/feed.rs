//! Turns the events of a run's journal into the events that users see. Pure: the same event gives the same JSON.

use orkestra_core::kernel::Next;
use orkestra_core::prelude::{Amount, Event, Failure, Growth, Name, Payload, RunEvent, Seq};
use serde::Deserialize;
use serde_json::Value;

use crate::AgentOutput;
use crate::event::{FeedEvent, ProductEvent};

/// The event that users see for `event`.
#[must_use]
pub fn product_event(event: &RunEvent) -> FeedEvent {
    let RunEvent { run, seq, at, event, .. } = event;
    FeedEvent { run_id: run.to_string(), seq: seq.0, ts: at.to_string(), event: shown(event, *seq) }
}

/// IMPORTANT: no `_` here. A new event of the engine must get its event for users here.
fn shown(event: &Event, seq: Seq) -> ProductEvent {
    use ProductEvent as Shown;
    match event {
        Event::SlotAwaited { node } => of_node("slot_awaited", node, None),
        Event::InputReplaced { node, .. } => of_node("input_replaced", node, None),
        Event::TaskParked { node } => of_node("task_parked", node, None),
        Event::StepStarted { node, step } => of_node("step_started", node, Some(step)),
        Event::StepCompleted { node, step, .. } => of_node("step_completed", node, Some(step)),
        Event::StepFailed { node, step, .. } => of_node("step_failed", node, Some(step)),
        Event::StepNotBegun { node, step } => of_node("step_not_begun", node, Some(step)),
        Event::Charged { node, step, .. } => of_node("charged", node, Some(step)),
        Event::Published { node, key, .. } => of_node("published", node, Some(key)),
        Event::TimerSet { node, step, .. } => of_node("timer_set", node, Some(step)),
        Event::TimerFired { node, step } => of_node("timer_fired", node, Some(step)),
        Event::ChildRequested { node, step, .. } => of_node("child_requested", node, Some(step)),
        Event::ChildEnded { node, step, .. } => of_node("child_ended", node, Some(step)),
        Event::ChildCancelled { child } => of_run("child_cancelled", Some(child)),
        Event::SignalReceived { signal, .. } => of_run("signal_received", Some(signal)),
        Event::Recovered => of_run("recovered", None),
        Event::Released => of_run("released", None),
        Event::Forked { .. } => of_run("forked", None),
        Event::ParentTold => of_run("parent_told", None),
        Event::ValueRead { .. } => of_run("value_read", None),
        Event::AttemptStarted { node, attempt, .. } => Shown::NodeStarted { agent: text(node), attempt: *attempt },
        Event::AttemptFailed { node, attempt, failure, next } => attempt_failed(text(node), *attempt, failure, *next),
        Event::NodeCompleted { node, output } => completed(text(node), read(output)),
        Event::NodeFailed { node, failure } => failed(text(node), None, failure),
        Event::NodeCancelled { node } => Shown::NodeCancelled { agent: text(node) },
        Event::NodeSkipped { node, .. } => Shown::NodeSkipped { agent: text(node) },
        Event::NodeReset { node } => Shown::NodeReset { agent: text(node) },
        Event::Grown { node, growth, .. } => Shown::GraphGrown { agent: text(node), nodes: names(growth) },
        Event::Emitted { node, kind, payload } => Shown::reported(node, kind, read(payload)),
        Event::SignalAwaited { node, signal, .. } => signal_awaited(text(node), text(signal)),
        Event::SignalConsumed { node, step, signal } => signal_taken(text(node), step.clone(), text(signal)),
        Event::QuestionAsked { node, step, question, until } => {
            let until = until.map(|until| until.to_string());
            asked(text(node), seq, (step.clone(), read(question), until))
        }
        Event::QuestionAnswered { node, step, answer } => answered(text(node), step.clone(), read(answer)),
        Event::WaitLetGo { node, step } => Shown::WaitWithdrawn { agent: text(node), key: step.clone() },
        Event::WaitTimedOut { node, step } => Shown::WaitTimedOut { agent: text(node), key: step.clone() },
        Event::BudgetReached { meter, spent, limit } => {
            Shown::BudgetReached { meter: text(meter), spent: spent.as_units(), limit: limit.as_units() }
        }
        Event::BudgetSet { meter, limit } => {
            Shown::BudgetChanged { meter: text(meter), limit: limit.map(Amount::as_units) }
        }
        Event::RunCreated { plan, input, .. } => started(plan.nodes().len(), &read(input)),
        Event::RunPaused { reason } => Shown::RunPaused { reason: reason.to_string() },
        Event::RunResumed => Shown::RunResumed {},
        Event::RunReopened => Shown::RunReopened {},
        Event::StopRequested { reason, .. } => Shown::RunStopping { reason: reason.to_string() },
        Event::CompensationStarted { growth } => Shown::CompensationStarted { nodes: names(growth) },
        Event::UndoRetried { node } => Shown::CompensationRetried { agent: text(node) },
        Event::RunCompleted { output } => run_completed(&read(output)),
        Event::RunFailed { node, failure } => run_failed(text(node), failure),
        Event::RunCancelled { reason } => Shown::RunCancelled { reason: reason.clone() },
        Event::RunTerminated { reason } => Shown::RunTerminated { reason: reason.clone() },
        Event::RunTimedOut { deadline } => Shown::RunTimedOut { deadline: deadline.to_string() },
    }
}

fn of_node(kind: &str, node: &Name, key: Option<&str>) -> ProductEvent {
    ProductEvent::EngineEvent { kind: kind.to_owned(), agent: Some(text(node)), key: key.map(str::to_owned) }
}

fn of_run(kind: &str, key: Option<&str>) -> ProductEvent {
    ProductEvent::EngineEvent { kind: kind.to_owned(), agent: None, key: key.map(str::to_owned) }
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

/// NOTE: the node may be another task than an agent; its output is then any JSON.
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

/// A question is identified by the position of its event.
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

/// The value of a payload; null for one that is so long that it is kept beside the journal.
fn read(payload: &Payload) -> Value {
    payload.to().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    /// An event in a journal, and the event that users see, without position and time.
    struct Row(Value, Value);

    fn users(event: Value, shown: Value) -> Row {
        Row(event, shown)
    }

    /// Bookkeeping of a node, or of the run if there is none.
    fn engine(event: Value, kind: &str, node: Option<&str>, key: Option<&str>) -> Row {
        let mut shown = json!({"event": "engine_event", "kind": kind});
        node.into_iter().for_each(|node| shown["agent"] = node.into());
        key.into_iter().for_each(|key| shown["key"] = key.into());
        Row(event, shown)
    }

    fn of_nodes() -> Vec<Row> {
        let failure = json!({"kind": "timed_out", "message": "too long"});
        let growth = json!({"nodes": [{"name": "fix", "task": "fix"}]});
        vec![
            engine(json!({"SlotAwaited": {"node": "qa"}}), "slot_awaited", Some("qa"), None),
            users(
                json!({"NodeSkipped": {"node": "qa", "reason": "Condition"}}),
                json!({"event": "node_skipped", "agent": "qa"}),
            ),
            users(
                json!({"NodeFailed": {"node": "qa", "failure": failure}}),
                json!({"event": "node_failed", "agent": "qa", "error": "too long", "kind": "timed_out"}),
            ),
            users(json!({"NodeReset": {"node": "qa"}}), json!({"event": "node_reset", "agent": "qa"})),
            engine(json!({"InputReplaced": {"node": "qa", "input": 1}}), "input_replaced", Some("qa"), None),
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
            engine(json!({"TaskParked": {"node": "qa"}}), "task_parked", Some("qa"), None),
            engine(
                json!({"Published": {"node": "qa", "step": "k", "key": "eta", "value": 5}}),
                "published",
                Some("qa"),
                Some("eta"),
            ),
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
            engine(step("StepStarted"), "step_started", Some("qa"), Some("k")),
            engine(
                json!({"StepCompleted": {"node": "qa", "step": "k", "result": 1}}),
                "step_completed",
                Some("qa"),
                Some("k"),
            ),
            engine(
                json!({"Charged": {"node": "qa", "step": "k", "charges": {"usd": 1}}}),
                "charged",
                Some("qa"),
                Some("k"),
            ),
            engine(
                json!({"StepFailed": {"node": "qa", "step": "k", "failure": failure}}),
                "step_failed",
                Some("qa"),
                Some("k"),
            ),
            engine(step("StepNotBegun"), "step_not_begun", Some("qa"), Some("k")),
            engine(json!({"TimerSet": {"node": "qa", "step": "k", "due": 5}}), "timer_set", Some("qa"), Some("k")),
            engine(step("TimerFired"), "timer_fired", Some("qa"), Some("k")),
            users(
                json!({"SignalAwaited": {"node": "qa", "step": "k", "signal": "approve"}}),
                json!({"event": "human_input_required", "agent": "qa", "request_id": "approve"}),
            ),
            engine(
                json!({"SignalReceived": {"signal": "approve", "payload": true}}),
                "signal_received",
                None,
                Some("approve"),
            ),
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
            engine(
                json!({"ChildRequested": {"node": "qa", "step": "k", "child": "c", "workflow": "w", "input": 1}}),
                "child_requested",
                Some("qa"),
                Some("k"),
            ),
            engine(
                json!({"ChildEnded": {"node": "qa", "step": "k", "outcome": {"completed": 1}}}),
                "child_ended",
                Some("qa"),
                Some("k"),
            ),
            users(step("WaitLetGo"), json!({"event": "wait_withdrawn", "agent": "qa", "key": "k"})),
            users(step("WaitTimedOut"), json!({"event": "wait_timed_out", "agent": "qa", "key": "k"})),
            engine(json!({"ChildCancelled": {"child": "c"}}), "child_cancelled", None, Some("c")),
            engine(json!({"ValueRead": {"value": "Input", "answers": {}}}), "value_read", None, None),
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
            engine(json!("Recovered"), "recovered", None, None),
            engine(json!("Released"), "released", None, None),
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
                json!({"event": "run_paused", "reason": "the budget of `usd` is used up"}),
            ),
            users(json!("RunResumed"), json!({"event": "run_resumed"})),
            users(json!("RunReopened"), json!({"event": "run_reopened"})),
            engine(json!({"Forked": {}}), "forked", None, None),
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
            engine(json!("ParentTold"), "parent_told", None, None),
        ]
    }

    fn report(kind: &str, payload: Value, shown: Value) -> Row {
        let mut event = json!({"Emitted": {"node": "qa", "kind": kind}});
        event["Emitted"]["payload"] = payload;
        users(event, shown)
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
            // Events of other tasks pass unchanged, even when they look like ours.
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
    fn every_event_of_the_engine_has_an_event_for_users() {
        let rows = [of_nodes(), of_steps_and_waits(), of_runs(), reports()].into_iter().flatten();
        let mut kinds = BTreeSet::new();
        for Row(written, wanted) in rows {
            let kind = written.as_str().or_else(|| written.as_object()?.keys().next().map(String::as_str));
            kinds.insert(kind.expect("an event has a name").to_owned());
            let event: Event = serde_json::from_value(written.clone()).expect("an event of a journal");
            let shown = shown(&event, Seq(7));
            let json = serde_json::to_value(&shown).expect("JSON");
            assert_eq!(json, wanted, "{written}");
            assert_eq!(json["event"], shown.name(), "{written}");
            let sent = FeedEvent { run_id: "r".into(), seq: 7, ts: "then".into(), event: shown };
            let json = sent.to_json();
            assert_eq!(json["event"], json["type"]);
            assert_eq!(json["run_id"], "r");
            let received: FeedEvent = serde_json::from_value(json).expect("it reads back");
            assert_eq!(received.to_json(), sent.to_json(), "{written}");
        }
        assert_eq!(kinds, Event::kinds().iter().map(|kind| (*kind).to_owned()).collect());
    }

    #[test]
    fn a_task_cannot_fake_the_end_of_its_run() {
        let Row(written, _) = report("run_cancelled", json!({"reason": "no"}), Value::Null);
        let event: Event = serde_json::from_value(written).expect("an event of a journal");
        assert!(matches!(shown(&event, Seq(7)), ProductEvent::Custom(_)));
    }
}
