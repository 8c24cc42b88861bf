//! Every kind of event on every kind of state: which are legal, and which not. `apply` answers an illegal one with an
//! error that names its position, and never panics.

use std::collections::BTreeMap;

use orkestra_core::kernel::{Event, Next, RunState, StopReason, apply};
use orkestra_core::model::{Failure, Growth, Name, RunId, Seq, Timestamp};

use super::scene::{Node, gate, json, name, plan, task};
use super::show::show;

pub(super) fn run() -> RunId {
    RunId::new("r").expect("a run id")
}

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn created() -> Event {
    let plan = plan([task("a"), task("b").after(&["a"]), gate("g", "go")]);
    Event::RunCreated { plan, input: json("1"), labels: BTreeMap::new(), options: Box::default() }
}

pub(super) fn started(node: &str, attempt: u32) -> Event {
    Event::AttemptStarted { node: name(node), attempt, deadline: None }
}

pub(super) fn failed(node: &str, attempt: u32, next: Next) -> Event {
    Event::AttemptFailed { node: name(node), attempt, failure: failure(), next }
}

pub(super) fn failure() -> Failure {
    Failure::retryable("error", "no luck")
}

pub(super) fn completed(node: &str) -> Event {
    Event::NodeCompleted { node: name(node), output: json("1") }
}

pub(super) fn cancelled(node: &str) -> Event {
    Event::NodeCancelled { node: name(node) }
}

fn received(signal: &str) -> Event {
    Event::SignalReceived { signal: name(signal), payload: json("1") }
}

fn stop(reason: StopReason) -> Event {
    Event::StopRequested { reason, grace_until: at(9) }
}

/// The events of step `k` of `node`.
fn step_events(node: &str) -> Vec<Event> {
    let (node, step): (Name, String) = (name(node), "k".into());
    let growth = Growth::new().with_node(task("n")).with_edge(name("n"), name("b"));
    vec![
        Event::StepStarted { node: node.clone(), step: step.clone() },
        Event::StepCompleted { node: node.clone(), step: step.clone(), result: json("1"), charges: BTreeMap::new() },
        Event::StepFailed { node: node.clone(), step: step.clone(), failure: failure(), charges: BTreeMap::new() },
        Event::TimerSet { node: node.clone(), step: step.clone(), due: at(5) },
        Event::TimerFired { node: node.clone(), step: step.clone() },
        Event::SignalAwaited { node: node.clone(), step: step.clone(), signal: name("mine"), until: None },
        Event::SignalConsumed { node: node.clone(), step: Some(step.clone()), signal: name("mine") },
        Event::Grown { node, step, growth },
    ]
}

/// The states, each with the events that lead to it after the run started with `a` and `g` running.
fn states() -> Vec<(char, Vec<Event>)> {
    let step = |index: usize| step_events("a")[index].clone();
    let cancel = || stop(StopReason::Cancelled { reason: "why".into() });
    let fail = || stop(StopReason::NodeFailed { node: name("a"), failure: failure() });
    vec![
        ('R', vec![]),                                                                // a and g are running
        ('S', vec![step(0)]),                                                         // step k started
        ('D', vec![step(1)]),                                                         // step k completed
        ('Z', vec![step(3)]),                                                         // step k sleeps
        ('W', vec![step(5)]),                                                         // step k waits for a signal
        ('w', vec![step(5), received("mine")]),                                       // which has arrived
        ('G', vec![received("go")]),                                                  // the gate's signal has arrived
        ('B', vec![failed("a", 1, Next::RetryAt(at(7)))]),                            // a is retried later
        ('F', vec![failed("a", 1, Next::GiveUp)]),                                    // a failed
        ('C', vec![completed("a")]),                                                  // a completed, b may start
        ('A', vec![completed("a"), started("b", 1), completed("b"), completed("g")]), // all completed
        ('P', vec![cancel()]),                                                        // stopping, a is running
        ('p', vec![cancel(), cancelled("a"), cancelled("g")]),                        // stopping, nothing is running
        ('f', vec![failed("a", 1, Next::GiveUp), fail(), cancelled("g")]),            // the same for a failure
        ('E', vec![cancel(), cancelled("a"), cancelled("g"), Event::RunCancelled { reason: "why".into() }]), // ended
    ]
}

fn state_after(events: &[Event]) -> Option<RunState> {
    let mut state = None;
    for event in [created(), started("a", 1), started("g", 1)].iter().chain(events) {
        apply(&run(), &mut state, at(1), event).expect("this can have happened");
    }
    state
}

