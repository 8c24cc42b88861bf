//! A small world around a run: tasks that run, fail, ask for steps, waits and growth; people who signal and cancel; a
//! clock that jumps. All from numbers, so that a failing case shrinks to a short one.

use orkestra_core::kernel::{InputKind, NodeState, NodeStatus, RunState, StepState, Wait, Work, agenda, waits};
use orkestra_core::model::limits::INTERRUPTIONS_MAX;
use orkestra_core::model::{Growth, NodeId, NodeKind, NodeSpec, Retry};
use proptest::prelude::*;

use super::scene::{
    Node, RECOVER, Scene, TICK, asks, await_signal, cancel, create, done, emit, end_step, fail_step, fails,
    fails_for_good, gate, grow, name, signal, sleep, start_step, task,
};

/// A random plan: up to eight nodes, each after some of those before it.
pub(super) fn nodes() -> impl Strategy<Value = Vec<NodeSpec>> {
    proptest::collection::vec((0..5_u8, any::<u8>(), 0..6_u8, 0..4_u8), 1..9).prop_map(|shapes| {
        let node = |(place, shape): (usize, (u8, u8, u8, u8))| {
            let (kind, after, retry, timeout) = shape;
            let own = format!("n{place}");
            let node = if kind == 0 { gate(&own, &format!("s{}", after % 3)) } else { task(&own) };
            let before: Vec<_> =
                (0..place).filter(|before| after >> before & 1 == 1).map(|p| format!("n{p}")).collect();
            let before: Vec<_> = before.iter().map(String::as_str).collect();
            limited(node.after(&before), retry, timeout)
        };
        shapes.into_iter().enumerate().map(node).collect()
    })
}

fn limited(node: NodeSpec, retry: u8, timeout: u8) -> NodeSpec {
    let node = match retry {
        0 => node.tries(2),
        1 => node.backs_off(3, 40),
        2 => node.with_retry(Retry { jitter: 0.3, ..Retry::exponential(2) }),
        _ => node,
    };
    if timeout == 0 { node.within(100) } else { node }
}

/// One thing that happens, as numbers: what, to whom, under which key, how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    what: u8,
    who: u8,
    key: u8,
    amount: u8,
}

pub(super) fn moves(count: usize) -> impl Strategy<Value = Vec<Move>> {
    let one = (0..28_u8, any::<u8>(), 0..5_u8, any::<u8>());
    proptest::collection::vec(one.prop_map(|(what, who, key, amount)| Move { what, who, key, amount }), 0..count)
}

/// Creates the run and lets everything happen, accepted or not.
pub(super) fn play(nodes: Vec<NodeSpec>, moves: &[Move]) -> Scene {
    let mut scene = Scene::nothing();
    scene.feed(create(nodes)).expect("a new run is accepted");
    for step in moves {
        step.make(&mut scene);
    }
    scene
}

impl Move {
    fn make(self, scene: &mut Scene) {
        let Self { what, who, key, amount } = self;
        let attempt = self.attempt(scene.state());
        let (step, name_of_signal) = (format!("k{key}"), format!("s{}", who % 3));
        scene.chance(f64::from(amount) / 255.0);
        let input = match what {
            0..=3 => done(&attempt, &amount.to_string()),
            4 | 5 => fails(&attempt),
            6 => fails_for_good(&attempt),
            7 => asks(&attempt, start_step(&step)),
            8 | 9 => asks(&attempt, end_step(&step, &amount.to_string())),
            10 => asks(&attempt, fail_step(&step)),
            11 | 12 => asks(&attempt, sleep(&step, scene.now + u64::from(amount))),
            13 | 14 => asks(&attempt, await_signal(&step, &format!("s{}", amount % 3))),
            15 | 16 => asks(&attempt, grow(&step, self.growth(scene.state()))),
            17 => asks(&attempt, emit("x", "1")),
            18..=20 => signal(&name_of_signal, &amount.to_string()),
            21 | 22 => {
                scene.now += u64::from(amount);
                TICK
            }
            23 => {
                scene.now = scene.now.saturating_sub(u64::from(amount));
                TICK
            }
            24 if who < 32 => {
                scene.now += 20_000;
                TICK
            }
            24 => TICK,
            25 if who < 64 => cancel("why"),
            25 => asks(&attempt, end_step(&"x".repeat(600), "1")),
            26 if who < 48 => {
                // A process that dies again and again, once more than an attempt may lose it.
                for _ in 0..INTERRUPTIONS_MAX {
                    drop(scene.feed(RECOVER));
                }
                RECOVER
            }
            _ => RECOVER,
        };
        // Refused or not: `feed` checks what must hold in either case.
        drop(scene.feed(input));
    }

