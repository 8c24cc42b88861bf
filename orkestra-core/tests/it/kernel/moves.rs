//! Random moves of a run, valid or not: tasks that run, fail, and request steps, waits, growth and children; users who
//! signal, answer, pause, retry and cancel; a clock that jumps. All encoded as numbers, so that a failing case shrinks
//! to a short one.

use orkestra_core::kernel::{InputKind, RunState, TaskRequest, Work, agenda};
use orkestra_core::model::limits::INTERRUPTIONS_MAX;
use orkestra_core::model::{Growth, Join, NodeId, NodeSpec, RunOptions};
use proptest::prelude::*;

use super::asks::{
    Options, PARENT_TOLD, RESUME, answer, ask, charge, child, child_cancelled, child_ends, granted, may_spend, outcome,
    paid_step, parked, pause, publish, retry, terminate,
};
use super::scene::{
    Node, RECOVER, RELEASE, Scene, TICK, asks, await_signal, cancel, create_with, done, emit, end_step, fail_step,
    fails, fails_for_good, gate, grow, let_go, name, signal, sleep, start_step, task, until,
};
use super::world::limited;

/// One move as numbers: what, for whom, under which key, how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    what: u8,
    who: u8,
    key: u8,
    amount: u8,
}

pub(super) fn moves(count: usize) -> impl Strategy<Value = Vec<Move>> {
    let one = (0..56_u8, any::<u8>(), 0..5_u8, any::<u8>());
    proptest::collection::vec(one.prop_map(|(what, who, key, amount)| Move { what, who, key, amount }), 0..count)
}

/// Creates the run and makes all moves.
pub(super) fn play(nodes: Vec<NodeSpec>, options: RunOptions, moves: &[Move]) -> Scene {
    let mut scene = Scene::nothing();
    scene.feed(create_with(nodes, options)).expect("a new run is accepted");
    for step in moves {
        step.make(&mut scene);
    }
    scene
}

impl Move {
    fn make(self, scene: &mut Scene) {
        scene.chance(f64::from(self.amount) / 255.0);
        let input = if self.what < 28 { self.by_task(scene) } else { self.by_others(scene) };
        // `feed` checks the invariants whether the input is accepted or rejected.
        drop(scene.feed(input));
    }

    fn by_task(self, scene: &Scene) -> InputKind {
        let Self { what, who, key, amount } = self;
        let attempt = self.attempt(scene.state());
        let step = format!("k{key}");
        match what {
            0..=3 => done(&attempt, &amount.to_string()),
            4..=6 => fails(&attempt),
            7 => fails_for_good(&attempt),
            8 => asks(&attempt, start_step(&step)),
            9 => asks(&attempt, end_step(&step, &amount.to_string())),
            10 => asks(&attempt, paid_step(&step, &amount.to_string(), u64::from(amount) / 16)),
            11 => asks(&attempt, charge(&step, u64::from(amount) / 16)),
            12 => asks(&attempt, fail_step(&step)),
            13 | 14 => asks(&attempt, sleep(&step, scene.now + u64::from(amount))),
            15 | 16 => asks(&attempt, self.within(scene, await_signal(&step, &format!("s{}", amount % 3)))),
            17 => asks(&attempt, self.within(scene, ask(&step, "1"))),
            18 => asks(&attempt, let_go(&self.open_step(scene.state(), &attempt), who.is_multiple_of(2))),
            19 | 20 => asks(&attempt, self.within(scene, child(&step, &format!("c{}", amount % 4)))),
            21 | 22 => asks(&attempt, grow(&step, self.growth(scene.state()))),
            23 if who < 64 => asks(&attempt, publish(&step, &format!("p{}", amount % 2), &amount.to_string())),
            23 => asks(&attempt, emit("x", "1")),
            24 if who < 32 => asks(&attempt, end_step(&"x".repeat(600), "1")),
            24..=26 => parked(&self.waiting(scene.state())),
            _ => granted(&self.queued(scene.state())),
        }
    }

    /// Every other wait has a time limit.
    fn within(self, scene: &Scene, request: TaskRequest) -> TaskRequest {
        if self.who % 4 > 1 { until(request, scene.now + u64::from(self.amount) / 4) } else { request }
    }

