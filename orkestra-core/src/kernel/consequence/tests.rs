//! The table, row by row: every event with its columns, and no event without a row.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

/// An event, the beginning of its change, and its columns, with node and step first.
struct Row(Value, &'static str, &'static str);

fn run_rows() -> Vec<Row> {
    let plan = json!({"name": "w", "nodes": [{"name": "a", "task": "t"}]});
    let stop = json!({"reason": {"Cancelled": {"reason": "why"}}, "grace_until": 9});
    let paused = |reason: Value| json!({"RunPaused": {"reason": reason}});
    vec![
        Row(json!({"RunCreated": {"plan": plan, "input": 1}}), "Run(Created", "begins_run"),
        Row(json!("Recovered"), "Run(Recovered", "every_node"),
        Row(json!("Released"), "Run(Released", ""),
        Row(paused(json!({"Asked": {"reason": "lunch"}})), "Run(Paused(Asked", "every_node"),
        Row(paused(json!({"Budget": {"meter": "usd"}})), "Run(Paused(Budget", "every_node"),
        Row(paused(json!({"NodeFailed": {"node": "a"}})), "Run(Paused(NodeFailed", "every_node keeps_undecided"),
        Row(json!("RunResumed"), "Run(Resumed", "every_node ends_pause"),
        Row(json!({"StopRequested": stop}), "Run(Stopping", "every_node ends_pause"),
        Row(json!({"CompensationStarted": {"growth": growth()}}), "Run(Compensating", "grows every_node"),
        Row(json!({"RunCompleted": {"output": 1}}), "Run(Ended(Completed", "every_node ends_run ends_pause"),
        Row(
            json!({"RunFailed": {"node": "a", "failure": failure()}}),
            "Run(Ended(Failed",
            "a every_node ends_run ends_pause",
        ),
        Row(json!({"RunCancelled": {"reason": "why"}}), "Run(Ended(Cancelled", "every_node ends_run ends_pause"),
        Row(json!({"RunTerminated": {"reason": "why"}}), "Run(Ended(Terminated", "every_node ends_run ends_pause"),
        Row(json!({"RunTimedOut": {"deadline": 9}}), "Run(Ended(TimedOut", "every_node ends_run ends_pause"),
        Row(json!("RunReopened"), "Run(Reopened", "every_node follows_end"),
        Row(json!({"UndoRetried": {"node": "a"}}), "Run(UndoRetried", "a every_node follows_end"),
        Row(json!({"Forked": {"shared": ["a"]}}), "Run(Forked", ""),
        Row(json!({"BudgetReached": {"meter": "usd", "spent": 2, "limit": 1}}), "Run(BudgetReached", ""),
        Row(json!({"BudgetSet": {"meter": "usd", "limit": 1}}), "Run(BudgetSet", "follows_end"),
        Row(json!({"SignalReceived": {"signal": "go", "payload": 1}}), "Run(SignalReceived(Name(\"go\"", ""),
        Row(json!({"ChildCancelled": {"child": "c"}}), "Run(ChildCancelled", "follows_end"),
        Row(json!("ParentTold"), "Run(ParentTold", "follows_end"),
        Row(json!({"ValueRead": {"value": "Input", "answers": {}}}), "Run(ValueRead", ""),
    ]
}

fn node_rows() -> Vec<Row> {
    let failed =
        |next: Value| json!({"AttemptFailed": {"node": "a", "attempt": 1, "failure": failure(), "next": next}});
    vec![
        Row(json!({"SlotAwaited": {"node": "a"}}), "Node(Queued", "a"),
        Row(json!({"AttemptStarted": {"node": "a", "attempt": 2}}), "Node(AttemptStarted(2", "a"),
        Row(failed(json!({"RetryAt": 9})), "Node(AttemptFailed(", "a"),
        Row(failed(json!("GiveUp")), "Node(AttemptFailed(", "a"),
        Row(json!({"NodeCompleted": {"node": "a", "output": 1}}), "Node(Completed", "a"),
        Row(json!({"NodeFailed": {"node": "a", "failure": failure()}}), "Node(Failed", "a"),
        Row(json!({"NodeSkipped": {"node": "a", "reason": "Upstream"}}), "Node(Skipped(Upstream", "a"),
        Row(json!({"NodeCancelled": {"node": "a"}}), "Node(Cancelled", "a"),
        Row(json!({"NodeReset": {"node": "a"}}), "Node(Reset", "a keeps_undecided"),
        Row(json!({"InputReplaced": {"node": "a", "input": 1}}), "Node(InputReplaced", "a"),
        Row(json!({"TaskParked": {"node": "a"}}), "Node(Parked", "a"),
        Row(json!({"Emitted": {"node": "a", "kind": "x", "payload": 1}}), "Node(Reported { kind: \"x\"", "a"),
    ]
}