    /// Mostly an attempt under way, sometimes one that is over or was never begun.
    fn attempt(self, state: &RunState) -> String {
        let running: Vec<_> = state.running().collect();
        let id = match running.get(usize::from(self.who) % running.len().max(1)) {
            Some(id) if !self.who.is_multiple_of(8) => *id,
            _ => NodeId(u32::from(self.who) % u32::try_from(state.plan().nodes().len()).expect("small")),
        };
        let stale = u32::from(self.who % 16 == 3);
        format!("{}#{}", state.name(id), state.node(id).attempt.saturating_sub(stale))
    }

    /// Up to two new nodes and an edge, fitting or not.
    fn growth(self, state: &RunState) -> Growth {
        let count = state.plan().nodes().len();
        let old = |number: u8| state.name(NodeId(u32::from(number) % u32::try_from(count).expect("small"))).clone();
        if count > 20 {
            return Growth::new().with_edge(old(self.who), old(self.amount));
        }
        let first = format!("n{}", count - usize::from(self.amount.is_multiple_of(32)));
        let second = format!("n{}", count + 1);
        let node = if self.key == 0 { gate(&first, "s0") } else { task(&first) };
        let node = limited(node.with_after(old(self.amount)), self.who % 8, self.amount % 8);
        let growth = Growth::new().with_node(node).with_node(task(&second).after(&[&first]));
        if self.key.is_multiple_of(2) { growth.with_edge(name(&second), old(self.who)) } else { growth }
    }
}

/// More than any small run needs to its end: were it a matter of luck, it would be seen here.
const INPUTS_TO_THE_END_MAX: usize = 2000;

/// Does what the run owes and gives it what it waits for until it ends; returns how many inputs that took.
pub(super) fn drive(scene: &mut Scene) -> usize {
    for count in 0..INPUTS_TO_THE_END_MAX {
        if scene.state().status().is_final() {
            return count;
        }
        let (input, advance_to) = next_input(scene.state());
        scene.now = scene.now.max(advance_to);
        let asked = format!("{input:?}");
        scene.feed(input).unwrap_or_else(|rejection| panic!("{asked} was refused: {rejection}"));
    }
    panic!("the run does not end: {:?}", scene.state());
}

/// What moves the run on, and the time that it needs.
fn next_input(state: &RunState) -> (InputKind, u64) {
    if let Some(work) = agenda(state).next() {
        return match work {
            Work::Invoke { node, attempt } => go_on(state, node, attempt),
            // Some tasks do not listen: their grace or their time-out ends them.
            Work::AskToStop { node, .. } if node.0 % 2 == 1 => {
                (TICK, state.next_timer().expect("a stopping run has its grace").as_millis())
            }
            Work::AskToStop { node, attempt } => (fails(&format!("{}#{attempt}", state.name(node))), 0),
            other => panic!("this world does not know {other:?}"),
        };
    }
    match waits(state).into_iter().next_back() {
        Some(Wait::Signal(awaited)) => (signal(&awaited, "1"), 0),
        Some(Wait::Timer(due)) => (TICK, due.as_millis()),
        other => panic!("stranded: {other:?}, {state:?}"),
    }
}

/// A task goes on: it finishes what it began, does one step more, and ends.
fn go_on(state: &RunState, id: NodeId, attempt: u32) -> (InputKind, u64) {
    let node = state.node(id);
    let attempt = format!("{}#{attempt}", state.name(id));
    let mut open: Vec<_> = node.steps.iter().filter(|(_, step)| step.result().is_none()).collect();
    open.sort_by_key(|(key, _)| key.as_str());
    match open.first() {
        Some((key, StepState::Started)) => (asks(&attempt, end_step(key, "1")), 0),
        Some((_, StepState::Sleeping(due))) => (TICK, due.as_millis()),
        Some((_, StepState::Awaiting(awaited))) => (signal(awaited, "1"), 0),
        Some(_) | None if !node.steps.contains_key("last") => (asks(&attempt, end_step("last", "1")), 0),
        Some(_) | None => (done(&attempt, "1"), 0),
    }
}

/// Whether a node waits for what its task asked for.
pub(super) fn is_open(node: &NodeState) -> bool {
    matches!(node.status, NodeStatus::Pending | NodeStatus::Running | NodeStatus::Backoff)
}

/// Whether the node runs code of a user.
pub(super) fn is_task(state: &RunState, id: NodeId) -> bool {
    matches!(state.plan().node(id).spec.kind, NodeKind::Task(_))
}
