//! One call of a task in one process: it executes its node's program, and checks that every answer belongs to its request.

mod family;
mod races;
mod steps;
#[cfg(test)]
mod taken;
mod waits;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orkestra_core::model::{FailureKind, Growth, Name, NodeSpec, Payload, Retry, RunId};
use orkestra_core::{Context, TaskError, TaskResult};
use serde_json::{Value, json};

use crate::chance::Chance;

use super::ability::Ability;
use super::audit::At;
use super::program::{Act, Failing, METER, Op, TASK, name, program};
use super::value::odd;
use super::workflows::hostile;
use super::world::{Process, World, lock};

/// One call of a task, in one process.
pub(super) struct Call {
    pub(super) world: Arc<World>,
    pub(super) process: Arc<Process>,
    pub(super) cx: Context,
    node: Name,
    /// Which incarnation of the run it belongs to.
    incarnation: usize,
    /// The numbers of the signals that it received, in order.
    took: Mutex<Vec<u64>>,
    /// The results of its races. They are final once something after them is durable.
    choices: Mutex<Vec<(String, Option<u64>)>>,
    /// How many durable answers it got.
    answers: AtomicUsize,
}

impl Call {
    pub(super) fn new(world: Arc<World>, process: Arc<Process>, cx: Context) -> Self {
        let node = name(cx.node());
        let incarnation = world.audit().incarnation(cx.run_id());
        let (took, choices, answers) = (Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        Self { world, process, cx, node, incarnation, took, choices, answers }
    }

    fn run(&self) -> &RunId {
        self.cx.run_id()
    }

    fn at<'a>(&'a self, place: &'a str) -> At<'a> {
        let (process, attempt) = (&self.process.name, self.cx.attempt());
        At { process, run: self.cx.run_id(), incarnation: self.incarnation, node: &self.node, attempt, place }
    }

    fn has_odd_values(&self) -> bool {
        self.world.abilities.has(Ability::Values)
    }

    fn broken(&self, place: &str, what: &str) {
        self.world.broken(format!("place {place} of `{}`/`{}`: {what}", self.run(), self.node));
    }

    /// Executes the node's program.
    pub(super) async fn perform(self, input: Payload) -> TaskResult<Payload> {
        self.process.halt_if_dead().await;
        let (process, node, attempt) = (&self.process.name, &self.node, self.cx.attempt());
        self.world.note(format_args!("{process} calls {}/{node} {attempt}", self.run()));
        let acts = {
            let mut audit = self.world.audit();
            audit.called(&self.at(""), &input);
            let spec = audit.state(self.run()).and_then(|state| {
                let plan = state.plan();
                Some((plan.workflow().clone(), plan.node(plan.id(node)?).spec.clone()))
            });
            let of =
                |(workflow, spec): (Name, NodeSpec)| program(self.world.seed, &self.world.abilities, &workflow, &spec);
            spec.map(of).unwrap_or_default()
        };
        let echo = self.check_input(&input);
        let call = Arc::new(self);
        for (index, act) in acts.into_iter().enumerate() {
            let (chosen, answered) = (lock(&call.choices).len(), call.answers.load(Ordering::Relaxed));
            let done = call.perform_act(index, act).await;
            call.process.halt_if_dead().await;
            if call.answers.load(Ordering::Relaxed) > answered {
                call.bind_choices(chosen);
            }
            done?;
        }
        let took = lock(&call.took).clone();
        let output = Payload::of(&json!({ "node": call.node, "attempt": attempt, "took": took, "echo": echo }))?;
        call.world.audit().returned(&call.at(""), &output);
        Ok(output)
    }

    /// Checks the run's input, which says what it must be. Returns the input of a child, to be echoed.
    fn check_input(&self, input: &Payload) -> Value {
        let input: Value = input.to().unwrap_or_default();
        if let Some(start) = input.get("start").and_then(Value::as_u64) {
            let same = input.get("v") == Some(&odd(self.world.seed, self.has_odd_values(), start));
            if !same {
                self.broken("input", "the run's input is not what it was started with");
            }
        }
        if input.get("for").is_some() { input } else { Value::Null }
    }

    /// The results of the first `count` races are final: something after them is durable.
    fn bind_choices(&self, count: usize) {
        let choices: Vec<_> = lock(&self.choices).iter().take(count).cloned().collect();
        let mut audit = self.world.audit();
        for (place, choice) in choices {
            audit.chose(&self.at(&place), choice);
        }
    }

    /// Counts a durable answer, which makes the results of earlier races final.
    fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Records an answer, which must be the same each time.
    fn answered(&self, place: &str, value: &impl std::fmt::Debug) {
        self.count_answer();
        self.world.audit().answered(&self.at(place), Some(&format!("{value:?}")));
    }

    /// Records a failure. What was answered once must not fail later, and no key may be taken for another.
    fn failed(&self, place: &str, error: &TaskError) {
        let failure = error.failure();
        if !failure.retryable {
            self.world.audit().answered(&self.at(place), None);
        }
        // Nobody else uses the ids of children.
        if error.is_key_taken() || failure.kind == FailureKind::ChildNotStarted {
            self.broken(place, &format!("its key is taken for another: {failure}"));
        }
    }

    async fn perform_act(self: &Arc<Self>, index: usize, act: Act) -> TaskResult<()> {
        let (place, key) = (index.to_string(), act.key.as_str());
        let place = place.as_str();
        match act.op {
            Op::Step(work) => self.step(place, key, &work).await,
            Op::Twins(one, other) => {
                let (first, second) = (format!("{place}.first"), format!("{place}.second"));
                let (one, other) = tokio::join!(self.step(&first, key, &one), self.step(&second, key, &other));
                one.and(other)
            }
            Op::Typed(typed) => self.typed(place, key, typed).await,
            Op::Odd(odd) => self.odd(place, key, odd).await,
            Op::Hurried(work, millis, rounds) => self.hurried(place, key, (&work, millis, rounds)).await,
            Op::Spawned(one, other) => self.spawned(place, key, [one, other]).await,
            Op::Nested => self.nested(place, key).await,
            Op::Map(count, work) => self.map(place, key, count, &work).await,
            Op::Sleep(millis) => self.sleep(place, millis).await,
            Op::Signal(signal) => self.signal(place, &signal).await.map(drop),
            Op::Race(signal, millis, rounds, first) => self.race(place, (&signal, first), millis, rounds).await,
            Op::Limited(signal, millis) => self.limited(place, &signal, millis).await,
            Op::Dropped(signal) => self.dropped(place, &signal).await,
            Op::Beside(millis, most) => self.beside(place, millis, most).await,
            Op::Joined(work, millis, signal) => self.joined(place, key, (&work, millis, &signal)).await,
            Op::Contest(signal, millis) => self.contest(place, key, (&signal, millis)).await,
            Op::Timed(signal, millis) => self.timed(place, &signal, millis).await,
            Op::Sides(work, millis) => self.sides(place, key, (&work, millis)).await,
            Op::Ask => self.ask(place).await,
            Op::Children(workflow, count, strict) => self.children(place, key, (workflow, count, strict)).await,
            Op::MapRuns(workflow, count, strict) => self.map_runs(place, key, (workflow, count, strict)).await,
            Op::Grow(count, into) => {
                // Growth is refused if the node that the edge leads to has already started; the task continues.
                drop(self.cx.grow(key, self.growth(index, count, into)).await);
                Ok(())
            }
            Op::Charge(amount) => self.cx.charge([(METER, amount)]).await,
            other => self.plain(index, other).await,
        }
    }

    /// Performs an act that needs no key.
    async fn plain(&self, index: usize, op: Op) -> TaskResult<()> {
        match op {
            Op::Emit => {
                self.cx.emit("progress", index);
                Ok(())
            }
            Op::Fail(attempts, failing) if self.cx.attempt() <= attempts => match failing {
                Failing::Retryable => Err(TaskError::new("the program says so")),
                Failing::Permanent => Err(TaskError::permanent("the program says so")),
                // Not `panic!`: the panic hook would print each of them.
                Failing::Panic => std::panic::resume_unwind(Box::new("the program says so")),
            },
            Op::Hang => std::future::pending().await,
            Op::Beat(millis) => {
                for _ in 0..5 {
                    tokio::time::sleep(Duration::from_millis(millis / 5)).await;
                    self.cx.heartbeat();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn growth(&self, index: usize, count: usize, into: Option<Name>) -> Growth {
        let mut growth = Growth::new();
        let mut before = self.node.clone();
        for number in 0..count {
            let new = name(&format!("{}.{index}{}", self.node, "_g".repeat(number + 1)));
            let mut spec = NodeSpec::task(new.clone(), name(TASK)).with_retry(Retry::immediate(2));
            if self.world.abilities.has(Ability::Doors) {
                spec.when = Some(hostile(&mut Chance::new(self.world.seed ^ index as u64)));
            }
            growth = growth.with_node(if index.is_multiple_of(2) { spec } else { spec.with_after(before) });
            before = new;
        }
        match into {
            Some(into) => growth.with_edge(before, into),
            None => growth,
        }
    }
}