pub(super) fn all_events() -> Vec<Event> {
    let mut events = vec![
        created(),
        started("a", 1),
        started("a", 2),
        started("b", 1),
        started("g", 2),
        failed("a", 1, Next::RetryAt(at(7))),
        failed("a", 1, Next::GiveUp),
        failed("a", 2, Next::GiveUp),
        completed("a"),
        completed("b"),
        cancelled("a"),
        cancelled("b"),
    ];
    events.extend(step_events("a"));
    events.extend([
        received("go"),
        Event::SignalConsumed { node: name("g"), step: None, signal: name("go") },
        Event::SignalConsumed { node: name("g"), step: None, signal: name("mine") },
        Event::Emitted { node: name("a"), kind: "x".into(), payload: json("1") },
        Event::Recovered,
        Event::Released,
        stop(StopReason::Cancelled { reason: "why".into() }),
        Event::RunCompleted { output: json("1") },
        Event::RunFailed { node: name("a"), failure: failure() },
        Event::RunCancelled { reason: "why".into() },
    ]);
    events
}

/// For each event, the states in which it is legal.
pub(super) fn table(states: &[(char, Option<RunState>)], events: &[Event]) -> Vec<String> {
    let columns: String = states.iter().map(|(column, _)| *column).collect();
    let mut table = vec![format!("{columns}|")];
    for event in events {
        let mut row = String::new();
        for (column, state) in states {
            let mut state = state.clone();
            let next = state.as_ref().map_or(Seq::ZERO, RunState::last).plus(1);
            match apply(&run(), &mut state, at(2), event) {
                Ok(()) => row.push(*column),
                Err(illegal) => {
                    assert_eq!((illegal.run, illegal.seq), (run(), next), "{}", illegal.why);
                    row.push('.');
                }
            }
        }
        table.push(format!("{row}|{}", show(event)));
    }
    table
}

#[test]
fn which_events_are_legal_in_which_state() {
    let states: Vec<_> = states().into_iter().map(|(column, events)| (column, state_after(&events))).collect();
    let table = table(&states, &all_events());
    let expected = [
        "RSDZWwGBFCAPpfE|",
        "...............|created",
        "...............|a#1 started",
        ".......B.......|a#2 started",
        ".........C.....|b#1 started",
        "...............|g#2 started",
        "RSDZWwG........|a#1 failed (error), again at 7",
        "RSDZWwG........|a#1 failed (error), given up",
        "...............|a#2 failed (error), given up",
        "RSDZWwG....P...|a completed 1",
        "...............|b completed 1",
        "...........P...|a cancelled",
        "...........Ppf.|b cancelled",
        "RS....G....P...|a/k started",
        "RS....G....P...|a/k = 1",
        "RS....G....P...|a/k failed (error)",
        "R.....G....P...|a/k sleeps until 5",
        "...Z...........|a/k woke",
        "R.....G....P...|a/k awaits mine",
        ".....w.........|a/k took mine",
        "R.....G........|a/k grew [n] [n->b]",
        "RSDZWwGBFCAPpf.|signal go 1",
        "......G........|g took go",
        "...............|g took mine",
        "RSDZWwG....P...|a emitted x 1",
        "RSDZWwGBFCAPpf.|recovered",
        "RSDZWwGBFCAPpf.|released",
        "RSDZWwGBFCA....|stop because why, grace until 9",
        "..........A....|run completed 1",
        "..........A..f.|run failed at a (error)",
        "............p..|run cancelled: why",
    ];
    assert_eq!(table, expected, "\n{}", table.join("\n"));
}

#[test]
fn only_creation_is_legal_for_a_missing_run() {
    for event in all_events() {
        let mut state = None;
        let result = apply(&run(), &mut state, at(2), &event);
        assert_eq!(result.is_ok(), matches!(event, Event::RunCreated { .. }), "{}", show(&event));
    }
}

#[test]
fn events_of_unknown_nodes_are_illegal() {
    let nobody = || name("nobody");
    let mut events = vec![
        started("nobody", 1),
        failed("nobody", 1, Next::GiveUp),
        completed("nobody"),
        cancelled("nobody"),
        Event::SignalConsumed { node: nobody(), step: None, signal: name("go") },
        Event::Emitted { node: nobody(), kind: "x".into(), payload: json("1") },
        Event::RunFailed { node: nobody(), failure: failure() },
    ];
    events.extend(step_events("nobody"));
    for (_, before) in states() {
        for event in &events {
            let mut state = state_after(&before);
            assert!(apply(&run(), &mut state, at(2), event).is_err(), "{}", show(event));
        }
    }
}

#[test]
fn growth_that_does_not_fit_is_illegal() {
    let new = || Growth::new().with_node(task("n"));
    for growth in [
        new().with_edge(name("n"), name("a")),
        new().with_edge(name("n"), name("n")),
        new().with_edge(name("n"), name("lost")),
        Growth::new().with_node(task("b")),
    ] {
        let event = Event::Grown { node: name("a"), step: "k".into(), growth };
        assert!(apply(&run(), &mut state_after(&[]), at(2), &event).is_err(), "{}", show(&event));
    }
}
