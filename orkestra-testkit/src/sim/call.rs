//! One call of a task in one process: its node's program, done.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::model::{Growth, Name, NodeSpec, Payload, Retry, RunId};
use orkestra_core::{Context, Step, TaskError, TaskResult};
use serde_json::{Value, json};

use super::audit::Effect;
use super::program::{Failing, METER, Op, TASK, Work, name, program};
use super::world::{Process, World};

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
            Op::Signal(signal) => self.cx.signal::<Value>(&signal).await.map(drop),
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
            Op::Ask => self.cx.ask::<u64>(json!({ "index": index })).await.map(drop),
            Op::Children(workflow, count, strict) => {
                let items: Vec<_> = (0..count).collect();
                let done = match count {
                    1 => self.cx.child::<Value>(&index.to_string(), workflow, index).await.map(drop),
                    _ => self.cx.map_runs::<_, Value>(&index.to_string(), 2, workflow, items).await.map(drop),
                };
                if strict { done } else { Ok(()) }
            }
            Op::Map(count, work) => self.map(index, count, &work).await,
            Op::Charge(amount) => self.cx.charge([(METER, amount)]).await,
            Op::Beat(millis) => {
                for _ in 0..5 {
                    tokio::time::sleep(Duration::from_millis(millis / 5)).await;
                    self.cx.heartbeat();
                }
                Ok(())
            }
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

    async fn map(&self, index: usize, count: usize, work: &Work) -> TaskResult<()> {
        let key = format!("map {index}");
        let work = Work { at_most_once: false, ..work.clone() };
        let (work, prefix) = (&work, &key);
        let one = move |item: usize| async move { self.effect(&format!("{prefix}[{item}]"), work).await };
        let numbers = self.cx.map(&key, 2, 0..count, one).await?;
        self.process.must_live().await;
        for (item, number) in numbers.into_iter().enumerate() {
            self.world.audit().answered(self.run(), &self.node, &format!("{key}[{item}]"), &Payload::of(&number)?);
        }
        Ok(())
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
        if let Some(cost) = work.cost {
            step = step.charge(move |_: &u64| [(METER, cost)]);
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
