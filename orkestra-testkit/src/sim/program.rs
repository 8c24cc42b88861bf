//! What tasks do: little programs made from the seed and the node's name, so that every process and every attempt finds
//! the same.

use orkestra_core::model::{Amount, Name, NodeSpec};

use crate::chance::Chance;

use super::trace::Fnv;

/// The task that every node runs.
pub(super) const TASK: &str = "program";

/// What is spent on in every world.
pub(super) const METER: &str = "tokens";

/// Workflows that runs start as their children.
pub(super) const CHILD_WORKFLOWS: [&str; 2] = ["child", "pair"];

/// How often growth may come from growth.
const GROWTHS_MAX: usize = 2;

/// One thing that a program does.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A memoised step.
    Step(Work),
    /// Two of them at once.
    Twins(Work, Work),
    Sleep(u64),
    Signal(Name),
    Emit,
    /// Adds nodes; with an edge into the given one, if there is such a node.
    Grow(usize, Option<Name>),
    /// Fails in the first attempts.
    Fail(u32, Failing),
    /// Never returns.
    Hang,
    /// Asks somebody outside.
    Ask,
    /// Starts runs of this workflow and waits for them; whether their failure is its own.
    Children(&'static str, usize, bool),
    /// Steps for so many items, two at a time.
    Map(usize, Work),
    /// Spends something beside its steps.
    Charge(Amount),
    /// Works this long and gives a sign of life now and then.
    Beat(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Failing {
    Retryable,
    Permanent,
    Panic,
}

/// What a step does: its effect takes this long and fails the first times.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) millis: u64,
    pub(super) fails: usize,
    pub(super) tries: u32,
    pub(super) timeout_ms: Option<u64>,
    pub(super) at_most_once: bool,
    pub(super) cost: Option<Amount>,
}

impl Work {
    fn random(chance: &mut Chance) -> Self {
        Self {
            millis: *chance.pick(&[0, 0, 0, 1, 5, 40, 700, 4_000]),
            fails: *chance.pick(&[0, 0, 0, 0, 0, 0, 1, 2]),
            tries: *chance.pick(&[1, 1, 2, 3]),
            timeout_ms: if chance.one_in(8) { Some(500) } else { None },
            at_most_once: chance.one_in(6),
            cost: chance.one_in(5).then(|| Amount::whole(1 + chance.below(3) as u64)),
        }
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("the names of a simulation are names")
}

/// The name of one of the signals that a world knows.
pub(super) fn signal_name(chance: &mut Chance) -> Name {
    name(["s0", "s1", "s2"][chance.below(3)])
}

/// The program of a node.
pub(super) fn program(seed: u64, workflow: &str, node: &NodeSpec) -> Vec<Op> {
    let mut hash = Fnv::new();
    hash.add(workflow.as_bytes());
    hash.add(node.name.as_bytes());
    let mut chance = Chance::new(seed ^ hash.get());
    let grown = node.name.matches('.').count();
    let count = *chance.pick(&[0, 1, 1, 2, 2, 3, 4]);
    // Children have none of their own: a world must end.
    let is_child = CHILD_WORKFLOWS.contains(&workflow);
    let mut ops: Vec<_> = (0..count).map(|_| op(&mut chance, node, grown, is_child)).collect();
    if node.timeout_ms.is_some() && chance.one_in(6) {
        ops.push(Op::Hang);
    }
    ops
}

fn op(chance: &mut Chance, node: &NodeSpec, grown: usize, is_child: bool) -> Op {
    match chance.below(27) {
        0..=8 => Op::Step(Work::random(chance)),
        9 => Op::Twins(Work::random(chance), Work::random(chance)),
        10..=12 => Op::Sleep(*chance.pick(&[0, 1, 20, 900, 1_500, 7_000, 45_000])),
        13 | 14 => Op::Signal(signal_name(chance)),
        15 | 16 => Op::Emit,
        17 | 18 if grown < GROWTHS_MAX => {
            let into = chance.one_in(2).then(|| name(&format!("n{}", chance.below(12))));
            Op::Grow(1 + chance.below(2), into)
        }
        19 if node.retry.attempts_max > 1 || chance.one_in(6) => {
            let failing = *chance.pick(&[
                Failing::Retryable,
                Failing::Retryable,
                Failing::Retryable,
                Failing::Panic,
                Failing::Permanent,
            ]);
            Op::Fail(1 + u32::from(chance.one_in(4)), failing)
        }
        20 | 21 => Op::Ask,
        22 | 23 if !is_child => {
            let workflow = CHILD_WORKFLOWS[chance.below(CHILD_WORKFLOWS.len())];
            Op::Children(workflow, 1 + chance.below(3) / 2, chance.one_in(2))
        }
        24 => Op::Map(1 + chance.below(4), Work { fails: 0, ..Work::random(chance) }),
        25 => Op::Charge(Amount::whole(1 + chance.below(4) as u64)),
        26 => Op::Beat(*chance.pick(&[100, 900, 2_500])),
        _ => Op::Emit,
    }
}
