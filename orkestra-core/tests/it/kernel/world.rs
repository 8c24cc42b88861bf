//! A small world around a run: random plans with every option of a node, and a driver that performs the run's work and
//! gives it what it waits for.

use std::num::NonZeroU32;

use orkestra_core::kernel::{
    InputKind, NodeState, NodeStatus, Outcome, PauseReason, RunState, StepState, Wait, Work, agenda, waits,
};
use orkestra_core::model::{Join, NodeId, NodeKind, NodeSpec, OnFailure, Parent, Retry, RunOptions, SlotBy};
use proptest::prelude::*;

use super::asks::{
    Options, PARENT_TOLD, RESUME, answer, child_cancelled, child_ends, granted, may_spend, paid_step, run_id, tokens,
};
use super::scene::{Node, Scene, TICK, asks, done, end_step, fails, gate, json, name, signal, task};

/// A random plan: up to eight nodes, each after some of the nodes before it.
pub(super) fn nodes() -> impl Strategy<Value = Vec<NodeSpec>> {
    proptest::collection::vec(any::<[u8; 10]>(), 1..9)
        .prop_map(|shapes| shapes.into_iter().enumerate().map(|(place, shape)| node(place, shape)).collect())
}

fn node(place: usize, shape: [u8; 10]) -> NodeSpec {
    let [kind, after, retry, timeout, join, when, on_failure, limit, total, rest] = shape;
    let own = format!("n{place}");
    let before: Vec<_> = (0..place).filter(|before| after >> before & 1 == 1).map(|p| format!("n{p}")).collect();
    let before: Vec<_> = before.iter().map(String::as_str).collect();
    let node = if kind.is_multiple_of(5) { gate(&own, &format!("s{}", after % 3)) } else { task(&own) };
    let node = limited(node.after(&before), retry % 6, timeout % 5);
    let node = match join % 8 {
        0 => node.joins(Join::Any),
        1 if !before.is_empty() => node.joins(Join::AtLeast(1 + usize::from(join / 8) % before.len())),
        2 => node.joins(Join::Settled),
        _ => node,
    };
    let node = match (when % 8, before.first()) {
        (0, _) => node.when(r#"{"is": {"equals": "in"}}"#),
        (1, Some(first)) => node.when(&format!(r#"{{"node": "{first}", "is": {{"at_least": 100}}}}"#)),
        (2, Some(first)) => node.when(&format!(r#"{{"not": {{"node": "{first}", "is": "truthy"}}}}"#)),
        _ => node,
    };
    let node = match on_failure % 8 {
        0 | 1 => node.or(OnFailure::Skip),
        2 | 3 => node.or(OnFailure::Continue),
        4 => node.or(OnFailure::Pause),
        _ => node,
    };
    let node = match limit % 8 {
        0 => node.limited("few").tries(2).within_all(u64::from(total) + 1),
        1 => node.limited_by("few", SlotBy::Input("/0".into())),
        _ => node,
    };
    let node = if total.is_multiple_of(8) { node.within_all(u64::from(total) + 1) } else { node };
    let node = if rest.is_multiple_of(3) { node.undone() } else { node };
    node.first(i32::from(rest % 4))
}

pub(super) fn limited(node: NodeSpec, retry: u8, timeout: u8) -> NodeSpec {
    let node = match retry {
        0 => node.tries(2),
        1 => node.backs_off(3, 40),
        2 => node.with_retry(Retry { jitter: 0.3, ..Retry::exponential(2) }),
        _ => node,
    };
    if timeout == 0 { node.within(100) } else { node }
}

/// Sometimes a deadline, a budget, a parent, or a limit on lost processes.
pub(super) fn options() -> impl Strategy<Value = RunOptions> {
    (0..8_u8, 0..8_u8, 0..4_u8).prop_map(|(deadline, budget, parent)| RunOptions {
        lost_processes_max: NonZeroU32::new(u32::from(parent)).filter(|losses| losses.get() < 3),
        deadline: (deadline == 0).then_some(super::asks::deadline(500)).and_then(|options| options.deadline),
        budget: if budget < 2 { tokens(u64::from(budget) * 20) } else { [].into() },
        parent: (parent == 0).then(|| Parent::new(run_id("p"), name("n"))),
        ..RunOptions::default()
    })
}

/// More inputs than any small run needs; a run that depends on luck would exceed this.
const INPUTS_TO_THE_END_MAX: usize = 2000;

/// Performs the run's work and gives it what it waits for until it has ended and owes nothing. Returns how many inputs
/// that took.
pub(super) fn drive(scene: &mut Scene) -> usize {
    for count in 0..INPUTS_TO_THE_END_MAX {
        if is_over(scene.state()) {
            return count;
        }
        let (input, advance_to) = next_input(scene.state());
        scene.now = scene.now.max(advance_to);
        let asked = format!("{input:?}");
        scene.feed(input).unwrap_or_else(|rejection| panic!("{asked} was refused: {rejection}"));
    }
    panic!("the run does not end: {:?}", scene.state());
}

/// Whether nothing is left to do, for the run or for other runs.
pub(super) fn is_over(state: &RunState) -> bool {
    state.status().is_final() && agenda(state).next().is_none()
}

/// The input that moves the run on, and the time it needs.
fn next_input(state: &RunState) -> (InputKind, u64) {
    if let Some(work) = agenda(state).next() {
        return match work {
            Work::Invoke { node, attempt } => go_on(state, node, attempt),
            // Some tasks ignore the request to stop: their grace or their timeout ends them.
            Work::AskToStop { node, .. } if node.0 % 2 == 1 => {
                (TICK, state.next_timer().expect("a stopping run has its grace").as_millis())
            }
            Work::AskToStop { node, attempt } => (fails(&format!("{}#{attempt}", state.name(node))), 0),
            Work::AcquireSlots { node, attempt } => (granted(&format!("{}#{attempt}", state.name(node))), 0),
            Work::StartChild { child } => (child_ends(&child, Outcome::Completed(json("1")), 1), 0),
            Work::CancelChild { child } => (child_cancelled(&child), 0),
            Work::TellParent => (PARENT_TOLD, 0),
            other => panic!("this world does not know {other:?}"),
        };
    }
    match waits(state).into_iter().next_back() {
        Some(Wait::Signal(awaited)) => (signal(&awaited, "1"), 0),
        Some(Wait::Timer(due)) => (TICK, due.as_millis()),
        Some(Wait::Answer(question)) => (answer(question.0, "1"), 0),
        Some(Wait::Child(child)) => (child_ends(&child, Outcome::Completed(json("1")), 1), 0),
        Some(Wait::Resume) => match state.pause().map(|pause| &pause.reason) {
            Some(PauseReason::ProcessesLost { .. }) => (RESUME, 0),
            _ if state.options().budget.is_empty() => (RESUME, 0),
            _ => (may_spend(None), 0),
        },
        other => panic!("stranded: {other:?}, {state:?}"),
    }
}

/// Continues a task: finishes its open step, does one more step, and ends.
fn go_on(state: &RunState, id: NodeId, attempt: u32) -> (InputKind, u64) {
    let node = state.node(id);
    let attempt = format!("{}#{attempt}", state.name(id));
    let mut open: Vec<_> = node.steps.iter().filter(|(_, step)| step.result().is_none()).collect();
    open.sort_by_key(|(key, _)| key.as_str());
    match open.first() {
        Some((key, StepState::Started)) => (asks(&attempt, end_step(key, "1")), 0),
        Some((_, StepState::Sleeping(due))) => (TICK, due.as_millis()),
        Some((_, StepState::Awaiting(awaited))) => (signal(awaited, "1"), 0),
        Some((key, StepState::Asking(_))) => (answer(node.waits[&Some((*key).clone())].since.0, "1"), 0),
        Some((_, StepState::Child(child))) => (child_ends(&child.run, Outcome::Completed(json("1")), 1), 0),
        Some(_) | None if !node.steps.contains_key("last") => (asks(&attempt, paid_step("last", "1", 1)), 0),
        // Some compensations fail.
        Some(_) | None if state.is_undo(id) && id.0.is_multiple_of(3) => (fails(&attempt), 0),
        Some(_) | None => (done(&attempt, "1"), 0),
    }
}

/// Whether a node waits for something that its task requested.
pub(super) fn is_open(node: &NodeState) -> bool {
    !node.status.is_final()
}

/// Whether the node runs user code.
pub(super) fn is_task(state: &RunState, id: NodeId) -> bool {
    matches!(state.plan().node(id).spec.kind, NodeKind::Task(_))
}

/// Whether a task of the node would be in memory if the run were not paused.
pub(super) fn is_called(state: &RunState, id: NodeId) -> bool {
    let node = state.node(id);
    node.status == NodeStatus::Running && is_task(state, id) && !node.parked
}