    fn by_others(self, scene: &mut Scene) -> InputKind {
        let Self { what, who, key, amount } = self;
        let node = self.node(scene.state());
        match what {
            28..=30 => signal(&format!("s{}", who % 3), &amount.to_string()),
            31 | 32 => answer(self.question(scene.state()), &amount.to_string()),
            33 | 34 => child_ends(&self.child(scene.state()), outcome(amount), u64::from(amount) / 32),
            35 => child_cancelled(&self.abandoned(scene.state())),
            36 => PARENT_TOLD,
            37 | 38 => pause(),
            39..=42 => RESUME,
            43 | 44 => retry(scene.state().name(node)),
            45 => may_spend((key > 0).then_some(u64::from(amount))),
            46 if who < 32 => terminate(),
            46 | 47 if who < 64 => cancel("why"),
            48 if who < 48 => {
                // A process that dies repeatedly, once more than an attempt may lose it.
                for _ in 0..INTERRUPTIONS_MAX {
                    drop(scene.feed(RECOVER));
                }
                RECOVER
            }
            49 if who < 128 => {
                drop(scene.feed(RELEASE));
                RECOVER
            }
            48 | 49 => RECOVER,
            50 if who < 64 => self.tick(scene, 20_000),
            51 => {
                scene.now = scene.now.saturating_sub(u64::from(amount));
                TICK
            }
            52 => granted(&self.queued(scene.state())),
            _ => self.tick(scene, u64::from(amount)),
        }
    }

    fn tick(self, scene: &mut Scene, millis: u64) -> InputKind {
        scene.now += millis;
        TICK
    }

    fn node(self, state: &RunState) -> NodeId {
        NodeId(u32::from(self.who) % u32::try_from(state.plan().nodes().len()).expect("small"))
    }

    /// Mostly a running attempt, sometimes one that has ended or never started.
    fn attempt(self, state: &RunState) -> String {
        let running: Vec<_> = state.running().collect();
        let id = match running.get(usize::from(self.who) % running.len().max(1)) {
            Some(id) if !self.who.is_multiple_of(8) => *id,
            _ => self.node(state),
        };
        let stale = u32::from(self.who % 16 == 3);
        format!("{}#{}", state.name(id), state.node(id).attempt.saturating_sub(stale))
    }

    /// Mostly a step that has not ended.
    fn open_step(self, state: &RunState, attempt: &str) -> String {
        let node = attempt.split('#').next().and_then(|node| state.plan().id(node));
        let steps = node.into_iter().flat_map(|id| &state.node(id).steps);
        let mut open: Vec<_> = steps.filter(|(_, step)| step.result().is_none()).map(|(key, _)| key.clone()).collect();
        open.sort_unstable();
        open.get(usize::from(self.key) % open.len().max(1)).cloned().unwrap_or_else(|| format!("k{}", self.key))
    }

    /// Mostly a waiting task.
    fn waiting(self, state: &RunState) -> String {
        let waiting: Vec<_> = state.running().filter(|id| !state.node(*id).waits.is_empty()).collect();
        match waiting.get(usize::from(self.who) % waiting.len().max(1)) {
            Some(id) => format!("{}#{}", state.name(*id), state.node(*id).attempt),
            None => self.attempt(state),
        }
    }

    /// Mostly a child that is waited for.
    fn child(self, state: &RunState) -> String {
        let children: Vec<_> = state.children().keys().collect();
        let child = children.get(usize::from(self.who) % children.len().max(1));
        child.map_or_else(|| format!("c{}", self.who % 4), ToString::to_string)
    }

    /// Mostly an attempt that waits for slots.
    fn queued(self, state: &RunState) -> String {
        let queued: Vec<_> = state.queued().collect();
        let id = queued.get(usize::from(self.who) % queued.len().max(1)).copied().unwrap_or_else(|| self.node(state));
        format!("{}#{}", state.name(id), state.node(id).attempt + u32::from(self.who % 16 != 3))
    }

    /// Mostly an open question.
    fn question(self, state: &RunState) -> u64 {
        let open: Vec<_> = state.questions().keys().collect();
        open.get(usize::from(self.who) % open.len().max(1)).map_or(u64::from(self.amount), |question| question.0)
    }

    fn abandoned(self, state: &RunState) -> String {
        let abandoned = agenda(state).find_map(|work| match work {
            Work::CancelChild { child } => Some(child.to_string()),
            _ => None,
        });
        abandoned.unwrap_or_else(|| format!("c{}", self.who % 4))
    }

    /// Up to two new nodes and an edge, valid or not.
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
        let node = match self.key {
            1 => node.joins(Join::Settled).undone(),
            2 => node.joins(Join::Any).limited("few"),
            _ => node,
        };
        let growth = Growth::new().with_node(node).with_node(task(&second).after(&[&first]));
        if self.key.is_multiple_of(2) { growth.with_edge(name(&second), old(self.who)) } else { growth }
    }
}
