//! What tasks do: little programs made from the seed and the node's name, so that every process and every attempt finds
//! the same.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::model::{Growth, Name, NodeSpec, Payload, Retry, RunId};
use orkestra_core::{Context, Step, TaskError, TaskResult};
use serde_json::json;

use crate::chance::Chance;

use super::audit::Effect;
use super::trace::Fnv;
use super::world::{Process, World};

/// The task that every node runs.
pub(super) const TASK: &str = "program";

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
    millis: u64,
    fails: usize,
    tries: u32,
    timeout_ms: Option<u64>,
    at_most_once: bool,
}

impl Work {
    fn random(chance: &mut Chance) -> Self {
        Self {
            millis: *chance.pick(&[0, 0, 0, 1, 5, 40, 700, 4_000]),
            fails: *chance.pick(&[0, 0, 0, 0, 0, 0, 1, 2]),
            tries: *chance.pick(&[1, 1, 2, 3]),
            timeout_ms: if chance.one_in(8) { Some(500) } else { None },
            at_most_once: chance.one_in(6),
        }
    }
}

fn name(text: &str) -> Name {
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
    let mut ops: Vec<_> = (0..count).map(|_| op(&mut chance, node, grown)).collect();
    if node.timeout_ms.is_some() && chance.one_in(6) {
        ops.push(Op::Hang);
    }
    ops
}

fn op(chance: &mut Chance, node: &NodeSpec, grown: usize) -> Op {
    match chance.below(20) {
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
        _ => Op::Emit,
    }
}

/// One call of a task, in one process.
pub(super) struct Call {
    pub(super) world: Arc<World>,
    pub(super) process: Arc<Process>,
    pub(super) cx: Context,
    node: Name,
}

impl Call {
    pub(super) fn new(world: Arc<World>, process: Arc<Process>, cx: Context) -> Self {
        let node = name(cx.node());
        Self { world, process, cx, node }
    }

    fn run(&self) -> &RunId {
        self.cx.run_id()
    }

    /// Does all that the node's program says.
    pub(super) async fn perform(self, input: Payload) -> TaskResult<Payload> {
        self.process.must_live().await;
        let (process, node, attempt) = (&self.process.name, &self.node, self.cx.attempt());
        self.world.note(format_args!("{process} calls {}/{node} {attempt}", self.run()));
        let ops = {
            let mut audit = self.world.audit();
            audit.called(process, self.run(), node, attempt, &input);
            let spec = audit.state(self.run()).and_then(|state| {
                let plan = state.plan();
                Some((plan.workflow().clone(), plan.node(plan.id(node)?).spec.clone()))
            });
            spec.map(|(workflow, spec)| program(self.world.seed, &workflow, &spec)).unwrap_or_default()
        };
        for (index, op) in ops.into_iter().enumerate() {
            self.perform_op(index, op).await?;
            self.process.must_live().await;
        }
        Ok(Payload::of(&json!({ "node": node, "attempt": attempt }))?)
    }

    async fn perform_op(&self, index: usize, op: Op) -> TaskResult<()> {
        match op {
            Op::Step(work) => self.step(&format!("step {index}"), &work).await,
            Op::Twins(one, other) => {
                let (first, second) = (format!("first {index}"), format!("second {index}"));
                let (one, other) = tokio::join!(self.step(&first, &one), self.step(&second, &other));
                one.and(other)
            }
            Op::Sleep(millis) => self.cx.sleep(Duration::from_millis(millis)).await,
            Op::Signal(signal) => {
                let _: serde_json::Value = self.cx.signal(&signal).await?;
                Ok(())
            }
            Op::Emit => {
                self.cx.emit("progress", index);
                Ok(())
            }
            Op::Grow(count, into) => {
                // The node that an edge leads into may have started: then there is no growth, and the task goes on.
                drop(self.cx.grow(&index.to_string(), self.growth(index, count, into)).await);
                Ok(())
            }
            Op::Fail(attempts, _) if self.cx.attempt() > attempts => Ok(()),
            Op::Fail(_, Failing::Retryable) => Err(TaskError::new("the program says so")),
            Op::Fail(_, Failing::Permanent) => Err(TaskError::permanent("the program says so")),
            // Not `panic!`: the process's hook would print each of them.
            Op::Fail(_, Failing::Panic) => std::panic::resume_unwind(Box::new("the program says so")),
            Op::Hang => std::future::pending().await,
        }
    }

    fn growth(&self, index: usize, count: usize, into: Option<Name>) -> Growth {
        let mut growth = Growth::new();
        let mut before = self.node.clone();
        for number in 0..count {
            let new = name(&format!("{}.{index}{}", self.node, "_g".repeat(number + 1)));
            let spec = NodeSpec::task(new.clone(), name(TASK)).with_retry(Retry::immediate(2));
            growth = growth.with_node(if index.is_multiple_of(2) { spec } else { spec.with_after(before) });
            before = new;
        }
        match into {
            Some(into) => growth.with_edge(before, into),
            None => growth,
        }
    }

    async fn step(&self, key: &str, work: &Work) -> TaskResult<()> {
        let step: Step<'_, _> = self.cx.step(key, || self.effect(key, work));
        let mut step = step.retry(Retry::immediate(work.tries));
        if let Some(millis) = work.timeout_ms {
            step = step.timeout(Duration::from_millis(millis));
        }
        if work.at_most_once {
            step = step.at_most_once();
        }
        let number = match step.await {
            Ok(number) => number,
            // Nobody can tell what it did: the program goes on without.
            Err(error) if work.at_most_once && error.failure().kind == "interrupted" => return Ok(()),
            Err(error) => return Err(error),
        };
        self.process.must_live().await;
        self.world.audit().answered(self.run(), &self.node, key, &Payload::of(&number)?);
        Ok(())
    }

    /// Does something in the outside world, which can be told from every other time it is done.
    async fn effect(&self, key: &str, work: &Work) -> TaskResult<u64> {
        self.process.must_live().await;
        let effect = Effect {
            process: &self.process.name,
            run: self.run(),
            node: &self.node,
            attempt: self.cx.attempt(),
            step: key,
            at_most_once: work.at_most_once && work.tries == 1,
        };
        let number = self.world.audit().begin(&effect);
        self.world.note(format_args!("{} effect {number}: {}/{} {key}", effect.process, effect.run, self.node));
        if work.millis > 0 {
            tokio::time::sleep(Duration::from_millis(work.millis)).await;
        }
        self.process.must_live().await;
        if self.world.audit().times(self.run(), &self.node, key) <= work.fails {
            return Err(TaskError::new("the effect fails"));
        }
        Ok(number)
    }
}