fn step_rows() -> Vec<Row> {
    let of = |event: &str, more: Value| {
        let mut fields = json!({"node": "a", "step": "k"});
        fields.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({event: fields})
    };
    let spent = json!({"usd": 1});
    let child = json!({"child": "c", "workflow": "w", "input": 1, "until": 9});
    let ended = json!({"outcome": {"completed": 1}, "charges": spent});
    vec![
        Row(of("StepStarted", json!({})), "Step(Started", "a/k"),
        Row(of("StepNotBegun", json!({})), "Step(NotBegun", "a/k"),
        Row(of("StepCompleted", json!({"result": 1, "charges": spent})), "Step(Completed", "a/k settles spends"),
        Row(of("StepFailed", json!({"failure": failure(), "charges": spent})), "Step(Failed", "a/k settles spends"),
        Row(of("Charged", json!({"charges": spent})), "Step(Charged", "a/k settles spends"),
        Row(of("Published", json!({"key": "phase", "value": 1})), "Step(Published", "a/k settles"),
        Row(of("Grown", json!({"growth": growth()})), "Step(Grown", "a/k settles grows"),
        Row(of("TimerSet", json!({"due": 9})), "Wait(Began(Time(", "a/k"),
        Row(of("SignalAwaited", json!({"signal": "go", "until": 9})), "Wait(Began(Signal(Name(\"go\")), Some", "a/k"),
        Row(of("QuestionAsked", json!({"question": 1})), "Wait(Began(Answer(", "a/k"),
        Row(of("ChildRequested", child), "Wait(Began(Child(", "a/k wants_child"),
        Row(of("TimerFired", json!({})), "Wait(Ended(Time", "a/k settles"),
        Row(of("SignalConsumed", json!({"signal": "go"})), "Wait(Ended(Signal", "a/k settles"),
        Row(json!({"SignalConsumed": {"node": "a", "signal": "go"}}), "Wait(Ended(Signal", "a"),
        Row(of("QuestionAnswered", json!({"answer": 1})), "Wait(Ended(Answer", "a/k settles"),
        Row(of("ChildEnded", ended), "Wait(Ended(Child", "a/k settles spends"),
        Row(of("WaitTimedOut", json!({})), "Wait(TimedOut", "a/k settles"),
        Row(of("WaitLetGo", json!({})), "Wait(LetGo", "a/k"),
    ]
}

fn failure() -> Value {
    json!({"kind": "error", "message": "no luck", "retryable": true})
}

fn growth() -> Value {
    json!({"nodes": [{"name": "b", "task": "t"}]})
}

fn read(event: &Value) -> Event {
    serde_json::from_value(event.clone()).unwrap_or_else(|error| panic!("{event}: {error}"))
}

/// The columns that are set, in the order of the table.
fn columns(row: &Consequence<'_>) -> String {
    let place = match (row.node, row.step) {
        (Some(node), Some(step)) => format!("{node}/{step}"),
        (node, _) => node.map(ToString::to_string).unwrap_or_default(),
    };
    let flags = [
        (row.settled_step().is_some(), "settles"),
        (row.charges.is_some(), "spends"),
        (row.growth.is_some(), "grows"),
        (row.every_node, "every_node"),
        (row.begins_run, "begins_run"),
        (row.ends_run, "ends_run"),
        (row.ends_pause, "ends_pause"),
        (row.wants_child, "wants_child"),
        (row.follows_end, "follows_end"),
        (row.keeps_undecided, "keeps_undecided"),
    ];
    let set = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
    [place.as_str()].into_iter().filter(|place| !place.is_empty()).chain(set).collect::<Vec<_>>().join(" ")
}

fn rows() -> Vec<Row> {
    [run_rows(), node_rows(), step_rows()].into_iter().flatten().collect()
}

#[test]
fn every_row_has_the_consequences_of_its_event() {
    for Row(event, change, expected) in rows() {
        let read = read(&event);
        let row = read.consequence();
        let said = format!("{:?}", row.change);
        assert!(said.starts_with(change), "{event}: {said} does not begin with {change}");
        assert_eq!(columns(&row), expected, "{event}");
    }
}

#[test]
fn every_event_has_a_row() {
    let name = |event: &Value| match event {
        Value::String(name) => name.clone(),
        event => event.as_object().and_then(|event| event.keys().next()).expect("an event has a name").clone(),
    };
    let in_table: BTreeSet<_> = rows().iter().map(|Row(event, ..)| name(event)).collect();
    let known: BTreeSet<_> = Event::kinds().iter().map(ToString::to_string).collect();
    assert_eq!(in_table, known);
}

#[test]
fn a_decision_has_the_consequences_of_all_its_events() {
    let plan = json!({"name": "w", "nodes": [{"name": "a", "task": "t"}, {"name": "b", "task": "t"}]});
    let plan: Plan = serde_json::from_value(plan).expect("a plan");
    let of = |events: &[Value]| Consequences::of(&plan, &events.iter().map(read).collect::<Vec<_>>());
    let id = |node: &str| plan.id(&name(node)).expect("a node");

    let done = [
        json!({"StepCompleted": {"node": "b", "step": "k", "result": 1}}),
        json!({"NodeCompleted": {"node": "b", "output": 1}}),
        json!({"AttemptStarted": {"node": "a", "attempt": 1}}),
        json!({"NodeCompleted": {"node": "elsewhere", "output": 1}}),
    ];
    let follows = of(&done);
    assert_eq!(follows.perform, Perform::Nodes(vec![id("a"), id("b")]), "each once, in order");
    assert_eq!(follows.answers, [(name("b"), "k".to_owned())]);
    assert!(!follows.begins_run && !follows.ends_pause && !follows.wants_child);

    let ends = of(&[done[1].clone(), json!({"RunCompleted": {"output": 1}})]);
    assert_eq!(ends.perform, Perform::EveryNode);
    assert!(ends.ends_pause);
    assert_eq!(of(&[json!("Released")]).perform, Perform::Nodes(Vec::new()));
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}
