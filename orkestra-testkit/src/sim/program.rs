//! What tasks do: small programs made from the seed and the node's name, so that every process and every attempt gets the
//! same program.

use orkestra_core::model::{Amount, Name, NodeSpec};

use crate::chance::Chance;

use super::ability::{Abilities, Ability};
use super::trace::Fnv;
use super::value::Odd;

/// The task that every node runs.
pub(super) const TASK: &str = "program";

/// The meter that every world uses.
pub(super) const METER: &str = "tokens";

/// The workflows of child runs.
pub(super) const CHILD_WORKFLOWS: [&str; 2] = ["child", "pair"];

/// How deeply growth may be nested.
const GROWTHS_MAX: usize = 2;

/// Keys that a careless engine might confuse with each other, or with its own.
const KEYS: [&str; 14] =
    ["a", "a", "a", "a#2", "a.0", "a.2", "a[0]", "a[1]", "child:a", "sleep", "signal:s0", "x/y", "y", "charge"];

/// One act of a program, and its key.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) key: String,
    pub(super) op: Op,
}

/// The operation of an act. Times are in milliseconds.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Runs a step.
    Step(Work),
    /// Runs two steps with the same key concurrently.
    Twins(Work, Work),
    Sleep(u64),
    Signal(Name),
    Emit,
    /// Adds this many nodes, with an edge to the given node if it exists.
    Grow(usize, Option<Name>),
    /// Fails the first attempts.
    Fail(u32, Failing),
    /// Never returns.
    Hang,
    /// Asks a question.
    Ask,
    /// Starts this many child runs of the workflow, all with the same key, one after the other; if the flag is set, it fails when
    /// one of them fails.
    Children(&'static str, usize, bool),
    /// The same with `map_runs`.
    MapRuns(&'static str, usize, bool),
    /// Maps this many items to steps, two at a time.
    Map(usize, Work),
    /// Charges the meter outside of its steps.
    Charge(Amount),
    /// Works for this time with heartbeats.
    Beat(u64),
    /// Runs a step whose result type JSON can represent badly or not at all.
    Typed(Typed),
    /// Runs a step that returns an unusual value.
    Odd(Odd),
    /// Waits for a signal beside a timer of this time, for this many rounds; the flag says whether the signal is polled first.
    Race(Name, u64, usize, bool),
    /// Waits for a signal within a tokio timeout.
    Limited(Name, u64),
    /// Starts to wait for a signal and drops the wait.
    Dropped(Name),
    /// Runs a step within a tokio timeout, up to this many times.
    Hurried(Work, u64, usize),
    /// Works for the first time beside a durable sleep of the second.
    Beside(u64, u64),
    /// Runs a step, a timer and a wait for a signal concurrently.
    Joined(Work, u64, Name),
    /// Runs steps in spawned tasks.
    Spawned(Work, Work),
    /// Runs a step within a step, and after it one with the inner key.
    Nested,
    /// Races a signal against a timer, durably.
    Contest(Name, u64),
    /// Waits for a signal with a durable timeout.
    Timed(Name, u64),
    /// Runs steps with the same key on both sides of a durable race, and after it.
    Sides(Work, u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Failing {
    Retryable,
    Permanent,
    Panic,
}

/// A result that JSON changes or cannot represent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Typed {
    SomeUnit,
    Nan,
    Infinity,
    Deep(usize),
}

/// What a step does: its effect takes `millis` and fails the first `fails` times.
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
    Name::new(text).expect("the simulator uses valid names")
}

/// The name of one of the signals that a world knows.
pub(super) fn signal_name(chance: &mut Chance) -> Name {
    name(["s0", "s1", "s2"][chance.below(3)])
}

/// The program of a node.
pub(super) fn program(seed: u64, abilities: &Abilities, workflow: &str, node: &NodeSpec) -> Vec<Act> {
    let mut hash = Fnv::new();
    hash.add(workflow.as_bytes());
    hash.add(node.name.as_bytes());
    let mut chance = Chance::new(seed ^ hash.get());
    let count = *chance.pick(&[0, 1, 1, 2, 2, 3, 4]);
    let mut acts: Vec<_> = (0..count).map(|index| act(&mut chance, abilities, workflow, node, index)).collect();
    if abilities.has(Ability::Policies) && chance.one_in(2) {
        let failing = *chance.pick(&[Failing::Permanent, Failing::Retryable]);
        acts.push(Act { key: "fail".into(), op: Op::Fail(1 + u32::from(chance.one_in(2)), failing) });
    }
    if node.timeout_ms.is_some() && chance.one_in(6) {
        acts.push(Act { key: "hang".into(), op: Op::Hang });
    }
    acts
}

fn act(chance: &mut Chance, abilities: &Abilities, workflow: &str, node: &NodeSpec, index: usize) -> Act {
    // Children have no children of their own, so that every world ends.
    let is_child = CHILD_WORKFLOWS.contains(&workflow);
    let op = match () {
        () if abilities.has(Ability::Races) && chance.one_in(3) => race(chance),
        () if abilities.has(Ability::Waits) && chance.one_in(2) => wait(chance),
        () if abilities.has(Ability::Values) && chance.one_in(3) => value(chance),
        () if abilities.has(Ability::Keys) && !is_child && chance.one_in(3) => children(chance),
        () => op(chance, node, is_child),
    };
    let alike = abilities.has(Ability::Keys) && op.takes_any_key();
    let key = if alike { (*chance.pick(&KEYS)).to_owned() } else { format!("step {index}") };
    Act { key, op }
}

impl Op {
    /// Whether it uses its key equally often in each attempt. Otherwise the numbering of a shared key would differ between
    /// attempts.
    const fn takes_any_key(&self) -> bool {
        !matches!(self, Self::Hurried(..) | Self::Nested | Self::Spawned(..) | Self::Typed(_))
    }
}

fn children(chance: &mut Chance) -> Op {
    let workflow = CHILD_WORKFLOWS[chance.below(CHILD_WORKFLOWS.len())];
    let (count, strict) = (1 + chance.below(3), chance.one_in(2));
    if chance.one_in(2) { Op::Children(workflow, count, strict) } else { Op::MapRuns(workflow, count, strict) }
}

fn value(chance: &mut Chance) -> Op {
    if chance.one_in(2) {
        return Op::Odd(Odd::random(chance));
    }
    Op::Typed(*chance.pick(&[Typed::SomeUnit, Typed::Nan, Typed::Infinity, Typed::Deep(90), Typed::Deep(200)]))
}

/// Waits that are raced, limited or dropped.
fn wait(chance: &mut Chance) -> Op {
    let millis = *chance.pick(&[1, 30, 400, 1_200, 6_000]);
    match chance.below(12) {
        0..=2 => Op::Race(signal_name(chance), millis, 1 + chance.below(3), chance.one_in(2)),
        3 => Op::Limited(signal_name(chance), millis),
        4 => Op::Dropped(signal_name(chance)),
        5 | 6 => Op::Hurried(Work { tries: 1, ..Work::random(chance) }, millis, 1 + chance.below(3)),
        7 | 8 => Op::Beside(millis, 2 * millis + 50),
        9 => Op::Joined(Work::random(chance), millis, signal_name(chance)),
        10 => Op::Spawned(Work::random(chance), Work::random(chance)),
        _ => Op::Nested,
    }
}

/// Waits with a durable result.
fn race(chance: &mut Chance) -> Op {
    let millis = *chance.pick(&[1, 30, 400, 1_200, 6_000]);
    match chance.below(4) {
        0 | 1 => Op::Contest(signal_name(chance), millis),
        2 => Op::Timed(signal_name(chance), millis),
        _ => Op::Sides(Work { fails: 0, cost: None, ..Work::random(chance) }, millis),
    }
}

fn op(chance: &mut Chance, node: &NodeSpec, is_child: bool) -> Op {
    let grown = node.name.matches('.').count();
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
        22 | 23 if !is_child => children(chance),
        24 => Op::Map(1 + chance.below(4), Work { fails: 0, ..Work::random(chance) }),
        25 => Op::Charge(Amount::whole(1 + chance.below(4) as u64)),
        26 => Op::Beat(*chance.pick(&[100, 900, 2_500])),
        _ => Op::Emit,
    }
}
